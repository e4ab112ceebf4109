//! Where a row is played: a server, a controller, and a namespace and organisation of the row's own.

use std::{path::Path, time::Duration};

use kube_sandbox::testing::{Kubectl, Outcome};

use crate::process::LIMIT;

/// One row's place. Its namespace and its organisation have the row's name.
pub(crate) struct Stage {
    pub(crate) kubectl: Kubectl,
    pub(crate) name: String,
    /// Whether controllers of workloads run, so that rollouts come to an end.
    pub(crate) rolls_out: bool,
    /// Where the verifier answers by HTTP.
    pub(crate) verifier: String,
}

impl Stage {
    pub(crate) async fn set(home: &Path, kubeconfig: &str, name: &str, rolls_out: bool, verifier: &str) -> Self {
        let kubectl = Kubectl::new(&home.join(name), kubeconfig).unwrap();
        let stage = Self {
            kubectl,
            name: name.to_owned(),
            rolls_out,
            verifier: verifier.to_owned(),
        };
        stage.kubectl.ok(["create", "namespace", name]).await;
        stage.organisation("").await;
        stage
    }

    /// Applies the row's organisation, with these lines in its spec.
    pub(crate) async fn organisation(&self, lines: &str) {
        let name = &self.name;
        let namespaces = if lines.contains("namespaces:") {
            ""
        } else {
            &format!("  namespaces: {{names: [{name}]}}\n")
        };
        let manifest = format!(
            "apiVersion: tokenwright.dev/v1alpha1\nkind: Organisation\nmetadata: {{name: {name}}}\nspec:\n  tokenPrefix: acme\n{namespaces}{lines}"
        );
        self.apply_text(&manifest).await;
    }

    /// Applies ApiToken `t`, with these lines in its spec.
    pub(crate) async fn token(&self, lines: &str) {
        self.apply_text(&self.manifest(lines)).await;
    }

    pub(crate) fn manifest(&self, lines: &str) -> String {
        let name = &self.name;
        let role = if lines.contains("role:") { "" } else { "  role: Admin\n" };
        format!(
            "apiVersion: tokenwright.dev/v1alpha1\nkind: ApiToken\nmetadata: {{name: t, namespace: {name}}}\nspec:\n  organisation: {name}\n{role}{lines}"
        )
    }

    pub(crate) async fn apply_text(&self, manifest: &str) {
        let applied = self.apply(manifest).await;
        assert!(applied.success, "{manifest}\n{}", applied.stderr);
    }

    pub(crate) async fn apply(&self, manifest: &str) -> Outcome {
        self.kubectl.run_with(["apply", "--filename", "-"], manifest).await
    }

    /// kubectl in the row's namespace.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        self.kubectl
            .ok(arguments.iter().copied().chain(["--namespace", &self.name]))
            .await
    }

    /// `kubectl wait` for a condition, a path or a deletion.
    pub(crate) async fn wait(&self, what: &str, until: &str) {
        let (until, limit) = (format!("--for={until}"), format!("--timeout={}s", LIMIT.as_secs()));
        self.run(&["wait", what, &until, &limit]).await;
    }

    pub(crate) async fn ready(&self) {
        self.wait("apitoken/t", "condition=Ready").await;
    }

    /// Waits until Ready is False for this reason, and returns its message.
    pub(crate) async fn refused(&self, reason: &str) -> String {
        let until = format!(r#"jsonpath={{.status.conditions[?(@.type=="Ready")].reason}}={reason}"#);
        self.wait("apitoken/t", &until).await;
        self.path("apitoken/t", r#"{.status.conditions[?(@.type=="Ready")].message}"#)
            .await
    }

    pub(crate) async fn rotations(&self, count: u32) {
        self.wait("apitoken/t", &format!("jsonpath={{.status.rotations}}={count}"))
            .await;
    }

    /// Rotations that are due go on by themselves: an exact number may be over before it is looked for.
    pub(crate) async fn rotations_or_more(&self, count: u32) {
        let counting = async {
            loop {
                let seen = self.path("apitoken/t", "{.status.rotations}").await;
                if seen.parse().is_ok_and(|seen: u32| seen >= count) {
                    return;
                }
            }
        };
        let in_time = tokio::time::timeout(LIMIT, counting).await;
        assert!(in_time.is_ok(), "not rotated {count} times");
    }

    pub(crate) async fn path(&self, what: &str, path: &str) -> String {
        self.run(&["get", what, "--output", &format!("jsonpath={path}")]).await
    }

    /// The token in Secret `t`.
    pub(crate) async fn secret(&self) -> String {
        self.run(&[
            "get",
            "secret",
            "t",
            "--output",
            "go-template={{.data.token | base64decode}}",
        ])
        .await
    }

    /// Waits until an Event of this reason is there. Events come after the status, so they cannot be waited for by it.
    pub(crate) async fn event(&self, reason: &str) -> String {
        let selector = format!("reason={reason}");
        let looking = async {
            loop {
                let events = self.run(&["get", "events", "--field-selector", &selector]).await;
                if events.contains(reason) {
                    return events;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, looking)
            .await
            .unwrap_or_else(|_| panic!("no Event {reason}"))
    }
}

/// A limit for a whole row.
pub(crate) const ROW_LIMIT: Duration = Duration::from_secs(240);
