use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use super::{ApiToken, Organisation};

/// Every CustomResourceDefinition of this project, in the order in which they are installed.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [Organisation::crd(), ApiToken::crd()].into_iter().map(finish).collect()
}

/// The CRDs as YAML documents, as `tokenwright crd` prints them and `crds/` holds them.
///
/// # Errors
/// When a definition cannot be written as YAML, which would be a defect of the serializer.
pub fn print() -> Result<String, serde_saphyr::ser::Error> {
    let mut out = String::new();
    for crd in crds() {
        out.push_str("---\n");
        out.push_str(&serde_saphyr::to_string(&crd)?);
    }
    Ok(out)
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
