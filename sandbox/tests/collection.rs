//! Garbage collection, and definitions, in this process.

mod support;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use kube_sandbox::Sandbox;
use serde_json::{Value, json};

use support::config_map;

fn maps(sandbox: &Sandbox) -> Api<ConfigMap> {
    Api::default_namespaced(Client::new(sandbox.service(), "default"))
}

fn owned(name: &str, owners: &[(&str, &str, bool)]) -> ConfigMap {
    let reference = |(name, uid, blocks): &(&str, &str, bool)| OwnerReference {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        name: (*name).to_owned(),
        uid: (*uid).to_owned(),
        block_owner_deletion: Some(*blocks),
        controller: None,
    };
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            owner_references: Some(owners.iter().map(reference).collect()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

async fn create(maps: &Api<ConfigMap>, map: &ConfigMap) -> String {
    maps.create(&PostParams::default(), map)
        .await
        .expect("it is created")
        .uid()
        .expect("a uid")
}

async fn finalizers(maps: &Api<ConfigMap>, name: &str, finalizers: Value) {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    maps.patch(name, &PatchParams::default(), &patch)
        .await
        .expect("it is patched");
}

async fn names(maps: &Api<ConfigMap>) -> Vec<String> {
    maps.list(&Default::default())
        .await
        .expect("a list")
        .items
        .iter()
        .map(ResourceExt::name_any)
        .collect()
}

#[tokio::test]
async fn children_of_nobody_are_collected() {
    let sandbox = Sandbox::new();
    let maps = maps(&sandbox);
    let uid = create(&maps, &owned("owner", &[])).await;
    create(
        &maps,
        &owned("gone", &[("owner", "11111111-1111-4111-8111-111111111111", false)]),
    )
    .await;
    create(&maps, &owned("renamed", &[("another", &uid, false)])).await;
    create(
        &maps,
        &owned(
            "kept",
            &[
                ("owner", &uid, false),
                ("x", "22222222-2222-4222-8222-222222222222", false),
            ],
        ),
    )
    .await;
    assert_eq!(names(&maps).await, ["kept", "owner"]);
    assert_eq!(
        maps.get("kept").await.unwrap().owner_references().len(),
        1,
        "the dangling reference is dropped"
    );
    create(
        &maps,
        &owned(
            "grandchild",
            &[("kept", &maps.get("kept").await.unwrap().uid().unwrap(), false)],
        ),
    )
    .await;
    maps.delete("owner", &DeleteParams::background()).await.unwrap();
    assert!(names(&maps).await.is_empty());
}

#[tokio::test]
async fn foreground_deletion_waits_for_those_who_block() {
    let sandbox = Sandbox::new();
    let maps = maps(&sandbox);
    let uid = create(&maps, &owned("owner", &[])).await;
    create(&maps, &owned("blocking", &[("owner", &uid, true)])).await;
    create(&maps, &owned("other", &[("owner", &uid, false)])).await;
    finalizers(&maps, "blocking", json!(["example.com/hold"])).await;
    maps.delete("owner", &DeleteParams::foreground()).await.unwrap();
    assert_eq!(maps.get("owner").await.unwrap().finalizers(), ["foregroundDeletion"]);
    assert!(
        maps.get("blocking")
            .await
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_some()
    );
    finalizers(&maps, "blocking", Value::Null).await;
    assert!(names(&maps).await.is_empty());
}

#[tokio::test]
async fn the_collector_can_be_held() {
    let sandbox = Sandbox::new();
    let maps = maps(&sandbox);
    let uid = create(&maps, &owned("owner", &[])).await;
    create(&maps, &owned("child", &[("owner", &uid, true)])).await;
    sandbox.hold_garbage_collector();
    maps.delete("owner", &DeleteParams::default()).await.unwrap();
    assert_eq!(names(&maps).await, ["child"]);
    sandbox.release_garbage_collector();
    assert!(names(&maps).await.is_empty());
}

#[tokio::test]
async fn versions_and_generations_of_custom_resources() {
    let sandbox = Sandbox::new();
    let client = Client::new(sandbox.service(), "default");
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer", "default": 1}}},
        "status": {"type": "object", "properties": {"c": {"type": "string"}}},
    }}});
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage, "schema": schema, "subresources": {"status": {}},
        })
    };
    let definition: CustomResourceDefinition = serde_json::from_value(json!({
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Cluster", "names": {"plural": "things", "kind": "Thing"},
            "versions": [version("v1", true), version("v1beta1", false)],
        },
    }))
    .unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.create(&PostParams::default(), &definition).await.unwrap();
    let things = |version: &str| -> Api<DynamicObject> {
        let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("example.com", version, "Thing"), "things");
        Api::all_with(client.clone(), &kind)
    };
    let (old, new) = (things("v1beta1"), things("v1"));
    let thing: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "example.com/v1beta1", "kind": "Thing", "metadata": {"name": "x"},
        "spec": {"a": "1", "unknown": true}, "status": {"c": "ignored"},
    }))
    .unwrap();
    let made = old.create(&PostParams::default(), &thing).await.unwrap();
    assert_eq!(
        made.data,
        json!({"spec": {"a": "1", "b": 1}}),
        "pruned, defaulted, without status"
    );
    let seen = new.get("x").await.unwrap();
    assert_eq!(seen.types.unwrap().api_version, "example.com/v1");
    assert_eq!(seen.metadata.generation, Some(1));

    let patch = |value: Value| Patch::Merge(value);
    let params = PatchParams::default();
    let status = new
        .patch_status("x", &params, &patch(json!({"status": {"c": "2"}, "spec": {"a": "2"}})))
        .await
        .unwrap();
    assert_eq!(
        (&status.data["status"]["c"], &status.data["spec"]["a"]),
        (&json!("2"), &json!("1"))
    );
    assert_eq!(status.metadata.generation, Some(1));
    let main = new
        .patch("x", &params, &patch(json!({"status": {"c": "3"}, "spec": {"a": "3"}})))
        .await
        .unwrap();
    assert_eq!(
        (&main.data["status"]["c"], &main.data["spec"]["a"]),
        (&json!("2"), &json!("3"))
    );
    assert_eq!(main.metadata.generation, Some(2));
    let same = new
        .patch("x", &params, &patch(json!({"spec": {"a": "3"}})))
        .await
        .unwrap();
    assert_eq!(
        same.metadata.resource_version, main.metadata.resource_version,
        "nothing changed"
    );

    definitions
        .delete("things.example.com", &DeleteParams::default())
        .await
        .unwrap();
    assert!(matches!(new.get("x").await, Err(kube::Error::Api(status)) if status.code == 404));
    assert!(!sandbox.dump().iter().any(|object| object["kind"] == "Thing"));
}

#[tokio::test]
async fn ten_thousand_objects() {
    let sandbox = Sandbox::builder().watch_timeouts(false).build();
    let maps = maps(&sandbox);
    let start = std::time::Instant::now();
    for at in 0..10_000 {
        let map = config_map(&format!("m{at:05}"));
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    let created = start.elapsed();
    assert_eq!(names(&maps).await.len(), 10_000);
    println!("created in {created:?}, listed in {:?}", start.elapsed() - created);
}
