//! IP filters: whether an address may use a token.
//!
//! The rule with the longest prefix that contains the address decides, whatever the order they are written in; on a tie
//! Deny wins; an address that no rule contains is denied. IPv4-mapped IPv6 addresses (`::ffff:10.0.0.1`) are IPv4: a
//! client must not get past a rule by the notation of its socket.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::BitAnd,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::api::{self, FilterAction};

/// The rules of one filter, read once.
///
/// A filter has at most 256 rules, and to compare an address with all of them takes less time than to hash it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpFilter {
    v4: Box<[Rule<u32>]>,
    v6: Box<[Rule<u128>]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule<T> {
    network: T,
    mask: T,
    allow: bool,
}

impl IpFilter {
    /// Reads the rules of a filter. A rule that makes no sense makes the filter deny everything: left out, it could be
    /// the very Deny that somebody relies on.
    pub fn new(rules: &[api::IpFilterRule]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for rule in rules {
            let allow = rule.action == FilterAction::Allow;
            if rule.address == "all" {
                v4.push(Rule::v4(Ipv4Net::default(), allow));
                v6.push(Rule::v6(Ipv6Net::default(), allow));
                continue;
            }
            match parse_network(&rule.address) {
                Some(IpNet::V4(network)) => v4.push(Rule::v4(network, allow)),
                Some(IpNet::V6(network)) => v6.push(Rule::v6(network, allow)),
                None => return Self::default(),
            }
        }
        // The longest prefix has the greatest mask; the first rule that contains an address decides.
        v4.sort_by_key(|rule| (std::cmp::Reverse(rule.mask), rule.allow));
        v6.sort_by_key(|rule| (std::cmp::Reverse(rule.mask), rule.allow));
        Self {
            v4: v4.into(),
            v6: v6.into(),
        }
    }

    /// Whether `address` may pass.
    pub fn allows(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => decide(&self.v4, address.to_bits()),
            IpAddr::V6(address) => decide(&self.v6, address.to_bits()),
        }
    }
}

fn decide<T: Copy + PartialEq + BitAnd<Output = T>>(rules: &[Rule<T>], address: T) -> bool {
    rules
        .iter()
        .find(|rule| address & rule.mask == rule.network)
        .is_some_and(|rule| rule.allow)
}

impl Rule<u32> {
    fn v4(network: Ipv4Net, allow: bool) -> Self {
        Self {
            network: network.network().to_bits(),
            mask: network.netmask().to_bits(),
            allow,
        }
    }
}

impl Rule<u128> {
    fn v6(network: Ipv6Net, allow: bool) -> Self {
        Self {
            network: network.network().to_bits(),
            mask: network.netmask().to_bits(),
            allow,
        }
    }
}

/// An address or a range in CIDR notation, whose bits beyond the prefix do not matter. A range of IPv4-mapped addresses
/// is the IPv4 range it stands for.
pub fn parse_network(text: &str) -> Option<IpNet> {
    let network = match text.contains('/') {
        true => text.parse::<IpNet>().ok()?.trunc(),
        false => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    let IpNet::V6(mapped) = network else {
        return Some(network);
    };
    let v4 = mapped
        .addr()
        .to_ipv4_mapped()
        .zip(mapped.prefix_len().checked_sub(MAPPED));
    Some(match v4 {
        Some((address, prefix)) => IpNet::V4(Ipv4Net::new(address, prefix).ok()?),
        None => network,
    })
}

/// How many bits of an IPv4-mapped address come before the IPv4 address.
const MAPPED: u8 = (Ipv6Addr::BITS - Ipv4Addr::BITS) as u8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(text: &str) -> Vec<api::IpFilterRule> {
        text.split(" / ")
            .map(|rule| {
                let (action, address) = rule.split_once(' ').unwrap();
                let action = match action {
                    "allow" => FilterAction::Allow,
                    _ => FilterAction::Deny,
                };
                api::IpFilterRule {
                    action,
                    address: address.to_owned(),
                }
            })
            .collect()
    }

    fn allows(text: &str, address: &str) -> bool {
        IpFilter::new(&rules(text)).allows(address.parse().unwrap())
    }

    #[test]
    fn the_published_example_lets_in_one_range_but_for_one_address() {
        let filter = "deny all / allow 192.168.0.1/24 / deny 192.168.0.80";
        for (address, allowed) in [
            ("192.168.0.1", true),
            ("192.168.0.0", true),
            ("192.168.0.255", true),
            ("192.168.0.79", true),
            ("192.168.0.80", false),
            ("192.168.0.81", true),
            ("192.168.1.1", false),
            ("10.0.0.1", false),
            ("2001:db8::1", false),
            ("::ffff:192.168.0.1", true),
            ("::ffff:192.168.0.80", false),
        ] {
            assert_eq!(allows(filter, address), allowed, "{address}");
        }
    }

    #[test]
    fn the_other_published_example_lets_in_everybody() {
        let filter = "allow 127.0.0.1 / allow 10.0.0.0/8 / allow all";
        for address in [
            "127.0.0.1",
            "10.9.8.7",
            "203.0.113.5",
            "2001:db8::1",
            "::ffff:203.0.113.5",
        ] {
            assert!(allows(filter, address), "{address}");
        }
    }

    #[test]
    fn the_order_of_rules_does_not_matter_and_deny_wins_a_tie() {
        for filter in [
            "allow 10.0.0.0/8 / deny 10.0.0.0/8",
            "deny 10.0.0.0/8 / allow 10.1.1.1/8",
        ] {
            assert!(!allows(filter, "10.0.0.1"), "{filter}");
        }
        assert!(allows("allow 10.0.0.1 / deny all", "10.0.0.1"));
    }

    #[test]
    fn an_address_that_no_rule_contains_is_denied() {
        assert!(!IpFilter::new(&[]).allows("10.0.0.1".parse().unwrap()));
        assert!(!allows("deny 10.0.0.1", "10.0.0.2"));
        assert!(!allows("allow 0.0.0.0/0", "2001:db8::1") && !allows("allow ::/0", "10.0.0.1"));
        assert!(!allows("allow ::/0", "::ffff:10.0.0.1"));
    }

    #[test]
    fn a_mapped_range_is_the_range_it_stands_for() {
        assert!(allows("allow ::ffff:10.0.0.0/104", "10.200.0.1"));
        assert!(!allows("allow all / deny ::ffff:10.0.0.1", "10.0.0.1"));
        assert_eq!(
            parse_network("::ffff:10.0.0.0/95").map(|network| network.prefix_len()),
            Some(95)
        );
    }

    #[test]
    fn a_rule_that_makes_no_sense_denies_everything() {
        for odd in [
            "",
            "ALL",
            "10.0.0",
            "10.0.0.1/33",
            "10.0.0.1/",
            "010.0.0.1",
            "fe80::1%eth0",
            "a/b",
            " 10.0.0.1",
        ] {
            assert!(!allows(&format!("allow all / deny {odd}"), "10.0.0.1"), "{odd}");
            assert_eq!(parse_network(odd), None, "{odd}");
        }
    }

    /// Few bits vary, so that rules overlap often.
    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0_u8..2, 0_u8..4).prop_map(|(a, b)| IpAddr::V4(Ipv4Addr::new(10, a, 0, b))),
            (0_u8..2, 0_u8..4).prop_map(|(a, b)| IpAddr::V6(Ipv4Addr::new(10, a, 0, b).to_ipv6_mapped())),
            (0_u16..2, 0_u16..4).prop_map(|(a, b)| IpAddr::V6(Ipv6Addr::new(0x2001, a, 0, 0, 0, 0, 0, b))),
        ]
    }

    fn rule() -> impl Strategy<Value = (bool, String)> {
        let text = prop_oneof![
            1 => Just("all".to_owned()),
            2 => address().prop_map(|address| address.to_string()),
            6 => (address(), 0_u8..=32).prop_map(|(address, short)| match address {
                IpAddr::V4(_) => format!("{address}/{}", 32 - short),
                IpAddr::V6(_) => format!("{address}/{}", 128 - short),
            }),
        ];
        (any::<bool>(), text)
    }

    /// How long a prefix of `rule` contains `address`, bit by bit.
    fn matches(rule: &str, address: IpAddr) -> Option<u32> {
        let bits = |address: IpAddr| -> Vec<bool> {
            let octets = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => match address.octets() {
                    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4 @ ..] => v4.to_vec(),
                    octets => octets.to_vec(),
                },
            };
            octets
                .iter()
                .flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1 == 1))
                .collect()
        };
        if rule == "all" {
            return Some(0);
        }
        let (network, prefix) = rule.split_once('/').unwrap_or((rule, ""));
        let written: IpAddr = network.parse().unwrap();
        let (network, address) = (bits(written), bits(address));
        let removed = if written.is_ipv6() { 128 } else { 32 } - network.len();
        let prefix = prefix.parse::<usize>().map_or(network.len(), |prefix| prefix - removed);
        (network.len() == address.len() && network[..prefix] == address[..prefix])
            .then(|| u32::try_from(prefix).unwrap())
    }

    proptest! {
        #[test]
        fn filters_agree_with_the_naive_reading(rules in proptest::collection::vec(rule(), 0..8), address in address()) {
            let filter = IpFilter::new(&rules.iter().map(|(allow, address)| api::IpFilterRule {
                action: if *allow { FilterAction::Allow } else { FilterAction::Deny },
                address: address.clone(),
            }).collect::<Vec<_>>());
            let hits: Vec<_> = rules.iter().filter_map(|(allow, rule)| Some((matches(rule, address)?, *allow))).collect();
            let longest = hits.iter().map(|hit| hit.0).max();
            let expected = longest.is_some_and(|longest| hits.iter().filter(|hit| hit.0 == longest).all(|hit| hit.1));
            prop_assert_eq!(filter.allows(address), expected);
        }

        #[test]
        fn no_text_is_too_odd(text in any::<String>()) {
            let _ = parse_network(&text);
        }
    }
}
