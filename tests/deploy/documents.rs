//! What is written for people: all of it is found, and leads somewhere.

use std::{fs, path::Path};

use crate::render::file;

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
