//! `meta.k8s.io/v1 Table`: what `kubectl get` prints.

use jiff::Timestamp;
use serde_json::{Value, json};

/// What a row carries besides its cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// The object's metadata, as a PartialObjectMetadata.
    #[default]
    Metadata,
    /// The object itself.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter `includeObject`; nothing and the empty string are the default.
    pub fn parse(value: Option<&str>) -> Option<Self> {
        match value {
            None | Some("" | "Metadata") => Some(Self::Metadata),
            Some("None") => Some(Self::None),
            Some("Object") => Some(Self::Object),
            Some(_) => None,
        }
    }
}

/// One column of a table.
#[derive(Clone, Debug)]
pub struct Column {}

/// The columns of a builtin kind; name and age for kinds that have no columns of their own.
pub fn columns_for_builtin(group: &str, kind: &str) -> Vec<Column> {
    let _ = (group, kind);
    Vec::new()
}

/// The columns of one version (an item of `spec.versions`) of a CustomResourceDefinition.
pub fn columns_for_crd(version: &Value) -> Vec<Column> {
    let _ = version;
    Vec::new()
}

/// Renders objects as a Table; `list_metadata` is the list's own (resourceVersion, continue).
pub fn render(
    columns: &[Column],
    objects: &[Value],
    include_object: IncludeObject,
    list_metadata: &Value,
    now: Timestamp,
) -> Value {
    let _ = (columns, objects, include_object, now);
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list_metadata, "columnDefinitions": [], "rows": []})
}

/// Renders the object of one watch event; only a watch's first event carries the definitions of the columns.
pub fn render_event(
    columns: &[Column],
    object: &Value,
    include_object: IncludeObject,
    first: bool,
    now: Timestamp,
) -> Value {
    let _ = first;
    let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
    render(columns, std::slice::from_ref(object), include_object, &metadata, now)
}
