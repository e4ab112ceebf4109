//! Reading manifests and applying them as `kubectl apply` would.

use std::{
    fs,
    path::{Path, PathBuf},
};

use http::{Request, header::CONTENT_TYPE};
use kube::{
    Client, Resource,
    core::{DynamicObject, GroupVersionKind},
    discovery::{self, Scope},
};
use serde_json::Value;

use crate::{
    check::{
        document::{self, Node},
        header,
    },
    cli::is_manifest,
};

/// The annotation by which `kubectl apply` knows what it applied before.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The quickstart, for when no file is given and none is at hand.
const QUICKSTART: &str = include_str!("../../../examples/quickstart.yaml");

/// One file of manifests.
pub(super) struct File {
    pub(super) name: String,
    objects: Vec<Value>,
}

/// What became of one object.
pub(super) struct Applied {
    /// `apitoken.tokenwright.dev/web`.
    pub(super) what: String,
    /// Kind, namespace and name.
    pub(super) identity: (String, String, String),
    /// `created` or `configured`, or why not.
    pub(super) outcome: Result<&'static str, String>,
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Reads the files and folders, or the quickstart where none are given.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<File>, Error> {
    if paths.is_empty() {
        let objects = parse("the quickstart", QUICKSTART)?;
        return Ok(vec![File {
            name: "examples/quickstart.yaml".to_owned(),
            objects,
        }]);
    }
    let mut files = Vec::new();
    for path in paths {
        for path in expand(path)? {
            let name = path.display().to_string();
            let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {name}: {error}"))?;
            files.push(File {
                objects: parse(&name, &text)?,
                name,
            });
        }
    }
    Ok(files)
}

/// A file itself; the manifests of a folder, in the order of their names.
fn expand(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| is_manifest(path))
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(format!("there are no .yaml, .yml or .json files in {}", path.display()).into());
    }
    Ok(found)
}

/// The objects of a text; of a List, its items.
fn parse(name: &str, text: &str) -> Result<Vec<Value>, Error> {
    let mut objects = Vec::new();
    for document in document::read(text) {
        let document = document.map_err(|why| format!("{name}:{} cannot be read: {}", why.line, why.message))?;
        objects.extend(document.flatten().iter().map(Node::to_value));
    }
    Ok(objects)
}

/// Notes what is applied in the object itself, as `kubectl apply` does.
fn annotate(object: &Value) -> Result<Value, Error> {
    let last_applied = format!("{object}\n");
    let mut object = object.clone();
    let metadata = object
        .as_object_mut()
        .and_then(|object| map(object.entry("metadata").or_insert(Value::Null)));
    let Some(metadata) = metadata else {
        return Err("metadata must be a map, such as 'metadata: { name: web }'".into());
    };
    let Some(annotations) = map(metadata.entry("annotations").or_insert(Value::Null)) else {
        return Err("metadata.annotations must be a map of names to texts".into());
    };
    annotations.insert(LAST_APPLIED.to_owned(), Value::String(last_applied));
    Ok(object)
}

/// The value as a map, an empty one where there is none. None: it is something else.
fn map(value: &mut Value) -> Option<&mut serde_json::Map<String, Value>> {
    if value.is_null() {
        *value = Value::Object(serde_json::Map::new());
    }
    value.as_object_mut()
}

impl File {
    /// Applies the objects in their order. One that is refused does not stop the others.
    pub(super) async fn apply(&self, client: &Client) -> Vec<Applied> {
        let mut applied = Vec::new();
        for object in &self.objects {
            applied.push(apply(client, object).await);
        }
        applied
    }
}

async fn apply(client: &Client, object: &Value) -> Applied {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    let namespace = Some(text("/metadata/namespace"))
        .filter(|it| !it.is_empty())
        .unwrap_or("default".to_owned());
    let (group, version) = match text("/apiVersion").rsplit_once('/') {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), text("/apiVersion")),
    };
    let dot = if group.is_empty() { "" } else { "." };
    let shown = if kind.is_empty() { "object" } else { &kind };
    let what = format!("{}{dot}{group}/{name}", shown.to_lowercase());
    let outcome = put(
        client,
        object,
        &GroupVersionKind {
            group,
            version,
            kind: kind.clone(),
        },
        &namespace,
        &name,
    )
    .await;
    Applied {
        what,
        identity: (kind, namespace, name),
        outcome: outcome.map_err(|error| error.to_string()),
    }
}

/// Creates the object, or merges it into the one that is there.
async fn put(
    client: &Client,
    object: &Value,
    kind: &GroupVersionKind,
    namespace: &str,
    name: &str,
) -> Result<&'static str, Error> {
    if let Some(why) = header::defect(object) {
        return Err(why.into());
    }
    let (resource, capabilities) = discovery::pinned_kind(client, kind)
        .await
        .map_err(|error| match error {
            kube::Error::Api(status) if status.code != 404 => status.message.clone(),
            _ => format!(
                "the sandbox does not serve kind {:?} of {:?}",
                kind.kind,
                kind.api_version()
            ),
        })?;
    let namespace = (capabilities.scope == Scope::Namespaced).then_some(namespace);
    let collection = DynamicObject::url_path(&resource, namespace);
    let body = serde_json::to_vec(&annotate(object)?)?;
    let create = Request::post(format!("{collection}?{PARAMETERS}")).header(CONTENT_TYPE, "application/json");
    match client.request::<Value>(create.body(body.clone())?).await {
        Ok(_) => Ok("created"),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let patch = Request::patch(format!("{collection}/{name}?{PARAMETERS}"))
                .header(CONTENT_TYPE, "application/merge-patch+json");
            client.request::<Value>(patch.body(body)?).await.map_err(explain)?;
            Ok("configured")
        }
        Err(error) => Err(explain(error)),
    }
}

const PARAMETERS: &str = "fieldValidation=Strict&fieldManager=tokenwright-sandbox";

fn explain(error: kube::Error) -> Error {
    match error {
        kube::Error::Api(status) => status.message.clone().into(),
        other => other.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use kube_sandbox::Sandbox;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn metadata_that_is_no_map_is_refused_with_a_sentence() {
        let client = Client::new(Sandbox::new().service(), "default");
        let refusal = async |metadata: Value| {
            let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata });
            apply(&client, &object).await.outcome.unwrap_err()
        };
        for metadata in [json!("web"), json!(["web"]), json!(7)] {
            let why = refusal(metadata).await;
            assert!(why.starts_with("metadata must be a map"), "{why}");
        }
        for annotations in [json!("a"), json!([]), json!(true)] {
            let why = refusal(json!({ "name": "web", "annotations": annotations })).await;
            assert!(why.starts_with("metadata.annotations must be a map"), "{why}");
        }
        for null in [json!(null), json!({ "annotations": null })] {
            let why = refusal(null).await;
            assert!(!why.contains("must be a map"), "the API server is asked: {why}");
        }
    }

    #[tokio::test]
    async fn what_is_no_object_is_refused() {
        let client = Client::new(Sandbox::new().service(), "default");
        for (object, expected) in [
            (
                json!("web"),
                "object/ refused: This is no Kubernetes object but a text.",
            ),
            (json!(7), "object/ refused: This is no Kubernetes object but a number."),
            (
                json!({ "kind": "ApiToken", "metadata": { "name": "web" } }),
                "apitoken/web refused: This is no Kubernetes object: apiVersion is missing. Write apiVersion: \
                 tokenwright.dev/v1alpha1.",
            ),
            (
                json!({ "apiVersion": "v1", "metadata": { "name": "web" } }),
                "object/web refused: This has no kind.",
            ),
        ] {
            let Applied { what, outcome, .. } = apply(&client, &object).await;
            assert_eq!(format!("{what} refused: {}", outcome.unwrap_err()), expected);
        }
    }

    #[test]
    fn the_items_of_a_list_are_applied_one_by_one() {
        let text = "apiVersion: v1\nkind: List\nitems: [{ kind: A }, { kind: List, apiVersion: v1, items: [{ kind: B }] }]\n---\nkind: C\n";
        let kinds: Vec<_> = parse("x", text)
            .unwrap()
            .iter()
            .map(|object| object["kind"].clone())
            .collect();
        assert_eq!(kinds, ["A", "B", "C"]);
    }
}
