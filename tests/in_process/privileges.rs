//! Whether the manifests give controller and verifier what they need, and nothing else.

use std::{collections::BTreeSet, fmt::Debug, time::Duration};

use k8s_openapi::{
    ClusterResourceScope, NamespaceResourceScope,
    api::{
        apps::v1::{DaemonSet, StatefulSet},
        rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding},
    },
};
use kube::{
    Api, Resource,
    api::{Patch, PatchParams, PostParams},
};
use kube_sandbox::faults::{Fault, Match};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokenwright::{
    api::{Organisation, TokenPolicy},
    controller,
    verifier::{Code, Settings},
};

use crate::{
    cluster::Cluster,
    deployed::{CONTROLLER, Overlay, Rights, VERIFIER},
    leader::lead_for,
    verifier::verifier,
};

/// `verb resource` or `verb group/resource`.
type Uses = BTreeSet<String>;

/// What is granted and never asked for, and why.
const UNUSED: [(&str, &str); 3] = [
    (
        "confined tokenwright.dev/organisations",
        "asked for by admission where roles, Secrets and workloads are written",
    ),
    (
        "issue tokenwright.dev/organisations",
        "granted on to members, and asked for by admission where an ApiToken is deleted",
    ),
    ("issue-personal tokenwright.dev/organisations", "granted on to members"),
];

fn name(verb: &str, group: &str, resource: &str) -> String {
    match group {
        "" => format!("{verb} {resource}"),
        group => format!("{verb} {group}/{resource}"),
    }
}

fn granted(rules: &[PolicyRule]) -> Uses {
    let mut granted = Uses::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                granted.extend(rule.verbs.iter().map(|verb| name(verb, group, resource)));
            }
        }
    }
    granted
}

/// What this user asked for, all of which must have been permitted.
fn used(cluster: &Cluster, user: &str) -> Uses {
    let requests = cluster.sandbox.requests().all();
    let its = requests.iter().filter(|request| request.user == user);
    its.map(|request| {
        assert_ne!(request.code, 403, "{request:?}");
        name(&request.verb, &request.group, &request.full_resource())
    })
    .collect()
}

/// Has each first watch of these users refused, as by a server that does not stream lists.
fn refuse_to_stream(cluster: &Cluster) {
    let watched = [
        "organisations",
        "tokenpolicies",
        "namespaces",
        "apitokens",
        "secrets",
        "roles",
        "rolebindings",
        "clusterroles",
        "clusterrolebindings",
    ];
    for user in [CONTROLLER, VERIFIER] {
        for resource in watched {
            let first = Match::any().user(user).verb("watch").resource(resource).times(1);
            cluster.sandbox.faults().inject(first, Fault::fail(422, "Invalid"));
        }
    }
}

async fn workload<K>(cluster: &Cluster, spec: Value)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
{
    let labels = json!({ "app": "web" });
    let mut workload = json!({ "metadata": { "name": "web" }, "spec": {
        "selector": { "matchLabels": labels },
        "template": { "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "c", "image": "i" }] } },
    } });
    let given = spec.as_object().unwrap().clone();
    workload["spec"].as_object_mut().unwrap().extend(given);
    let api: Api<K> = Api::namespaced(cluster.client.clone(), "shop");
    let workload: K = serde_json::from_value(workload).unwrap();
    api.create(&PostParams::default(), &workload).await.unwrap();
}

async fn edit<K>(api: Api<K>, name: &str, patch: Value)
where
    K: Clone + Debug + DeserializeOwned,
{
    let patch = Patch::Merge(patch);
    api.patch_metadata(name, &PatchParams::default(), &patch).await.unwrap();
}

fn within<K>(cluster: &Cluster) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(cluster.client.clone(), "shop")
}

fn everywhere<K>(cluster: &Cluster) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
{
    Api::all(cluster.client.clone())
}

/// Everything that becomes of tokens, and of one organisation.
async fn live(cluster: &mut Cluster, settings: Settings) {
    refuse_to_stream(cluster);
    lead_for(cluster, CONTROLLER, Duration::from_secs(10)).await;
    cluster.run_controller();
    let verifier = verifier(cluster, settings).await;
    let member = json!({ "members": [{ "kind": "User", "name": "ann", "role": "Admin" }] });
    cluster.organisation(member).await;
    cluster.deployments(&["web"]).await;
    workload::<StatefulSet>(cluster, json!({ "serviceName": "web" })).await;
    workload::<DaemonSet>(cluster, json!({})).await;

    let restarted = ["Deployment", "StatefulSet", "DaemonSet"].map(|kind| json!({ "kind": kind, "name": "web" }));
    let spec = json!({
        "expiry": { "after": "90d", "action": "Rotate" },
        "rotation": { "overlap": "0s", "restart": restarted },
        "assignees": { "subjects": [{ "kind": "User", "name": "ann" }] },
    });
    let first = cluster.issue("web", spec).await.value("token").unwrap();
    assert_eq!(verifier.code(&first).await, Code::Valid);
    cluster.patch("web", json!({ "rotation": { "trigger": "now" } })).await;
    cluster.pass(Duration::from_secs(60)).await;
    assert_eq!(verifier.code(&first).await, Code::Retired);
    cluster.pass(Duration::from_secs(60)).await;
    assert_eq!(cluster.token("web").await.status().rotations, 1);
    assert!(cluster.token("web").await.status().last_reuse.is_some());

    // What policies hit, which changes nothing here.
    let preview = TokenPolicy::new(
        "preview",
        serde_json::from_value(json!({ "expiry": { "max": "30d" }, "enforcement": "Warn" })).unwrap(),
    );
    let policies = everywhere::<TokenPolicy>(cluster);
    policies.create(&PostParams::default(), &preview).await.unwrap();
    cluster.pass(Duration::from_secs(60)).await;

    // What is put right.
    let data = json!({ "data": { "token": "b3RoZXI=" } });
    edit(cluster.secrets(), "web", data).await;
    let nobody = json!({ "subjects": [] });
    edit(
        within::<Role>(cluster),
        "tokenwright:web:assignees",
        json!({ "rules": [] }),
    )
    .await;
    edit(
        within::<RoleBinding>(cluster),
        "tokenwright:web:assignees",
        nobody.clone(),
    )
    .await;
    if cluster.watches_everything() {
        let issuers = "tokenwright:acme:issuers";
        edit(everywhere::<ClusterRole>(cluster), issuers, json!({ "rules": [] })).await;
        edit(everywhere::<ClusterRoleBinding>(cluster), issuers, nobody).await;
    }
    cluster.pass(Duration::from_secs(60)).await;

    // What goes.
    let brief = json!({ "expiry": { "after": "1h", "cleanupAfter": "1h" } });
    cluster.issue("brief", brief).await;
    cluster.pass_hours(3).await;
    assert!(cluster.tokens().get_opt("brief").await.unwrap().is_none());
    cluster.patch("web", json!({ "assignees": null })).await;
    cluster.organisation(json!({ "members": [] })).await;
    cluster.pass(Duration::from_secs(60)).await;

    // What cannot be read.
    cluster.loosen_schema("apitokens").await;
    cluster.loosen_schema("organisations").await;
    cluster.loosen_schema("tokenpolicies").await;
    let odd = json!({ "spec": { "suspended": "perhaps" } });
    edit(cluster.tokens(), "web", odd.clone()).await;
    edit(everywhere::<Organisation>(cluster), "acme", odd).await;
    edit(policies, "preview", json!({ "spec": { "maxTokens": "few" } })).await;
    cluster.pass(Duration::from_secs(60)).await;
}

fn unused(rights: &Rights, cluster: &Cluster, prefix: &str, user: &str) -> Uses {
    let (granted, used) = (granted(&rights.rules(prefix)), used(cluster, user));
    assert_eq!(
        used.difference(&granted).collect::<Vec<_>>(),
        [""; 0],
        "not granted to {user}"
    );
    granted.difference(&used).cloned().collect()
}

fn expected() -> Uses {
    UNUSED.iter().map(|(right, _)| (*right).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn every_right_is_used_and_none_is_missing() {
    let mut cluster = Cluster::with_watch_timeouts().await;
    live(&mut cluster, Settings::default()).await;
    let rights = Rights::of(Overlay::AllNamespaces);
    assert_eq!(
        unused(&rights, &cluster, "tokenwright-controller", CONTROLLER),
        expected()
    );
    assert_eq!(unused(&rights, &cluster, "tokenwright-verifier", VERIFIER), Uses::new());
}

#[tokio::test(start_paused = true)]
async fn of_some_namespaces_every_right_is_used_there_and_none_is_missing() {
    let namespaces = vec!["shop".to_owned()];
    let settings = controller::Settings {
        namespaces: namespaces.clone(),
        clock_check: None,
        ..controller::Settings::default()
    };
    let mut cluster = Cluster::deployed(settings, true, Overlay::Namespaced).await;
    let settings = Settings {
        namespaces,
        ..Settings::default()
    };
    live(&mut cluster, settings).await;
    let rights = Rights::of(Overlay::Namespaced);
    assert_eq!(
        unused(&rights, &cluster, "tokenwright-controller", CONTROLLER),
        expected()
    );
    assert_eq!(unused(&rights, &cluster, "tokenwright-verifier", VERIFIER), Uses::new());
    // Not one request about what is in another namespace.
    cluster.create_namespace("blog").await;
    for (user, resource) in [
        (CONTROLLER, "secrets"),
        (CONTROLLER, "configmaps"),
        (VERIFIER, "secrets"),
    ] {
        for verb in ["get", "list", "watch", "create", "update", "patch", "delete"] {
            let may = cluster.may_in("blog", user, verb, "", resource).await;
            assert!(!may, "{user} may {verb} {resource} in blog");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_verifier_has_no_verb_on_secrets() {
    for overlay in [Overlay::AllNamespaces, Overlay::Namespaced] {
        for right in granted(&Rights::of(overlay).rules("tokenwright-verifier")) {
            let resource = right.split_once(' ').unwrap().1;
            assert!(!resource.starts_with("secrets") && !right.contains('*'), "{right}");
        }
    }
}
