//! Which of an organisation's tokens are older than others: `maxTokens` lets the oldest have their place.

use std::collections::HashMap;

use jiff::Timestamp;

use super::Older;
use crate::{
    api::{ApiToken, TokenPolicySpec, TokenType},
    domain::lifecycle::has_expired,
};

/// The tokens that take a place, by organisation and type, the oldest first.
///
/// Those that expired for good have given theirs back, and so have those that are being deleted. Sorted lists: where a
/// token stands is looked up in them, and a new one mostly comes last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seniority {
    organisations: HashMap<String, Ranks>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranks {
    organisation: Vec<Age>,
    personal: Vec<Age>,
}

/// Where a token stands. Those that were created in the same second stand in the order of their UIDs; a manifest has
/// neither, and stands last and by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age {
    created: Timestamp,
    uid: Box<str>,
    /// The namespace of the token.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

/// A token has taken or given back its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    organisation: String,
    type_: TokenType,
    age: Age,
    came: bool,
}

impl Seniority {
    /// The order of all these tokens.
    pub fn of<'a>(tokens: impl IntoIterator<Item = &'a ApiToken>) -> Self {
        let mut seniority = Self::default();
        for token in tokens.into_iter().filter(|token| takes_a_place(token)) {
            seniority.ranks_mut(token).push(age(token));
        }
        for ranks in seniority.organisations.values_mut() {
            ranks.organisation.sort_unstable();
            ranks.personal.sort_unstable();
        }
        seniority
    }

    /// How many tokens of its organisation are older than this one.
    pub fn older(&self, token: &ApiToken) -> Older {
        let Some(ranks) = self.organisations.get(&token.spec.organisation) else {
            return Older::default();
        };
        let age = age(token);
        let before = |ages: &[Age]| u32::try_from(ages.partition_point(|one| *one < age)).unwrap_or(u32::MAX);
        Older {
            organisation: before(&ranks.organisation),
            personal: before(&ranks.personal),
        }
    }

    /// Takes in that a token is now another than it was, or is there, or gone. Returns who came and who went.
    pub fn change(&mut self, before: Option<&ApiToken>, after: Option<&ApiToken>) -> Vec<Shift> {
        let place = |token: Option<&ApiToken>| {
            let token = token.filter(|token| takes_a_place(token))?;
            Some((token.spec.organisation.clone(), token.spec.type_, age(token)))
        };
        let (before, after) = (place(before), place(after));
        if before == after {
            return Vec::new();
        }
        let went = before.map(|place| (place, false));
        let came = after.map(|place| (place, true));
        let shifts = [went, came].into_iter().flatten();
        shifts
            .map(|((organisation, type_, age), came)| Shift {
                organisation,
                type_,
                age,
                came,
            })
            .filter(|shift| self.shift(shift))
            .collect()
    }

    /// The token that has lost its place under a policy by this shift, or has won one. The one that shifted itself is
    /// looked at anyway.
    pub fn concerned(&self, shift: &Shift, spec: &TokenPolicySpec) -> Option<&Age> {
        let most = usize::try_from(spec.max_tokens?).ok()?;
        let ranks = self
            .organisations
            .get(&shift.organisation)
            .filter(|_| spec.is_for(shift.type_))?;
        let of = |type_, ages: &'_ [Age]| -> usize { if spec.is_for(type_) { ages.len() } else { 0 } };
        let organisation = &ranks.organisation[..of(TokenType::Organisation, &ranks.organisation)];
        let personal = &ranks.personal[..of(TokenType::Personal, &ranks.personal)];
        // The first beyond the limit was the last within it, and the other way round.
        let at = if shift.came { most } else { most.checked_sub(1)? };
        nth(organisation, personal, at).filter(|age| **age > shift.age)
    }

    /// The organisations in which the order is another than in `before`.
    pub fn changed<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a str> {
        let all = self.organisations.keys();
        let gone = before
            .organisations
            .keys()
            .filter(|name| !self.organisations.contains_key(*name));
        all.chain(gone)
            .filter(|name| self.organisations.get(*name) != before.organisations.get(*name))
            .map(|name| &**name)
    }

    /// Returns whether that was news.
    fn shift(&mut self, shift: &Shift) -> bool {
        let ranks = self.organisations.entry(shift.organisation.clone()).or_default();
        let ages = ranks.of_mut(shift.type_);
        let news = match (ages.binary_search(&shift.age), shift.came) {
            (Err(at), true) => {
                ages.insert(at, shift.age.clone());
                true
            }
            (Ok(at), false) => {
                ages.remove(at);
                true
            }
            (Ok(_), true) | (Err(_), false) => false,
        };
        if ranks.organisation.is_empty() && ranks.personal.is_empty() {
            self.organisations.remove(&shift.organisation);
        }
        news
    }

    fn ranks_mut(&mut self, token: &ApiToken) -> &mut Vec<Age> {
        let ranks = self.organisations.entry(token.spec.organisation.clone()).or_default();
        ranks.of_mut(token.spec.type_)
    }
}

impl Ranks {
    fn of_mut(&mut self, type_: TokenType) -> &mut Vec<Age> {
        match type_ {
            TokenType::Organisation => &mut self.organisation,
            TokenType::Personal => &mut self.personal,
        }
    }
}

impl Shift {
    /// The organisation in which it happened.
    pub fn organisation(&self) -> &str {
        &self.organisation
    }
}

fn takes_a_place(token: &ApiToken) -> bool {
    token.metadata.deletion_timestamp.is_none() && !has_expired(token)
}

fn age(token: &ApiToken) -> Age {
    let metadata = &token.metadata;
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
    Age {
        created: metadata
            .creation_timestamp
            .as_ref()
            .map_or(Timestamp::MAX, |created| created.0),
        uid: text(&metadata.uid),
        namespace: text(&metadata.namespace),
        name: text(&metadata.name),
    }
}

/// The one at `position` of two sorted lists taken together.
fn nth<'a>(one: &'a [Age], other: &'a [Age], position: usize) -> Option<&'a Age> {
    if position >= one.len() + other.len() {
        return None;
    }
    // How many of `one` are before that position: so many that the next of `other` would be too late.
    let (mut least, mut most) = (position.saturating_sub(other.len()), position.min(one.len()));
    while least < most {
        let middle = least.midpoint(most);
        if other[position - middle - 1] < one[middle] {
            most = middle;
        } else {
            least = middle + 1;
        }
    }
    let (of_one, of_other) = (one.get(least), other.get(position - least));
    [of_one, of_other].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn token(number: u8, type_: &str, created: u8, expired: bool) -> ApiToken {
        let issued = json!({ "issuedAt": "2026-01-01T00:00:00Z" });
        let user = (type_ == "Personal").then_some("ann");
        serde_json::from_value(json!({
            "apiVersion": "tokenwright.dev/v1alpha1", "kind": "ApiToken",
            "metadata": {
                "name": format!("t{number}"), "namespace": "shop", "uid": format!("{number:03}"),
                "creationTimestamp": format!("2026-01-01T00:00:{created:02}Z"),
            },
            "spec": { "organisation": "acme", "type": type_, "user": user, "role": "Admin" },
            "status": expired.then_some(issued),
        }))
        .unwrap()
    }

    fn policy(most: u32, types: &[&str]) -> TokenPolicySpec {
        serde_json::from_value(json!({ "maxTokens": most, "types": types })).unwrap()
    }

    #[test]
    fn a_token_stands_behind_those_created_before_it_and_those_of_the_same_second_with_a_lower_uid() {
        let tokens = [
            token(3, "Organisation", 1, false),
            token(2, "Organisation", 2, false),
            token(4, "Organisation", 2, false),
            token(1, "Personal", 2, false),
            token(5, "Organisation", 0, true),
        ];
        let seniority = Seniority::of(&tokens);
        let older: Vec<(u32, u32)> = tokens
            .iter()
            .map(|token| seniority.older(token))
            .map(|older| (older.organisation, older.personal))
            .collect();
        // What expired stands where it stood, and nobody stands behind it.
        assert_eq!(older, [(0, 0), (1, 1), (2, 1), (1, 0), (0, 0)]);
    }

    fn tokens() -> impl Strategy<Value = Vec<ApiToken>> {
        let one = (any::<bool>(), 0_u8..4, prop::bool::weighted(0.2));
        prop::collection::vec(one, 0..12).prop_map(|all| {
            all.into_iter()
                .zip(0..)
                .map(|((personal, created, expired), number)| {
                    let type_ = if personal { "Personal" } else { "Organisation" };
                    token(number, type_, created, expired)
                })
                .collect()
        })
    }

    proptest! {
        /// Whoever comes, goes or expires: the order is as if it were made anew, and whoever is on the other side of the
        /// limit than before is named.
        #[test]
        fn who_loses_or_wins_a_place_is_named(
            before in tokens(), after in tokens(), most in 1_u32..6,
            types in prop::sample::select(vec![&["Personal"][..], &["Organisation"], &["Personal", "Organisation"]]),
        ) {
            let spec = policy(most, types);
            let mut seniority = Seniority::of(&before);
            let is_beyond = |seniority: &Seniority, token: &ApiToken| seniority.older(token).that(&spec) >= most;
            for number in 0..before.len().max(after.len()) {
                let (old, new) = (before.get(number), after.get(number));
                let previous = seniority.clone();
                let shifts = seniority.change(old, new);
                let named: Vec<String> = shifts.iter().filter_map(|shift| seniority.concerned(shift, &spec))
                    .map(|age| age.name.to_string()).collect();
                let others = after[..number.min(after.len())].iter().chain(before.iter().skip(number + 1));
                for other in others.filter(|other| takes_a_place(other) && spec.is_for(other.spec.type_)) {
                    if is_beyond(&previous, other) != is_beyond(&seniority, other) {
                        prop_assert!(named.contains(other.metadata.name.as_ref().unwrap()), "{named:?} lacks {:?}", other.metadata.name);
                    }
                }
                prop_assert!(named.len() <= shifts.len());
            }
            prop_assert_eq!(&seniority, &Seniority::of(&after));
        }
    }

    #[test]
    fn what_is_new_in_a_list_is_told_by_organisation() {
        let all = [token(1, "Organisation", 0, false), token(2, "Organisation", 0, false)];
        let (both, first) = (Seniority::of(&all), Seniority::of(&all[..1]));
        let none = Seniority::default();
        assert_eq!(both.changed(&both).collect::<Vec<_>>(), [""; 0]);
        for (now, before) in [(&both, &first), (&both, &none), (&none, &first)] {
            assert_eq!(now.changed(before).collect::<Vec<_>>(), ["acme"]);
        }
    }
}
