//! A server with what the examples refer to and a controller, and how one example is played on it.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};

use http::{Method, Request};
use k8s_openapi::{
    api::{
        authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
        core::v1::Secret,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::PostParams,
    core::{ApiResource, DynamicObject, GroupVersionKind, Resource, Status},
};
use serde_json::Value;
use tokenwright::{
    api::{ApiToken, condition, crds},
    controller::{Controller, Settings},
    metrics::Metrics,
};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    coverage::Coverage,
    example::{self, Example, Expected},
    support::{Server, until},
};

/// A machine that is busy with other things is slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// Whom the controller is: setup/3-rights.yaml says what it may do.
const CONTROLLER: &str = "tokenwright-examples";
const NAMESPACE: &str = "shop";
const CONTROL: &str = "control";

pub(crate) struct Stage {
    client: Client,
    control: Control,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
    refusals: Refusals,
    applied: Vec<Value>,
    _server: Server,
}

/// How a server refused the examples.
pub(crate) struct Refusals {
    /// The server's version, without its patches.
    pub(crate) version: (String, String),
    /// By the example: code, reason and, sorted, what is wrong with which field.
    pub(crate) answers: BTreeMap<String, (u16, String, Vec<String>)>,
}

/// The token that is in order: its versions, and its Secret's, and whether it is ready.
#[derive(Clone, Debug, PartialEq)]
struct Control {
    token: Option<String>,
    secret: Option<String>,
    ready: bool,
}

impl Stage {
    /// Applies the definitions and the setup, and starts the controller.
    pub(crate) async fn set(server: Server) -> Self {
        let client = server.client().await;
        install(&client).await;
        let mut applied = Vec::new();
        for object in example::setup() {
            // The definitions are served a moment after they are established.
            until(PATIENCE, || put(&client, &object)).await.unwrap();
            applied.push(object);
        }
        let controllers = server.client_as(CONTROLLER).await;
        until(PATIENCE, || may_write_secrets(&controllers)).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let controller = Controller::new(controllers, Settings::default(), Arc::new(Metrics::default()));
        let running = tokio::spawn(controller.run(async {
            let _ = stopped.await;
        }));
        until(PATIENCE, || ready(&client, NAMESPACE, CONTROL)).await.unwrap();
        let version = client.apiserver_version().await.unwrap();
        Self {
            control: control(&client).await,
            client,
            stop,
            running,
            refusals: Refusals {
                version: (version.major, version.minor),
                answers: BTreeMap::new(),
            },
            applied,
            _server: server,
        }
    }

    /// Applies the documents of an example and compares what becomes of the last with what the example says.
    pub(crate) async fn play(&mut self, example: &Example, coverage: &mut Coverage) -> Result<(), String> {
        let (last, before) = example.documents.split_last().ok_or("it is empty")?;
        for document in before {
            self.put(document)
                .await
                .map_err(|status| format!("the first part is refused: {}", status.message))?;
            if document["kind"] == "ApiToken" {
                let namespace = namespace(document);
                until(PATIENCE, || ready(&self.client, &namespace, name(document))).await?;
            }
        }
        match &example.expected {
            Expected::Refused(texts) => self.expect_refusal(&example.name, last, texts, coverage).await?,
            Expected::Reported { reason, text } => {
                self.put(last)
                    .await
                    .map_err(|status| format!("it is refused: {}", status.message))?;
                let mut documents = example.documents.iter();
                let told = documents
                    .rfind(|document| document["kind"] == "ApiToken")
                    .unwrap_or(last);
                until(PATIENCE, || reported(&self.client, told, reason, text)).await?;
                coverage.reported(reason);
            }
        }
        let control = control(&self.client).await;
        if control != self.control || !control.ready {
            return Err(format!("the control token was {:?} and is {control:?}", self.control));
        }
        if self.running.is_finished() {
            return Err("the controller has ended".to_owned());
        }
        Ok(())
    }

    async fn expect_refusal(
        &mut self,
        example: &str,
        document: &Value,
        texts: &[String],
        coverage: &mut Coverage,
    ) -> Result<(), String> {
        let stored = get(&self.client, document).await;
        let status = match self.put(document).await {
            Ok(()) => return Err("it is accepted".to_owned()),
            Err(status) => status,
        };
        for text in texts {
            if !status.message.contains(text.as_str()) {
                return Err(format!("there is no {text:?} in {:?}", status.message));
            }
        }
        if get(&self.client, document).await != stored {
            return Err("it is refused and changed something all the same".to_owned());
        }
        let causes = status
            .details
            .as_ref()
            .map(|details| details.causes.clone())
            .unwrap_or_default();
        coverage.refused(document["kind"].as_str().unwrap_or_default(), &causes, texts);
        let mut wrong: Vec<String> = causes
            .iter()
            .map(|cause| format!("{} {}: {}", cause.reason, cause.field, cause.message))
            .collect();
        wrong.sort();
        if wrong.is_empty() {
            wrong.push(status.message.clone());
        }
        let answer = (status.code, status.reason.clone(), wrong);
        self.refusals.answers.insert(example.to_owned(), answer);
        Ok(())
    }

    async fn put(&mut self, object: &Value) -> Result<(), Box<Status>> {
        put(&self.client, object).await?;
        self.applied.push(object.clone());
        Ok(())
    }

    /// Ends the controller, which must not have panicked, and takes away what was applied.
    pub(crate) async fn strike(self) -> Refusals {
        let _ = self.stop.send(());
        self.running.await.unwrap();
        for object in self.applied.iter().rev() {
            let request = Request::delete(path(object)).body(Vec::new()).unwrap();
            // What two examples named is gone by now.
            let _ = self.client.request_text(request).await;
        }
        self.refusals
    }
}

/// Creates or replaces the definitions and waits until they are established.
async fn install(client: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for mut crd in crds() {
        let name = crd.metadata.name.clone().unwrap();
        match definitions.get_opt(&name).await.unwrap() {
            Some(known) => {
                crd.metadata.resource_version = known.metadata.resource_version;
                definitions.replace(&name, &PostParams::default(), &crd).await.unwrap();
            }
            None => drop(definitions.create(&PostParams::default(), &crd).await.unwrap()),
        }
        let established = kube::runtime::conditions::is_crd_established();
        let wait = kube::runtime::wait::await_condition(definitions.clone(), &name, established);
        tokio::time::timeout(PATIENCE, wait).await.unwrap().unwrap();
    }
}

/// Creates an object as kubectl does, or replaces it.
async fn put(client: &Client, object: &Value) -> Result<(), Box<Status>> {
    const STRICTLY: &str = "fieldValidation=Strict&fieldManager=kubectl-client-side-apply";
    let path = path(object);
    let (collection, _) = path.rsplit_once('/').unwrap();
    let created = send(client, Method::POST, &format!("{collection}?{STRICTLY}"), object).await;
    match created {
        Err(status) if status.reason == "AlreadyExists" => {
            let request = Request::get(&path).body(Vec::new()).unwrap();
            let known: Value = answer(client.request(request).await)?;
            let mut wanted = object.clone();
            wanted["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"].clone();
            send(client, Method::PUT, &format!("{path}?{STRICTLY}"), &wanted).await
        }
        outcome => outcome,
    }
}

async fn send(client: &Client, method: Method, uri: &str, object: &Value) -> Result<(), Box<Status>> {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", "application/json")
        .body(object.to_string().into_bytes())
        .unwrap();
    answer(client.request::<Value>(request).await).map(drop)
}

/// What a server refuses; anything else that fails is a fault of the test.
fn answer<T: Debug>(outcome: kube::Result<T>) -> Result<T, Box<Status>> {
    match outcome {
        Ok(answer) => Ok(answer),
        Err(kube::Error::Api(status)) => Err(status),
        Err(error) => panic!("{error}"),
    }
}

async fn get(client: &Client, object: &Value) -> Option<Value> {
    let request = Request::get(path(object)).body(Vec::new()).unwrap();
    let mut found: Value = client.request(request).await.ok()?;
    // The controller may be at it still.
    found["metadata"].as_object_mut()?.remove("resourceVersion");
    found["metadata"].as_object_mut()?.remove("managedFields");
    found.as_object_mut()?.remove("status");
    Some(found)
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn namespace(object: &Value) -> String {
    object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned()
}

fn path(object: &Value) -> String {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
    let kind = object["kind"].as_str().unwrap_or_default();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let namespace = namespace(object);
    let namespace = Some(namespace.as_str()).filter(|namespace| !namespace.is_empty());
    format!("{}/{}", DynamicObject::url_path(&resource, namespace), name(object))
}

async fn token(client: &Client, namespace: &str, name: &str) -> Result<(ApiToken, String, String, String), String> {
    let tokens: Api<ApiToken> = Api::namespaced(client.clone(), namespace);
    let token = tokens.get(name).await.map_err(|error| error.to_string())?;
    let status = token.status.clone().unwrap_or_default();
    let ready = condition::find(&status.conditions, condition::READY).ok_or("there is no condition Ready yet")?;
    if ready.observed_generation != token.metadata.generation {
        return Err(format!("the controller has not seen it: {ready:?}"));
    }
    let (status, reason, message) = (ready.status.clone(), ready.reason.clone(), ready.message.clone());
    Ok((token, status, reason, message))
}

async fn ready(client: &Client, namespace: &str, name: &str) -> Result<ApiToken, String> {
    match token(client, namespace, name).await? {
        (token, status, ..) if status == "True" => Ok(token),
        (_, _, reason, message) => Err(format!("{name} is not ready: {reason}: {message}")),
    }
}

async fn reported(client: &Client, object: &Value, reason: &str, text: &str) -> Result<(), String> {
    // Read as what it is, because it may be one that cannot be read as its kind.
    let request = Request::get(path(object)).body(Vec::new()).unwrap();
    let found: Value = client.request(request).await.map_err(|error| error.to_string())?;
    let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let says = |condition: &Value| {
        let field = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        (field("status"), field("reason"), field("message"))
    };
    let is_told = conditions
        .iter()
        .filter(|condition| condition["type"] != "Stalled")
        .any(|condition| {
            let (status, found, message) = says(condition);
            status == "False" && found == reason && message.contains(text)
        });
    if is_told {
        return Ok(());
    }
    Err(format!("it says {:?}", conditions.iter().map(says).collect::<Vec<_>>()))
}

async fn control(client: &Client) -> Control {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let secret = secrets.get_metadata_opt(CONTROL).await.unwrap();
    let token = ready(client, NAMESPACE, CONTROL).await;
    Control {
        ready: token.is_ok(),
        token: token.ok().and_then(|token| token.metadata.resource_version),
        secret: secret.and_then(|secret| secret.metadata.resource_version),
    }
}

/// Rights are in force a moment after they are granted.
async fn may_write_secrets(client: &Client) -> Result<(), String> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(NAMESPACE.to_owned()),
                verb: Some("create".to_owned()),
                resource: Some("secrets".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let outcome = reviews.create(&PostParams::default(), &review).await;
    let allowed = outcome
        .map_err(|error| error.to_string())?
        .status
        .is_some_and(|status| status.allowed);
    if allowed { Ok(()) } else { Err("not yet".to_owned()) }
}
