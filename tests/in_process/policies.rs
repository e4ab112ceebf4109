//! TokenPolicies and the tokens that live under them.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use kube_sandbox::faults::{Fault, Match};
use serde_json::{Value, json};
use tokenwright::{
    api::{
        ApiToken, ApiTokenStatus, Organisation, PolicyCounts, Sighting, TokenPolicy, TokenPolicyStatus,
        condition::{self, POLICY_COMPLIANT, READY},
    },
    controller::Settings,
};

use crate::{
    cluster::{Cluster, START},
    deployed::Overlay,
};

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

#[tokio::test(start_paused = true)]
async fn a_longest_life_cuts_live_tokens_and_nothing_gives_it_back() {
    let cluster = Cluster::start().await;
    cluster.issue("forever", json!({})).await;
    cluster.issue("long", json!({ "expiry": { "after": "90d" } })).await;
    cluster.issue("short", json!({ "expiry": { "after": "10d" } })).await;
    cluster.pass_hours(24 * 5).await;
    cluster.policy("max", json!({ "expiry": { "max": "30d" } })).await;
    let ends = async || {
        let [forever, long, short] = ["forever", "long", "short"].map(async |name| cluster.expires(name).await);
        [forever.await, long.await, short.await]
    };
    assert_eq!(ends().await, [Some(30), Some(30), Some(10)]);
    assert_eq!(cluster.state("long").await, is("False", "PolicyViolation", Some(1)));
    cluster.policy("max", json!({ "expiry": { "max": "60d" } })).await;
    assert_eq!(ends().await, [Some(30), Some(30), Some(10)]);
    cluster.delete_policy("max").await;
    assert_eq!(ends().await, [Some(30), Some(30), Some(10)]);
    assert_eq!(cluster.state("long").await, is("True", "Issued", Some(1)));
    cluster.pass_hours(24 * 3).await;
    // Eight days old by now.
    cluster.policy("max", json!({ "expiry": { "max": "7d" } })).await;
    for name in ["forever", "long", "short"] {
        assert_eq!(cluster.state(name).await.2, None, "{name}");
        assert!(cluster.token(name).await.secret.is_none(), "{name}");
    }
    cluster.delete_policy("max").await;
    for name in ["forever", "long", "short"] {
        assert_eq!(cluster.state(name).await, is("False", "Expired", None), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_none_may_be_issued_secrets_go_and_come_back_with_another_token() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({})).await;
    let before = cluster.token("web").await.value("token");
    cluster.policy("none", json!({ "issuance": "Deny" })).await;
    assert_eq!(cluster.state("web").await, is("False", "IssuanceDenied", None));
    let token = cluster.token("web").await;
    assert!(token.secret.is_none() && token.accepted().is_empty());
    assert!(cluster.events("web").await.contains(&"IssuanceDenied".to_owned()));
    assert_eq!(cluster.issue("new", json!({})).await.ready().1, "IssuanceDenied");
    cluster.delete_policy("none").await;
    assert_eq!(cluster.state("web").await, is("True", "Issued", Some(2)));
    assert_eq!(cluster.state("new").await, is("True", "Issued", Some(1)));
    assert_ne!(cluster.token("web").await.value("token"), before);
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_for_the_types_it_names() {
    let cluster = Cluster::start().await;
    cluster
        .organisation(json!({ "members": [{ "kind": "User", "name": "ann", "role": "Admin" }] }))
        .await;
    cluster.issue("web", json!({})).await;
    cluster
        .issue("mine", json!({ "type": "Personal", "user": "ann" }))
        .await;
    cluster
        .policy("none", json!({ "issuance": "Deny", "types": ["Personal"] }))
        .await;
    assert_eq!(cluster.state("web").await, is("True", "Issued", Some(1)));
    assert_eq!(cluster.compliance("web").await, None);
    assert_eq!(cluster.state("mine").await, is("False", "IssuanceDenied", None));
}

#[tokio::test(start_paused = true)]
async fn what_tokens_may_have_is_what_policies_allow() {
    for (policy, refused, mended) in [
        (
            json!({ "roles": { "allowed": ["Owner", "Member"] } }),
            json!({ "role": "Admin" }),
            json!({ "role": "Owner" }),
        ),
        (
            json!({ "permissions": { "allowed": ["orders:*"] } }),
            json!({ "role": "Member", "permissions": ["orders:read", "users:read"] }),
            json!({ "permissions": ["orders:read"] }),
        ),
        (
            json!({ "projects": { "required": true } }),
            json!({}),
            json!({ "projects": ["web"] }),
        ),
        (
            json!({ "expiry": { "required": true } }),
            json!({}),
            json!({ "expiry": { "after": "30d" } }),
        ),
        (
            json!({ "expiry": { "allowed": ["7d", "30d"] } }),
            json!({ "expiry": { "after": "8d" } }),
            json!({ "expiry": { "after": "7d" } }),
        ),
        (
            json!({ "ipFilters": { "allowCustom": false } }),
            json!({ "ipFilters": ["office"] }),
            json!({ "ipFilters": null }),
        ),
    ] {
        let cluster = Cluster::start().await;
        let rules = json!([{ "action": "Allow", "address": "all" }]);
        cluster
            .organisation(json!({
                "projects": [{ "name": "web" }], "ipFilters": [{ "name": "office", "rules": rules }],
            }))
            .await;
        cluster.policy("strict", policy.clone()).await;
        let token = cluster.issue("web", refused).await;
        assert_eq!(
            (token.ready(), token.held()),
            (("False", "PolicyViolation"), None),
            "{policy}"
        );
        let message = token.message();
        assert!(message.starts_with("TokenPolicy \"strict\" ("), "{message}");
        cluster.patch("web", mended).await;
        assert_eq!(cluster.state("web").await, is("True", "Issued", Some(1)), "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn frozen_rights_stay_as_they_were_granted() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({ "role": "Member" })).await;
    cluster
        .policy("frozen", json!({ "permissions": { "allowUpdates": false } }))
        .await;
    cluster.patch("web", json!({ "role": "Admin" })).await;
    assert_eq!(cluster.state("web").await, is("False", "PolicyViolation", Some(1)));
    let role = |token: &ApiTokenStatus| token.grant.as_ref().unwrap().role.clone();
    assert_eq!(role(cluster.token("web").await.status()).as_deref(), Some("Member"));
    cluster.delete_policy("frozen").await;
    assert_eq!(cluster.state("web").await, is("True", "Issued", Some(1)));
    assert_eq!(role(cluster.token("web").await.status()).as_deref(), Some("Admin"));
}

#[tokio::test(start_paused = true)]
async fn a_default_is_for_those_that_ask_for_no_end() {
    let cluster = Cluster::start().await;
    cluster.policy("ends", json!({ "expiry": { "default": "7d" } })).await;
    cluster.issue("web", json!({})).await;
    cluster.issue("own", json!({ "expiry": { "after": "9d" } })).await;
    assert_eq!(
        (cluster.expires("web").await, cluster.expires("own").await),
        (Some(7), Some(9))
    );
    cluster.pass_hours(24 * 8).await;
    assert_eq!(cluster.state("web").await, is("False", "Expired", None));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_tokens_have_their_place_and_the_next_takes_one_that_is_given_back() {
    let cluster = Cluster::start().await;
    cluster.policy("few", json!({ "maxTokens": 2 })).await;
    for (name, spec) in [
        ("a", json!({ "expiry": { "after": "10d" } })),
        ("b", json!({})),
        ("c", json!({})),
        ("d", json!({})),
    ] {
        cluster.issue(name, spec).await;
        cluster.pass(Duration::from_secs(2)).await;
    }
    let held = async || {
        let mut held = Vec::new();
        for name in ["b", "c", "d"] {
            held.push(cluster.state(name).await.2.is_some());
        }
        held
    };
    assert_eq!(held().await, [true, false, false]);
    cluster.writes();
    // One is deleted, and later the oldest expires.
    cluster.tokens().delete("b", &DeleteParams::default()).await.unwrap();
    cluster.pass(COUNTED).await;
    assert_eq!(cluster.state("c").await, is("True", "Issued", Some(1)));
    assert_eq!(cluster.state("d").await, is("False", "PolicyViolation", None));
    let of_d = |request: &&kube_sandbox::RequestRecord| request.write && request.name == "d";
    assert_eq!(cluster.sandbox.requests().all().iter().filter(of_d).count(), 0);
    cluster.pass_hours(24 * 10).await;
    assert_eq!(cluster.state("a").await, is("False", "Expired", None));
    assert_eq!(cluster.state("d").await, is("True", "Issued", Some(1)));
    // What expired is given a new life, and is the oldest again.
    cluster.patch("a", json!({ "rotation": { "trigger": "again" } })).await;
    assert_eq!(cluster.state("a").await, is("True", "Issued", Some(2)));
    assert_eq!(cluster.state("d").await.1, "PolicyViolation");
    // More may be had.
    cluster.policy("few", json!({ "maxTokens": 3 })).await;
    assert_eq!(cluster.state("d").await, is("True", "Issued", Some(1)));
}

#[tokio::test(start_paused = true)]
async fn places_are_counted_right_after_a_restart_and_a_missed_deletion() {
    let mut cluster = Cluster::start().await;
    cluster.policy("few", json!({ "maxTokens": 1 })).await;
    for name in ["a", "b", "c"] {
        cluster.issue(name, json!({})).await;
        cluster.pass(Duration::from_secs(2)).await;
    }
    cluster.stop().await;
    cluster.writes();
    cluster.run_controller();
    cluster.pass(COUNTED).await;
    assert_eq!(cluster.writes(), [""; 0]);
    cluster.sandbox.faults().pause_watches("apitokens");
    cluster.tokens().delete("a", &DeleteParams::default()).await.unwrap();
    cluster.sandbox.faults().expire_watches("apitokens");
    cluster.sandbox.faults().resume_watches("apitokens");
    cluster.pass(Duration::from_secs(10)).await;
    assert_eq!(cluster.state("b").await, is("True", "Issued", Some(1)));
    assert_eq!(cluster.state("c").await.1, "PolicyViolation");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_is_suspended_or_deleted_in_time() {
    for (action, held, gone) in [("Suspend", Some(1), false), ("Delete", None, true)] {
        let cluster = Cluster::start().await;
        cluster
            .policy("idle", json!({ "idle": { "after": "10d", "action": action } }))
            .await;
        cluster.issue("unused", json!({})).await;
        cluster.issue("used", json!({})).await;
        cluster.pass_hours(24 * 6).await;
        use_token(&cluster, "used").await;
        cluster.pass_hours(24 * 4 - 1).await;
        assert_eq!(cluster.state("unused").await, is("True", "Issued", Some(1)), "{action}");
        cluster.pass_hours(2).await;
        assert_eq!(cluster.state("unused").await, is("False", "Idle", held), "{action}");
        assert_eq!(cluster.token("unused").await.secret.is_none(), gone, "{action}");
        assert_eq!(cluster.state("used").await, is("True", "Issued", Some(1)), "{action}");
        cluster.pass_hours(24 * 6).await;
        assert_eq!(cluster.state("used").await, is("False", "Idle", held), "{action}");
        cluster
            .patch("unused", json!({ "rotation": { "trigger": "back" } }))
            .await;
        let (ready, _, held) = cluster.state("unused").await;
        assert_eq!((&*ready, held), ("True", Some(2)), "{action}");
    }
}

/// As a verifier brings it back.
async fn use_token(cluster: &Cluster, name: &str) {
    let seen = Sighting {
        at: Time(cluster.now()),
        from: None,
        credential: Some(1),
    };
    let patch = Patch::Merge(json!({ "status": { "lastUsed": seen } }));
    let params = PatchParams::default();
    cluster.tokens().patch_status(name, &params, &patch).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_warns_reports_and_changes_nothing_else() {
    let cluster = Cluster::start().await;
    let before = cluster.issue("web", json!({})).await;
    cluster
        .policy(
            "preview",
            json!({
                "enforcement": "Warn", "issuance": "Deny", "expiry": { "max": "1d", "required": true }, "maxTokens": 1,
                "idle": { "after": "1h", "action": "Delete" },
            }),
        )
        .await;
    let status = cluster.policy_status("preview").await;
    let one = PolicyCounts {
        matched: 1,
        violating: 1,
    };
    assert_eq!(status.tokens, Some(one));
    let violation = &status.violations[0];
    assert_eq!((&*violation.namespace, &*violation.name), ("shop", "web"));
    let says = "TokenPolicy \"preview\" (issuance): no tokens of this type are issued";
    assert!(violation.message.starts_with(says), "{}", violation.message);
    let (ready, reason, message) = cluster.compliance("web").await.unwrap();
    assert_eq!((&*ready, &*reason), ("True", "Compliant"));
    assert!(message.contains(says), "{message}");
    cluster.pass_hours(24 * 3).await;
    assert_eq!(cluster.state("web").await, is("True", "Issued", Some(1)));
    assert_eq!(cluster.expires("web").await, None);
    let unlike_conditions = |status: &ApiTokenStatus| {
        let mut status = status.clone();
        status
            .conditions
            .retain(|condition| condition.type_ != POLICY_COMPLIANT);
        status
    };
    let after = cluster.token("web").await;
    assert_eq!(unlike_conditions(after.status()), unlike_conditions(before.status()));
    assert_eq!(cluster.issue("new", json!({})).await.held(), Some(1));
    let organisation: Organisation = Api::all(cluster.client.clone()).get("acme").await.unwrap();
    assert_eq!(organisation.status.unwrap().tokens.unwrap().violating, 0);
    cluster.delete_policy("preview").await;
    assert_eq!(cluster.compliance("web").await, None);
}

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
    assert_eq!(
        ready(&status),
        ("True", "Accepted", "The policy can mean what it says.")
    );
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
    let mut cluster = Cluster::deployed(
        Settings {
            namespaces: vec!["shop".to_owned()],
            clock_check: None,
            watch_period: None,
            ..Settings::default()
        },
        false,
        Overlay::Namespaced,
    )
    .await;
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

/// A life under policies that come, change and go, under faults that `disturb` injects before every step. Returns what
/// every token is in the end, and which status writes of tokens were too many.
async fn live(mut disturb: impl AsyncFnMut(&mut Cluster, usize)) -> Vec<(String, String, Option<i64>, bool)> {
    let mut cluster = Cluster::start().await;
    for (name, spec) in [
        ("forever", json!({})),
        ("long", json!({ "expiry": { "after": "90d" } })),
        ("rotating", json!({ "expiry": { "after": "30d", "action": "Rotate" } })),
        ("owner", json!({ "role": "Owner", "expiry": { "after": "90d" } })),
    ] {
        cluster.issue(name, spec).await;
        cluster.pass(Duration::from_secs(2)).await;
    }
    let steps = [
        ("max", Some(json!({ "expiry": { "max": "60d" } }))),
        ("roles", Some(json!({ "roles": { "allowed": ["Admin"] } }))),
        ("max", Some(json!({ "expiry": { "max": "40d" } }))),
        ("few", Some(json!({ "maxTokens": 3 }))),
        ("roles", None),
        ("max", None),
    ];
    for (step, (name, spec)) in steps.into_iter().enumerate() {
        disturb(&mut cluster, step).await;
        match spec {
            Some(spec) => cluster.policy(name, spec).await,
            None => cluster.delete_policy(name).await,
        }
        cluster.pass_hours(1).await;
    }
    disturb(&mut cluster, 6).await;
    cluster.pass_hours(24 * 25).await;
    let mut ending = Vec::new();
    for name in ["forever", "long", "rotating", "owner"] {
        let (_, reason, held) = cluster.state(name).await;
        ending.push((name.to_owned(), reason, cluster.expires(name).await, held.is_some()));
    }
    ending
}

fn undisturbed() -> Vec<(String, String, Option<i64>, bool)> {
    let token = |name: &str, reason: &str, expires, held| (name.to_owned(), reason.to_owned(), Some(expires), held);
    vec![
        token("forever", "Issued", 40, true),
        token("long", "Issued", 40, true),
        token("rotating", "Rotating", 50, true),
        // Too young by one, and cut while its role was not allowed.
        token("owner", "PolicyViolation", 40, true),
    ]
}

#[tokio::test(start_paused = true)]
async fn the_undisturbed_life_under_policies_is_as_expected() {
    assert_eq!(live(async |_, _| {}).await, undisturbed());
}

#[tokio::test(start_paused = true)]
async fn any_trouble_under_policies_ends_in_the_same_state() {
    let faults = [
        Fault::conflict(),
        Fault::too_many_requests(1),
        Fault::internal_error(),
        Fault::timeout(),
        Fault::DropRequest,
        Fault::DropAnswer,
    ];
    for fault in faults {
        for nth in 0..3 {
            let ending = live(async |cluster: &mut Cluster, _| {
                for resource in ["apitokens", "tokenpolicies"] {
                    let status = Match::writes().resource(resource).subresource("status");
                    let one = status.skip(nth).times(1);
                    cluster.sandbox.faults().inject(one, fault.clone());
                }
            })
            .await;
            assert_eq!(ending, undisturbed(), "{fault:?} at write {nth}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn watches_that_fail_at_any_step_of_a_policy_end_in_the_same_state() {
    for at in 0..7 {
        for trouble in 0..4 {
            let ending = live(async |cluster: &mut Cluster, step| {
                let faults = cluster.sandbox.faults();
                match trouble {
                    _ if step != at => faults.resume_watches("tokenpolicies"),
                    0 => faults.close_watches("*"),
                    1 => faults.expire_watches("*"),
                    2 => faults.pause_watches("tokenpolicies"),
                    _ => {
                        cluster.crash().await;
                        cluster.run_controller();
                    }
                }
            })
            .await;
            assert_eq!(ending, undisturbed(), "trouble {trouble} at step {at}");
        }
    }
}

/// The examples of the documentation are in force as they stand.
#[tokio::test(start_paused = true)]
async fn the_policies_among_the_examples_are_accepted() {
    let cluster = Cluster::start().await;
    let text = include_str!("../../examples/policies.yaml");
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

/// Ten thousand tokens under a policy that changes: what it costs. Heavy, so by `--ignored` and best optimised.
#[tokio::test(start_paused = true)]
#[ignore = "takes a while"]
async fn a_wave_over_ten_thousand_tokens() {
    const TOKENS: usize = 10_000;
    let mut cluster = Cluster::without_controller().await;
    for number in 0..TOKENS {
        let after = if number % 2 == 0 { "90d" } else { "5d" };
        cluster
            .create(&format!("t{number}"), json!({ "expiry": { "after": after } }))
            .await;
    }
    cluster.run_controller();
    cluster.pass(Duration::from_secs(30)).await;
    let ready = |token: &ApiToken| token.status.as_ref().is_some_and(|status| status.issued_at.is_some());
    assert!(cluster.list::<ApiToken>().await.iter().all(ready));
    for (name, spec, expected) in [
        (
            "max",
            json!({ "expiry": { "max": "30d" }, "maxTokens": TOKENS }),
            TOKENS,
        ),
        (
            "max",
            json!({ "expiry": { "max": "40d" }, "maxTokens": TOKENS }),
            TOKENS / 2,
        ),
        ("max", json!({ "expiry": { "max": "40d" }, "maxTokens": TOKENS + 1 }), 0),
    ] {
        cluster.writes();
        let (started, used) = (std::time::Instant::now(), processor_time());
        cluster.policy(name, spec).await;
        cluster.pass(Duration::from_secs(30)).await;
        let (took, used) = (started.elapsed(), processor_time() - used);
        let writes = cluster.writes();
        let of = |what: &str| writes.iter().filter(|write| *write == what).count();
        println!(
            "{expected} of {TOKENS} tokens changed: {} status writes of tokens, {} of the policy, {took:?}, processor {used:?}",
            of("update apitokens/status"),
            of("update tokenpolicies/status"),
        );
        assert_eq!(of("update apitokens/status"), expected);
    }
}

/// What this process has used of the processor, with everything in it.
fn processor_time() -> Duration {
    const TICK: Duration = Duration::from_millis(10);
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .collect();
    let ticks: u32 = fields
        .iter()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u32>().ok())
        .sum();
    TICK * ticks
}
