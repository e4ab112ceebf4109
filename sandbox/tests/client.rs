//! A kube client in this process.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, Error};
use kube_sandbox::Sandbox;
use serde_json::json;

fn client(sandbox: &Sandbox) -> Client {
    Client::new(sandbox.service(), "default")
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(BTreeMap::from([("of".to_owned(), value.to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("key".to_owned(), value.to_owned())])),
        ..ConfigMap::default()
    }
}

/// The message and reason of a refusal.
fn refused<T: std::fmt::Debug>(result: kube::Result<T>) -> (u16, String, String) {
    match result {
        Err(Error::Api(status)) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn objects_come_change_and_go() {
    let sandbox = Sandbox::new();
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&sandbox));
    let params = PostParams::default();

    let made = maps.create(&params, &config_map("a", "1")).await.unwrap();
    assert!(made.metadata.uid.is_some() && made.metadata.creation_timestamp.is_some());
    assert_eq!(
        refused(maps.create(&params, &config_map("a", "1")).await),
        (
            409,
            "AlreadyExists".to_owned(),
            "configmaps \"a\" already exists".to_owned()
        )
    );

    let mut changed = made.clone();
    changed.data = Some(BTreeMap::from([("key".to_owned(), "2".to_owned())]));
    let changed = maps.replace("a", &params, &changed).await.unwrap();
    assert_ne!(changed.metadata.resource_version, made.metadata.resource_version);
    assert_eq!(
        refused(maps.replace("a", &params, &made).await),
        (
            409,
            "Conflict".to_owned(),
            "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes \
             to the latest version and try again"
                .to_owned()
        )
    );
    let same = maps.replace("a", &params, &changed).await.unwrap();
    assert_eq!(
        same.metadata.resource_version, changed.metadata.resource_version,
        "nothing changed"
    );

    let patch = Patch::Merge(json!({"data": {"key": null, "other": "3"}}));
    let patched = maps.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(
        patched.data,
        Some(BTreeMap::from([("other".to_owned(), "3".to_owned())]))
    );

    let wrong = DeleteParams::default().preconditions(Preconditions {
        uid: Some("another".to_owned()),
        resource_version: None,
    });
    assert_eq!(refused(maps.delete("a", &wrong).await).0, 409);
    let status = maps
        .delete("a", &DeleteParams::default())
        .await
        .unwrap()
        .right()
        .unwrap();
    assert_eq!(status.details.unwrap().uid, made.metadata.uid.unwrap());
    assert_eq!(
        refused(maps.get("a").await),
        (404, "NotFound".to_owned(), "configmaps \"a\" not found".to_owned())
    );
}

#[tokio::test]
async fn pages_of_a_list_show_one_moment() {
    let sandbox = Sandbox::new();
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&sandbox));
    for at in 0..5 {
        let name = format!("m{at}");
        maps.create(
            &PostParams::default(),
            &config_map(&name, if at % 2 == 0 { "even" } else { "odd" }),
        )
        .await
        .unwrap();
    }
    let names = |list: &kube::core::ObjectList<ConfigMap>| -> Vec<String> {
        list.items
            .iter()
            .map(|map| map.metadata.name.clone().unwrap())
            .collect()
    };
    let first = maps.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(names(&first), ["m0", "m1"]);
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    maps.delete("m3", &DeleteParams::default()).await.unwrap();
    maps.create(&PostParams::default(), &config_map("m2a", "new"))
        .await
        .unwrap();
    let token = first.metadata.continue_.unwrap();
    let second = maps
        .list(&ListParams::default().limit(3).continue_token(&token))
        .await
        .unwrap();
    assert_eq!(names(&second), ["m2", "m3", "m4"]);
    assert_eq!(second.metadata.continue_, None);
    assert_eq!(second.metadata.resource_version, first.metadata.resource_version);

    sandbox.compact();
    let late = maps.list(&ListParams::default().limit(3).continue_token(&token)).await;
    assert_eq!(refused(late).1, "Expired");

    let even = maps.list(&ListParams::default().labels("of in (even)")).await.unwrap();
    assert_eq!(names(&even), ["m0", "m2", "m4"]);
    let one = maps
        .list(&ListParams::default().fields("metadata.name=m4"))
        .await
        .unwrap();
    assert_eq!(names(&one), ["m4"]);
    assert_eq!(
        refused(maps.list(&ListParams::default().fields("data.key=x")).await).2,
        "\"data.key\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
    );
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let sandbox = Sandbox::new();
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&sandbox));
    let before = sandbox.revision();
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let made = maps.create(&dry, &config_map("a", "1")).await.unwrap();
    assert_eq!(made.metadata.resource_version, None);
    assert_eq!(sandbox.revision(), before);
    maps.create(&PostParams::default(), &config_map("a", "1"))
        .await
        .unwrap();
    let before = sandbox.dump();
    maps.delete("a", &DeleteParams::default().dry_run()).await.unwrap();
    let patch = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let patched = maps
        .patch("a", &patch, &Patch::Merge(json!({"data": {"key": "2"}})))
        .await
        .unwrap();
    assert_eq!(patched.data.unwrap()["key"], "2");
    assert_eq!(sandbox.dump(), before);
}

#[tokio::test]
async fn namespaces_take_their_content_with_them() {
    let sandbox = Sandbox::new();
    let client = client(&sandbox);
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "team");
    let secret = |name: &str, finalizer: Option<&str>| Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            finalizers: finalizer.map(|finalizer| vec![finalizer.to_owned()]),
            ..ObjectMeta::default()
        },
        ..Secret::default()
    };
    let params = PostParams::default();
    assert_eq!(
        refused(secrets.create(&params, &secret("a", None)).await).2,
        "namespaces \"team\" not found"
    );
    let team: Namespace = serde_json::from_value(json!({"metadata": {"name": "team"}})).unwrap();
    namespaces.create(&params, &team).await.unwrap();
    secrets.create(&params, &secret("a", None)).await.unwrap();
    secrets
        .create(&params, &secret("b", Some("example.com/hold")))
        .await
        .unwrap();
    namespaces.delete("team", &DeleteParams::default()).await.unwrap();

    let phase = namespaces.get("team").await.unwrap().status.unwrap().phase;
    assert_eq!(phase.as_deref(), Some("Terminating"));
    assert!(secrets.get_opt("a").await.unwrap().is_none());
    assert_eq!(
        refused(secrets.create(&params, &secret("c", None)).await).2,
        "secrets \"c\" is forbidden: unable to create new content in namespace team because it is being terminated"
    );
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    secrets.patch("b", &PatchParams::default(), &patch).await.unwrap();
    assert!(namespaces.get_opt("team").await.unwrap().is_none());
}
