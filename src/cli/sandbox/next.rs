//! What the sandbox's user can try next.

use std::{net::SocketAddr, path::PathBuf};

use kube::ResourceExt;

use super::shown::name;
use crate::{api::ApiToken, cli::output::print_line};

/// Where things are.
pub(super) struct Next {
    pub(super) kubeconfig: PathBuf,
    /// Where the verifier answers by HTTP.
    pub(super) verifier: SocketAddr,
    /// Whether the quickstart was applied.
    pub(super) quickstart: bool,
}

impl Next {
    /// Prints the commands, for this token where there is one.
    pub(super) fn print(&self, token: Option<&ApiToken>) -> Result<(), String> {
        print_line("\nIn another terminal:\n")?;
        for command in self.commands(token) {
            print_line(format_args!("  {command}"))?;
        }
        print_line("\nChanges are shown below. Ctrl-C ends it.\n")
    }

    fn commands(&self, token: Option<&ApiToken>) -> Vec<String> {
        let mut commands = vec![format!("export KUBECONFIG={}", self.kubeconfig.display())];
        if let Some(token) = token {
            let (namespace, name) = name(token);
            commands.extend([
                format!("kubectl get apitokens --namespace {namespace} --watch"),
                format!("kubectl describe apitoken {name} --namespace {namespace}"),
                String::new(),
                format!("TOKEN=$({})", reading(token)),
                format!(
                    "curl --include --header \"Authorization: Bearer $TOKEN\" 'http://{}/forward-auth?organisation={}'",
                    self.verifier, token.spec.organisation
                ),
                format!("kubectl delete apitoken {name} --namespace {namespace}   # and the same request is refused"),
                String::new(),
            ]);
        }
        if self.quickstart {
            commands.push("kubectl apply --filename examples/refused.yaml".to_owned());
        }
        commands.push("kubectl explain apitoken.spec.expiry".to_owned());
        commands
    }
}

/// The command that shows a token in plain.
fn reading(token: &ApiToken) -> String {
    let keys = token.spec.secret.as_ref().and_then(|secret| secret.keys.as_ref());
    let key = keys.and_then(|keys| keys.token.as_deref()).unwrap_or("token");
    format!(
        "kubectl get secret {} --namespace {} --output jsonpath='{{.data.{}}}' | base64 --decode",
        token.secret_name(),
        token.namespace().unwrap_or_default(),
        key.replace('.', "\\.")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_command_that_reads_a_token_names_its_secret_and_key() {
        let command = |secret: serde_json::Value| {
            let token = json!({
                "apiVersion": "tokenwright.dev/v1alpha1", "kind": "ApiToken",
                "metadata": { "name": "web", "namespace": "shop" },
                "spec": { "organisation": "acme", "role": "Admin", "secret": secret },
            });
            reading(&serde_json::from_value(token).unwrap())
        };
        assert_eq!(
            command(json!(null)),
            "kubectl get secret web --namespace shop --output jsonpath='{.data.token}' | base64 --decode"
        );
        assert_eq!(
            command(json!({ "name": "key", "keys": { "token": "api.token" } })),
            r"kubectl get secret key --namespace shop --output jsonpath='{.data.api\.token}' | base64 --decode"
        );
    }
}
