//! What a CustomResourceDefinition adds to the catalog.

use std::sync::Arc;

use serde_json::Value;

use super::{ALL_VERBS, Catalog, Custom, Definition, Resource, Scale, table_id};
use crate::schema::CompiledSchema;
use crate::store::{items, text};
use crate::table::columns_for_crd;

/// The names that a definition asks for.
pub(crate) struct Names<'a> {
    pub(crate) group: &'a str,
    pub(crate) plural: &'a str,
    spec: &'a Value,
}

impl<'a> Names<'a> {
    pub(crate) fn of(definition: &'a Value) -> Self {
        let spec = &definition["spec"];
        Self {
            group: text(&spec["group"]),
            plural: text(&spec["names"]["plural"]),
            spec: &spec["names"],
        }
    }
}

/// Why a definition's names cannot be accepted: another resource of the same group has one of them. Of several
/// conflicts, the real server tells of the last that it looks for, and so of the first here.
pub(crate) fn names_conflict(catalog: &Catalog, names: &Names<'_>) -> Option<(&'static str, String)> {
    let others = || {
        catalog
            .all()
            .filter(|other| other.group == names.group && other.plural != names.plural)
    };
    let kind_taken = |name: &str| others().any(|other| other.kind == name || other.list_kind == name);
    let name_taken = |name: &str| {
        others().any(|other| {
            other.singular == name || other.plural == name || other.short_names.iter().any(|short| short == name)
        })
    };
    let conflict = |reason: &'static str, name: &str| Some((reason, format!("\"{name}\" is already in use")));
    let (kind, list_kind) = (text(&names.spec["kind"]), text(&names.spec["listKind"]));
    let singular = text(&names.spec["singular"]);
    let short = items(&names.spec["shortNames"])
        .iter()
        .map(text)
        .find(|name| name_taken(name));
    if kind_taken(list_kind) {
        conflict("ListKindConflict", list_kind)
    } else if kind_taken(kind) {
        conflict("KindConflict", kind)
    } else if let Some(short) = short {
        conflict("ShortNamesConflict", short)
    } else if name_taken(singular) {
        conflict("SingularConflict", singular)
    } else {
        None
    }
}

impl Definition {
    /// Reads a definition that has passed validation.
    pub(crate) fn read(definition: &Value) -> Self {
        let versions = items(&definition["spec"]["versions"]);
        let storage = versions
            .iter()
            .find(|version| version["storage"] == true)
            .map_or("", |it| text(&it["name"]));
        let served = versions.iter().filter(|version| version["served"] == true);
        Self {
            resources: served
                .map(|version| Arc::new(resource(definition, version, storage)))
                .collect(),
        }
    }
}

fn resource(definition: &Value, version: &Value, storage_version: &str) -> Resource {
    let spec = &definition["spec"];
    let names = &spec["names"];
    let group = text(&spec["group"]);
    let plural = text(&names["plural"]);
    let owned = |value: &Value| text(value).to_owned();
    let list = |value: &Value| items(value).iter().map(owned).collect();
    let source = version["schema"]["openAPIV3Schema"].clone();
    let preserve = spec["preserveUnknownFields"] == true;
    let schema = if source.is_object() && !preserve {
        CompiledSchema::compile(&source).ok().map(Arc::new)
    } else {
        None
    };
    let paths = items(&version["selectableFields"]).iter();
    Resource {
        group: group.to_owned(),
        version: owned(&version["name"]),
        kind: owned(&names["kind"]),
        list_kind: owned(&names["listKind"]),
        plural: plural.to_owned(),
        singular: owned(&names["singular"]),
        short_names: list(&names["shortNames"]),
        categories: list(&names["categories"]),
        namespaced: spec["scope"] == "Namespaced",
        verbs: ALL_VERBS,
        table: table_id(group, plural),
        status: version["subresources"]["status"].is_object(),
        scale: scale(&version["subresources"]["scale"]),
        custom: Some(Custom {
            storage_version: storage_version.to_owned(),
            schema,
            source,
            deprecation: deprecation(definition, version),
        }),
        columns: columns_for_crd(version),
        selectable: paths
            .map(|field| text(&field["jsonPath"]).trim_start_matches('.').to_owned())
            .collect(),
    }
}

fn scale(scale: &Value) -> Option<Scale> {
    let pointer = |path: &Value| text(path).replace('.', "/");
    scale.is_object().then(|| Scale {
        spec_replicas: pointer(&scale["specReplicasPath"]),
        status_replicas: pointer(&scale["statusReplicasPath"]),
        selector: scale["labelSelectorPath"]
            .is_string()
            .then(|| pointer(&scale["labelSelectorPath"])),
    })
}

fn deprecation(definition: &Value, version: &Value) -> Option<String> {
    (version["deprecated"] == true).then(|| match version["deprecationWarning"].as_str() {
        Some(warning) => warning.to_owned(),
        None => format!(
            "{}/{} {} is deprecated",
            text(&definition["spec"]["group"]),
            text(&version["name"]),
            text(&definition["spec"]["names"]["kind"])
        ),
    })
}
