//! Overlays as `kubectl kustomize` renders them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use kube_sandbox::testing::KUBECTL;
use serde_json::Value;

pub(crate) const NAMESPACE: &str = "tokenwright-system";

/// The overlays that can be applied.
pub(crate) const OVERLAYS: [&str; 3] = ["all-namespaces", "namespaced", "ha"];

pub(crate) fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub(crate) fn overlay(name: &str) -> String {
    let folder = file("deploy/kustomize/overlays").join(name);
    folder.to_str().unwrap().to_owned()
}

/// The documents of a file of YAML, as they are.
pub(crate) fn documents(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&fs::read_to_string(file(path)).unwrap()).unwrap()
}

/// What a page shows as YAML, each block as it is.
pub(crate) fn shown(path: &str) -> Vec<Value> {
    let page = fs::read_to_string(file(path)).unwrap();
    let blocks = page.split("\n```yaml\n").skip(1);
    let blocks = blocks.map(|rest| rest.split_once("\n```").unwrap().0);
    blocks.map(|block| serde_saphyr::from_str(block).unwrap()).collect()
}

/// All objects of an overlay.
pub(crate) fn kustomize(overlay: &str) -> Objects {
    kustomize_folder(&self::overlay(overlay))
}

/// All objects of a folder with a kustomization.
pub(crate) fn kustomize_folder(folder: &str) -> Objects {
    let kubectl = KUBECTL.locate().unwrap();
    let output = Command::new(kubectl)
        .arg("kustomize")
        .arg(file(folder))
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{folder}: {complaint}");
    Objects::parse(&String::from_utf8(output.stdout).unwrap())
}

/// Manifests, none of them twice.
pub(crate) struct Objects(Vec<Value>);

impl Objects {
    pub(crate) fn parse(text: &str) -> Self {
        let objects: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
        let objects = Self(objects.into_iter().filter(|object| !object.is_null()).collect());
        let mut names: Vec<_> = objects.all().iter().map(identity).collect();
        names.sort();
        let distinct = names.windows(2).all(|pair| pair[0] != pair[1]);
        assert!(distinct, "{names:#?}");
        objects
    }

    pub(crate) fn all(&self) -> &[Value] {
        &self.0
    }

    pub(crate) fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    pub(crate) fn find(&self, kind: &str, name: &str) -> &Value {
        self.of(kind)
            .find(|object| object["metadata"]["name"] == name)
            .unwrap_or_else(|| panic!("there is no {kind} {name}"))
    }
}

/// Kind, namespace and name.
pub(crate) fn identity(object: &Value) -> [String; 3] {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    [&object["kind"], &metadata["namespace"], &metadata["name"]].map(text)
}

impl From<Objects> for Vec<Value> {
    fn from(objects: Objects) -> Self {
        objects.0
    }
}
