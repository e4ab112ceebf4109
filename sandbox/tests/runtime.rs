//! kube's runtime against a sandbox in this process, with the clock paused.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference, Secret};
use k8s_openapi::api::events::v1::Event as NewEvent;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::finalizer::{Event as FinalizerEvent, finalizer};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::{self, Event as Watched};
use kube::runtime::{Controller, WatchStreamExt, watcher as watch};
use kube::{Client, Resource, ResourceExt};
use kube_sandbox::Sandbox;
use serde_json::json;
use tokio::sync::mpsc;

use support::config_map;

fn sandbox() -> (Sandbox, Client) {
    let sandbox = Sandbox::builder().watch_timeouts(false).build();
    let client = Client::new(sandbox.service(), "default");
    (sandbox, client)
}

async fn until<F: Future<Output = bool>>(what: &str, mut test: impl FnMut() -> F) {
    for _ in 0..10_000 {
        if test().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Failed(#[from] kube::runtime::finalizer::Error<kube::Error>);

/// Copies a ConfigMap into a Secret that it owns, and takes the Secret away in its finalizer.
async fn reconcile(map: Arc<ConfigMap>, client: Arc<Client>) -> Result<Action, Failed> {
    let namespace = map.namespace().expect("a namespace");
    let maps: Api<ConfigMap> = Api::namespaced((*client).clone(), &namespace);
    let secrets: Api<Secret> = Api::namespaced((*client).clone(), &namespace);
    finalizer(&maps, "example.com/copy", map, |event| async move {
        match event {
            FinalizerEvent::Apply(map) => {
                let secret = Secret {
                    metadata: ObjectMeta {
                        name: map.metadata.name.clone(),
                        owner_references: Some(vec![map.controller_owner_ref(&()).expect("a name and a uid")]),
                        ..ObjectMeta::default()
                    },
                    string_data: map.data.clone(),
                    ..Secret::default()
                };
                if secrets.get_opt(&map.name_any()).await?.is_none() {
                    secrets.create(&PostParams::default(), &secret).await?;
                }
                Ok(Action::await_change())
            }
            FinalizerEvent::Cleanup(map) => {
                secrets.delete(&map.name_any(), &DeleteParams::default()).await?;
                Ok(Action::await_change())
            }
        }
    })
    .await
    .map_err(Failed)
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_controller_with_a_finalizer() {
    let (_sandbox, client) = sandbox();
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let controller = Controller::new(
        Api::<ConfigMap>::all(client.clone()),
        watcher::Config::default().streaming_lists(),
    )
    .owns(
        Api::<Secret>::all(client.clone()),
        watcher::Config::default().streaming_lists(),
    )
    .run(
        reconcile,
        |_, _, _| Action::requeue(Duration::from_secs(1)),
        Arc::new(client.clone()),
    )
    .for_each(|_| async {});
    let controller = tokio::spawn(controller);

    maps.create(&PostParams::default(), &config_map("a")).await.unwrap();
    until("the copy", || async { secrets.get_opt("a").await.unwrap().is_some() }).await;
    assert_eq!(maps.get("a").await.unwrap().finalizers(), ["example.com/copy"]);
    // The controller owns the Secret: it comes back.
    let uid = secrets.get("a").await.unwrap().uid();
    secrets.delete("a", &DeleteParams::default()).await.unwrap();
    until("the copy again", || async {
        secrets.get_opt("a").await.unwrap().is_some_and(|it| it.uid() != uid)
    })
    .await;

    let deleted = maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(deleted.left().unwrap().metadata.deletion_timestamp.is_some());
    until("the end", || async { maps.get_opt("a").await.unwrap().is_none() }).await;
    assert!(secrets.get_opt("a").await.unwrap().is_none());
    controller.abort();
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_reflector_with_streaming_lists() {
    let (sandbox, client) = sandbox();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    for at in 0..20 {
        maps.create(&PostParams::default(), &config_map(&format!("m{at}")))
            .await
            .unwrap();
    }
    let (store, writer) = reflector::store();
    let stream = reflector::reflector(
        writer,
        watch(maps.clone(), watcher::Config::default().streaming_lists()),
    );
    let task = tokio::spawn(stream.default_backoff().for_each(|_| async {}));
    until("the first list", || async { store.len() == 20 }).await;
    assert_eq!(
        sandbox.requests().count(|it| it.verb == "list"),
        0,
        "a streaming list is a watch"
    );

    maps.delete("m3", &DeleteParams::default()).await.unwrap();
    until("the deletion", || async {
        store.get(&ObjectRef::new("m3").within("default")).is_none()
    })
    .await;

    // What happens while nobody can hear of it is not lost.
    sandbox.faults().close_watches("configmaps");
    maps.delete("m4", &DeleteParams::default()).await.unwrap();
    until("the deletion", || async {
        store.get(&ObjectRef::new("m4").within("default")).is_none()
    })
    .await;
    sandbox.compact();
    sandbox.faults().expire_watches("configmaps");
    maps.delete("m5", &DeleteParams::default()).await.unwrap();
    until("the deletion", || async {
        store.get(&ObjectRef::new("m5").within("default")).is_none()
    })
    .await;
    task.abort();
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_metadata_watcher_with_selector_transitions() {
    let (_sandbox, client) = sandbox();
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let metadata: Api<PartialObjectMeta<Secret>> = Api::default_namespaced(client);
    let config = watcher::Config::default().labels("watched=yes");
    let mut events = watch(metadata, config).boxed();
    let next = |event: Option<Result<Watched<PartialObjectMeta<Secret>>, watcher::Error>>| match event.unwrap().unwrap()
    {
        Watched::Apply(secret) => format!("apply {} {:?}", secret.name_any(), secret.labels()["watched"]),
        Watched::Delete(secret) => format!("delete {} {:?}", secret.name_any(), secret.labels()["watched"]),
        Watched::Init => "init".to_owned(),
        Watched::InitDone => "init done".to_owned(),
        Watched::InitApply(secret) => format!("init {}", secret.name_any()),
    };
    let labelled = |name: &str, value: &str| Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(BTreeMap::from([("watched".to_owned(), value.to_owned())])),
            ..ObjectMeta::default()
        },
        ..Secret::default()
    };
    secrets
        .create(&PostParams::default(), &labelled("a", "yes"))
        .await
        .unwrap();
    secrets
        .create(&PostParams::default(), &labelled("b", "no"))
        .await
        .unwrap();
    assert_eq!(next(events.next().await), "init");
    assert_eq!(next(events.next().await), "init a");
    assert_eq!(next(events.next().await), "init done");
    let label = |value: &str| Patch::Merge(json!({"metadata": {"labels": {"watched": value}}}));
    // The watch starts when it is polled first; the list before it is what counts.
    secrets
        .patch("b", &PatchParams::default(), &label("yes"))
        .await
        .unwrap();
    assert_eq!(next(events.next().await), "apply b \"yes\"");
    secrets.patch("a", &PatchParams::default(), &label("no")).await.unwrap();
    assert_eq!(next(events.next().await), "delete a \"yes\"");
    secrets.delete("b", &DeleteParams::default()).await.unwrap();
    assert_eq!(next(events.next().await), "delete b \"yes\"");
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn watches_time_out_and_send_bookmarks() {
    let sandbox = Sandbox::new();
    let maps: Api<ConfigMap> = Api::default_namespaced(Client::new(sandbox.service(), "default"));
    maps.create(&PostParams::default(), &config_map("a")).await.unwrap();
    let started = tokio::time::Instant::now();
    let params = WatchParams::default().timeout(200);
    let events: Vec<WatchEvent<ConfigMap>> = maps.watch(&params, "1").await.unwrap().try_collect().await.unwrap();
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| match event {
            WatchEvent::Added(_) => "added",
            WatchEvent::Bookmark(_) => "bookmark",
            _ => "another",
        })
        .collect();
    assert_eq!(kinds, ["added", "bookmark", "bookmark", "bookmark", "bookmark"]);
    assert_eq!(started.elapsed().as_secs(), 200);

    sandbox.compact();
    let mut old = maps.watch(&params, "1").await.unwrap().boxed();
    let Some(Ok(WatchEvent::Error(status))) = old.next().await else {
        panic!("not an error")
    };
    assert_eq!((status.code, &*status.reason), (410, "Expired"));
    assert!(old.next().await.is_none());
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn events_of_a_recorder_are_in_both_groups_and_expire() {
    let start = tokio::time::Instant::now();
    let epoch: jiff::Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    let clock = move || epoch + jiff::SignedDuration::try_from(start.elapsed()).unwrap();
    let sandbox = Sandbox::builder().clock(clock).build();
    let client = Client::new(sandbox.service(), "default");
    let recorder = Recorder::new(client.clone(), Reporter::from("tests"));
    let map = Api::<ConfigMap>::default_namespaced(client.clone())
        .create(&PostParams::default(), &config_map("a"))
        .await
        .unwrap();
    let event = Event {
        type_: EventType::Warning,
        reason: "Odd".to_owned(),
        note: Some("it is odd".to_owned()),
        action: "Looking".to_owned(),
        secondary: None,
    };
    recorder.publish(&event, &map.object_ref(&())).await.unwrap();
    recorder.publish(&event, &map.object_ref(&())).await.unwrap();

    let news: Api<NewEvent> = Api::default_namespaced(client.clone());
    let olds: Api<k8s_openapi::api::core::v1::Event> = Api::default_namespaced(client);
    let new = news.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(new.len(), 1);
    assert_eq!(new[0].series.as_ref().unwrap().count, 2);
    let about = ListParams::default().fields("involvedObject.kind=ConfigMap,involvedObject.name=a,type=Warning");
    let old = olds.list(&about).await.unwrap().items;
    assert_eq!(old[0].message.as_deref(), Some("it is odd"));
    assert_eq!(old[0].involved_object.uid, map.uid());
    let other = ListParams::default().fields("involvedObject.name=b");
    assert!(olds.list(&other).await.unwrap().items.is_empty());

    tokio::time::advance(Duration::from_secs(3601)).await;
    assert!(
        news.list(&ListParams::default()).await.unwrap().items.is_empty(),
        "events live for an hour"
    );
    let _: ObjectReference = old[0].involved_object.clone();
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn of_two_that_want_a_lease_one_gets_it() {
    let (_sandbox, client) = sandbox();
    let leases: Api<Lease> = Api::default_namespaced(client);
    let lease = |holder: &str| -> Lease {
        serde_json::from_value(json!({
            "metadata": {"name": "leader"},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "2030-01-01T00:00:00.000000Z"},
        }))
        .unwrap()
    };
    let (sender, mut won) = mpsc::unbounded_channel();
    for holder in ["one", "two"] {
        let (leases, sender) = (leases.clone(), sender.clone());
        tokio::spawn(async move {
            if leases.create(&PostParams::default(), &lease(holder)).await.is_ok() {
                sender.send(holder).unwrap();
            }
        });
    }
    drop(sender);
    let holder = won.recv().await.unwrap();
    assert_eq!(won.recv().await, None);
    let current = leases.get("leader").await.unwrap();
    assert_eq!(current.spec.as_ref().unwrap().holder_identity.as_deref(), Some(holder));
    let mut renewed = current.clone();
    renewed.spec.as_mut().unwrap().lease_transitions = Some(1);
    leases
        .replace("leader", &PostParams::default(), &renewed)
        .await
        .unwrap();
    let late = leases.replace("leader", &PostParams::default(), &current).await;
    assert!(matches!(late, Err(kube::Error::Api(status)) if status.is_conflict()));
}
