//! What a change of a policy or an organisation does to the tokens that a cluster has, beyond what is done to them now.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet},
};

use jiff::Timestamp;
use kube::ResourceExt;

use super::{
    Cluster, Finding, Name, Rule, Severity,
    object::{Set, Source},
    world::World,
};
use crate::{
    api::{ApiToken, ApiTokenStatus, Enforcement, OrganisationSpec, TokenPolicySpec},
    domain::{
        admission,
        policy::{Policy, Stage, Verdict, Violation},
    },
};

/// More would hide the errors.
const MOST_TOLD: usize = 20;

/// What becomes of a token, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Effect {
    gravity: Gravity,
    /// What else is to be known: why, and what to write instead.
    why: String,
}

/// How much a token is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gravity {
    /// What it asks for is refused, and it keeps what it has.
    Refused,
    /// It expires sooner.
    Shortened,
    /// It does not work.
    Stopped,
    /// Its Secret goes.
    Ended,
}

impl Effect {
    fn told(&self, token: &Name) -> String {
        let why = &self.why;
        match self.gravity {
            Gravity::Refused => format!("It would refuse what {token} asks for: {why}"),
            Gravity::Shortened => format!("It would cut short the credential of {token}, {why}"),
            Gravity::Stopped => format!("It would keep {token} from working: {why}"),
            Gravity::Ended => format!("It would end the Secret of {token}: {why}"),
        }
    }
}

/// The gravest of these, if it is graver than what happens to the token now.
fn news(before: &[Effect], after: Vec<Effect>) -> Option<Effect> {
    let now = before.iter().map(|effect| effect.gravity).max();
    let gravest = after.into_iter().min_by_key(|effect| Reverse(effect.gravity))?;
    (Some(gravest.gravity) > now).then_some(gravest)
}

/// Adds a note for each token that an organisation or a policy of the files hits and that is not hit now.
pub(super) fn tell(set: &Set, cluster: &Cluster, after: &World, now: Timestamp, findings: &mut Vec<Finding>) {
    let before = World::of(cluster);
    // Those in the files are judged by themselves.
    let judged: HashSet<&Name> = set.tokens.iter().map(|found| &found.source.name).collect();
    let mut tokens: Vec<(Name, &ApiToken)> = cluster
        .tokens
        .iter()
        .filter(|token| token.metadata.deletion_timestamp.is_none())
        .map(|token| (name_of(token), token))
        .filter(|(name, _)| !judged.contains(name))
        .collect();
    tokens.sort_by(|(one, _), (other, _)| one.cmp(other));
    for found in &set.policies {
        let name = &found.source.name.name;
        let old = cluster
            .policies
            .iter()
            .find(|old| old.name_any() == *name)
            .map(|old| &old.spec);
        let Some(new) = found.sound().map(|policy| &policy.spec).filter(|new| Some(*new) != old) else {
            continue;
        };
        // A preview tells what comes of it.
        let enforced = TokenPolicySpec {
            enforcement: Enforcement::Enforce,
            ..new.clone()
        };
        let effect = |token: &ApiToken| {
            let has = old
                .map(|spec| by_policy(Policy { name, spec }, token, &before, now))
                .unwrap_or_default();
            let policy = Policy { name, spec: &enforced };
            news(&has, by_policy(policy, token, after, now))
        };
        list(&found.source, &tokens, effect, findings);
    }
    for found in &set.organisations {
        let name = &found.source.name.name;
        let old = cluster.organisations.iter().find(|old| old.name_any() == *name);
        let (Some(old), Some(new)) = (old, found.sound()) else {
            continue;
        };
        let effect = |token: &ApiToken| {
            if token.spec.organisation != *name {
                return None;
            }
            let has = by_organisation(&old.spec, token, &before);
            news(&has, by_organisation(&new.spec, token, after))
        };
        list(&found.source, &tokens, effect, findings);
    }
}

fn name_of(token: &ApiToken) -> Name {
    Name {
        kind: "ApiToken".to_owned(),
        namespace: token.metadata.namespace.clone(),
        name: token.name_any(),
    }
}

fn list(
    source: &Source,
    tokens: &[(Name, &ApiToken)],
    effect: impl Fn(&ApiToken) -> Option<Effect>,
    findings: &mut Vec<Finding>,
) {
    let hit: Vec<String> = tokens
        .iter()
        .filter_map(|(name, token)| Some(effect(token)?.told(name)))
        .collect();
    let note = |message: String| source.finding(Severity::Note, Rule::Effect, "metadata.name", message);
    let more = hit.len().saturating_sub(MOST_TOLD);
    findings.extend(hit.into_iter().take(MOST_TOLD).map(note));
    if more > 0 {
        // After all others, as findings of a line are in the order of their letters.
        findings.push(note(format!("… and so on: it would hit {more} more ApiTokens.")));
    }
}

/// What one policy does to a token: to what it has, and to what it asks for.
fn by_policy(policy: Policy<'_>, token: &ApiToken, world: &World, now: Timestamp) -> Vec<Effect> {
    if !world.is_for(policy.spec, token) {
        return Vec::new();
    }
    let none_yet = ApiTokenStatus::default();
    let status = token.status.as_ref().unwrap_or(&none_yet);
    let candidate = world.candidate(token, status);
    let granted = status.grant.as_ref();
    let stage = Stage::Request { granted };
    let asked = candidate.judge(&[policy], &admission::asked(&token.spec), stage, now);
    let mut effects = of_violations(&asked, |_| Gravity::Refused);
    if let Some(granted) = granted {
        let standing = candidate.judge(&[policy], granted, Stage::Standing, now);
        let ends = |violation: &Violation| match violation.field.ends_token() {
            true => Gravity::Ended,
            false => Gravity::Stopped,
        };
        effects.extend(of_violations(&standing, ends));
        effects.extend(cut(&standing, status, now));
    }
    effects
}

fn of_violations(verdict: &Verdict, gravity: impl Fn(&Violation) -> Gravity) -> Vec<Effect> {
    let violations = verdict.violations.iter();
    violations
        .map(|violation| Effect {
            gravity: gravity(violation),
            why: violation.message.clone(),
        })
        .collect()
}

/// What a longest lifetime leaves of the credential that lives.
fn cut(verdict: &Verdict, status: &ApiTokenStatus, now: Timestamp) -> Option<Effect> {
    let issued = status.issued_at.as_ref()?.0;
    let end = status.expires_at.as_ref().map(|end| end.0);
    let left = verdict.limits.clamp(issued, end).filter(|left| Some(*left) != end)?;
    let is_over = end.is_some_and(|end| end <= now);
    (!is_over).then(|| match left <= now {
        true => Effect {
            gravity: Gravity::Ended,
            why: format!("its credential was issued at {issued}, and that is too long ago."),
        },
        false => Effect {
            gravity: Gravity::Shortened,
            why: format!("to {left}."),
        },
    })
}

/// What an organisation says to a token.
fn by_organisation(organisation: &OrganisationSpec, token: &ApiToken, world: &World) -> Vec<Effect> {
    let none = BTreeMap::new();
    let namespace = token.metadata.namespace.as_deref().unwrap_or_default();
    let labels = world.labels_of(namespace).unwrap_or(&none);
    let (gravity, refusal) = match admission::judge(token, Some(organisation), labels) {
        admission::Verdict::Granted(_) => return Vec::new(),
        admission::Verdict::Refused(refusal) => (Gravity::Refused, refusal),
        admission::Verdict::Held(refusal) => (Gravity::Stopped, refusal),
        admission::Verdict::Revoked(refusal) => (Gravity::Ended, refusal),
    };
    vec![Effect {
        gravity,
        why: refusal.message,
    }]
}
