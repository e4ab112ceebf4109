//! The tokens of `acme.yaml`.

use std::{collections::BTreeMap, time::Duration};

use kube_sandbox::testing::Kubectl;

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateways/acme.yaml");
const LIMIT: Duration = Duration::from_secs(90);

pub(crate) struct Tokens(BTreeMap<String, Token>);

/// A client's credential.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) client_id: String,
    pub(crate) secret: String,
}

impl Tokens {
    /// Applies them, and reads what their Secrets hold.
    pub(crate) async fn issue(kubectl: &Kubectl) -> Self {
        kubectl.ok(["apply", "--filename", MANIFEST]).await;
        let limit = format!("--timeout={}s", LIMIT.as_secs());
        let ready = ["reader", "ann", "clerk", "office", "stranger"].map(|name| format!("apitoken/{name}"));
        let until: [&str; 2] = ["--for=condition=Ready", &limit];
        wait(
            kubectl,
            &ready.iter().map(String::as_str).chain(until).collect::<Vec<_>>(),
        )
        .await;
        let expired = r#"--for=jsonpath={.status.conditions[?(@.type=="Ready")].reason}=Expired"#;
        wait(kubectl, &["apitoken/expired", expired, &limit]).await;
        let all = kubectl
            .ok(["get", "secrets", "--namespace", "shop", "--output", TEMPLATE])
            .await;
        Self(all.lines().filter_map(token).collect())
    }

    pub(crate) fn of(&self, name: &str) -> &Token {
        &self.0[name]
    }

    /// Whether one of the secrets stands in this text.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.0.values().any(|token| text.contains(&token.secret))
    }
}

const TEMPLATE: &str = r#"go-template={{range .items}}{{.metadata.name}} {{index .data "client-id" | base64decode}} {{.data.token | base64decode}}
{{end}}"#;

fn token(line: &str) -> Option<(String, Token)> {
    let [name, client_id, secret] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let token = Token {
        client_id: client_id.to_owned(),
        secret: secret.to_owned(),
    };
    Some((name.to_owned(), token))
}

async fn wait(kubectl: &Kubectl, arguments: &[&str]) {
    let namespace = ["wait", "--namespace", "shop"];
    kubectl.ok(namespace.iter().chain(arguments).copied()).await;
}
