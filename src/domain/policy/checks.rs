//! The checks that one policy makes of one token, each by the name of the field it reads.

use jiff::Timestamp;

use super::{Field, Policy, Stage, Subject, Violation, is_denied};
use crate::{
    api::{Duration, ExpiryPolicy, Grant},
    domain::permission::Permissions,
};

/// All that a check may look at.
pub(super) struct Case<'a> {
    pub(super) policy: &'a Policy<'a>,
    pub(super) subject: &'a Subject<'a>,
    pub(super) stage: Stage<'a>,
    pub(super) now: Timestamp,
}

/// What is wrong, as the end of a sentence that starts with the policy and its field, and what to write instead.
type Check = fn(&Case<'_>) -> Option<(Field, String)>;

/// In the order of [`Field`].
const CHECKS: [Check; 11] = [
    issuance,
    max_tokens,
    idle,
    expiry_required,
    expiry_max,
    expiry_allowed,
    roles,
    permissions,
    updates,
    projects,
    custom_filters,
];

pub(super) fn violations(case: &Case<'_>) -> impl Iterator<Item = Violation> {
    let policy = case.policy.name;
    CHECKS
        .iter()
        .filter_map(|check| check(case))
        .map(move |(field, text)| Violation {
            policy: policy.to_owned(),
            field,
            message: format!("TokenPolicy {policy:?} ({}): {text}", field.as_str()),
        })
}

/// When a violation begins or ends by time alone.
pub(super) fn next_change(case: &Case<'_>) -> Option<Timestamp> {
    [case.idle_at(), case.fits_at()]
        .into_iter()
        .flatten()
        .filter(|&at| at > case.now)
        .min()
}

impl<'a> Case<'a> {
    fn expiry(&self) -> Option<&'a ExpiryPolicy> {
        self.policy.spec.expiry.as_ref()
    }

    fn max(&self) -> Option<&'a Duration> {
        self.expiry()?.max.as_ref()
    }

    fn is_request(&self) -> bool {
        self.stage != Stage::Standing
    }

    fn lifetime(&self) -> Option<Lifetime<'a>> {
        let expiry = self.subject.rights.expiry.as_ref()?;
        match (&expiry.after, &expiry.at) {
            (Some(after), _) => Some(Lifetime::After(after)),
            (None, at) => at.as_ref().map(|at| Lifetime::At(at.0)),
        }
    }

    /// When a fixed end, which comes nearer, is no longer too far away for a token that waits to be issued.
    fn fits_at(&self) -> Option<Timestamp> {
        let waits = self.is_request() && self.subject.issued_at.is_none();
        let max = self.max().filter(|_| waits)?;
        match self.lifetime()? {
            Lifetime::At(at) => at.checked_sub(max.signed()).ok(),
            Lifetime::After(_) => None,
        }
    }

    fn idle_at(&self) -> Option<Timestamp> {
        let idle = self.policy.spec.idle.as_ref()?;
        Some(idle.after.after(self.subject.idle_since?))
    }
}

enum Lifetime<'a> {
    After(&'a Duration),
    At(Timestamp),
}

fn issuance(case: &Case<'_>) -> Option<(Field, String)> {
    is_denied(case.policy.spec).then(|| {
        let text = "no tokens of this type are issued, and those that exist do not work. Use a token of another type or \
                    organisation, or ask the platform's administrator.";
        (Field::Issuance, text.to_owned())
    })
}

fn max_tokens(case: &Case<'_>) -> Option<(Field, String)> {
    let most = case.policy.spec.max_tokens?;
    (case.subject.older.that(case.policy.spec) >= most).then(|| {
        let text =
            format!("the organisation may have {most} such tokens, and that many are older. Delete one of them.");
        (Field::MaxTokens, text)
    })
}

fn idle(case: &Case<'_>) -> Option<(Field, String)> {
    let idle = case.policy.spec.idle.as_ref()?;
    (case.idle_at()? <= case.now).then(|| {
        let text = format!(
            "nobody has used the token for {}. Change spec.rotation.trigger to have a new one, or delete the ApiToken.",
            idle.after
        );
        (Field::Idle(idle.action.into()), text)
    })
}

fn expiry_required(case: &Case<'_>) -> Option<(Field, String)> {
    let policy = case.expiry().filter(|policy| policy.required)?;
    // Judged by what this policy itself sets: an end that another one gives must not excuse from what this one demands,
    // or one policy more would let a token in.
    let ends = policy.default.is_some() || (policy.max.is_some() && !case.is_request());
    (case.lifetime().is_none() && !ends).then(|| {
        let example = policy
            .max
            .as_ref()
            .or_else(|| policy.allowed.iter().flatten().min())
            .map_or("90d".to_owned(), Duration::to_string);
        let text = format!("a token must expire. Give it spec.expiry.after, such as {example}, or spec.expiry.at.");
        (Field::ExpiryRequired, text)
    })
}

fn expiry_max(case: &Case<'_>) -> Option<(Field, String)> {
    let max = case.max().filter(|_| case.is_request())?;
    let text = match case.lifetime()? {
        Lifetime::After(after) if after.seconds() > max.seconds() => {
            format!("spec.expiry.after is {after}, and a token may live for {max} at most. Write {max} or less.")
        }
        Lifetime::At(at) => {
            let latest = max.after(case.subject.issued_at.unwrap_or(case.now));
            if at <= latest {
                return None;
            }
            format!("spec.expiry.at is {at}, and a token may live for {max} at most. Write {latest} or earlier.")
        }
        Lifetime::After(_) => return None,
    };
    Some((Field::ExpiryMax, text))
}

fn expiry_allowed(case: &Case<'_>) -> Option<(Field, String)> {
    let allowed = case.expiry()?.allowed.as_ref().filter(|_| case.is_request())?;
    let asked = match case.lifetime()? {
        Lifetime::After(after) if allowed.iter().any(|one| one.seconds() == after.seconds()) => return None,
        Lifetime::After(after) => format!("spec.expiry.after is {after}"),
        Lifetime::At(_) => "spec.expiry.at is a fixed time, and lifetimes are given to choose from".to_owned(),
    };
    let mut allowed = allowed.clone();
    allowed.sort();
    let text = format!("{asked}. {}", instead("spec.expiry.after", &allowed));
    Some((Field::ExpiryAllowed, text))
}

fn roles(case: &Case<'_>) -> Option<(Field, String)> {
    let allowed = case.policy.spec.roles.as_ref()?.allowed.as_ref()?;
    let role = case.subject.rights.role.as_ref()?;
    (!allowed.contains(role)).then(|| {
        let text = format!(
            "a token may not have the role {role:?}. {}",
            instead("spec.role", allowed)
        );
        (Field::RolesAllowed, text)
    })
}

fn permissions(case: &Case<'_>) -> Option<(Field, String)> {
    let allowed = case.policy.spec.permissions.as_ref()?.allowed.as_ref()?;
    let most: Permissions = allowed.iter().map(|permission| &**permission).collect();
    let rights = case.subject.rights;
    let own = rights.permissions.iter().find(|permission| !most.covers(permission));
    let by_role = || case.subject.role.iter().find(|permission| !most.covers(permission));
    let wrong = match own {
        Some(own) => format!("spec.permissions has {own:?}"),
        None => format!(
            "the role {:?} permits {:?}",
            rights.role.as_deref().unwrap_or_default(),
            by_role()?
        ),
    };
    let text = format!("{wrong}, which no token may. {}", at_most(allowed));
    Some((Field::PermissionsAllowed, text))
}

fn updates(case: &Case<'_>) -> Option<(Field, String)> {
    let frozen = case
        .policy
        .spec
        .permissions
        .as_ref()
        .is_some_and(|policy| !policy.allow_updates);
    let Stage::Request { granted: Some(granted) } = case.stage else {
        return None;
    };
    (frozen && !may_do_the_same(granted, case.subject.rights)).then(|| {
        let text = "what an issued token may do is not changed. Put spec.role and spec.permissions back to what \
                    status.grant says, or make another ApiToken.";
        (Field::PermissionsAllowUpdates, text.to_owned())
    })
}

fn may_do_the_same(one: &Grant, other: &Grant) -> bool {
    let permissions = |grant: &Grant| grant.permissions.iter().map(|text| &**text).collect::<Permissions>();
    one.role == other.role && permissions(one) == permissions(other)
}

fn projects(case: &Case<'_>) -> Option<(Field, String)> {
    let required = case.policy.spec.projects.as_ref().is_some_and(|policy| policy.required);
    let is_limited = case
        .subject
        .rights
        .projects
        .as_ref()
        .is_some_and(|names| !names.is_empty());
    (required && !is_limited).then(|| {
        let text = "a token may not reach the whole organisation. Name its projects in spec.projects.";
        (Field::ProjectsRequired, text.to_owned())
    })
}

fn custom_filters(case: &Case<'_>) -> Option<(Field, String)> {
    let policy = case.policy.spec.ip_filters.as_ref()?;
    // One of its own only narrows, so it is no reason to refuse a token that works.
    let own = case
        .subject
        .rights
        .ip_filters
        .iter()
        .find(|name| !policy.required.contains(name));
    let own = own.filter(|_| case.is_request() && !policy.allow_custom)?;
    let text = format!("a token may not have IP filters of its own. Take {own:?} out of spec.ipFilters.");
    Some((Field::IpFiltersAllowCustom, text))
}

/// "Write one of …", or that there is nothing to write.
fn instead(field: &str, allowed: &[impl ToString]) -> String {
    match listed(allowed) {
        None => format!("The policy allows no {field} at all; ask the platform's administrator."),
        Some(list) => format!("For {field}, write one of: {list}."),
    }
}

fn at_most(allowed: &[String]) -> String {
    listed(allowed).map_or(
        "The policy allows none at all; ask the platform's administrator.".to_owned(),
        |list| format!("Keep to: {list}."),
    )
}

fn listed(names: &[impl ToString]) -> Option<String> {
    const SHOWN: usize = 12;
    let shown: Vec<String> = names.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = names.len() - shown.len();
    match (shown.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(shown.join(", ")),
        (false, more) => Some(format!("{}, and {more} more", shown.join(", "))),
    }
}
