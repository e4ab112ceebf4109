//! A world of one token: what the controller does with a plan, without a cluster.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::{
    api::{
        ApiToken, ApiTokenStatus, Credential, CredentialState, OrganisationSpec, TokenPolicySpec,
        condition::{self, READY},
    },
    domain::{
        credential::Token,
        lifecycle::{Effect, Facts, Plan, Progress, SecretFact, WorkloadFact, mint, plan},
        policy::{Older, Policy},
        secret::{Contract, held, inspect},
    },
};

/// One write that the world saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    Status,
    CreateSecret,
    ReplaceSecret,
    DeleteSecret,
    DeleteToken,
    Restart,
}

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) token: ApiToken,
    pub(super) organisation: Option<OrganisationSpec>,
    pub(super) policies: Vec<(&'static str, TokenPolicySpec)>,
    pub(super) unreadable_policy: Option<&'static str>,
    pub(super) older: Older,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) secret: Option<Secret>,
    pub(super) workloads: Vec<WorkloadFact>,
    pub(super) denied: Option<String>,
    pub(super) deleted: bool,
    pub(super) trust_created_by: bool,
    pub(super) writes: Vec<Write>,
    pub(super) notices: Vec<&'static str>,
    /// Crash instead of making the write after this many.
    pub(super) crash_after: Option<usize>,
    entropy: StdRng,
    minted: Option<(u64, Token)>,
}

pub(super) struct Crashed;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

impl World {
    pub(super) fn new(spec: Value) -> Self {
        let mut manifest = json!({ "organisation": "acme", "role": "Admin" });
        manifest
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        let mut token = ApiToken::new("web", serde_json::from_value(manifest).unwrap());
        token.metadata.namespace = Some("shop".to_owned());
        token.metadata.uid = Some("uid-1".to_owned());
        token.metadata.generation = Some(1);
        Self {
            now: at("2026-01-01T00:00:00Z"),
            token,
            organisation: Some(organisation(json!({}))),
            policies: Vec::new(),
            unreadable_policy: None,
            older: Older::default(),
            labels: BTreeMap::new(),
            secret: None,
            workloads: Vec::new(),
            denied: None,
            deleted: false,
            trust_created_by: false,
            writes: Vec::new(),
            notices: Vec::new(),
            crash_after: None,
            entropy: StdRng::seed_from_u64(7),
            minted: None,
        }
    }

    /// Changes the spec as `kubectl patch --type=merge` would.
    pub(super) fn patch(&mut self, patch: Value) {
        let mut spec = serde_json::to_value(&self.token.spec).unwrap();
        json_patch_merge(&mut spec, &patch);
        self.token.spec = serde_json::from_value(spec).unwrap();
        self.token.metadata.generation = self.token.metadata.generation.map(|generation| generation + 1);
    }

    /// Puts a policy in force, or another in its place.
    pub(super) fn policy(&mut self, name: &'static str, spec: Value) {
        self.policies.retain(|(known, _)| *known != name);
        self.policies.push((name, serde_json::from_value(spec).unwrap()));
    }

    /// Reconciles until nothing is left to do, and returns the last plan.
    pub(super) fn settle(&mut self) -> Plan {
        self.try_settle().unwrap_or_else(|_| panic!("crashed"))
    }

    pub(super) fn try_settle(&mut self) -> Result<Plan, Crashed> {
        for _ in 0..20 {
            let plan = self.plan();
            let mut status = plan.status.clone();
            if let Effect::Mint(wanted) = &plan.effect {
                let (with_pending, plain) = mint(&self.token, wanted, &status, &mut self.entropy, self.now);
                status = with_pending;
                self.minted = Some((wanted.id, plain));
            }
            let changed = self.token.status.as_ref() != Some(&status);
            if changed {
                self.write(Write::Status)?;
                self.token.status = Some(status);
            }
            self.notices.extend(plan.notices.iter().map(|notice| notice.reason));
            match &plan.effect {
                Effect::Nothing if changed => {}
                Effect::Nothing => return Ok(plan),
                Effect::Mint(_) => {}
                Effect::WriteSecret { id } => {
                    let (minted, plain) = self.minted.clone().unwrap();
                    assert_eq!(minted, *id);
                    self.put_secret(*id, &plain)?;
                    self.minted = None;
                }
                Effect::RepairSecret { id } => {
                    let (_, plain) = held(&self.token, self.secret.as_ref().unwrap()).unwrap();
                    self.put_secret(*id, &plain)?;
                }
                Effect::DeleteSecret => {
                    self.write(Write::DeleteSecret)?;
                    self.secret = None;
                }
                Effect::DeleteToken => {
                    self.write(Write::DeleteToken)?;
                    (self.secret, self.deleted) = (None, true);
                    return Ok(plan);
                }
                Effect::Restart(workloads) => {
                    self.write(Write::Restart)?;
                    for fact in &mut self.workloads {
                        if workloads.contains(&fact.workload) {
                            fact.progress = Progress::RollingOut;
                        }
                    }
                }
            }
        }
        panic!("did not settle");
    }

    /// The controller starts again: whatever it held in memory is gone.
    pub(super) fn restart(&mut self) {
        self.minted = None;
        self.crash_after = None;
    }

    pub(super) fn plan(&self) -> Plan {
        let secret = self
            .secret
            .as_ref()
            .map_or(SecretFact::Absent, |secret| inspect(&self.token, secret));
        let restarting = self
            .token
            .status
            .iter()
            .flat_map(|status| &status.credentials)
            .any(|credential| credential.restarting);
        let facts = Facts {
            organisation: self.organisation.as_ref(),
            policies: &self
                .policies
                .iter()
                .map(|(name, spec)| Policy { name, spec })
                .collect::<Vec<_>>(),
            unreadable_policy: self.unreadable_policy,
            older: self.older,
            labels: &self.labels,
            secret,
            minted: self.minted.as_ref().map(|(id, _)| *id),
            denied: self.denied.as_deref(),
            // As the controller does: they are looked at once the status says that they are to restart.
            workloads: restarting.then_some(self.workloads.as_slice()),
            history: 3,
            trust_created_by: self.trust_created_by,
        };
        plan(&self.token, &facts, self.now)
    }

    /// Lets time pass to the next moment that a plan asked for, and settles there.
    pub(super) fn next(&mut self) -> Plan {
        self.now = self.plan().next.expect("nothing is coming");
        self.settle()
    }

    pub(super) fn pass(&mut self, time: SignedDuration) -> Plan {
        self.now += time;
        self.settle()
    }

    fn put_secret(&mut self, id: u64, plain: &Token) -> Result<(), Crashed> {
        self.write(if self.secret.is_some() {
            Write::ReplaceSecret
        } else {
            Write::CreateSecret
        })?;
        let credential = self
            .status()
            .credentials
            .iter()
            .find(|credential| credential.id == id)
            .unwrap();
        self.secret = Some(Contract::new(&self.token, credential).secret(plain, self.secret.as_ref()));
        Ok(())
    }

    fn write(&mut self, write: Write) -> Result<(), Crashed> {
        if self.crash_after == Some(self.writes.len()) {
            return Err(Crashed);
        }
        self.writes.push(write);
        Ok(())
    }

    pub(super) fn status(&self) -> &ApiTokenStatus {
        self.token.status.as_ref().unwrap()
    }

    /// Ready's status and reason.
    pub(super) fn ready(&self) -> (bool, &str) {
        let ready = condition::find(&self.status().conditions, READY).unwrap();
        (ready.status == "True", &ready.reason)
    }

    pub(super) fn message(&self) -> &str {
        &condition::find(&self.status().conditions, READY).unwrap().message
    }

    pub(super) fn credential(&self, id: u64) -> Option<&Credential> {
        self.status().credentials.iter().find(|credential| credential.id == id)
    }

    pub(super) fn state(&self, id: u64) -> Option<CredentialState> {
        self.credential(id).map(|credential| credential.state)
    }

    /// The ids of the credentials a verifier would accept by their own record at this moment.
    pub(super) fn accepted(&self) -> Vec<u64> {
        let alive = |credential: &&Credential| {
            credential.state != CredentialState::Retired
                && credential.expires_at.as_ref().is_none_or(|end| end.0 > self.now)
                && (credential.state != CredentialState::Retiring
                    || credential.retired_at.as_ref().is_none_or(|end| end.0 > self.now))
        };
        self.status()
            .credentials
            .iter()
            .filter(alive)
            .map(|credential| credential.id)
            .collect()
    }

    /// The id of the credential whose token the Secret holds.
    pub(super) fn held(&self) -> Option<u64> {
        held(&self.token, self.secret.as_ref()?).map(|(credential, _)| credential.id)
    }

    /// A value of the Secret.
    pub(super) fn data(&self, key: &str) -> Option<String> {
        let value = self.secret.as_ref()?.data.as_ref()?.get(key)?;
        Some(String::from_utf8(value.0.clone()).unwrap())
    }

    /// Somebody writes a value into the Secret.
    pub(super) fn edit(&mut self, key: &str, value: &str) {
        let data = &mut self.secret.as_mut().unwrap().data;
        let value = k8s_openapi::ByteString(value.as_bytes().to_vec());
        data.as_mut().unwrap().insert(key.to_owned(), value);
    }
}

pub(super) fn organisation(more: Value) -> OrganisationSpec {
    let mut spec = json!({ "tokenPrefix": "acme", "namespaces": { "names": ["shop"] } });
    json_patch_merge(&mut spec, &more);
    serde_json::from_value(spec).unwrap()
}

fn json_patch_merge(target: &mut Value, patch: &Value) {
    let (Value::Object(_), Value::Object(changes)) = (&target, patch) else {
        *target = patch.clone();
        return;
    };
    let target = target.as_object_mut().unwrap();
    for (key, change) in changes {
        if change.is_null() {
            target.remove(key);
        } else {
            json_patch_merge(target.entry(key).or_insert(Value::Null), change);
        }
    }
}
