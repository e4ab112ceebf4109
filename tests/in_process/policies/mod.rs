//! TokenPolicies and the tokens that live under them.

mod status;
mod tokens;
mod trouble;
mod wave;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use kube_sandbox::faults::{Fault, Match};
use serde_json::{Value, json};
use tokenwright::api::{
    ApiToken, ApiTokenStatus, Organisation, PolicyCounts, Sighting, TokenPolicy, TokenPolicyStatus,
    condition::{self, POLICY_COMPLIANT, READY},
};

use crate::cluster::{Cluster, START};

/// Longer than changes are gathered before they are counted.
const COUNTED: Duration = Duration::from_secs(3);

impl Cluster {
    fn policies(&self) -> Api<TokenPolicy> {
        Api::all(self.client.clone())
    }

    /// Creates a policy, or changes it, and waits until nothing more happens.
    async fn policy(&self, name: &str, spec: Value) {
        let spec = serde_json::from_value(spec).unwrap();
        let create = PostParams::default();
        match self.policies().get_opt(name).await.unwrap() {
            None => drop(
                self.policies()
                    .create(&create, &TokenPolicy::new(name, spec))
                    .await
                    .unwrap(),
            ),
            Some(known) => {
                let wanted = TokenPolicy { spec, ..known };
                self.policies().replace(name, &create, &wanted).await.unwrap();
            }
        }
        self.idle().await;
    }

    async fn delete_policy(&self, name: &str) {
        self.policies().delete(name, &DeleteParams::default()).await.unwrap();
        self.idle().await;
    }

    async fn policy_status(&self, name: &str) -> TokenPolicyStatus {
        self.pass(COUNTED).await;
        self.policies().get(name).await.unwrap().status.unwrap_or_default()
    }

    /// Status and reason of a token's Ready, and the id of the credential in its Secret that is accepted.
    async fn state(&self, name: &str) -> (String, String, Option<u64>) {
        let token = self.token(name).await;
        let (ready, reason) = token.ready();
        (ready.to_owned(), reason.to_owned(), token.held())
    }

    /// How many days after the start a token expires.
    async fn expires(&self, name: &str) -> Option<i64> {
        let end = self.token(name).await.status().expires_at.as_ref()?.0;
        Some(end.duration_since(START.parse::<Timestamp>().unwrap()).as_hours() / 24)
    }

    /// Status, reason and message of a token's PolicyCompliant.
    async fn compliance(&self, name: &str) -> Option<(String, String, String)> {
        let token = self.token(name).await;
        let found = condition::find(&token.status().conditions, POLICY_COMPLIANT)?;
        Some((found.status.clone(), found.reason.clone(), found.message.clone()))
    }

    async fn create_organisation(&self, name: &str, labels: Value) {
        let organisation = json!({
            "apiVersion": "tokenwright.dev/v1alpha1", "kind": "Organisation",
            "metadata": { "name": name, "labels": labels }, "spec": { "namespaces": { "names": ["shop"] } },
        });
        let api: Api<Organisation> = Api::all(self.client.clone());
        let organisation = serde_json::from_value(organisation).unwrap();
        api.create(&PostParams::default(), &organisation).await.unwrap();
        self.idle().await;
    }

    async fn label_organisation(&self, name: &str, labels: Value) {
        let api: Api<Organisation> = Api::all(self.client.clone());
        let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
        api.patch(name, &PatchParams::default(), &patch).await.unwrap();
        self.idle().await;
    }

    /// The status writes of tokens since the log was last cleared.
    fn token_writes(&self) -> usize {
        let writes = self.writes();
        writes
            .iter()
            .filter(|write| *write == "update apitokens/status")
            .count()
    }

    fn metric(&self, line: &str) -> bool {
        self.metrics.encode().lines().any(|found| found == line)
    }
}

fn is(ready: &str, reason: &str, held: Option<u64>) -> (String, String, Option<u64>) {
    (ready.to_owned(), reason.to_owned(), held)
}

fn ready(status: &TokenPolicyStatus) -> (&str, &str, &str) {
    let ready = condition::find(&status.conditions, READY).expect("no Ready yet");
    (&ready.status, &ready.reason, &ready.message)
}
