//! Rules about writes that the embedding program brings along.

mod support;

use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::Status;
use kube::{Client, Error, ResourceExt};
use kube_sandbox::admission::{Admission, Authorizer, Denial, Operation, Request};
use kube_sandbox::{Sandbox, User};
use serde_json::{Value, from_value, json};

use support::config_map;

/// Stamps config maps, notes what it is asked, and lets only those through who may `touch` the map's name.
#[derive(Clone, Default)]
struct Rules {
    asked: Arc<Mutex<Vec<String>>>,
}

impl Admission for Rules {
    fn mutate(&self, request: &Request<'_>, object: &mut Value) {
        if request.resource == "configmaps" {
            object["data"]["by"] = request.user.name.clone().into();
        }
    }

    fn validate(
        &self,
        request: &Request<'_>,
        object: Option<&Value>,
        authorizer: &mut Authorizer<'_>,
    ) -> Result<(), Denial> {
        if request.resource != "configmaps" {
            return Ok(());
        }
        let by = |object: Option<&Value>| object.map_or("-".to_owned(), |object| object["data"]["by"].to_string());
        self.asked.lock().expect("nobody panicked").push(format!(
            "{:?} {}/{} {} -> {}{}",
            request.operation,
            request.namespace,
            request.name,
            by(request.old),
            by(object),
            if request.dry_run { " dry" } else { "" },
        ));
        if authorizer.allows("touch", "example.dev", "maps", "", request.name) {
            return Ok(());
        }
        let act = match request.operation {
            Operation::Create => "create",
            Operation::Update => "update",
            Operation::Delete => "delete",
        };
        Err(Denial {
            policy: "touch".to_owned(),
            message: format!("{} may not {act} it", request.user.name),
        })
    }
}

impl Rules {
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().expect("nobody panicked"))
    }
}

/// A sandbox in which bob may do everything to config maps, and touch the one called `his`.
async fn sandbox() -> (Sandbox, Rules, Api<ConfigMap>) {
    let rules = Rules::default();
    let sandbox = Sandbox::builder().admission(rules.clone()).build();
    let admin = Client::new(sandbox.service(), "default");
    let roles: Api<ClusterRole> = Api::all(admin.clone());
    let role: ClusterRole = from_value(json!({"metadata": {"name": "bob"}, "rules": [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]},
        {"apiGroups": ["example.dev"], "resources": ["maps"], "resourceNames": ["his"], "verbs": ["touch"]},
    ]}))
    .expect("a role");
    roles.create(&PostParams::default(), &role).await.expect("a role");
    let bindings: Api<ClusterRoleBinding> = Api::all(admin);
    let binding: ClusterRoleBinding = from_value(json!({
        "metadata": {"name": "bob"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bob"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}],
    }))
    .expect("a binding");
    bindings
        .create(&PostParams::default(), &binding)
        .await
        .expect("a binding");
    let maps = Api::default_namespaced(Client::new(sandbox.service_as(User::new("bob")), "default"));
    (sandbox, rules, maps)
}

fn refusal<T: std::fmt::Debug>(result: kube::Result<T>) -> Box<Status> {
    match result {
        Err(Error::Api(status)) => status,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn what_is_written_is_changed_and_judged_with_the_rights_of_who_asks() {
    let (sandbox, rules, maps) = sandbox().await;
    let created = maps
        .create(&PostParams::default(), &config_map("his"))
        .await
        .expect("allowed");
    assert_eq!(created.data.expect("data")["by"], "bob");

    let theirs: Api<ConfigMap> = Api::default_namespaced(Client::new(sandbox.service(), "default"));
    let patch = Patch::Merge(json!({"data": {"by": "somebody else"}}));
    let patched = theirs
        .patch("his", &PatchParams::default(), &patch)
        .await
        .expect("a master");
    assert_eq!(patched.data.expect("data")["by"], "admin");
    maps.delete("his", &DeleteParams::default()).await.expect("allowed");
    assert_eq!(
        rules.asked(),
        [
            r#"Create default/his - -> "bob""#,
            r#"Update default/his "bob" -> "admin""#,
            r#"Delete default/his "admin" -> -"#,
        ]
    );
}

#[tokio::test]
async fn a_denial_reads_as_that_of_a_policy_and_nothing_is_written() {
    let (sandbox, _, maps) = sandbox().await;
    let denied = refusal(maps.create(&PostParams::default(), &config_map("other")).await);
    let message = "ValidatingAdmissionPolicy 'touch' with binding 'touch' denied request: bob may not create it";
    assert_eq!(denied.message, format!("configmaps \"other\" is forbidden: {message}"));
    assert_eq!((denied.code, denied.reason.as_str()), (403, "Forbidden"));
    assert_eq!(denied.details.expect("details").causes[0].message, message);
    assert!(maps.get_opt("other").await.expect("an answer").is_none());

    let theirs: Api<ConfigMap> = Api::default_namespaced(Client::new(sandbox.service(), "default"));
    let before = theirs
        .create(&PostParams::default(), &config_map("other"))
        .await
        .expect("a master");
    let revision = sandbox.revision();
    let patch = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    let denied = refusal(maps.patch("other", &PatchParams::default(), &patch).await);
    assert!(denied.message.ends_with("bob may not update it"), "{}", denied.message);
    let denied = refusal(maps.replace("other", &PostParams::default(), &before).await);
    assert!(denied.message.ends_with("bob may not update it"), "{}", denied.message);
    let denied = refusal(maps.delete("other", &DeleteParams::default()).await);
    assert!(denied.message.ends_with("bob may not delete it"), "{}", denied.message);
    let (every, one) = (ListParams::default(), DeleteParams::default());
    let denied = refusal(maps.delete_collection(&one, &every).await);
    assert!(denied.message.ends_with("bob may not delete it"), "{}", denied.message);
    assert_eq!(sandbox.revision(), revision);
}

#[tokio::test]
async fn dry_runs_are_asked_about_too() {
    let (_, rules, maps) = sandbox().await;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let shown = maps.create(&dry, &config_map("his")).await.expect("allowed");
    assert_eq!(shown.data.expect("data")["by"], "bob");
    refusal(maps.create(&dry, &config_map("other")).await);
    maps.create(&PostParams::default(), &config_map("his"))
        .await
        .expect("allowed");
    let dry = DeleteParams::default().dry_run();
    maps.delete("his", &dry).await.expect("allowed");
    assert_eq!(
        rules.asked(),
        [
            r#"Create default/his - -> "bob" dry"#,
            r#"Create default/other - -> "bob" dry"#,
            r#"Create default/his - -> "bob""#,
            r#"Delete default/his "bob" -> - dry"#,
        ]
    );
}

#[tokio::test]
async fn what_the_cluster_itself_does_is_not_asked_about() {
    let (sandbox, rules, _) = sandbox().await;
    let client = Client::new(sandbox.service(), "default");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace: Namespace = from_value(json!({"metadata": {"name": "shop"}})).expect("a namespace");
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .expect("created");
    let maps: Api<ConfigMap> = Api::namespaced(client, "shop");
    let owner = maps
        .create(&PostParams::default(), &config_map("owner"))
        .await
        .expect("created");
    let mut owned = config_map("owned");
    owned.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        name: "owner".to_owned(),
        uid: owner.uid().expect("a uid"),
        ..OwnerReference::default()
    }]);
    maps.create(&PostParams::default(), &owned).await.expect("created");
    maps.create(&PostParams::default(), &config_map("alone"))
        .await
        .expect("created");
    rules.asked();

    maps.delete("owner", &DeleteParams::default()).await.expect("deleted");
    assert!(maps.get_opt("owned").await.expect("an answer").is_none());
    namespaces
        .delete("shop", &DeleteParams::default())
        .await
        .expect("deleted");
    assert!(namespaces.get_opt("shop").await.expect("an answer").is_none());
    assert_eq!(rules.asked(), [r#"Delete shop/owner "admin" -> -"#]);
}
