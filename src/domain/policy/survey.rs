//! What a policy hits, among all there is: for its own status, and for whoever wants to know before applying it.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::{Candidate, Policy, Seniority, Stage, Surroundings, Verdict, findings};
use crate::{
    api::{
        ApiToken, ApiTokenStatus, OrganisationSpec, PolicyCounts, TokenPolicy, TokenPolicyStatus, ViolatingToken,
        condition::{self, Finding, READY, Reason},
    },
    domain::{
        admission::{self, Refusal},
        lifecycle::Notice,
    },
};

/// The schema has room for as many.
const MOST_SHOWN: usize = 20;
/// More would flood the condition; they are told once these are mended.
const MOST_TOLD: usize = 5;

/// Labels of an object.
type Labels = BTreeMap<String, String>;

/// Everything that policies and tokens are judged by.
#[derive(Clone, Debug, Default)]
pub struct Landscape<'a> {
    /// The organisations, by name, with their labels.
    pub organisations: BTreeMap<&'a str, (&'a OrganisationSpec, &'a Labels)>,
    /// The labels of the namespaces, by name.
    pub namespaces: BTreeMap<&'a str, &'a Labels>,
    /// The policies.
    pub policies: Vec<Policy<'a>>,
}

/// What a policy hits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// How many tokens.
    pub tokens: PolicyCounts,
    /// The first of those that violate it, by namespace and name.
    pub violations: Vec<ViolatingToken>,
}

impl<'a> Landscape<'a> {
    /// What `policy` hits among `tokens`, whether it is enforced or only warns. Tokens that are being deleted do not count.
    pub fn survey(&self, policy: Policy<'a>, tokens: &[&'a ApiToken], now: Timestamp) -> Survey {
        let mut survey = Survey::default();
        let seniority = match policy.spec.max_tokens {
            Some(_) => Seniority::of(tokens.iter().copied()),
            None => Seniority::default(),
        };
        let mut selected: HashMap<&str, bool> = HashMap::new();
        let mut violating: Vec<(&ApiToken, Verdict)> = Vec::new();
        for &token in tokens {
            let organisation = &*token.spec.organisation;
            let is_selected = *selected
                .entry(organisation)
                .or_insert_with(|| policy.spec.selects(organisation, self.labels_of(organisation)));
            if !is_selected || !policy.spec.is_for(token.spec.type_) || token.metadata.deletion_timestamp.is_some() {
                continue;
            }
            survey.tokens.matched += 1;
            let verdict = self.judge(policy, token, &seniority, now);
            if !verdict.violations.is_empty() || !verdict.warnings.is_empty() {
                violating.push((token, verdict));
            }
        }
        survey.tokens.violating = u32::try_from(violating.len()).unwrap_or(u32::MAX);
        violating.sort_unstable_by_key(|(token, _)| (&token.metadata.namespace, &token.metadata.name));
        violating.truncate(MOST_SHOWN);
        survey.violations = violating.iter().map(|(token, verdict)| shown(token, verdict)).collect();
        survey
    }

    /// What is wrong with `policy` itself, as [`findings`] has it.
    pub fn findings(&self, policy: Policy<'a>) -> Vec<Refusal> {
        let selects = |policy: Policy<'_>, name: &str, labels: &Labels| policy.spec.selects(name, labels);
        let selected: Vec<_> = self
            .organisations
            .iter()
            .filter(|(name, (_, labels))| selects(policy, name, labels))
            .collect();
        let shares = |other: &&Policy<'_>| {
            let mut selected = selected.iter();
            selected.any(|(name, (_, labels))| selects(**other, name, labels))
        };
        let surroundings = Surroundings {
            organisations: selected.iter().map(|(name, (spec, _))| (**name, *spec)).collect(),
            others: self.policies.iter().filter(shares).copied().collect(),
        };
        findings(&policy, &surroundings)
    }

    fn judge(&self, policy: Policy<'_>, token: &ApiToken, seniority: &Seniority, now: Timestamp) -> Verdict {
        const NO_LABELS: &Labels = &Labels::new();
        let namespace = token.metadata.namespace.as_deref().unwrap_or_default();
        let labels = self.namespaces.get(namespace).copied().unwrap_or(NO_LABELS);
        let organisation = self.organisations.get(&*token.spec.organisation).map(|(spec, _)| *spec);
        let none_yet = ApiTokenStatus::default();
        let status = token.status.as_ref().unwrap_or(&none_yet);
        let candidate = Candidate {
            token,
            status,
            organisation,
            older: seniority.older(token),
        };
        let granted = status.grant.as_ref();
        match admission::judge(token, organisation, labels) {
            admission::Verdict::Granted(grant) => candidate.judge(&[policy], &grant, Stage::Request { granted }, now),
            _ => granted.map_or_else(Verdict::default, |granted| {
                candidate.judge(&[policy], granted, Stage::Standing, now)
            }),
        }
    }

    fn labels_of(&self, organisation: &str) -> &Labels {
        const NONE: &Labels = &Labels::new();
        self.organisations.get(organisation).map_or(NONE, |(_, labels)| labels)
    }
}

fn shown(token: &ApiToken, verdict: &Verdict) -> ViolatingToken {
    let found = verdict.violations.iter().chain(&verdict.warnings);
    let messages: Vec<&str> = found.map(|violation| &*violation.message).collect();
    ViolatingToken {
        namespace: token.metadata.namespace.clone().unwrap_or_default(),
        name: token.metadata.name.clone().unwrap_or_default(),
        message: messages.join(" "),
    }
}

/// The policy's status with what was found, and a notice when something is newly wrong with the policy itself.
pub fn status(
    policy: &TokenPolicy,
    survey: Survey,
    findings: &[Refusal],
    now: Timestamp,
) -> (TokenPolicyStatus, Option<Notice>) {
    let mut status = policy.status.clone().unwrap_or_default();
    let generation = policy.metadata.generation;
    let ready = ready(findings);
    let known = condition::find(&status.conditions, READY).map(|known| &*known.reason);
    let news = !ready.holds && known != Some(ready.reason.as_str());
    let notice = news.then(|| Notice::warning(ready.reason.as_str(), ready.message.clone()));
    condition::set(&mut status.conditions, READY, &ready, generation, now);
    status.observed_generation = generation;
    status.tokens = Some(survey.tokens);
    status.violations = survey.violations;
    (status, notice)
}

fn ready(findings: &[Refusal]) -> Finding {
    let messages: Vec<&str> = findings.iter().take(MOST_TOLD).map(|found| &*found.message).collect();
    match findings.first() {
        None => Finding::yes(Reason::Accepted, "The policy is in force."),
        Some(first) => Finding::no(first.reason, messages.join(" ")),
    }
}
