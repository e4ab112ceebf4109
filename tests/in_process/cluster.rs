//! A sandbox with a controller in it, and what tests ask of both.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        authorization::v1::SubjectAccessReview,
        core::v1::{Namespace, Secret},
        events::v1::Event,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use kube_sandbox::{RequestRecord, Sandbox, User};
use rand::{SeedableRng, rngs::StdRng};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokenwright::{
    api::{ApiToken, ApiTokenStatus, Credential, CredentialState, Organisation, condition, crds},
    clock::Clock,
    controller::{Controller, Settings},
    domain::credential::Digest,
    metrics::Metrics,
};
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};

use crate::deployed::{CONTROLLER, Overlay, Rights, VERIFIER};

pub(crate) const START: &str = "2026-01-01T00:00:00Z";

pub(crate) struct Cluster {
    pub(crate) sandbox: Sandbox,
    pub(crate) client: Client,
    pub(crate) metrics: Arc<Metrics>,
    clock: Clock,
    settings: Settings,
    seed: u64,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    /// What controller and verifier were refused; nothing where the test says that it means that.
    refused: Arc<Mutex<Option<Vec<RequestRecord>>>>,
}

/// The shipped rights are enough for whatever any test has controller and verifier do.
impl Drop for Cluster {
    fn drop(&mut self) {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if !thread::panicking() {
            assert_eq!(
                *refused.as_deref().unwrap_or_default(),
                [],
                "not granted by the manifests"
            );
        }
    }
}

/// The settings of a controller that watches these namespaces, or all if there are none, and has no timer but those of
/// the tokens: years pass in leaps.
pub(crate) fn timeless(namespaces: &[&str]) -> Settings {
    Settings {
        namespaces: namespaces.iter().map(ToString::to_string).collect(),
        clock_check: None,
        watch_period: None,
        ..Settings::default()
    }
}

/// The processor time of this thread, on which everything of a test runs: other tests beside it do not count.
pub(crate) fn cpu_time() -> Duration {
    rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime)
        .try_into()
        .unwrap()
}

/// Time that passes as tokio's does: not at all, until everybody waits.
fn paused_clock() -> Clock {
    let (start, epoch): (Timestamp, Instant) = (START.parse().unwrap(), Instant::now());
    Clock::new(move || start + SignedDuration::try_from(epoch.elapsed()).unwrap())
}

impl Cluster {
    /// A cluster with the CRDs, namespace shop and organisation acme, and the controller running.
    pub(crate) async fn start() -> Self {
        let mut cluster = Self::without_controller().await;
        cluster.run_controller();
        cluster.idle().await;
        cluster
    }

    pub(crate) async fn without_controller() -> Self {
        Self::watching(&[]).await
    }

    /// A cluster whose controller, once it runs, watches these namespaces.
    pub(crate) async fn watching(namespaces: &[&str]) -> Self {
        Self::with_settings(timeless(namespaces)).await
    }

    pub(crate) async fn with_settings(settings: Settings) -> Self {
        Self::with_watches(settings, false).await
    }

    /// A cluster whose API server ends watches when they asked for it, or after a while; they do not stay for years.
    pub(crate) async fn with_watch_timeouts() -> Self {
        let settings = Settings {
            clock_check: None,
            ..Settings::default()
        };
        Self::with_watches(settings, true).await
    }

    async fn with_watches(settings: Settings, time_out: bool) -> Self {
        Self::deployed(settings, time_out, Overlay::AllNamespaces).await
    }

    /// A cluster with the rights of this overlay, and no others, for controller and verifier.
    pub(crate) async fn deployed(settings: Settings, time_out: bool, overlay: Overlay) -> Self {
        let clock = paused_clock();
        let of_sandbox = clock.clone();
        let sandbox = Sandbox::builder()
            .clock(move || of_sandbox.now())
            .watch_timeouts(time_out)
            .build();
        let client = Client::new(sandbox.service(), "default");
        let refused = Arc::new(Mutex::new(Some(Vec::new())));
        let seen = refused.clone();
        sandbox.on_request(move |request| {
            if request.code == 403 && [CONTROLLER, VERIFIER].contains(&request.user.as_str()) {
                let mut seen = seen.lock().unwrap();
                seen.iter_mut().for_each(|seen: &mut Vec<_>| seen.push(request.clone()));
            }
        });
        let cluster = Self {
            sandbox,
            client,
            metrics: Arc::default(),
            clock,
            settings,
            seed: 1,
            running: None,
            refused,
        };
        let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
        for crd in crds() {
            definitions.create(&PostParams::default(), &crd).await.unwrap();
        }
        cluster.create_namespace("shop").await;
        Rights::of(overlay).install(&cluster.client).await;
        cluster.organisation(json!({})).await;
        cluster.sandbox.requests().clear();
        cluster
    }

    /// The test has the API server refuse what the manifests grant, or takes a right away.
    pub(crate) fn refuses(&self) {
        *self.refused.lock().unwrap() = None;
    }

    /// Whether the controller looks after every namespace.
    pub(crate) fn watches_everything(&self) -> bool {
        self.settings.namespaces.is_empty()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Starts a controller with fresh memory and the rights that it is deployed with; every one has random numbers of
    /// its own.
    pub(crate) fn run_controller(&mut self) {
        self.run_controller_as(CONTROLLER);
    }

    /// Starts a controller that is this user, with what that user may do.
    pub(crate) fn run_controller_as(&mut self, user: &str) {
        let client = Client::new(self.sandbox.service_as(User::new(user)), "default");
        self.seed += 1;
        let controller = Controller::new(client, self.settings.clone(), self.metrics.clone())
            .with_clock(self.clock.clone())
            .with_entropy(Box::new(StdRng::seed_from_u64(self.seed)));
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(controller.run(async {
            let _ = stopped.await;
        }));
        self.running = Some((stop, running));
    }

    /// Ends the controller as a crash does: in the middle of whatever it does.
    pub(crate) async fn crash(&mut self) {
        let (_stop, running) = self.running.take().unwrap();
        running.abort();
        let _ = running.await;
    }

    /// Ends the controller as SIGTERM does.
    pub(crate) async fn stop(&mut self) {
        let (stop, running) = self.running.take().unwrap();
        stop.send(()).unwrap();
        running.await.unwrap();
    }

    /// Returns when nobody has anything to do at this moment. The paused clock moves on by a few milliseconds, as it
    /// only does when every task waits.
    pub(crate) async fn idle(&self) {
        self.pass(Duration::from_millis(20)).await;
    }

    /// Lets this much time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    pub(crate) async fn pass_hours(&self, hours: u64) {
        self.pass(Duration::from_secs(hours * 3600)).await;
    }

    /// Makes Deployments of these names.
    pub(crate) async fn deployments(&self, names: &[&str]) -> Api<Deployment> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), "shop");
        for name in names {
            let labels = json!({ "app": name });
            let deployment = json!({
                "metadata": { "name": name },
                "spec": {
                    "selector": { "matchLabels": labels },
                    "template": { "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "c", "image": "i" }] } },
                },
            });
            let deployment = serde_json::from_value(deployment).unwrap();
            deployments.create(&PostParams::default(), &deployment).await.unwrap();
        }
        deployments
    }

    pub(crate) fn tokens(&self) -> Api<ApiToken> {
        Api::namespaced(self.client.clone(), "shop")
    }

    pub(crate) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), "shop")
    }

    pub(crate) async fn create_namespace(&self, name: &str) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    }

    /// Creates the organisation acme, or changes it.
    pub(crate) async fn organisation(&self, spec: Value) -> Organisation {
        let organisations: Api<Organisation> = Api::all(self.client.clone());
        let mut wanted = json!({ "tokenPrefix": "acme", "namespaces": { "names": ["shop"] } });
        wanted
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        let organisation = json!({
            "apiVersion": "tokenwright.dev/v1alpha1", "kind": "Organisation", "metadata": { "name": "acme" }, "spec": wanted,
        });
        match organisations.get_opt("acme").await.unwrap() {
            None => {
                organisations
                    .create(&PostParams::default(), &serde_json::from_value(organisation).unwrap())
                    .await
            }
            Some(mut known) => {
                known.spec = serde_json::from_value(wanted).unwrap();
                organisations.replace("acme", &PostParams::default(), &known).await
            }
        }
        .unwrap()
    }

    pub(crate) async fn create(&self, name: &str, spec: Value) -> ApiToken {
        let mut wanted = json!({ "organisation": "acme", "role": "Admin" });
        wanted
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        let token = ApiToken::new(name, serde_json::from_value(wanted).unwrap());
        self.tokens().create(&PostParams::default(), &token).await.unwrap()
    }

    /// Creates a token and waits until nothing more happens.
    pub(crate) async fn issue(&self, name: &str, spec: Value) -> Token {
        self.create(name, spec).await;
        self.idle().await;
        self.token(name).await
    }

    pub(crate) async fn patch(&self, name: &str, spec: Value) {
        self.tokens()
            .patch(name, &PatchParams::default(), &Patch::Merge(json!({ "spec": spec })))
            .await
            .unwrap();
        self.idle().await;
    }

    /// Gives a resource a schema from before any rule, as a cluster may have been set up with.
    pub(crate) async fn loosen_schema(&self, resource: &str) {
        let loose = json!({ "spec": { "versions": [{
            "name": "v1alpha1", "served": true, "storage": true, "subresources": { "status": {} },
            "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
        }] } });
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let name = format!("{resource}.tokenwright.dev");
        let patch = Patch::Merge(loose);
        definitions.patch(&name, &PatchParams::default(), &patch).await.unwrap();
    }

    pub(crate) async fn delete_secret(&self, name: &str) {
        self.secrets().delete(name, &DeleteParams::default()).await.unwrap();
        self.idle().await;
    }

    pub(crate) async fn token(&self, name: &str) -> Token {
        let token = self.tokens().get(name).await.unwrap();
        let secret = self.secrets().get_opt(&token.secret_name()).await.unwrap();
        Token {
            token,
            secret,
            now: self.now(),
        }
    }

    /// The reasons of the Events about a token, in their order.
    pub(crate) async fn events(&self, name: &str) -> Vec<String> {
        let mut events = self.list::<Event>().await;
        events.sort_by_key(|event| {
            event
                .metadata
                .resource_version
                .as_ref()
                .map(|version| version.parse::<u64>().unwrap())
        });
        let about = |event: &Event| {
            event
                .regarding
                .as_ref()
                .is_some_and(|it| it.name.as_deref() == Some(name))
        };
        events
            .into_iter()
            .filter(about)
            .filter_map(|event| event.reason)
            .collect()
    }

    /// Whether a user may do something, as the API server answers.
    pub(crate) async fn may(&self, user: &str, verb: &str, group: &str, resource: &str, name: &str) -> bool {
        let namespace = if group.is_empty() { "shop" } else { "" };
        let asked = json!({
            "verb": verb, "group": group, "resource": resource, "name": name, "namespace": namespace,
        });
        self.review(user, asked).await
    }

    /// Whether a user may do something with whatever of that resource is in a namespace.
    pub(crate) async fn may_in(&self, namespace: &str, user: &str, verb: &str, group: &str, resource: &str) -> bool {
        let asked = json!({ "verb": verb, "group": group, "resource": resource, "namespace": namespace });
        self.review(user, asked).await
    }

    async fn review(&self, user: &str, asked: Value) -> bool {
        let review = json!({ "spec": { "user": user, "resourceAttributes": asked } });
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let review = serde_json::from_value(review).unwrap();
        let answer = reviews.create(&PostParams::default(), &review).await.unwrap();
        answer.status.unwrap().allowed
    }

    pub(crate) async fn list<K>(&self) -> Vec<K>
    where
        K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        Api::<K>::all(self.client.clone())
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
    }

    /// The names of the roles and bindings of these kinds that the controller keeps.
    pub(crate) async fn kept<R, B>(&self) -> Vec<String>
    where
        R: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
        B: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let roles = self.list::<R>().await.into_iter().map(|role| role.name_any());
        let bindings = self.list::<B>().await.into_iter().map(|binding| binding.name_any());
        roles
            .chain(bindings)
            .filter(|name| name.starts_with("tokenwright:"))
            .collect()
    }

    /// The writes that were accepted since this was last called, as `verb resource`. Events are left out.
    pub(crate) fn writes(&self) -> Vec<String> {
        let log = self.sandbox.requests();
        let writes = log
            .all()
            .iter()
            .filter(|request| is_write(request))
            .map(describe)
            .collect();
        log.clear();
        writes
    }

    /// The reads of single objects since the log was last cleared.
    pub(crate) fn reads(&self) -> Vec<String> {
        let log = self.sandbox.requests();
        log.all()
            .iter()
            .filter(|request| request.verb == "get" && !request.resource.is_empty())
            .map(describe)
            .collect()
    }
}

fn is_write(request: &RequestRecord) -> bool {
    request.write && request.resource != "events"
}

fn describe(request: &RequestRecord) -> String {
    format!("{} {}", request.verb, request.full_resource())
}

/// One token and its Secret at one moment.
pub(crate) struct Token {
    pub(crate) token: ApiToken,
    pub(crate) secret: Option<Secret>,
    now: Timestamp,
}

impl Token {
    pub(crate) fn status(&self) -> &ApiTokenStatus {
        self.token.status.as_ref().expect("no status yet")
    }

    pub(crate) fn condition(&self) -> &Condition {
        condition::find(&self.status().conditions, condition::READY).unwrap()
    }

    pub(crate) fn ready(&self) -> (&str, &str) {
        let ready = self.condition();
        (&ready.status, &ready.reason)
    }

    pub(crate) fn message(&self) -> &str {
        &self.condition().message
    }

    pub(crate) fn value(&self, key: &str) -> Option<String> {
        let value = self.secret.as_ref()?.data.as_ref()?.get(key)?;
        Some(String::from_utf8(value.0.clone()).unwrap())
    }

    /// The credentials that a verifier would accept by their records.
    pub(crate) fn accepted(&self) -> Vec<&Credential> {
        self.token
            .status
            .iter()
            .flat_map(|status| &status.credentials)
            .filter(|credential| {
                credential.state != CredentialState::Retired
                    && credential.expires_at.as_ref().is_none_or(|end| end.0 > self.now)
                    && credential.retired_at.as_ref().is_none_or(|end| end.0 > self.now)
            })
            .collect()
    }

    /// The id of the accepted credential whose token the Secret holds.
    pub(crate) fn held(&self) -> Option<u64> {
        let digest = Digest::of(self.value("token")?.as_bytes()).to_string();
        self.accepted()
            .iter()
            .find(|credential| credential.digest == digest)
            .map(|credential| credential.id)
    }
}
