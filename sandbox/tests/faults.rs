//! Faults, and what clients see of them.

mod support;

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Client, Error, ResourceExt};
use kube_sandbox::Sandbox;
use kube_sandbox::faults::{Fault, Match};
use serde_json::json;

use support::config_map;

fn sandbox() -> (Sandbox, Api<ConfigMap>) {
    let sandbox = Sandbox::builder().watch_timeouts(false).build();
    let client = Client::new(sandbox.service(), "default");
    (sandbox, Api::default_namespaced(client))
}

fn code<T>(result: kube::Result<T>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(Error::Api(status)) => status.code,
        Err(_) => 0,
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn the_third_create_fails() {
    let (sandbox, maps) = sandbox();
    let on = Match::any().verb("create").resource("configmaps").skip(2).times(1);
    let handle = sandbox.faults().inject(on, Fault::too_many_requests(7));
    let mut codes = Vec::new();
    for name in ["a", "b", "c", "d"] {
        codes.push(code(maps.create(&PostParams::default(), &config_map(name)).await));
    }
    assert_eq!(codes, [200, 200, 429, 200]);
    assert_eq!(handle.hits(), 1);
    assert_eq!(sandbox.requests().writes().len(), 3);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn lost_answers_and_lost_requests() {
    let (sandbox, maps) = sandbox();
    let answer = sandbox.faults().inject(Match::writes().times(1), Fault::DropAnswer);
    assert_eq!(code(maps.create(&PostParams::default(), &config_map("a")).await), 0);
    assert!(maps.get_opt("a").await.unwrap().is_some(), "it was committed");
    answer.remove();
    let request = sandbox.faults().inject(Match::writes(), Fault::DropRequest);
    assert_eq!(code(maps.create(&PostParams::default(), &config_map("b")).await), 0);
    assert!(maps.get_opt("b").await.unwrap().is_none());
    request.remove();
    assert_eq!(code(maps.create(&PostParams::default(), &config_map("b")).await), 200);
    assert_eq!(sandbox.requests().writes().len(), 2);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn hanging_before_and_after_the_commit() {
    let (sandbox, maps) = sandbox();
    for (fault, committed) in [(Fault::HangBefore, false), (Fault::HangAfter, true)] {
        let mut handle = sandbox.faults().inject(Match::any().verb("create"), fault);
        let write = tokio::spawn({
            let maps = maps.clone();
            async move { maps.create(&PostParams::default(), &config_map("a")).await }
        });
        handle.hit().await;
        tokio::task::yield_now().await;
        assert_eq!(maps.get_opt("a").await.unwrap().is_some(), committed);
        assert!(!write.is_finished());
        handle.remove();
        assert_eq!(code(write.await.unwrap()), 200);
        maps.delete("a", &DeleteParams::default()).await.unwrap();
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn delays_are_of_the_paused_clock() {
    let (sandbox, maps) = sandbox();
    sandbox
        .faults()
        .inject(Match::any().verb("get"), Fault::Delay(Duration::from_secs(86_400)));
    let start = tokio::time::Instant::now();
    assert!(maps.get_opt("a").await.unwrap().is_none());
    assert_eq!(start.elapsed(), Duration::from_secs(86_400));
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn reads_from_the_past() {
    let (sandbox, maps) = sandbox();
    maps.create(&PostParams::default(), &config_map("a")).await.unwrap();
    let then = sandbox.revision();
    let patch = Patch::Merge(json!({"data": {"k": "v"}}));
    maps.patch("a", &PatchParams::default(), &patch).await.unwrap();
    maps.create(&PostParams::default(), &config_map("b")).await.unwrap();
    let stale = sandbox.faults().inject(Match::any(), Fault::Stale(then));
    assert_eq!(maps.get("a").await.unwrap().data, None);
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 1);
    stale.remove();
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 2);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn withheld_events_and_hung_watches() {
    let (sandbox, maps) = sandbox();
    let revision = sandbox.revision().to_string();
    let mut events = maps.watch(&WatchParams::default(), &revision).await.unwrap().boxed();
    sandbox.faults().pause_watches("configmaps");
    maps.create(&PostParams::default(), &config_map("a")).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(3600), events.next()).await;
    assert!(waited.is_err(), "withheld");
    sandbox.faults().resume_watches("configmaps");
    assert!(events.next().await.is_some());

    sandbox.faults().lose_events("configmaps");
    maps.create(&PostParams::default(), &config_map("lost")).await.unwrap();
    sandbox.faults().stop_losing_events("configmaps");
    maps.create(&PostParams::default(), &config_map("seen")).await.unwrap();
    let Some(Ok(WatchEvent::Added(seen))) = events.next().await else {
        panic!("no event")
    };
    assert_eq!(seen.name_any(), "seen");

    sandbox.faults().hang_watches("*");
    maps.create(&PostParams::default(), &config_map("b")).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(3600), events.next()).await;
    assert!(waited.is_err(), "hung for good");
    let mut fresh = maps.watch(&WatchParams::default(), &revision).await.unwrap().boxed();
    assert!(fresh.next().await.is_some(), "new watches work");

    sandbox.faults().close_watches("*");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn the_same_requests_give_the_same_objects() {
    async fn run() -> Vec<serde_json::Value> {
        let epoch: jiff::Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let sandbox = Sandbox::builder().clock(move || epoch).build();
        let maps: Api<ConfigMap> = Api::default_namespaced(Client::new(sandbox.service(), "default"));
        let mut generated = config_map("x");
        generated.metadata = ObjectMeta {
            generate_name: Some("x-".to_owned()),
            ..ObjectMeta::default()
        };
        let made = maps.create(&PostParams::default(), &generated).await.unwrap();
        assert_eq!(made.name_any().len(), 7);
        sandbox.dump()
    }
    assert_eq!(run().await, run().await);
}
