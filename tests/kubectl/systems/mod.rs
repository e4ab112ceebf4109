//! What the users of five hosted products do with their tokens, done with the manifests of `examples/systems`.

mod appetize;
mod fingoti;
mod finout;
mod logscale;
mod royaltyport;

use std::fs;

use jiff::{Timestamp, ToSpan};
use kube_sandbox::testing::Outcome;

pub(crate) use self::{
    appetize::appetize, fingoti::fingoti, finout::finout, logscale::logscale, royaltyport::royaltyport,
};
use crate::{members::can, process::LIMIT, question::Question, stage::Stage};

/// Applies the product's manifests, its tokens as the member who manages them, and waits until each of them is ready.
async fn set_up(stage: &Stage, manager: &str) {
    let folder = format!("{}/examples/systems/{}", env!("CARGO_MANIFEST_DIR"), stage.name);
    for file in ["organisation.yaml", "people.yaml", "policies.yaml"] {
        let path = format!("{folder}/{file}");
        if file != "policies.yaml" || fs::exists(&path).unwrap() {
            stage.run(&["apply", "--filename", &path]).await;
        }
    }
    can(stage, manager, "create", "apitokens", true).await;
    can(stage, manager, "issue", &stage.organisation_resource(), true).await;
    let tokens = format!("{folder}/tokens.yaml");
    stage.run(&["apply", "--filename", &tokens, "--as", manager]).await;
    let limit = format!("--timeout={}s", LIMIT.as_secs());
    stage
        .run(&["wait", "apitokens", "--all", "--for=condition=Ready", &limit])
        .await;
}

impl Stage {
    fn organisation_resource(&self) -> String {
        format!("organisations.tokenwright.dev/{}", self.name)
    }

    /// What the API server answers a user who runs this.
    async fn run_as(&self, user: &str, arguments: &[&str]) -> Outcome {
        let more = ["--as", user, "--namespace", &self.name];
        self.kubectl.run(arguments.iter().copied().chain(more)).await
    }

    async fn patch(&self, what: &str, patch: &str) {
        self.run(&["patch", what, "--type", "merge", "--patch", patch]).await;
    }

    /// Waits until the status speaks of the spec as it is now.
    async fn observed(&self, what: &str) {
        let generation = self.path(what, "{.metadata.generation}").await;
        self.wait(what, &format!("jsonpath={{.status.observedGeneration}}={generation}"))
            .await;
    }

    /// Looks for these words in an ApiToken's line of the wide list.
    async fn lists(&self, token: &str, words: &[&str]) {
        let table = self.run(&["get", "apitokens", "--output", "wide"]).await;
        let line = table.lines().find(|line| line.split_whitespace().next() == Some(token));
        let line: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
        assert!(words.iter().all(|word| line.contains(word)), "{words:?}\n{table}");
    }

    /// One of the values in the Secret of an ApiToken.
    async fn value(&self, token: &str, key: &str) -> String {
        let template = format!("go-template={{{{index .data {key:?} | base64decode}}}}");
        self.run(&["get", "secret", token, "--output", &template]).await
    }

    /// A question with the ApiToken's present token, as a bearer.
    async fn bearer(&self, token: &str) -> Question {
        Question::of(self).bearer(&self.value(token, "token").await)
    }

    /// Waits until an ApiToken is not ready for this reason.
    async fn not_ready(&self, token: &str, reason: &str) -> String {
        let path = r#"{.status.conditions[?(@.type=="Ready")].reason}"#;
        let token = format!("apitoken/{token}");
        self.wait(&token, &format!("jsonpath={path}={reason}")).await;
        self.path(&token, r#"{.status.conditions[?(@.type=="Ready")].message}"#)
            .await
    }

    /// Waits until an ApiToken's present credential ends so long after its issue.
    async fn ends_after(&self, token: &str, lifetime: jiff::Span) {
        let token = format!("apitoken/{token}");
        let issued: Timestamp = self.path(&token, "{.status.issuedAt}").await.parse().unwrap();
        let end = issued.checked_add(lifetime).unwrap();
        self.wait(&token, &format!("jsonpath={{.status.expiresAt}}={end}"))
            .await;
    }

    /// Lets an ApiToken expire, and waits until it has.
    async fn expire(&self, token: &str) {
        let soon = Timestamp::now().checked_add(2.seconds()).unwrap();
        let patch = format!(r#"{{"spec":{{"expiry":{{"after":null,"at":"{soon:.0}"}}}}}}"#);
        self.patch(&format!("apitoken/{token}"), &patch).await;
        self.not_ready(token, "Expired").await;
        self.wait(&format!("secret/{token}"), "delete").await;
    }
}
