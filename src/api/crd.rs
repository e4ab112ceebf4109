use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use super::{ApiToken, Organisation, TokenPolicy};

/// Every CustomResourceDefinition of this project, in the order in which they are installed.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [Organisation::crd(), ApiToken::crd(), TokenPolicy::crd()]
        .into_iter()
        .map(finish)
        .collect()
}

/// The CRDs as YAML: the name of the file that `crds/` holds each in, and its text.
///
/// # Errors
/// When a definition cannot be written as YAML, which would be a defect of the serializer.
pub fn crd_files() -> Result<Vec<(String, String)>, serde_saphyr::ser::Error> {
    crds()
        .iter()
        .map(|crd| {
            Ok((
                format!("{}.yaml", crd.spec.names.plural),
                format!("---\n{}", serde_saphyr::to_string(crd)?),
            ))
        })
        .collect()
}

/// What the derive does not do: no `nullable` (an explicit null is dropped by the API server, so that `has()` in a rule
/// means "given"), and object defaults where a rule reads a defaulted field.
fn finish(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut value = serde_json::to_value(&crd).unwrap_or_default();
    strip_nullable(&mut value);
    serde_json::from_value(value).unwrap_or(crd)
}

fn strip_nullable(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("nullable");
            map.values_mut().for_each(strip_nullable);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nullable),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn the_folder_crds_is_current() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
        let kustomization = fs::read_to_string(folder.join("Kustomization")).unwrap();
        for (name, text) in crd_files().unwrap() {
            let committed = fs::read_to_string(folder.join(&name)).unwrap_or_default();
            assert!(
                committed == text,
                "crds/{name} is out of date: run 'cargo run -- crd --output crds'"
            );
            assert!(
                kustomization.contains(&format!("\n  - {name}\n")),
                "crds/Kustomization lacks {name}"
            );
        }
        assert_eq!(fs::read_dir(folder).unwrap().count(), crds().len() + 1);
    }

    #[test]
    fn the_schema_of_a_policy_has_its_rules_and_bounds() {
        let crd = serde_json::to_value(TokenPolicy::crd()).unwrap();
        let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        let most = &spec["maxTokens"];
        assert_eq!(
            (most["type"].as_str(), most["minimum"].as_f64()),
            (Some("integer"), Some(1.0))
        );
        let rules = spec["expiry"]["x-kubernetes-validations"].as_array();
        assert_eq!(rules.map(Vec::len), Some(3));
    }

    #[test]
    fn every_field_is_described() {
        fn walk(path: &str, schema: &Value, undescribed: &mut Vec<String>) {
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{name}");
                if field["description"].as_str().unwrap_or_default().is_empty() {
                    undescribed.push(path.clone());
                }
                walk(&path, field, undescribed);
                walk(&path, &field["items"], undescribed);
            }
        }
        let mut undescribed = Vec::new();
        for crd in crds() {
            let schema =
                serde_json::to_value(&crd).unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
            walk(&crd.spec.names.kind, &schema, &mut undescribed);
        }
        assert_eq!(undescribed, Vec::<String>::new());
    }
}
