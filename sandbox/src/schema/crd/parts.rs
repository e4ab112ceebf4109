//! The parts of a CustomResourceDefinition that each version may have for itself.

use serde_json::Value;

use super::PARTS;
use crate::schema::error::FieldError;
use crate::schema::structural::text;
use crate::schema::{field_path, structural};

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = [
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "password",
];
const MOST_SELECTABLE_FIELDS: usize = 8;

/// Where each version's own parts stand. The API server keeps what all versions have in common once, and that is
/// where its errors point.
pub(super) fn of(versions: &[Value]) -> Vec<(Place, &Value)> {
    let Some(first) = versions.first() else {
        return Vec::new();
    };
    let is_common = |name: &str| versions.iter().all(|version| version.get(name) == first.get(name));
    let place = |prefix: String| Place {
        schema: if is_common("schema") {
            "spec.validation".to_owned()
        } else {
            format!("{prefix}schema")
        },
        subresources: if is_common("subresources") {
            "spec.".to_owned()
        } else {
            prefix.clone()
        },
        columns: if is_common("additionalPrinterColumns") {
            "spec.".to_owned()
        } else {
            prefix.clone()
        },
        selectable: if is_common("selectableFields") {
            "spec.".to_owned()
        } else {
            prefix
        },
    };
    let mut parts: Vec<(Place, &Value)> = versions
        .iter()
        .enumerate()
        .map(|(index, version)| (place(format!("spec.versions[{index}].")), version))
        .collect();
    if PARTS.into_iter().all(is_common) {
        parts.truncate(1);
    }
    parts
}

pub(super) struct Place {
    schema: String,
    subresources: String,
    columns: String,
    selectable: String,
}

/// Checks what is a version's own: its schema, its subresources, its columns and selectable fields.
pub(super) fn validate(place: &Place, version: &Value, errors: &mut Vec<FieldError>) {
    let schema = &version["schema"]["openAPIV3Schema"];
    if schema.is_object() {
        let path = format!("{}.openAPIV3Schema", place.schema);
        if version["subresources"]["status"].is_object() {
            check_root(&path, schema, errors);
        }
        if schema["nullable"] == true {
            errors.push(FieldError::forbidden(
                format!("{path}.nullable"),
                "nullable cannot be true at the root",
            ));
        }
        errors.extend(structural::validate(&path, schema));
    }
    let subresources = format!("{}subresources", place.subresources);
    validate_scale(
        &format!("{subresources}.scale"),
        &version["subresources"]["scale"],
        errors,
    );
    for (index, column) in version["additionalPrinterColumns"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        validate_column(
            &format!("{}additionalPrinterColumns[{index}]", place.columns),
            column,
            errors,
        );
    }
    validate_selectable(
        &format!("{}selectableFields", place.selectable),
        version,
        schema,
        errors,
    );
}

/// With a status subresource the status is judged by a part of the schema, so that nothing may stand beside the parts.
fn check_root(path: &str, schema: &Value, errors: &mut Vec<FieldError>) {
    const ALLOWED: [(&str, &str); 22] = [
        ("description", "Description"),
        ("type", "Type"),
        ("format", "Format"),
        ("title", "Title"),
        ("maximum", "Maximum"),
        ("exclusiveMaximum", "ExclusiveMaximum"),
        ("minimum", "Minimum"),
        ("exclusiveMinimum", "ExclusiveMinimum"),
        ("maxLength", "MaxLength"),
        ("minLength", "MinLength"),
        ("pattern", "Pattern"),
        ("maxItems", "MaxItems"),
        ("minItems", "MinItems"),
        ("uniqueItems", "UniqueItems"),
        ("multipleOf", "MultipleOf"),
        ("required", "Required"),
        ("items", "Items"),
        ("properties", "Properties"),
        ("externalDocs", "ExternalDocs"),
        ("example", "Example"),
        ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
        ("x-kubernetes-validations", "XValidations"),
    ];
    let is_allowed = |keyword: &String| ALLOWED.iter().any(|(allowed, _)| keyword == allowed);
    if schema
        .as_object()
        .is_some_and(|keywords| !keywords.keys().all(is_allowed))
    {
        let names: Vec<&str> = ALLOWED.iter().map(|(_, name)| *name).collect();
        let detail = format!(
            "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
            names.join(" ")
        );
        errors.push(FieldError::invalid_whole(path, detail));
    }
}

fn simple_path(field: &str, path: &str, errors: &mut Vec<FieldError>) -> bool {
    let is_simple = path.starts_with('.');
    if !is_simple {
        errors.push(FieldError::invalid(
            field,
            path,
            "must be a simple json path starting with .",
        ));
    }
    is_simple
}

fn validate_scale(path: &str, scale: &Value, errors: &mut Vec<FieldError>) {
    if scale.is_null() {
        return;
    }
    for (name, prefixes, expected, is_required) in [
        ("specReplicasPath", &[".spec."][..], "under .spec", true),
        ("statusReplicasPath", &[".status."], "under .status", true),
        (
            "labelSelectorPath",
            &[".spec.", ".status."],
            "under either .spec or .status",
            false,
        ),
    ] {
        let (field, value) = (format!("{path}.{name}"), text(scale, name));
        if value.is_empty() {
            if is_required {
                errors.push(FieldError::required(field, ""));
            }
        } else if simple_path(&field, value, errors) && !prefixes.iter().any(|prefix| value.starts_with(prefix)) {
            errors.push(FieldError::invalid(
                field,
                value,
                format!("should be a json path {expected}"),
            ));
        }
    }
}

fn validate_column(path: &str, column: &Value, errors: &mut Vec<FieldError>) {
    if text(column, "name").is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    }
    let one_of = |all: &[&str]| format!("must be one of {}", all.join(","));
    match text(column, "type") {
        "" => errors.push(FieldError::required(format!("{path}.type"), one_of(&COLUMN_TYPES))),
        kind if COLUMN_TYPES.contains(&kind) => {}
        kind => errors.push(FieldError::invalid(format!("{path}.type"), kind, one_of(&COLUMN_TYPES))),
    }
    let format = text(column, "format");
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        errors.push(FieldError::invalid(
            format!("{path}.format"),
            format,
            one_of(&COLUMN_FORMATS),
        ));
    }
    match text(column, "jsonPath") {
        "" => errors.push(FieldError::required(format!("{path}.JSONPath"), "")),
        json_path => {
            simple_path(&format!("{path}.JSONPath"), json_path, errors);
        }
    }
}

fn validate_selectable(path: &str, version: &Value, schema: &Value, errors: &mut Vec<FieldError>) {
    let mut seen: Vec<String> = Vec::new();
    for (index, field) in version["selectableFields"].as_array().into_iter().flatten().enumerate() {
        let place = format!("{path}[{index}].jsonPath");
        let json_path = text(field, "jsonPath");
        if json_path.is_empty() {
            errors.push(FieldError::required(place, ""));
            continue;
        }
        let (written, found) = match field_path::resolve(json_path, schema, false) {
            Ok(found) => found,
            Err(reason) => {
                errors.push(FieldError::invalid(
                    place,
                    json_path,
                    format!("is an invalid path: {reason}"),
                ));
                continue;
            }
        };
        if written.starts_with("metadata") {
            errors.push(FieldError::invalid(
                &place,
                json_path,
                "must not point to fields in metadata",
            ));
        }
        if !["string", "boolean", "integer"].contains(&text(found, "type")) {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.push(FieldError::invalid(&place, json_path, detail));
        }
        if seen.contains(&written) {
            errors.push(FieldError::duplicate(place, json_path));
        } else {
            seen.push(written);
        }
    }
    if seen.len() > MOST_SELECTABLE_FIELDS {
        errors.push(FieldError::too_many(
            path,
            seen.len() as i64,
            MOST_SELECTABLE_FIELDS as i64,
        ));
    }
}
