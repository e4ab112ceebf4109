//! Validation and defaulting of CustomResourceDefinitions themselves.

mod parts;

use serde_json::{Value, json};

use super::FieldError;
use super::structural::text;
use crate::validate::names::{old_label, subdomain};
use crate::validate::{NameRule, metadata};

/// The parts of a version that are kept once where all versions have the same.
const PARTS: [&str; 4] = ["schema", "subresources", "additionalPrinterColumns", "selectableFields"];

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
    validate_stored(crd, &mut errors);
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
    let is_stored = |version: &&Value| version["storage"] == true;
    let stored: Vec<Value> = spec["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(is_stored)
        .cloned()
        .collect();
    let stored: Vec<Value> = stored.into_iter().map(|version| version["name"].clone()).collect();
    let known = crd["status"]["storedVersions"].as_array().cloned().unwrap_or_default();
    match stored.as_slice() {
        [first, ..] if known.is_empty() => crd["status"]["storedVersions"] = json!([first]),
        // Objects are stored in another version from now on.
        [only] if !known.contains(only) => {
            crd["status"]["storedVersions"] = known.into_iter().chain([only.clone()]).collect();
        }
        _ => {}
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
    validate_versions(versions, errors);
    validate_names(&spec["names"], errors);
    for (place, part) in parts::of(versions) {
        parts::validate(&place, part, errors);
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

fn validate_versions(versions: &[Value], errors: &mut Vec<FieldError>) {
    for (index, version) in versions.iter().enumerate() {
        let wrong = old_label(text(version, "name"));
        if !wrong.is_empty() {
            let (field, name) = (format!("spec.versions[{index}].name"), text(version, "name"));
            errors.push(FieldError::invalid(field, name, wrong.join(",")));
            // The first version's name is kept once more, for the oldest clients.
            if index == 0 {
                errors.push(FieldError::invalid("spec.version", name, wrong.join(",")));
            }
        }
    }
    let mut names: Vec<&str> = versions.iter().map(|version| text(version, "name")).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() != versions.len() {
        errors.push(versions_error(versions, "must contain unique version names"));
    }
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        errors.push(versions_error(
            versions,
            "must have exactly one version marked as storage version",
        ));
    }
}

/// An error of the list of versions, which the API server repeats under its own names for its fields.
fn versions_error(versions: &[Value], detail: &str) -> FieldError {
    let has_own_parts = |version: &Value| {
        PARTS
            .iter()
            .any(|name| version.get(*name) != versions.first().and_then(|first| first.get(*name)))
    };
    if versions.iter().any(has_own_parts) {
        return FieldError::invalid_whole("spec.versions", detail);
    }
    let written: Vec<String> = versions
        .iter()
        .map(|version| {
            format!(
                "{{\"Name\":{},\"Served\":{},\"Storage\":{},\"Deprecated\":{},\"DeprecationWarning\":{},\"Schema\":null,\"Subresources\":null,\"AdditionalPrinterColumns\":null,\"SelectableFields\":null}}",
                version["name"],
                version["served"] == true,
                version["storage"] == true,
                version["deprecated"] == true,
                version["deprecationWarning"],
            )
        })
        .collect();
    FieldError::invalid_whole("spec.versions", format!("[{}]: {detail}", written.join(",")))
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

/// The versions that objects are stored in must be there, and one is being stored in now.
fn validate_stored(crd: &Value, errors: &mut Vec<FieldError>) {
    let field = "status.storedVersions";
    let stored = &crd["status"]["storedVersions"];
    let names: Vec<&str> = stored
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if names.is_empty() {
        errors.push(FieldError::invalid(
            field,
            stored.clone(),
            "must have at least one stored version",
        ));
        return;
    }
    let versions: Vec<&Value> = crd["spec"]["versions"].as_array().into_iter().flatten().collect();
    for (index, name) in names.iter().enumerate() {
        if !versions.iter().any(|version| text(version, "name") == *name) {
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            errors.push(FieldError::invalid(format!("{field}[{index}]"), *name, detail));
        }
    }
    for version in versions.iter().filter(|version| version["storage"] == true) {
        let name = text(version, "name");
        if !names.contains(&name) {
            let detail = format!("must have the storage version {name}");
            errors.push(FieldError::invalid(field, stored.clone(), detail));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Definitions and what a real API server (1.36) says of them.
    const CASES: &str = include_str!("../crd_cases.json");

    #[test]
    fn says_what_the_real_one_says() {
        let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
        for case in cases {
            let errors = validate_and_default(&mut case["new"].clone()).err().unwrap_or_default();
            let mut errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            errors.sort();
            assert_eq!((&case["case"], json!(errors)), (&case["case"], case["errors"].clone()));
        }
    }

    fn definition() -> Value {
        json!({
            "metadata": {"name": "foos.example.org"},
            "spec": {"group": "example.org", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"},
                "versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}}}]},
        })
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        let mut crd = definition();
        assert_eq!(validate_and_default(&mut crd), Ok(()));
        assert_eq!(
            crd["spec"]["names"],
            json!({"plural": "foos", "kind": "Foo", "singular": "foo", "listKind": "FooList"})
        );
        assert_eq!(crd["spec"]["conversion"], json!({"strategy": "None"}));
        assert_eq!(crd["status"]["storedVersions"], json!(["v1"]));
        crd["spec"]["versions"][0]["storage"] = false.into();
        let mut second = crd["spec"]["versions"][0].clone();
        second["name"] = "v2".into();
        second["storage"] = true.into();
        crd["spec"]["versions"].as_array_mut().unwrap().push(second);
        assert_eq!(validate_and_default(&mut crd), Ok(()));
        assert_eq!(crd["status"]["storedVersions"], json!(["v1", "v2"]));
    }

    #[test]
    fn the_root_stays_plain_beside_a_status() {
        let mut crd = definition();
        crd["spec"]["versions"][0]["subresources"] = json!({"status": {}});
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["oneOf"] = json!([{"required": ["a"]}]);
        let errors = validate_and_default(&mut crd).unwrap_err();
        assert!(
            errors[0]
                .to_string()
                .starts_with("spec.validation.openAPIV3Schema: Invalid value: only [Description Type ")
        );
    }

    #[test]
    fn names_stay_what_they_are() {
        let mut old = definition();
        let mut new = definition();
        new["spec"]["scope"] = "Cluster".into();
        new["spec"]["group"] = "other.org".into();
        assert_eq!(
            validate_update(&new, &old),
            [FieldError::invalid("spec.group", "other.org", "field is immutable")]
        );
        old["status"]["conditions"] = json!([{"type": "Established", "status": "True"}]);
        assert_eq!(
            validate_update(&new, &old),
            [
                FieldError::invalid("spec.scope", "Cluster", "field is immutable"),
                FieldError::invalid("spec.group", "other.org", "field is immutable"),
            ]
        );
    }
}
