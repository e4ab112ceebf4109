//! The verifier's view of the cluster: what it learns, when it looks again, and when it says nothing any more.

use std::{net::IpAddr, sync::Arc, time::Duration};

use k8s_openapi::{
    api::core::v1::Secret, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use kube_sandbox::faults::{Fault, Match};
use serde_json::json;
use tokenwright::{
    api::{ApiToken, Organisation, TokenPolicy, crds},
    verifier::{
        Code, Decision, Dialect, Judge, Listeners, Requirements, Settings, Verifier,
        credential::{Credential, Presented},
    },
};
use tokio::sync::oneshot;

use crate::{cluster::Cluster, deployed::VERIFIER};

/// A running verifier; it ends when dropped.
pub(crate) struct Running {
    judge: Arc<Judge>,
    _stop: oneshot::Sender<()>,
}

/// A verifier with the rights it is deployed with.
pub(crate) async fn verifier(cluster: &Cluster, settings: Settings) -> Running {
    let client = Client::new(cluster.sandbox.service_as(VERIFIER), "default");
    let verifier = Verifier::new(client, settings, cluster.clock());
    let judge = verifier.judge();
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(verifier.run(Listeners::default(), async {
        let _ = stopped.await;
    }));
    cluster.idle().await;
    Running { judge, _stop: stop }
}

impl Running {
    async fn ask(&self, token: &str) -> Decision {
        self.ask_from(token, None).await
    }

    async fn ask_from(&self, token: &str, address: Option<IpAddr>) -> Decision {
        let presented = Presented::Credential(Credential::token(token));
        let requires = Requirements::default();
        self.judge
            .judge(Dialect::Verify, &http::HeaderMap::new(), &presented, address, &requires)
            .await
    }

    pub(crate) async fn code(&self, token: &str) -> Code {
        self.ask(token).await.code
    }
}

async fn issued(cluster: &Cluster, name: &str) -> String {
    cluster.issue(name, json!({})).await.value("token").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_let_in_from_its_issue_to_its_deletion() {
    let mut cluster = Cluster::with_watch_timeouts().await;
    cluster.run_controller();
    let verifier = verifier(&cluster, Settings::default()).await;
    assert!(verifier.judge.is_ready());
    let token = issued(&cluster, "web").await;
    let decision = verifier.ask(&token).await;
    assert_eq!(decision.code, Code::Valid);
    assert_eq!(decision.identity().unwrap().name(), "web");

    cluster.tokens().delete("web", &DeleteParams::default()).await.unwrap();
    cluster.idle().await;
    let before = tokio::time::Instant::now();
    assert_eq!(verifier.code(&token).await, Code::Unknown);
    assert_eq!(
        before.elapsed(),
        Duration::ZERO,
        "a revoked token is not looked for again"
    );
}

#[tokio::test(start_paused = true)]
async fn it_asks_for_no_secret_and_for_no_more_of_a_namespace_than_its_labels() {
    let mut cluster = Cluster::with_watch_timeouts().await;
    cluster.run_controller();
    issued(&cluster, "web").await;
    cluster.sandbox.requests().clear();
    let verifier = verifier(&cluster, Settings::default()).await;
    let asked = cluster.sandbox.requests().all();
    let mut asked: Vec<_> = asked
        .iter()
        .filter(|request| request.user == VERIFIER)
        .map(|request| format!("{} {}", request.verb, request.resource))
        .collect();
    asked.sort();
    asked.dedup();
    let watched = ["apitokens", "namespaces", "organisations", "tokenpolicies"];
    assert_eq!(asked, watched.map(|resource| format!("watch {resource}")));
    drop(verifier);
}

#[tokio::test(start_paused = true)]
async fn with_the_api_server_away_it_answers_until_its_view_is_too_old_and_recovers_by_itself() {
    let mut cluster = Cluster::with_watch_timeouts().await;
    cluster.run_controller();
    let token = issued(&cluster, "web").await;
    let verifier = verifier(&cluster, Settings::default()).await;
    let away = cluster
        .sandbox
        .faults()
        .inject(Match::any().user(VERIFIER), Fault::unavailable());
    for resource in ["apitokens", "organisations", "namespaces"] {
        cluster.sandbox.faults().close_watches(resource);
    }
    cluster.pass(Duration::from_secs(550)).await;
    assert_eq!(verifier.code(&token).await, Code::Valid);
    assert!(verifier.judge.is_ready());
    cluster.pass(Duration::from_secs(60)).await;
    assert_eq!(verifier.code(&token).await, Code::Stale);
    assert!(!verifier.judge.is_ready());

    away.remove();
    cluster.pass(Duration::from_secs(6)).await;
    assert_eq!(verifier.code(&token).await, Code::Valid);
    assert!(verifier.judge.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_hangs_does_not_pass_for_a_quiet_cluster() {
    let mut cluster = Cluster::with_watch_timeouts().await;
    cluster.run_controller();
    let token = issued(&cluster, "web").await;
    let verifier = verifier(&cluster, Settings::default()).await;
    cluster.sandbox.faults().hang_watches("apitokens");
    cluster.tokens().delete("web", &DeleteParams::default()).await.unwrap();
    cluster.idle().await;
    assert_eq!(verifier.code(&token).await, Code::Valid, "the watch does not hang");
    cluster.pass(Duration::from_secs(36)).await;
    assert_eq!(verifier.code(&token).await, Code::Unknown);
}

#[tokio::test(start_paused = true)]
async fn what_a_secret_holds_is_accepted_also_when_its_news_got_lost() {
    let mut cluster = Cluster::with_watch_timeouts().await;
    let verifier = verifier(&cluster, Settings::default()).await;
    cluster.pass(Duration::from_secs(2)).await;
    cluster.sandbox.faults().hang_watches("apitokens");
    cluster.run_controller();
    let token = issued(&cluster, "web").await;
    let before = tokio::time::Instant::now();
    assert_eq!(verifier.code(&token).await, Code::Valid);
    assert!(
        before.elapsed() < Duration::from_millis(120),
        "took {:?}",
        before.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_token_is_looked_for_once_and_then_refused_at_once() {
    let mut cluster = Cluster::with_watch_timeouts().await;
    cluster.run_controller();
    let token = issued(&cluster, "web").await;
    cluster.tokens().delete("web", &DeleteParams::default()).await.unwrap();
    let verifier = verifier(&cluster, Settings::default()).await;
    cluster.pass(Duration::from_secs(2)).await;
    cluster.sandbox.requests().clear();
    let took = async |token: &str| {
        let before = tokio::time::Instant::now();
        assert_eq!(verifier.code(token).await, Code::Unknown);
        before.elapsed()
    };
    assert!(took(&token).await > Duration::from_millis(100));
    let looks = |cluster: &Cluster| {
        let asked = cluster.sandbox.requests().all();
        asked.iter().filter(|request| request.user == VERIFIER).count()
    };
    assert_eq!(looks(&cluster), 4, "one for each watch");
    assert_eq!(took(&token).await, Duration::ZERO);
    assert_eq!(looks(&cluster), 4);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_has_to_begin_anew_misses_no_deletion() {
    let mut cluster = Cluster::with_watch_timeouts().await;
    cluster.run_controller();
    let (gone, stays) = (issued(&cluster, "gone").await, issued(&cluster, "stays").await);
    let verifier = verifier(&cluster, Settings::default()).await;
    let away = cluster
        .sandbox
        .faults()
        .inject(Match::any().user(VERIFIER), Fault::unavailable());
    cluster.sandbox.faults().close_watches("apitokens");
    cluster.tokens().delete("gone", &DeleteParams::default()).await.unwrap();
    cluster.idle().await;
    cluster.sandbox.compact();
    assert_eq!(verifier.code(&gone).await, Code::Valid, "the watch is not away");
    away.remove();
    cluster.pass(Duration::from_secs(10)).await;
    assert_eq!(verifier.code(&gone).await, Code::Unknown);
    assert_eq!(verifier.code(&stays).await, Code::Valid);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_stream_lists_is_asked_for_pages() {
    let mut cluster = Cluster::with_watch_timeouts().await;
    cluster.run_controller();
    let token = issued(&cluster, "web").await;
    for resource in ["apitokens", "organisations", "namespaces"] {
        let first = Match::any().user(VERIFIER).verb("watch").resource(resource).times(1);
        cluster.sandbox.faults().inject(first, Fault::fail(422, "Invalid"));
    }
    let verifier = verifier(&cluster, Settings::default()).await;
    assert_eq!(verifier.code(&token).await, Code::Valid);
    let asked = cluster.sandbox.requests().all();
    assert!(
        asked
            .iter()
            .any(|request| request.user == VERIFIER && request.verb == "list")
    );
    cluster.tokens().delete("web", &DeleteParams::default()).await.unwrap();
    cluster.idle().await;
    assert_eq!(verifier.code(&token).await, Code::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_can_no_longer_be_read_is_nobodys() {
    let mut cluster = Cluster::with_watch_timeouts().await;
    cluster.run_controller();
    let token = issued(&cluster, "web").await;
    let verifier = verifier(&cluster, Settings::default()).await;
    assert_eq!(verifier.code(&token).await, Code::Valid);
    cluster.crash().await;
    cluster.loosen_schema("apitokens").await;
    let odd = Patch::Merge(json!({ "spec": { "suspended": "perhaps" } }));
    cluster
        .tokens()
        .patch_metadata("web", &PatchParams::default(), &odd)
        .await
        .unwrap();
    cluster.idle().await;
    assert_eq!(verifier.code(&token).await, Code::Unknown);
}

#[tokio::test(start_paused = true)]
async fn it_knows_the_tokens_of_the_namespaces_it_was_given_and_no_others() {
    let mut cluster = Cluster::with_watch_timeouts().await;
    cluster.create_namespace("blog").await;
    let both = json!({ "namespaces": { "names": ["shop", "blog"] } });
    cluster.organisation(both).await;
    cluster.run_controller();
    let shop = issued(&cluster, "web").await;
    let blog: Api<ApiToken> = Api::namespaced(cluster.client.clone(), "blog");
    let token = ApiToken::new("web", cluster.token("web").await.token.spec);
    blog.create(&PostParams::default(), &token).await.unwrap();
    cluster.idle().await;
    let secret = Api::<Secret>::namespaced(cluster.client.clone(), "blog")
        .get("web")
        .await
        .unwrap();
    let elsewhere = String::from_utf8(secret.data.unwrap()["token"].0.clone()).unwrap();

    let settings = Settings {
        namespaces: vec!["shop".to_owned()],
        ..Settings::default()
    };
    let verifier = verifier(&cluster, settings).await;
    assert!(verifier.judge.is_ready());
    assert_eq!(verifier.code(&shop).await, Code::Valid);
    assert_eq!(verifier.code(&elsewhere).await, Code::Unknown);
}

/// Puts a policy in force, or another in its place.
async fn policy(cluster: &Cluster, spec: serde_json::Value) {
    let policies: Api<TokenPolicy> = Api::all(cluster.client.clone());
    let mut policy = TokenPolicy::new("strict", serde_json::from_value(spec).unwrap());
    match policies.get_opt("strict").await.unwrap() {
        None => policies.create(&PostParams::default(), &policy).await,
        Some(known) => {
            policy.metadata.resource_version = known.metadata.resource_version;
            policies.replace("strict", &PostParams::default(), &policy).await
        }
    }
    .unwrap();
    cluster.idle().await;
}

/// A token and a verifier that has only itself to hold it to policies.
async fn without_controller(settings: Settings) -> (Cluster, String, Running) {
    let mut cluster = Cluster::with_watch_timeouts().await;
    cluster.run_controller();
    let token = issued(&cluster, "web").await;
    cluster.stop().await;
    let verifier = verifier(&cluster, settings).await;
    (cluster, token, verifier)
}

#[tokio::test(start_paused = true)]
async fn a_policy_holds_as_soon_as_it_is_there_and_as_long_as_it_stays() {
    let (cluster, token, verifier) = without_controller(Settings::default()).await;
    assert_eq!(verifier.code(&token).await, Code::Valid);
    policy(&cluster, json!({ "roles": { "allowed": ["Member"] } })).await;
    assert_eq!(verifier.code(&token).await, Code::Policy);
    policy(&cluster, json!({ "roles": { "allowed": ["Admin"] } })).await;
    assert_eq!(verifier.code(&token).await, Code::Valid);
    policy(&cluster, json!({ "issuance": "Deny" })).await;
    assert_eq!(verifier.code(&token).await, Code::Policy);
    let policies: Api<TokenPolicy> = Api::all(cluster.client.clone());
    policies.delete("strict", &DeleteParams::default()).await.unwrap();
    cluster.idle().await;
    assert_eq!(verifier.code(&token).await, Code::Valid);
    policy(&cluster, json!({ "expiry": { "max": "1h" } })).await;
    assert_eq!(verifier.code(&token).await, Code::Valid);
    cluster.pass(Duration::from_secs(3600)).await;
    assert_eq!(verifier.code(&token).await, Code::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_required_filter_holds_for_every_request() {
    let (cluster, token, verifier) = without_controller(Settings::default()).await;
    let office = json!({ "name": "office", "rules": [{ "action": "Allow", "address": "203.0.113.0/24" }] });
    let code = async |address: &str| verifier.ask_from(&token, Some(address.parse().unwrap())).await.code;
    policy(&cluster, json!({ "ipFilters": { "required": ["office"] } })).await;
    assert_eq!(code("203.0.113.7").await, Code::IpDenied, "there is no such filter yet");
    cluster.organisation(json!({ "ipFilters": [office] })).await;
    cluster.idle().await;
    assert_eq!(code("203.0.113.7").await, Code::Valid);
    assert_eq!(code("198.51.100.1").await, Code::IpDenied);
    assert_eq!(verifier.code(&token).await, Code::IpDenied, "the address is not known");
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_for_the_organisations_that_have_its_labels_now() {
    let (cluster, token, verifier) = without_controller(Settings::default()).await;
    let strict = json!({ "matchLabels": { "tier": "strict" } });
    policy(
        &cluster,
        json!({ "organisations": { "selector": strict }, "issuance": "Deny" }),
    )
    .await;
    let organisations: Api<Organisation> = Api::all(cluster.client.clone());
    for (tier, expected) in [("loose", Code::Valid), ("strict", Code::Policy), ("loose", Code::Valid)] {
        let labels = Patch::Merge(json!({ "metadata": { "labels": { "tier": tier } } }));
        organisations
            .patch("acme", &PatchParams::default(), &labels)
            .await
            .unwrap();
        cluster.idle().await;
        assert_eq!(verifier.code(&token).await, expected, "{tier}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_idle_when_nobody_used_it_for_long_enough_and_not_before() {
    let minutes = |count: u64| Duration::from_secs(count * 60);
    let settings = Settings {
        last_used_interval: minutes(60),
        ..Settings::default()
    };
    let (cluster, token, verifier) = without_controller(settings).await;
    policy(&cluster, json!({ "idle": { "after": "20m" } })).await;
    // More often than the interval has it written otherwise.
    for _ in 0..6 {
        cluster.pass(minutes(15)).await;
        assert_eq!(verifier.code(&token).await, Code::Valid);
    }
    cluster.pass(minutes(21)).await;
    assert_eq!(verifier.code(&token).await, Code::Suspended);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_cannot_be_read_refuses_those_that_it_may_be_for() {
    let (cluster, token, verifier) = without_controller(Settings::default()).await;
    cluster.loosen_schema("tokenpolicies").await;
    policy(&cluster, json!({ "organisations": { "names": ["other"] } })).await;
    let policies: Api<TokenPolicy> = Api::all(cluster.client.clone());
    let unreadable = || {
        let metrics = verifier.judge.encode_metrics();
        metrics
            .lines()
            .any(|line| line == "tokenwright_verifier_unreadable_policies 1")
    };
    for (spec, expected) in [
        (json!({ "expiry": { "max": "soon" } }), (Code::Valid, true)),
        (json!({ "organisations": { "names": ["acme"] } }), (Code::Policy, true)),
        (json!({ "organisations": "acme" }), (Code::Policy, true)),
        (json!({ "enforcement": "Warn" }), (Code::Valid, true)),
        (
            json!({ "enforcement": "Enforce", "expiry": null, "organisations": null }),
            (Code::Valid, false),
        ),
    ] {
        let odd = Patch::Merge(json!({ "spec": spec }));
        policies
            .patch_metadata("strict", &PatchParams::default(), &odd)
            .await
            .unwrap();
        cluster.idle().await;
        assert_eq!((verifier.code(&token).await, unreadable()), expected, "{spec}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_policies_are_not_installed_nobody_is_let_in_until_they_are() {
    let mut cluster = Cluster::with_watch_timeouts().await;
    cluster.run_controller();
    let token = issued(&cluster, "web").await;
    cluster.stop().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let name = "tokenpolicies.tokenwright.dev";
    definitions.delete(name, &DeleteParams::default()).await.unwrap();
    let verifier = verifier(&cluster, Settings::default()).await;
    cluster.pass(Duration::from_secs(60)).await;
    assert!(!verifier.judge.is_ready());
    assert_eq!(verifier.code(&token).await, Code::Stale);
    let definition = crds()
        .into_iter()
        .find(|crd| crd.metadata.name.as_deref() == Some(name));
    definitions
        .create(&PostParams::default(), &definition.unwrap())
        .await
        .unwrap();
    cluster.pass(Duration::from_secs(6)).await;
    assert!(verifier.judge.is_ready());
    assert_eq!(verifier.code(&token).await, Code::Valid);
}
