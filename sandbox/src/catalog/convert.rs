//! Between the version that is stored and the one that a client speaks.

use bytes::Bytes;
use serde_json::Value;

use super::Resource;
use crate::store::Stored;

/// Fields of an Event as the core group and as events.k8s.io name them.
const EVENT_FIELDS: &[(&str, &str)] = &[
    ("message", "note"),
    ("involvedObject", "regarding"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

impl Resource {
    /// The version in which objects are stored, when it is another one than this.
    fn stored_api_version(&self) -> Option<String> {
        if self.group == "events.k8s.io" {
            return Some("v1".to_owned());
        }
        let storage = &self.custom.as_ref()?.storage_version;
        (*storage != self.version).then(|| super::api_version(&self.group, storage))
    }

    /// Turns an object of this version into what is stored.
    pub(crate) fn to_stored(&self, object: &mut Value) {
        if let Some(stored) = self.stored_api_version() {
            object["apiVersion"] = stored.into();
            if self.group == "events.k8s.io" {
                rename(object, EVENT_FIELDS.iter().map(|(core, new)| (*new, *core)));
            }
        }
    }

    /// Turns a stored object into this version.
    pub(crate) fn to_shown(&self, object: &mut Value) {
        if self.stored_api_version().is_some() {
            object["apiVersion"] = self.api_version().into();
            if self.group == "events.k8s.io" {
                rename(object, EVENT_FIELDS.iter().copied());
            }
        }
    }

    pub(crate) fn show(&self, stored: &Stored) -> Value {
        let mut object = stored.value();
        self.to_shown(&mut object);
        object
    }

    /// The object's JSON in this version, without parsing it where only the apiVersion can differ.
    pub(crate) fn show_bytes(&self, stored: &Stored) -> Bytes {
        if self.group == "events.k8s.io" {
            self.show(stored).to_string().into()
        } else {
            stored.bytes(&self.api_version())
        }
    }

    /// The object's JSON as an item of a list: those of builtin kinds do not say what they are.
    pub(crate) fn item_bytes(&self, stored: &Stored) -> Bytes {
        if self.custom.is_some() {
            self.show_bytes(stored)
        } else if self.group == "events.k8s.io" {
            self.item(stored).to_string().into()
        } else {
            stored.body.clone()
        }
    }

    /// The same, parsed.
    pub(crate) fn item(&self, stored: &Stored) -> Value {
        let mut object = self.show(stored);
        if self.custom.is_none()
            && let Some(fields) = object.as_object_mut()
        {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        object
    }
}

fn rename<'a>(object: &mut Value, fields: impl Iterator<Item = (&'a str, &'a str)>) {
    let Some(object) = object.as_object_mut() else { return };
    for (from, to) in fields {
        if let Some(value) = object.remove(from) {
            object.insert(to.to_owned(), value);
        }
    }
}
