//! Discovery documents: aggregated (v2) and the older ones, one per group and version.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Catalog, Resource, api_version};

/// Orders versions as Kubernetes prefers them: stable before beta before alpha, higher numbers first.
pub(super) fn version_order(version: &str) -> (u8, Reverse<u32>, Reverse<u32>, String) {
    let parsed = version.strip_prefix('v').and_then(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: u32 = rest[..digits].parse().ok()?;
        let rest = &rest[digits..];
        if rest.is_empty() {
            return Some((0, major, 0));
        }
        let (stage, number) = match rest.strip_prefix("beta") {
            Some(number) => (1, number),
            None => (2, rest.strip_prefix("alpha")?),
        };
        Some((stage, major, number.parse().ok()?))
    });
    match parsed {
        Some((stage, major, minor)) => (stage, Reverse(major), Reverse(minor), String::new()),
        None => (3, Reverse(0), Reverse(0), version.to_owned()),
    }
}

/// Groups in the order of discovery: builtin ones first, each with its versions in order of preference.
fn groups(catalog: &Catalog) -> Vec<(String, Vec<String>)> {
    let mut groups: BTreeMap<(bool, String), Vec<String>> = BTreeMap::new();
    for resource in catalog.all().filter(|resource| !resource.group.is_empty()) {
        let versions = groups
            .entry((resource.custom.is_some(), resource.group.clone()))
            .or_default();
        if !versions.contains(&resource.version) {
            versions.push(resource.version.clone());
        }
    }
    let mut groups: Vec<_> = groups
        .into_iter()
        .map(|((_, group), versions)| (group, versions))
        .collect();
    for (_, versions) in &mut groups {
        versions.sort_by_key(|version| version_order(version));
    }
    groups
}

fn of_version<'a>(catalog: &'a Catalog, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Resource> {
    catalog
        .all()
        .map(AsRef::as_ref)
        .filter(move |it| it.group == group && it.version == version)
}

/// The answer to `/api`.
pub(crate) fn api_versions(catalog: &Catalog, aggregated: bool) -> Value {
    if aggregated {
        return aggregated_list(vec![aggregated_group(catalog, "", &["v1".to_owned()])]);
    }
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}],
    })
}

/// The answer to `/apis`.
pub(crate) fn api_groups(catalog: &Catalog, aggregated: bool) -> Value {
    let groups = groups(catalog);
    if aggregated {
        return aggregated_list(
            groups
                .iter()
                .map(|(group, versions)| aggregated_group(catalog, group, versions))
                .collect(),
        );
    }
    let groups: Vec<Value> = groups
        .iter()
        .map(|(group, versions)| legacy_group(group, versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// The answer to `/apis/<group>`.
pub(crate) fn one_group(catalog: &Catalog, group: &str) -> Option<Value> {
    let (_, versions) = groups(catalog).into_iter().find(|(name, _)| name == group)?;
    let mut document = legacy_group(group, &versions);
    document["kind"] = "APIGroup".into();
    document["apiVersion"] = "v1".into();
    Some(document)
}

fn legacy_group(group: &str, versions: &[String]) -> Value {
    let named = |version: &String| json!({"groupVersion": api_version(group, version), "version": version});
    let all: Vec<Value> = versions.iter().map(named).collect();
    json!({"name": group, "preferredVersion": all.first(), "versions": all})
}

/// The answer to `/api/v1` and `/apis/<group>/<version>`.
pub(crate) fn api_resources(catalog: &Catalog, group: &str, version: &str) -> Option<Value> {
    if !catalog.serves(group, version) {
        return None;
    }
    let mut resources = Vec::new();
    for resource in of_version(catalog, group, version) {
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": resource.verbs,
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = resource.short_names.clone().into();
        }
        if !resource.categories.is_empty() {
            entry["categories"] = resource.categories.clone().into();
        }
        if resource.verbs.contains(&"get") {
            entry["storageVersionHash"] = storage_hash(resource).into();
        }
        resources.push(entry);
        for subresource in resource.subresources() {
            let (kind, group, version) = subresource_kind(resource, subresource);
            let mut entry = json!({
                "name": format!("{}/{subresource}", resource.plural), "singularName": "",
                "namespaced": resource.namespaced, "kind": kind, "verbs": subresource_verbs(subresource),
            });
            if subresource == "scale" {
                entry["group"] = group.into();
                entry["version"] = version.into();
            }
            resources.push(entry);
        }
    }
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version(group, version),
        "resources": resources,
    }))
}

fn storage_hash(resource: &Resource) -> String {
    // Only ever compared for equality by clients.
    format!(
        "{:x}",
        resource
            .plural
            .bytes()
            .fold(7u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()))
    )
}

fn subresource_verbs(subresource: &str) -> &'static [&'static str] {
    if subresource == "finalize" {
        &["update"]
    } else {
        &["get", "patch", "update"]
    }
}

fn subresource_kind<'a>(resource: &'a Resource, subresource: &str) -> (&'a str, &'a str, &'a str) {
    if subresource == "scale" {
        ("Scale", "autoscaling", "v1")
    } else {
        (&resource.kind, &resource.group, &resource.version)
    }
}

fn aggregated_list(groups: Vec<Value>) -> Value {
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": groups,
    })
}

fn aggregated_group(catalog: &Catalog, group: &str, versions: &[String]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| {
            let resources: Vec<Value> = of_version(catalog, group, version).map(aggregated_resource).collect();
            json!({"version": version, "resources": resources, "freshness": "Current"})
        })
        .collect();
    let metadata = if group.is_empty() {
        json!({})
    } else {
        json!({"name": group})
    };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(resource: &Resource) -> Value {
    let response_kind =
        |(kind, group, version): (&str, &str, &str)| json!({"group": group, "version": version, "kind": kind});
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": response_kind((&resource.kind, &resource.group, &resource.version)),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = resource.short_names.clone().into();
    }
    if !resource.categories.is_empty() {
        entry["categories"] = resource.categories.clone().into();
    }
    let subresources: Vec<Value> = resource
        .subresources()
        .into_iter()
        .map(|subresource| {
            json!({
                "subresource": subresource,
                "responseKind": response_kind(subresource_kind(resource, subresource)),
                "verbs": subresource_verbs(subresource),
            })
        })
        .collect();
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::version_order;

    #[test]
    fn versions_are_ordered_by_preference() {
        let mut versions = [
            "v1beta1",
            "v2",
            "v1",
            "foo1",
            "v11alpha2",
            "v12alpha1",
            "v10beta3",
            "v3beta1",
            "v10",
        ];
        versions.sort_by_key(|version| version_order(version));
        assert_eq!(
            versions,
            [
                "v10",
                "v2",
                "v1",
                "v10beta3",
                "v3beta1",
                "v1beta1",
                "v12alpha1",
                "v11alpha2",
                "foo1"
            ]
        );
    }
}
