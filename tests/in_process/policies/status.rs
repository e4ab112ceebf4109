//! What is written, and what a policy says of itself and of what it hits.

use k8s_openapi::api::events::v1::Event;

use super::*;
use crate::{cluster::timeless, deployed::Overlay};

#[tokio::test(start_paused = true)]
async fn one_write_for_each_token_that_changes_and_none_for_the_others() {
    let cluster = Cluster::start().await;
    cluster.create_organisation("globex", json!({ "tier": "gold" })).await;
    for number in 0..10 {
        let of_acme = json!({ "expiry": { "after": if number < 4 { "90d" } else { "5d" } } });
        cluster.issue(&format!("a{number}"), of_acme).await;
        let of_globex = json!({ "organisation": "globex", "expiry": { "after": "90d" } });
        cluster.issue(&format!("g{number}"), of_globex).await;
    }
    let selected = json!({ "selector": { "matchLabels": { "tier": "gold" } } });
    let acme = json!({ "names": ["acme"] });
    let max = |days: u8, organisations: &Value| json!({ "organisations": organisations, "expiry": { "max": format!("{days}d") } });
    cluster.pass(COUNTED).await;
    cluster.writes();
    // The first policy for them also says that they comply, in one write for each.
    cluster.policy("max", max(30, &acme)).await;
    assert_eq!(cluster.token_writes(), 10);
    // Those of 90 days are cut again, and all remember how long they may live.
    cluster.policy("max", max(20, &acme)).await;
    assert_eq!(cluster.token_writes(), 10);
    // The message of those that ask for too much names the new value; none comes later.
    cluster.policy("max", max(25, &acme)).await;
    assert_eq!(cluster.token_writes(), 4);
    let mut named = max(25, &acme);
    named["organisations"]["names"] = json!(["acme", "nobody"]);
    cluster.policy("max", named).await;
    assert_eq!(cluster.token_writes(), 0);
    // Those it was for, and those it is for.
    cluster.policy("max", max(25, &selected)).await;
    assert_eq!(cluster.token_writes(), 20);
    assert_eq!(cluster.compliance("a0").await, None);
    assert_eq!(cluster.compliance("g0").await.unwrap().1, "PolicyViolation");
    cluster.pass(COUNTED).await;
    cluster.writes();
    cluster.label_organisation("globex", json!({ "tier": "silver" })).await;
    assert_eq!(cluster.token_writes(), 10);
    assert_eq!(cluster.compliance("g0").await, None);
    cluster.label_organisation("acme", json!({ "tier": "gold" })).await;
    assert_eq!(cluster.token_writes(), 10);
    cluster.delete_policy("max").await;
    assert_eq!(cluster.token_writes(), 10);
    cluster.pass_hours(24).await;
    cluster.writes();
    cluster.pass_hours(24).await;
    assert_eq!(cluster.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_tells_once_of_all_that_begin_to_violate_it() {
    let cluster = Cluster::start().await;
    for number in 0..30 {
        cluster.create(&format!("t{number:02}"), json!({})).await;
    }
    cluster.pass(COUNTED).await;
    cluster.policy("ends", json!({ "expiry": { "required": true } })).await;
    cluster.pass(COUNTED).await;
    assert_eq!(cluster.events("ends").await, ["PolicyViolation"]);
    // A burst right after it, which takes longer than changes are gathered for.
    for number in 30..60 {
        cluster.create(&format!("t{number:02}"), json!({})).await;
        cluster.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(cluster.events("ends").await, ["PolicyViolation"]);
    cluster.pass(Duration::from_secs(300)).await;
    let events = cluster.list::<Event>().await;
    let about = |event: &&Event| event.regarding.as_ref().unwrap().kind.as_deref() == Some("TokenPolicy");
    let told: Vec<_> = events.iter().filter(about).collect();
    let notes: Vec<_> = told.iter().map(|event| event.note.as_deref().unwrap()).collect();
    assert!(
        notes.len() == 2
            && notes[0].starts_with("30 tokens violate this policy. The first is shop/t00: ")
            && notes[1].starts_with("60 tokens violate this policy, 30 more than before. The first is shop/t00: "),
        "{notes:?}"
    );
    assert!(told.iter().all(|event| event.type_.as_deref() == Some("Warning")));
    cluster.pass(Duration::from_secs(1800)).await;
    assert_eq!(cluster.events("ends").await, ["PolicyViolation"; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_says_what_it_hits() {
    let cluster = Cluster::start().await;
    for number in 0..25 {
        cluster.create(&format!("t{number:02}"), json!({})).await;
    }
    cluster.issue("fine", json!({ "expiry": { "after": "1d" } })).await;
    cluster.policy("ends", json!({ "expiry": { "required": true } })).await;
    let status = cluster.policy_status("ends").await;
    let counts = |matched, violating| Some(PolicyCounts { matched, violating });
    assert_eq!(status.tokens, counts(26, 25));
    let names: Vec<&str> = status.violations.iter().map(|found| &*found.name).collect();
    assert_eq!(names, (0..20).map(|number| format!("t{number:02}")).collect::<Vec<_>>());
    assert_eq!(ready(&status), ("True", "Accepted", "The policy is in force."));
    assert_eq!(status.observed_generation, Some(1));
    assert!(cluster.metric("tokenwright_policy_tokens{policy=\"ends\",state=\"violating\"} 25"));
    let organisation: Organisation = Api::all(cluster.client.clone()).get("acme").await.unwrap();
    assert_eq!(organisation.status.unwrap().tokens.unwrap().violating, 25);

    // The changes of many tokens are counted together, and what stays the same is not written again.
    cluster.writes();
    for number in 0..25 {
        let patch = Patch::Merge(json!({ "spec": { "expiry": { "after": "1d" } } }));
        let name = format!("t{number:02}");
        cluster
            .tokens()
            .patch(&name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
    cluster.pass(COUNTED).await;
    let writes = cluster.writes();
    let of_policy = |write: &&String| *write == "update tokenpolicies/status";
    assert!(writes.iter().filter(of_policy).count() <= 2, "{writes:?}");
    let status = cluster.policy_status("ends").await;
    assert_eq!((status.tokens, status.violations), (counts(26, 0), Vec::new()));

    cluster.tokens().delete("fine", &DeleteParams::default()).await.unwrap();
    assert_eq!(cluster.policy_status("ends").await.tokens, counts(25, 0));
    cluster.delete_policy("ends").await;
    assert!(!cluster.metrics.encode().contains("policy=\"ends\""));
}

#[tokio::test(start_paused = true)]
async fn a_policy_says_what_is_wrong_with_it_as_its_surroundings_change() {
    let cluster = Cluster::start().await;
    let globex = json!({ "names": ["globex"] });
    cluster
        .policy(
            "few",
            json!({ "organisations": globex, "roles": { "allowed": ["Reader"] } }),
        )
        .await;
    let state = async |name: &str| {
        let status = cluster.policy_status(name).await;
        let (ready, reason, _) = ready(&status);
        (ready.to_owned(), reason.to_owned())
    };
    let is = |ready: &str, reason: &str| (ready.to_owned(), reason.to_owned());
    assert_eq!(state("few").await, is("False", "OrganisationNotFound"));
    assert_eq!(cluster.events("few").await, ["OrganisationNotFound"]);
    cluster.create_organisation("globex", json!({})).await;
    assert_eq!(state("few").await, is("False", "RoleNotFound"));
    cluster
        .policy(
            "few",
            json!({ "organisations": globex, "roles": { "allowed": ["Admin"] } }),
        )
        .await;
    assert_eq!(state("few").await, is("True", "Accepted"));
    cluster
        .policy("other", json!({ "roles": { "allowed": ["Member"] } }))
        .await;
    assert_eq!(state("few").await, is("False", "PolicyContradiction"));
    assert_eq!(state("other").await, is("False", "PolicyContradiction"));
    cluster.delete_policy("other").await;
    assert_eq!(state("few").await, is("True", "Accepted"));
    cluster.writes();
    cluster.pass_hours(24).await;
    assert_eq!(cluster.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_sees_some_namespaces_holds_to_policies_and_leaves_their_status_alone() {
    let mut cluster = Cluster::deployed(timeless(&["shop"]), false, Overlay::Namespaced).await;
    cluster.run_controller();
    cluster.policy("none", json!({ "issuance": "Deny" })).await;
    assert_eq!(cluster.issue("web", json!({})).await.ready().1, "IssuanceDenied");
    assert_eq!(cluster.policy_status("none").await, TokenPolicyStatus::default());
    // It asks for nothing that it has no right to.
    let refused = |request: &&kube_sandbox::RequestRecord| request.code == 403;
    assert_eq!(cluster.sandbox.requests().all().iter().filter(refused).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn under_a_policy_that_cannot_be_read_nothing_is_issued() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({})).await;
    cluster.loosen_schema("tokenpolicies").await;
    let resource = ApiResource::erase::<TokenPolicy>(&());
    let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &resource);
    let odd = DynamicObject::new("odd", &resource).data(json!({ "spec": { "expiry": { "max": "a month" } } }));
    api.create(&PostParams::default(), &odd).await.unwrap();
    cluster.pass(COUNTED).await;
    let odd = api.get("odd").await.unwrap();
    let told = &odd.data["status"]["conditions"][0];
    assert_eq!(
        (&told["type"], &told["status"], &told["reason"]),
        (&json!("Ready"), &json!("False"), &json!("InvalidSpec"))
    );
    assert!(cluster.metric("tokenwright_policies_unreadable 1"));
    assert_eq!(cluster.state("web").await, is("False", "PolicyUnreadable", Some(1)));
    assert_eq!(cluster.issue("new", json!({})).await.held(), None);
    cluster.pass(COUNTED).await;
    cluster.writes();
    cluster.pass_hours(24).await;
    assert_eq!(cluster.writes(), [""; 0]);

    let patch = Patch::Merge(json!({ "spec": { "expiry": { "max": "30d" } } }));
    api.patch("odd", &PatchParams::default(), &patch).await.unwrap();
    cluster.idle().await;
    assert_eq!(cluster.state("web").await, is("True", "Issued", Some(1)));
    assert_eq!(cluster.state("new").await, is("True", "Issued", Some(1)));
    assert!(cluster.metric("tokenwright_policies_unreadable 0"));
}

/// The examples of the documentation are in force as they stand.
#[tokio::test(start_paused = true)]
async fn the_policies_among_the_examples_are_accepted() {
    let cluster = Cluster::start().await;
    let text = include_str!("../../../examples/policies.yaml");
    let policies: Vec<TokenPolicy> = serde_saphyr::from_multiple(text).unwrap();
    cluster
        .organisation(json!({
            "roles": [{ "name": "Developer" }, { "name": "Reader" }],
            "ipFilters": [{ "name": "office", "rules": [{ "action": "Allow", "address": "192.0.2.0/24" }] }],
        }))
        .await;
    cluster
        .label_organisation("acme", json!({ "tier": "production" }))
        .await;
    for policy in &policies {
        cluster.policies().create(&PostParams::default(), policy).await.unwrap();
    }
    for policy in &policies {
        let status = cluster.policy_status(policy.metadata.name.as_ref().unwrap()).await;
        assert_eq!(ready(&status).1, "Accepted", "{:?}", ready(&status));
    }
    assert!(policies.len() >= 4);
}

/// A role of its own choice is not all that a token can do: it can name permissions too.
#[tokio::test(start_paused = true)]
async fn what_the_examples_call_reading_is_reading() {
    let cluster = Cluster::start().await;
    let text = include_str!("../../../examples/policies.yaml");
    let policies: Vec<TokenPolicy> = serde_saphyr::from_multiple(text).unwrap();
    let personal = policies
        .iter()
        .find(|policy| policy.metadata.name.as_deref() == Some("personal"))
        .unwrap();
    cluster
        .organisation(json!({
            "roles": [{ "name": "Reader", "permissions": ["orders:read"] }],
            "members": [{ "kind": "User", "name": "zoe", "role": "Reader" }],
        }))
        .await;
    cluster
        .policies()
        .create(&PostParams::default(), personal)
        .await
        .unwrap();
    cluster.idle().await;
    for (name, role, permissions, status) in [
        ("reads", json!("Reader"), json!([]), "True"),
        ("does-all", json!(null), json!(["*"]), "False"),
        ("reads-and-writes", json!("Reader"), json!(["orders:write"]), "False"),
    ] {
        let own = json!({ "type": "Personal", "user": "zoe", "role": role, "permissions": permissions });
        assert_eq!(cluster.issue(name, own).await.ready().0, status, "{name}");
    }
}
