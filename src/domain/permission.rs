//! Permissions: what a granted set of patterns covers, and how sets are joined and met.
//!
//! `queries:block` is one permission, `queries:*` all that start with `queries:`, `*` everything. What is not written in
//! this form grants nothing and is never covered: an object can be older than its schema.

use std::{borrow::Cow, collections::BTreeSet};

/// A granted set of permissions: sorted, and without what another pattern of the set covers anyway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Permissions {
    exact: Box<[Box<str>]>,
    /// Patterns with their `*`, in the order of what comes before it.
    wildcards: Box<[Box<str>]>,
}

impl Permissions {
    /// The set of these patterns.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        let patterns: BTreeSet<Pattern<'a>> = patterns.into_iter().filter_map(Pattern::parse).collect();
        let mut set = Self::default();
        // Wildcards come before what they cover, so one pass keeps just those that no other covers.
        let mut wildcards: Vec<Box<str>> = Vec::new();
        for pattern in patterns.iter().filter(|pattern| pattern.is_wildcard) {
            let covered = wildcards
                .iter()
                .any(|wildcard| pattern.text.starts_with(before_star(wildcard)));
            if !covered {
                wildcards.push(format!("{}*", pattern.text).into());
            }
        }
        set.wildcards = wildcards.into();
        set.exact = patterns
            .iter()
            .filter(|pattern| !pattern.is_wildcard && !set.covers_pattern(pattern))
            .map(|pattern| pattern.text.into())
            .collect();
        set
    }

    /// Whether a request that needs `required` may pass. A pattern is covered when all it stands for is.
    pub fn covers(&self, required: &str) -> bool {
        Pattern::parse(required).is_some_and(|required| self.covers_pattern(&required))
    }

    /// Whether everything that `other` grants is granted here too.
    pub fn covers_all(&self, other: &Self) -> bool {
        other.iter().all(|pattern| self.covers(pattern))
    }

    /// What either of the two grants: mostly one of them, and then that one itself.
    pub fn union<'a>(&'a self, other: &'a Self) -> Cow<'a, Self> {
        if self.covers_all(other) {
            return Cow::Borrowed(self);
        }
        if other.covers_all(self) {
            return Cow::Borrowed(other);
        }
        Cow::Owned(Self::new(self.iter().chain(other.iter())))
    }

    /// What both of the two grant. Of two patterns that overlap, one always lies within the other.
    pub fn intersection(&self, other: &Self) -> Self {
        let here = self.iter().filter(|pattern| other.covers(pattern));
        let there = other.iter().filter(|pattern| self.covers(pattern));
        Self::new(here.chain(there))
    }

    /// The patterns, wildcards first.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.wildcards.iter().chain(&self.exact).map(|pattern| &**pattern)
    }

    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcards.is_empty()
    }

    fn covers_pattern(&self, required: &Pattern<'_>) -> bool {
        let has = |prefix: &str| {
            self.wildcards
                .binary_search_by(|wildcard| before_star(wildcard).cmp(prefix))
                .is_ok()
        };
        let words = required.text.match_indices(':');
        !required.is_wildcard
            && self
                .exact
                .binary_search_by(|exact| (**exact).cmp(required.text))
                .is_ok()
            || !self.wildcards.is_empty() && (has("") || words.into_iter().any(|(at, _)| has(&required.text[..=at])))
    }
}

/// Whether this is written as a permission or a pattern of them. What is not grants nothing and is never covered.
pub fn is_permission(text: &str) -> bool {
    Pattern::parse(text).is_some()
}

impl<'a> FromIterator<&'a str> for Permissions {
    fn from_iter<I: IntoIterator<Item = &'a str>>(patterns: I) -> Self {
        Self::new(patterns)
    }
}

/// One pattern: the text of a permission, or what comes before the `*`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pattern<'a> {
    text: &'a str,
    is_wildcard: bool,
}

impl<'a> Pattern<'a> {
    fn parse(pattern: &'a str) -> Option<Self> {
        let text = pattern.strip_suffix('*');
        let words = match text {
            Some("") => None,
            Some(text) => Some(text.strip_suffix(':')?),
            None => Some(pattern),
        };
        words.is_none_or(are_words).then_some(Self {
            text: text.unwrap_or(pattern),
            is_wildcard: text.is_some(),
        })
    }
}

fn are_words(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    text.split(':').all(is_word)
}

fn before_star(wildcard: &str) -> &str {
    wildcard.strip_suffix('*').unwrap_or(wildcard)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(patterns: &[&str]) -> Permissions {
        patterns.iter().copied().collect()
    }

    fn listed(permissions: &Permissions) -> Vec<&str> {
        permissions.iter().collect()
    }

    #[test]
    fn a_permission_is_covered_by_itself_by_a_wildcard_and_by_everything() {
        for granted in ["queries:block", "queries:*", "*"] {
            assert!(set(&["users:read", granted]).covers("queries:block"), "{granted}");
        }
        for granted in [
            "queries",
            "queries:bloc",
            "queries:block:all",
            "queries:block:*",
            "query:*",
        ] {
            assert!(!set(&[granted]).covers("queries:block"), "{granted}");
        }
        assert!(set(&["queries:*"]).covers("queries:block:all"));
        assert!(!set(&["queries:*"]).covers("queries"));
    }

    #[test]
    fn a_pattern_is_covered_when_all_it_stands_for_is() {
        assert!(set(&["queries:*"]).covers("queries:*") && set(&["*"]).covers("*"));
        assert!(!set(&["queries:*"]).covers("*") && !set(&["queries:block"]).covers("queries:*"));
    }

    #[test]
    fn what_is_not_a_permission_grants_nothing_and_is_never_covered() {
        for odd in [
            "", ":", "a:", ":a", "a::b", "a*", "a:*:b", "**", ":*", "a b", "a,b", "é",
        ] {
            assert!(set(&[odd]).is_empty(), "{odd}");
            assert!(!set(&["*"]).covers(odd), "{odd}");
        }
    }

    #[test]
    fn a_set_is_shown_sorted_and_without_what_is_covered_anyway() {
        let granted = set(&["b", "queries:block", "queries:*", "b", "queries:a:*", "a"]);
        assert_eq!(listed(&granted), ["queries:*", "a", "b"]);
        assert_eq!(listed(&set(&["a", "*", "b:*"])), ["*"]);
    }

    #[test]
    fn sets_are_joined_and_met() {
        let (ours, theirs) = (
            set(&["queries:*", "users:read"]),
            set(&["queries:block", "users:*", "c"]),
        );
        assert_eq!(listed(&ours.union(&theirs)), ["queries:*", "users:*", "c"]);
        assert_eq!(listed(&ours.intersection(&theirs)), ["queries:block", "users:read"]);
        assert_eq!(ours.intersection(&set(&["*"])), ours);
        assert!(ours.intersection(&set(&[])).is_empty());
        assert!(set(&["*"]).covers_all(&ours) && !theirs.covers_all(&ours));
    }

    fn permission() -> impl Strategy<Value = String> {
        proptest::collection::vec(prop_oneof!["a", "b"], 1..4).prop_map(|words| words.join(":"))
    }

    fn patterns() -> impl Strategy<Value = Vec<String>> {
        let pattern = prop_oneof![
            4 => permission(),
            4 => permission().prop_map(|words| format!("{words}:*")),
            1 => Just("*".to_owned()),
            1 => "[ab:*]{0,4}",
        ];
        proptest::collection::vec(pattern, 0..5)
    }

    /// As a person would read it, word by word.
    fn grants(pattern: &str, permission: &str) -> bool {
        let (pattern, permission): (Vec<_>, Vec<_>) = (pattern.split(':').collect(), permission.split(':').collect());
        if pattern.iter().any(|word| word.is_empty()) || pattern[..pattern.len() - 1].iter().any(|w| w.contains('*')) {
            return false;
        }
        match pattern.split_last() {
            Some((&"*", words)) => permission.len() > words.len() && permission.starts_with(words),
            Some((last, _)) => !last.contains('*') && pattern == permission,
            None => false,
        }
    }

    proptest! {
        #[test]
        fn sets_agree_with_the_word_by_word_reading(ours in patterns(), theirs in patterns(), permission in permission()) {
            let by_model = |patterns: &[String]| patterns.iter().any(|pattern| grants(pattern, &permission));
            let (a, b): (Permissions, Permissions) = (ours.iter().map(|p| &**p).collect(), theirs.iter().map(|p| &**p).collect());
            prop_assert_eq!(a.covers(&permission), by_model(&ours));
            prop_assert_eq!(a.union(&b).covers(&permission), by_model(&ours) || by_model(&theirs));
            prop_assert_eq!(a.intersection(&b).covers(&permission), by_model(&ours) && by_model(&theirs));
        }

        #[test]
        fn no_text_is_too_odd(granted in any::<String>(), required in any::<String>()) {
            let _ = set(&[&granted]).covers(&required);
        }
    }
}
