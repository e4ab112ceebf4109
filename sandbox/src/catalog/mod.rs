//! What is served: the builtin resources and those that CustomResourceDefinitions add.

mod builtin;
mod convert;
mod custom;
mod discovery;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

pub(crate) use builtin::creates_on_update;
pub(crate) use custom::{Names, names_conflict};
pub(crate) use discovery::{api_groups, api_resources, api_versions, one_group};

use crate::schema::CompiledSchema;
use crate::store::TableId;
use crate::table::Column;

pub(crate) const ALL_VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
pub(crate) const NO_COLLECTION: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
pub(crate) const CREATE_ONLY: &[&str] = &["create"];

/// One resource in one version.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    pub(crate) verbs: &'static [&'static str],
    pub(crate) table: TableId,
    pub(crate) status: bool,
    pub(crate) scale: Option<Scale>,
    pub(crate) custom: Option<Custom>,
    pub(crate) columns: Vec<Column>,
    /// Field selectors beside metadata.name and metadata.namespace.
    pub(crate) selectable: Vec<String>,
}

/// Where a resource keeps what `/scale` speaks of, as JSON pointers.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pub(crate) spec_replicas: String,
    pub(crate) status_replicas: String,
    pub(crate) selector: Option<String>,
}

/// What only custom resources have.
#[derive(Clone, Debug)]
pub(crate) struct Custom {
    /// The version that objects are stored in.
    pub(crate) storage_version: String,
    pub(crate) schema: Option<Arc<CompiledSchema>>,
    /// The schema as its author wrote it, for `kubectl explain`.
    pub(crate) source: Value,
    pub(crate) deprecation: Option<String>,
}

impl Resource {
    /// `apps/v1`, or `v1` for the core group.
    pub(crate) fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// `deployments.apps`: how messages name a resource.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    pub(crate) fn selects_by(&self, path: &str) -> bool {
        path == "metadata.name"
            || (path == "metadata.namespace" && (self.namespaced || self.custom.is_none()))
            || self.selectable.iter().any(|field| field == path)
    }

    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }

    pub(crate) fn subresources(&self) -> Vec<&'static str> {
        let mut all = Vec::new();
        if self.is("", "namespaces") {
            all.push("finalize");
        }
        if self.scale.is_some() {
            all.push("scale");
        }
        if self.status {
            all.push("status");
        }
        all
    }
}

pub(crate) fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// Splits `apps/v1` or `v1`.
pub(crate) fn group_and_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// Everything that is served at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    /// By group, version and plural name.
    resources: BTreeMap<(String, String, String), Arc<Resource>>,
}

impl Catalog {
    /// The builtin resources and those of the given CustomResourceDefinitions.
    pub(crate) fn new<'a>(definitions: impl IntoIterator<Item = &'a Arc<Definition>>) -> Self {
        let mut catalog = Self::default();
        for resource in builtin::resources() {
            catalog.insert(Arc::new(resource));
        }
        for definition in definitions {
            for resource in &definition.resources {
                catalog.insert(resource.clone());
            }
        }
        catalog
    }

    fn insert(&mut self, resource: Arc<Resource>) {
        let key = (
            resource.group.clone(),
            resource.version.clone(),
            resource.plural.clone(),
        );
        self.resources.insert(key, resource);
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.resources
            .get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }

    /// The resource as which a table's objects are best shown: its own group's, its newest version.
    pub(crate) fn of_table(&self, table: &str) -> Option<&Arc<Resource>> {
        let (group, plural) = table.split_once('/')?;
        let mut served: Vec<_> = self.all().filter(|resource| resource.is(group, plural)).collect();
        served.sort_by_key(|resource| discovery::version_order(&resource.version));
        served.first().copied()
    }

    /// The resource of a kind, whatever the version; owner references name kinds.
    pub(crate) fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Arc<Resource>> {
        let (group, _) = group_and_version(api_version);
        self.all()
            .find(|resource| resource.group == group && resource.kind == kind && resource.verbs.contains(&"get"))
    }

    pub(crate) fn serves(&self, group: &str, version: &str) -> bool {
        self.all()
            .any(|resource| resource.group == group && resource.version == version)
    }
}

/// What one CustomResourceDefinition adds.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) resources: Vec<Arc<Resource>>,
}

pub(crate) fn table_id(group: &str, plural: &str) -> TableId {
    format!("{group}/{plural}").into()
}
