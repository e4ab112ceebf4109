//! What is written for people: all of it is found, and leads somewhere.

use std::{collections::BTreeSet, fs, path::Path};

use crate::render::{NAMESPACE, file, identity, kustomize};

/// The documents, by their paths in the repository.
fn documents() -> Vec<String> {
    let names = fs::read_dir(file("docs")).unwrap();
    let names = names.map(|entry| format!("docs/{}", entry.unwrap().file_name().into_string().unwrap()));
    let others = [
        "README.md",
        "SECURITY.md",
        "deploy/chart/README.md",
        "examples/gateways/README.md",
        "examples/gitops/README.md",
        "examples/workloads/README.md",
    ];
    names.chain(others.map(str::to_owned)).collect()
}

/// What a text links to, without the part of the page.
fn links(text: &str) -> Vec<&str> {
    let ends = text.split("](").skip(1);
    let targets = ends.map(|rest| rest.split(')').next().unwrap().split('#').next().unwrap());
    targets
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .collect()
}

#[test]
fn every_link_leads_to_a_file() {
    let mut followed = 0;
    for document in documents() {
        let text = fs::read_to_string(file(&document)).unwrap();
        let folder = file(&document);
        let folder = folder.parent().unwrap_or(Path::new("/"));
        for target in links(&text) {
            assert!(folder.join(target).exists(), "{document} links to {target}");
            followed += 1;
        }
    }
    assert!(followed > 50, "{followed}");
}

#[test]
fn the_index_leads_to_every_document() {
    let index = fs::read_to_string(file("docs/README.md")).unwrap();
    let listed = links(&index);
    for document in documents().iter().filter_map(|path| path.strip_prefix("docs/")) {
        assert!(document == "README.md" || listed.contains(&document), "{document}");
    }
}

/// What follows this in a line of docs/install.md.
fn command(start: &str) -> String {
    let page = fs::read_to_string(file("docs/install.md")).unwrap();
    let found = page.lines().find_map(|line| line.strip_prefix(start));
    found
        .unwrap_or_else(|| panic!("no line begins with {start:?}"))
        .to_owned()
}

/// Applying does not take away what the other overlay had.
#[test]
fn what_only_all_namespaces_has_is_said_to_be_deleted() {
    let names = |overlay: &str, kind: &str| -> BTreeSet<String> {
        let objects = kustomize(overlay);
        objects.of(kind).map(|object| identity(object)[2].clone()).collect()
    };
    for kind in ["ClusterRole", "ClusterRoleBinding"] {
        let line = command(&format!("kubectl delete {} ", kind.to_lowercase()));
        let named: BTreeSet<String> = line.split(' ').map(str::to_owned).collect();
        let left = &names("all-namespaces", kind) - &names("namespaced", kind);
        assert_eq!(named, left, "{kind}");
    }
}

/// Accounts, rights and the definitions stay, as long as tokens are to stay.
#[test]
fn what_runs_is_said_to_be_stopped_whatever_the_overlay() {
    let line = command("kubectl delete deployments,");
    let mut kinds: BTreeSet<&str> = line.split(' ').next().unwrap().split(',').collect();
    kinds.insert("deployments");
    let objects = kustomize("ha");
    let inside = objects.all().iter().filter(|object| identity(object)[1] == NAMESPACE);
    let stay = ["ServiceAccount", "Role", "RoleBinding"];
    let run = inside.map(|object| identity(object)[0].clone());
    let run: BTreeSet<String> = run
        .filter(|kind| !stay.contains(&kind.as_str()))
        .map(|kind| match kind.to_lowercase().strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None => format!("{}s", kind.to_lowercase()),
        })
        .collect();
    assert_eq!(kinds, run.iter().map(String::as_str).collect());
}
