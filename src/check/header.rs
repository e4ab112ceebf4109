//! What a document says it is: an object of which apiVersion and kind.

use kube::Resource;
use serde_json::Value;

use crate::api::{ApiToken, GROUP, Organisation, TokenPolicy, VERSION};

/// By how many letters a group may differ from ours that is taken for misspelt: `token-wright.io` by four.
const MISSPELT: usize = 4;

/// The apiVersion and the kind of a document, empty where they are missing.
pub(crate) struct Header<'a> {
    pub(super) api_version: &'a str,
    pub(super) kind: &'a str,
}

impl<'a> Header<'a> {
    pub(crate) fn of(value: &'a Value) -> Self {
        let text = |field| value.get(field).and_then(Value::as_str).unwrap_or_default();
        Self {
            api_version: text("apiVersion"),
            kind: text("kind"),
        }
    }

    fn group(&self) -> &'a str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    pub(super) fn is_ours(&self) -> bool {
        self.group() == GROUP
    }

    fn has_our_kind(&self) -> bool {
        kinds().iter().any(|kind| kind == self.kind)
    }

    /// Whether it is meant to be ours, as far as one can see, be it right or not.
    pub(super) fn claims_to_be_ours(&self) -> bool {
        self.is_ours() || self.api_version.is_empty() && self.has_our_kind()
    }

    /// That our group may be meant by another one, with what to write then.
    pub(super) fn misspelling(&self) -> Option<String> {
        let group = self.group();
        let is_near = group.is_empty() || strsim::osa_distance(group, GROUP) <= MISSPELT;
        let is_misspelt = self.has_our_kind() && !self.is_ours() && is_near;
        is_misspelt.then(|| {
            let (api_version, kind) = (self.api_version, self.kind);
            format!(
                "There is no kind {kind:?} of {api_version:?} here, so this was passed over. If tokenwright's is meant, write \
                 apiVersion: {GROUP}/{VERSION}."
            )
        })
    }
}

/// Why a document is no object that could be applied, and what to write instead.
pub(crate) fn defect(value: &Value) -> Option<String> {
    let what = match value {
        Value::Object(_) => {
            let header = Header::of(value);
            return match (header.api_version, header.kind) {
                ("", _) => {
                    let advice = format!(" Write apiVersion: {GROUP}/{VERSION}.");
                    let advice = if header.has_our_kind() { &advice } else { "" };
                    Some(format!("This is no Kubernetes object: apiVersion is missing.{advice}"))
                }
                (_, "") => {
                    let [first, second, third] = kinds();
                    let advice = format!(" Write kind: {first}, {second} or {third}.");
                    let advice = if header.is_ours() { &advice } else { "" };
                    Some(format!("This has no kind.{advice}"))
                }
                _ => None,
            };
        }
        Value::Array(_) => "a list. Begin each of the objects with a line ---, and take out the dashes before them",
        Value::String(_) => "a text",
        Value::Number(_) => "a number",
        Value::Bool(_) => "true or false",
        Value::Null => "nothing",
    };
    Some(format!("This is no Kubernetes object but {what}."))
}

/// Whether a document holds, or is meant to be, something of ours. A list may be a patch of somebody else's.
pub(super) fn concerns_us(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| item.is_object() && concerns_us(item)),
        Value::Object(_) => Header::of(value).claims_to_be_ours(),
        Value::Null => false,
        _ => true,
    }
}

/// A field of the metadata that is no text, with what is wrong.
pub(super) fn no_text(value: &Value) -> Option<(String, String)> {
    let metadata = value.get("metadata")?.as_object()?;
    let plain = ["name", "generateName", "namespace"]
        .into_iter()
        .filter_map(|field| Some((format!("metadata.{field}"), metadata.get(field)?)));
    let entries = ["labels", "annotations"].into_iter().flat_map(|map| {
        let entries = metadata.get(map).and_then(Value::as_object).into_iter().flatten();
        entries.map(move |(key, value)| (format!("metadata.{map}.{key}"), value))
    });
    let (field, value) = plain
        .chain(entries)
        .find(|(_, value)| !value.is_string() && !value.is_null())?;
    let advice = match value {
        Value::Number(_) | Value::Bool(_) => ": put it in quotes",
        _ => "",
    };
    let why = format!("{field} must be a text{advice}.");
    Some((field, why))
}

fn kinds() -> [std::borrow::Cow<'static, str>; 3] {
    [Organisation::kind(&()), ApiToken::kind(&()), TokenPolicy::kind(&())]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_group_that_looks_like_ours_is_misspelt_and_others_are_of_others() {
        let misspelt = |api_version: &str, kind: &str| {
            let value = json!({ "apiVersion": api_version, "kind": kind });
            Header::of(&value).misspelling().is_some()
        };
        for near in [
            "tokenwrigth.dev/v1alpha1",
            "tokenwright.io/v1",
            "token-wright.io/v1",
            "v1alpha1",
        ] {
            assert!(misspelt(near, "ApiToken"), "{near}");
        }
        for other in ["tokenwright.dev/v1", "cloud.example.com/v1", "apps/v1"] {
            assert!(!misspelt(other, "ApiToken"), "{other}");
        }
        assert!(!misspelt("tokenwrigth.dev/v1alpha1", "Deployment"));
    }
}
