//! Against a cluster: what it has counts, what the files have counts more, and it is only read.

use k8s_openapi::{
    api::core::v1::Namespace, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client, Resource, api::PostParams};
use kube_sandbox::Sandbox;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokenwright::api::{ApiToken, Organisation, crds};

use crate::{
    run::{Ended, check_with_input},
    support::Server,
};

const TOKEN: &str = "
apiVersion: tokenwright.dev/v1alpha1
kind: ApiToken
metadata: { name: web, namespace: shop }
spec: { organisation: acme, role: Boss }
";

struct Stage {
    sandbox: Sandbox,
    server: Server,
    client: Client,
}

impl Stage {
    async fn set() -> Self {
        let sandbox = Sandbox::new();
        let server = Server::serve(&sandbox).await;
        let client = server.client().await;
        Self {
            sandbox,
            server,
            client,
        }
    }

    async fn install(&self) {
        for crd in crds() {
            create::<CustomResourceDefinition>(Api::all(self.client.clone()), serde_json::to_value(crd).unwrap()).await;
        }
        create::<Namespace>(Api::all(self.client.clone()), json!({ "metadata": { "name": "shop" } })).await;
        let spec = json!({ "namespaces": { "names": ["shop"] }, "roles": [{ "name": "Reader" }] });
        create::<Organisation>(
            Api::all(self.client.clone()),
            ours("Organisation", json!({ "name": "acme" }), &spec),
        )
        .await;
    }

    async fn check(&self, arguments: &[&str], input: &'static str) -> Ended {
        let kubeconfig = self.server.kubeconfig().to_str().unwrap().to_owned();
        let mut all = vec!["--kubeconfig".to_owned(), kubeconfig];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let run = move || {
            let arguments: Vec<&str> = all.iter().map(String::as_str).collect();
            check_with_input("", &arguments, input)
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }
}

fn ours(kind: &str, metadata: Value, spec: &Value) -> Value {
    json!({ "apiVersion": "tokenwright.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec })
}

async fn create<K>(api: Api<K>, object: Value)
where
    K: Resource + Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    let object: K = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cluster_has_is_judged_against_and_only_read() {
    let stage = Stage::set().await;
    stage.install().await;
    let before = stage.sandbox.requests().all().len();
    let ended = stage.check(&["-"], TOKEN).await;
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (
            Some(1),
            "stdin:5: error: ApiToken shop/web: Organisation \"acme\" has no role \"Boss\". Its roles: Reader. (spec.role)\n"
        ),
        "{}",
        ended.err
    );
    let asked: Vec<(String, String)> = stage.sandbox.requests().all()[before..]
        .iter()
        .map(|request| (request.verb.clone(), request.resource.clone()))
        .collect();
    let listed = ["namespaces", "organisations", "tokenpolicies", "apitokens"];
    assert_eq!(asked, listed.map(|resource| ("list".to_owned(), resource.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_what_cannot_be_changed_is_found() {
    let stage = Stage::set().await;
    stage.install().await;
    let spec = json!({ "organisation": "acme", "role": "Reader", "secret": { "name": "old" } });
    let metadata = json!({ "name": "web", "namespace": "shop" });
    create::<ApiToken>(
        Api::namespaced(stage.client.clone(), "shop"),
        ours("ApiToken", metadata, &spec),
    )
    .await;
    let ended = stage.check(&["-"], TOKEN).await;
    assert!(
        ended.out.contains(
            "stdin:5: error: ApiToken shop/web: spec.secret.name cannot be changed; create another ApiToken to have another \
             Secret (spec)\n"
        ),
        "{}",
        ended.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_policy_would_do_to_live_tokens_is_told_and_no_mistake() {
    const POLICY: &str = "
apiVersion: tokenwright.dev/v1alpha1
kind: TokenPolicy
metadata: { name: none }
spec: { types: [Organisation], issuance: Deny }
";
    let stage = Stage::set().await;
    stage.install().await;
    let spec = json!({ "organisation": "acme", "role": "Reader" });
    let metadata = json!({ "name": "web", "namespace": "shop" });
    create::<ApiToken>(
        Api::namespaced(stage.client.clone(), "shop"),
        ours("ApiToken", metadata, &spec),
    )
    .await;
    let ended = stage.check(&["--strict", "-"], POLICY).await;
    let note = "stdin:4: note: TokenPolicy none: It would refuse what ApiToken shop/web asks for: TokenPolicy \"none\" (issuance): \
                no tokens of this type are issued, and those that exist do not work. Use a token of another type or \
                organisation, or ask the platform's administrator. (metadata.name)\n";
    let expected = Ended {
        code: Some(0),
        out: note.to_owned(),
        err: "1 file, 1 object: 0 errors, 0 warnings, 1 note\n".to_owned(),
    };
    assert_eq!(ended, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_the_definitions_has_none() {
    let stage = Stage::set().await;
    create::<Namespace>(
        Api::all(stage.client.clone()),
        json!({ "metadata": { "name": "shop" } }),
    )
    .await;
    let ended = stage.check(&["-"], TOKEN).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended
            .out
            .contains("error: ApiToken shop/web: There is no Organisation \"acme\". Create it"),
        "{}",
        ended.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_refuses_or_is_away_is_no_verdict() {
    use kube_sandbox::faults::{Fault, Match};
    let stage = Stage::set().await;
    stage.install().await;
    let refusal = stage
        .sandbox
        .faults()
        .inject(Match::any().resource("apitokens"), Fault::forbidden());
    let ended = stage.check(&["-"], TOKEN).await;
    assert_eq!(ended.code, Some(2), "{}", ended.out);
    assert!(
        ended
            .err
            .starts_with("tokenwright: cannot list the apitokens of the cluster: "),
        "{}",
        ended.err
    );
    drop(refusal);
}
