//! What is stored: objects as bytes with their parsed heads, and a bounded history of changes per resource.
//!
//! An object is kept as the JSON that clients get, so that lists and watches copy bytes instead of serialising again,
//! and ten thousand objects take little more than their own text. The history serves watches, lists at a past
//! resourceVersion, and pages of a list that must all show the same moment.

mod selector;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;

pub(crate) use selector::Selector;
pub(crate) use table::{Change, ChangeKind, Delivery, Table, within};

/// Names a table: `group/plural` of the version that is stored.
pub(crate) type TableId = Arc<str>;

/// Where an object lives within its table; cluster-scoped objects have an empty namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    pub(crate) fn of(object: &Value) -> Self {
        Self::new(
            text(&object["metadata"]["namespace"]),
            text(&object["metadata"]["name"]),
        )
    }
}

/// One version of one object.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) key: Key,
    pub(crate) uid: String,
    pub(crate) revision: u64,
    pub(crate) labels: BTreeMap<String, String>,
    /// The uids of its owners.
    pub(crate) owners: Vec<String>,
    /// Whether it carries a deletionTimestamp.
    pub(crate) deleting: bool,
    api_version: Box<str>,
    kind: Box<str>,
    /// The object's JSON without apiVersion and kind: lists of builtin kinds leave them out of their items.
    pub(crate) body: Bytes,
}

impl Stored {
    /// Stamps the revision on the object and keeps it; revision 0 is an object that was not committed (a dry run).
    pub(crate) fn new(mut object: Value, revision: u64) -> Self {
        if revision > 0 {
            object["metadata"]["resourceVersion"] = revision.to_string().into();
        }
        let mut take = |field: &str| -> Box<str> {
            let taken = object.as_object_mut().and_then(|fields| fields.remove(field));
            taken.as_ref().map_or("", text).into()
        };
        let (api_version, kind) = (take("apiVersion"), take("kind"));
        let metadata = &object["metadata"];
        Self {
            api_version,
            kind,
            key: Key::of(&object),
            uid: text(&metadata["uid"]).to_owned(),
            revision,
            labels: string_map(&metadata["labels"]),
            owners: items(&metadata["ownerReferences"])
                .iter()
                .map(|owner| text(&owner["uid"]).to_owned())
                .collect(),
            deleting: metadata["deletionTimestamp"].is_string(),
            body: Bytes::from(object.to_string()),
        }
    }

    /// The object, parsed anew: callers may change it freely.
    pub(crate) fn value(&self) -> Value {
        let mut object: Value = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        object["apiVersion"] = (*self.api_version).into();
        object["kind"] = (*self.kind).into();
        object
    }

    /// The object's JSON under the given apiVersion.
    pub(crate) fn bytes(&self, api_version: &str) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.body.len() + api_version.len() + self.kind.len() + 32);
        for part in ["{\"apiVersion\":\"", api_version, "\",\"kind\":\"", &self.kind, "\","] {
            bytes.put_slice(part.as_bytes());
        }
        // The rest is an object with at least its metadata: only its opening brace is left out.
        bytes.put_slice(&self.body[1..]);
        bytes.freeze()
    }
}

/// A string or, for anything else, the empty one.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The items of a list, or none.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A map of strings; entries of other types are skipped.
pub(crate) fn string_map(value: &Value) -> BTreeMap<String, String> {
    let entries = value.as_object().into_iter().flatten();
    entries
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}
