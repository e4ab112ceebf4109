//! Validation and defaulting of CustomResourceDefinitions themselves.

use serde_json::{Value, json};

use super::FieldError;
use super::structural::text;
use super::{field_path, structural};
use crate::validate::names::{old_label, subdomain};
use crate::validate::{NameRule, metadata};

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

/// Fills in what a CustomResourceDefinition may leave out and checks the rest, its metadata too.
///
/// # Errors
/// Every field that the real API server would refuse, in its order and words.
pub fn validate_and_default(crd: &mut Value) -> Result<(), Vec<FieldError>> {
    default(crd);
    let mut errors = metadata(crd, false, NameRule::Subdomain, None);
    let required_name = format!(
        "{}.{}",
        text(&crd["spec"]["names"], "plural"),
        text(&crd["spec"], "group")
    );
    let name = text(&crd["metadata"], "name");
    if !name.is_empty() && name != required_name {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", name, detail));
    }
    validate_spec(&crd["spec"], &mut errors);
    validate_approval(crd, &mut errors);
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Checks what may not change of a CustomResourceDefinition.
pub fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let is_established = old["status"]["conditions"].as_array().is_some_and(|all| {
        all.iter()
            .any(|one| one["type"] == "Established" && one["status"] == "True")
    });
    let mut fixed = vec!["/spec/group", "/spec/names/plural"];
    if is_established {
        fixed.splice(0..0, ["/spec/scope", "/spec/names/kind"]);
    }
    fixed
        .into_iter()
        .filter(|pointer| new.pointer(pointer) != old.pointer(pointer))
        .map(|pointer| {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            FieldError::invalid(
                field,
                new.pointer(pointer).cloned().unwrap_or_default(),
                "field is immutable",
            )
        })
        .collect()
}

fn default(crd: &mut Value) {
    let Some(spec) = crd.get_mut("spec").filter(|spec| spec.is_object()) else {
        return;
    };
    let kind = text(&spec["names"], "kind").to_owned();
    if spec["names"].is_object() && !kind.is_empty() {
        if text(&spec["names"], "singular").is_empty() {
            spec["names"]["singular"] = kind.to_lowercase().into();
        }
        if text(&spec["names"], "listKind").is_empty() {
            spec["names"]["listKind"] = format!("{kind}List").into();
        }
    }
    if spec["conversion"].is_null() {
        spec["conversion"] = json!({"strategy": "None"});
    }
    let stored = spec["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|version| version["storage"] == true);
    let stored = stored.map(|version| version["name"].clone());
    if let Some(stored) = stored.filter(|_| crd["status"]["storedVersions"].as_array().is_none_or(Vec::is_empty)) {
        crd["status"]["storedVersions"] = json!([stored]);
    }
}

fn validate_spec(spec: &Value, errors: &mut Vec<FieldError>) {
    let group = text(spec, "group");
    let wrong = subdomain(group);
    if group.is_empty() {
        errors.push(FieldError::required("spec.group", ""));
    } else if !wrong.is_empty() {
        errors.push(FieldError::invalid("spec.group", group, wrong.join(",")));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid(
            "spec.group",
            group,
            "should be a domain with at least one dot",
        ));
    }
    match text(spec, "scope") {
        "" => errors.push(FieldError::required("spec.scope", "")),
        "Cluster" | "Namespaced" => {}
        other => errors.push(FieldError::not_supported(
            "spec.scope",
            other,
            &["Cluster", "Namespaced"],
        )),
    }
    let none = Vec::new();
    let versions = spec["versions"].as_array().unwrap_or(&none);
    for (index, version) in versions.iter().enumerate() {
        if !version["schema"]["openAPIV3Schema"].is_object() {
            errors.push(FieldError::required(
                format!("spec.versions[{index}].schema.openAPIV3Schema"),
                "",
            ));
        }
    }
    validate_versions(spec, versions, errors);
    validate_names(&spec["names"], errors);
    for (place, part) in parts(versions) {
        validate_part(&place, part, errors);
    }
    if let Some(strategy) = spec["conversion"]["strategy"]
        .as_str()
        .filter(|name| !["None", "Webhook"].contains(name))
    {
        errors.push(FieldError::not_supported(
            "spec.conversion.strategy",
            strategy,
            &["None", "Webhook"],
        ));
    }
}

fn validate_versions(spec: &Value, versions: &[Value], errors: &mut Vec<FieldError>) {
    for (index, version) in versions.iter().enumerate() {
        let wrong = old_label(text(version, "name"));
        if !wrong.is_empty() {
            let field = format!("spec.versions[{index}].name");
            errors.push(FieldError::invalid(field, text(version, "name"), wrong.join(",")));
        }
    }
    let mut names: Vec<&str> = versions.iter().map(|version| text(version, "name")).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() != versions.len() {
        let detail = "must contain unique version names";
        errors.push(FieldError::invalid("spec.versions", spec["versions"].clone(), detail));
    }
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", spec["versions"].clone(), detail));
    }
}

fn validate_names(names: &Value, errors: &mut Vec<FieldError>) {
    for name in ["plural", "singular", "kind", "listKind"] {
        if text(names, name).is_empty() {
            errors.push(FieldError::required(format!("spec.names.{name}"), ""));
        }
    }
    for name in ["plural", "singular", "kind", "listKind"] {
        let value = text(names, name);
        let is_kind = name.ends_with("ind");
        let wrong = if is_kind {
            old_label(&value.to_lowercase())
        } else {
            old_label(value)
        };
        if !value.is_empty() && !wrong.is_empty() {
            let prefix = if is_kind {
                "may have mixed case, but should otherwise match: "
            } else {
                ""
            };
            let detail = format!("{prefix}{}", wrong.join(","));
            errors.push(FieldError::invalid(format!("spec.names.{name}"), value, detail));
        }
    }
    let mut labels = |list: &str| {
        for (index, label) in names[list]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .enumerate()
        {
            let wrong = old_label(label);
            if !wrong.is_empty() {
                errors.push(FieldError::invalid(
                    format!("spec.names.{list}[{index}]"),
                    label,
                    wrong.join(","),
                ));
            }
        }
    };
    labels("shortNames");
    labels("categories");
    let list_kind = text(names, "listKind");
    if !list_kind.is_empty() && list_kind == text(names, "kind") {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid("spec.names.listKind", list_kind, detail));
    }
}

/// Where each version's own parts stand. The API server keeps what all versions have in common once, and that is
/// where its errors point.
fn parts(versions: &[Value]) -> Vec<(Place, &Value)> {
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
    if ["schema", "subresources", "additionalPrinterColumns", "selectableFields"]
        .into_iter()
        .all(is_common)
    {
        parts.truncate(1);
    }
    parts
}

struct Place {
    schema: String,
    subresources: String,
    columns: String,
    selectable: String,
}

fn validate_part(place: &Place, version: &Value, errors: &mut Vec<FieldError>) {
    let schema = &version["schema"]["openAPIV3Schema"];
    if schema.is_object() {
        let path = format!("{}.openAPIV3Schema", place.schema);
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

/// Groups of the Kubernetes community are not for everyone.
fn validate_approval(crd: &Value, errors: &mut Vec<FieldError>) {
    let group = text(&crd["spec"], "group");
    let is_protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.ends_with(&format!(".{domain}")));
    let annotation = "api-approved.kubernetes.io";
    if is_protected && text(&crd["metadata"]["annotations"], annotation).is_empty() {
        let detail = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111";
        errors.push(FieldError::required(
            format!("metadata.annotations[{annotation}]"),
            detail,
        ));
    }
}
