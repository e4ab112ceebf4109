//! What holds for any policies in any order.

use super::*;

fn lifetime() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["1d", "24h", "7d", "30d", "90d"])
}

fn names(of: &[&'static str]) -> impl Strategy<Value = Vec<&'static str>> + use<> {
    subsequence(of.to_vec(), 0..=of.len())
}

fn policy(enforced: bool) -> impl Strategy<Value = TokenPolicySpec> {
    use prop::option::of as maybe;
    let expiry = (
        any::<bool>(),
        maybe(lifetime()),
        maybe(lifetime()),
        maybe(names(&["1d", "24h", "7d", "30d"])),
    );
    let rights = (
        maybe(names(&["Reader", "Admin"])),
        maybe(names(&["a", "a:*", "b", "*"])),
        any::<bool>(),
        any::<bool>(),
    );
    let rest = (
        names(&["office", "vpn"]),
        any::<bool>(),
        maybe(1_u32..4),
        maybe((lifetime(), prop::sample::select(vec!["Suspend", "Delete"]))),
        prop::bool::weighted(0.1),
        prop::sample::select(vec![vec![], vec!["Organisation"], vec!["Personal"]]),
    );
    (expiry, rights, rest).prop_map(move |(expiry, rights, rest)| {
        let (required, max, default, allowed) = expiry;
        let (roles, permissions, updates, projects) = rights;
        let (filters, custom, most, idle, denied, types) = rest;
        spec(json!({
            "types": types,
            "issuance": if denied { "Deny" } else { "Allow" },
            "expiry": { "required": required, "max": max, "default": default, "allowed": allowed },
            "roles": { "allowed": roles },
            "permissions": { "allowed": permissions, "allowUpdates": updates },
            "projects": { "required": projects },
            "ipFilters": { "required": filters, "allowCustom": custom },
            "maxTokens": most,
            "idle": idle.map(|(after, action)| json!({ "after": after, "action": action })),
            "enforcement": if enforced { "Enforce" } else { "Warn" },
        }))
    })
}

fn rights() -> impl Strategy<Value = Grant> {
    (
        prop::option::of(prop::sample::select(vec!["Reader", "Admin"])),
        names(&["a", "b", "a:x"]),
        prop::option::of(Just(["web"])),
        names(&["office", "home"]),
        prop::option::of(lifetime()),
    )
        .prop_map(|(role, permissions, projects, filters, after)| {
            grant(json!({
                "role": role, "permissions": permissions, "projects": projects, "ipFilters": filters,
                "expiry": after.map(|after| json!({ "after": after })),
            }))
        })
}

/// Moments around `now`, in days before it.
fn moment() -> impl Strategy<Value = Option<Timestamp>> {
    prop::option::of((0_i64..100).prop_map(|days| now() - jiff::SignedDuration::from_hours(24 * days)))
}

#[derive(Clone, Debug)]
struct World {
    rights: Grant,
    granted: Option<Grant>,
    role: Permissions,
    moments: [Option<Timestamp>; 2],
    older: u32,
}

impl World {
    fn judge(&self, policies: &[TokenPolicySpec], standing: bool) -> Verdict {
        let named: Vec<String> = (0..policies.len()).map(|number| format!("p{number}")).collect();
        let policies: Vec<Policy<'_>> = policies
            .iter()
            .zip(&named)
            .map(|(spec, name)| Policy { name, spec })
            .collect();
        self.judge_named(&policies, standing)
    }

    fn judge_named(&self, policies: &[Policy<'_>], standing: bool) -> Verdict {
        let [issued_at, idle_since] = self.moments;
        let subject = Subject {
            issued_at,
            idle_since,
            older: Older {
                organisation: self.older,
                personal: 1,
            },
            ..subject(&self.rights, &self.role)
        };
        let stage = if standing {
            Stage::Standing
        } else {
            Stage::Request {
                granted: self.granted.as_ref(),
            }
        };
        judge(policies, &subject, stage, now())
    }
}

fn world() -> impl Strategy<Value = World> {
    let role = names(&["a", "b", "*"]).prop_map(Permissions::from_iter);
    let moments = [moment(), moment()];
    (rights(), prop::option::of(rights()), role, moments, 0_u32..4).prop_map(
        |(rights, granted, role, moments, older)| World {
            rights,
            granted,
            role,
            moments,
            older,
        },
    )
}

/// Whether `one` leaves no more than `other` in any of its limits.
fn is_at_least_as_strict(one: &Limits, other: &Limits) -> bool {
    fn within<T>(one: Option<&T>, other: Option<&T>, fits: impl Fn(&T, &T) -> bool) -> bool {
        other.is_none_or(|other| one.is_some_and(|one| fits(one, other)))
    }
    let no_longer = |one: &Duration, other: &Duration| one.seconds() <= other.seconds();
    let among = |one: &std::collections::BTreeSet<Duration>, other: &std::collections::BTreeSet<Duration>| {
        one.iter()
            .all(|one| other.iter().any(|other| one.seconds() == other.seconds()))
    };
    let flags = |limits: &Limits| {
        [
            limits.denied,
            limits.expiry_required,
            limits.no_custom_filters,
            limits.frozen,
            limits.projects_required,
        ]
    };
    flags(one).iter().zip(flags(other)).all(|(one, other)| *one >= other)
        && within(one.longest.as_ref(), other.longest.as_ref(), no_longer)
        && within(one.default.as_ref(), other.default.as_ref(), no_longer)
        && within(one.imposed.as_ref(), other.imposed.as_ref(), no_longer)
        && within(one.suspended_after.as_ref(), other.suspended_after.as_ref(), no_longer)
        && within(one.deleted_after.as_ref(), other.deleted_after.as_ref(), no_longer)
        && within(one.tokens.as_ref(), other.tokens.as_ref(), |one, other| one <= other)
        && within(one.lifetimes.as_ref(), other.lifetimes.as_ref(), among)
        && within(one.roles.as_ref(), other.roles.as_ref(), |one, other| {
            one.is_subset(other)
        })
        && within(one.permissions.as_ref(), other.permissions.as_ref(), |one, other| {
            other.covers_all(one)
        })
        && one.filters.is_superset(&other.filters)
}

proptest! {
    #[test]
    fn the_order_of_policies_does_not_matter(
        world in world(), policies in vec(any::<bool>().prop_flat_map(policy), 0..5), seed in any::<u64>(), standing in any::<bool>(),
    ) {
        let named: Vec<String> = (0..policies.len()).map(|number| format!("p{number}")).collect();
        let mut given: Vec<Policy<'_>> = policies.iter().zip(&named).map(|(spec, name)| Policy { name, spec }).collect();
        let expected = world.judge_named(&given, standing);
        let turn = seed as usize % given.len().max(1);
        given.rotate_left(turn);
        prop_assert_eq!(&world.judge_named(&given, standing), &expected);
        given.reverse();
        prop_assert_eq!(&world.judge_named(&given, standing), &expected);
    }

    #[test]
    fn one_more_enforced_policy_never_allows_more(
        world in world(), policies in vec(policy(true), 0..4), more in policy(true), standing in any::<bool>(),
    ) {
        let before = world.judge(&policies, standing);
        let mut policies = policies;
        policies.push(more);
        let after = world.judge(&policies, standing);
        prop_assert!(before.violations.iter().all(|violation| after.violations.contains(violation)));
        prop_assert!(is_at_least_as_strict(&after.limits, &before.limits), "{:?} {:?}", after.limits, before.limits);
        prop_assert!(after.ends_token() >= before.ends_token());
    }

    #[test]
    fn a_policy_that_warns_changes_nothing(
        world in world(), policies in vec(policy(true), 0..4), preview in policy(false), standing in any::<bool>(),
    ) {
        let before = world.judge(&policies, standing);
        let mut policies = policies;
        policies.push(preview);
        let after = world.judge(&policies, standing);
        prop_assert_eq!((after.violations, after.limits), (before.violations, before.limits));
    }

    #[test]
    fn a_warning_is_what_would_be_a_violation(world in world(), preview in policy(false), standing in any::<bool>()) {
        let mut enforced = preview.clone();
        enforced.enforcement = crate::api::Enforcement::Enforce;
        prop_assert_eq!(world.judge(&[preview], standing).warnings, world.judge(&[enforced], standing).violations);
    }

    #[test]
    fn clamping_is_never_later_and_once_is_enough(
        policies in vec(policy(true), 0..4), issued in moment(), expires in moment(),
    ) {
        let limits = Limits::of(policies.iter());
        let issued = issued.unwrap_or(now());
        let clamped = limits.clamp(issued, expires);
        prop_assert!(expires.is_none_or(|expires| clamped.is_some_and(|clamped| clamped <= expires)));
        prop_assert!(limits.longest.as_ref().is_none_or(|longest| clamped.is_some_and(|clamped| clamped <= longest.after(issued))));
        prop_assert_eq!(limits.clamp(issued, clamped), clamped);
    }
}
