//! Which address a request came from, when it came through proxies.
//!
//! `X-Forwarded-For` is written from left to right by each proxy in turn, and its left end by whoever sent the request:
//! only what a trusted proxy wrote counts. So it is read from the right, and the first address that is not a trusted
//! proxy's is the client's.

use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;

use super::ip_filter::parse_network;

/// The proxies whose word on a client's address is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// Why a text is not a list of proxies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an IP address nor a range such as 10.0.0.0/8")]
pub struct InvalidProxy(String);

impl TrustedProxies {
    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|range| range.contains(&address))
    }
}

/// Addresses and ranges, separated by commas.
impl FromStr for TrustedProxies {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ranges = text.split(',').map(str::trim).filter(|range| !range.is_empty());
        ranges
            .map(|range| parse_network(range).ok_or_else(|| InvalidProxy(range.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// The client's address: `peer` is the other end of the connection, `forwarded` the values of the `X-Forwarded-For`
/// headers in the order they came.
///
/// None: a trusted proxy passed on something that is not an address. Then the client is unknown, and no IP filter lets it
/// in. When even the first address is a trusted proxy's, that is the client.
pub fn resolve<'a>(
    peer: IpAddr,
    forwarded: impl IntoIterator<Item = &'a str, IntoIter: DoubleEndedIterator>,
    trusted: &TrustedProxies,
) -> Option<IpAddr> {
    let mut client = peer.to_canonical();
    let mut hops = forwarded.into_iter().rev().flat_map(|line| line.rsplit(','));
    while trusted.contains(client) {
        match hops.next() {
            Some(hop) => client = parse_hop(hop)?,
            None => break,
        }
    }
    Some(client)
}

/// One entry: an address, with a port where a proxy adds one.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse().ok().map(|address: std::net::SocketAddr| address.ip());
    let address: IpAddr = text.parse().ok().or_else(bracketed).or_else(with_port)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> Option<String> {
        let trusted = "10.0.0.0/8, 2001:db8::/32,".parse().unwrap();
        resolve(peer.parse().unwrap(), forwarded.iter().copied(), &trusted).map(|address| address.to_string())
    }

    fn is(address: &str) -> Option<String> {
        Some(address.to_owned())
    }

    #[test]
    fn a_peer_that_is_no_trusted_proxy_is_the_client_whatever_it_says() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), is("203.0.113.9"));
        assert_eq!(client("203.0.113.9", &["nonsense"]), is("203.0.113.9"));
    }

    #[test]
    fn a_trusted_proxy_names_the_client() {
        assert_eq!(client("10.0.0.1", &["203.0.113.9"]), is("203.0.113.9"));
        assert_eq!(client("::ffff:10.0.0.1", &["203.0.113.9"]), is("203.0.113.9"));
        assert_eq!(
            client("2001:db8::1", &["203.0.113.9, 10.0.0.2,10.0.0.1"]),
            is("203.0.113.9")
        );
        assert_eq!(client("10.0.0.1", &[]), is("10.0.0.1"));
    }

    #[test]
    fn what_the_client_wrote_itself_does_not_count() {
        for spoofed in [
            "127.0.0.1, 203.0.113.9",
            "garbage, 203.0.113.9",
            ",,203.0.113.9",
            "10.0.0.7,203.0.113.9",
        ] {
            assert_eq!(client("10.0.0.1", &[spoofed]), is("203.0.113.9"), "{spoofed}");
        }
        // A client that sends a header of its own comes before the one its proxy adds.
        assert_eq!(client("10.0.0.1", &["127.0.0.1", "203.0.113.9"]), is("203.0.113.9"));
    }

    #[test]
    fn trusted_proxies_all_the_way_mean_the_first_of_them() {
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), is("10.0.0.3"));
    }

    #[test]
    fn nonsense_from_a_trusted_proxy_is_no_address() {
        for odd in [
            "",
            "unknown",
            "_hidden",
            "1.2.3",
            "203.0.113.9 10.0.0.1",
            "203.0.113.9,",
            "[::1",
            "::1]:80",
        ] {
            assert_eq!(client("10.0.0.1", &[odd]), None, "{odd}");
        }
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_understood() {
        for (written, meant) in [
            ("203.0.113.9:4711", "203.0.113.9"),
            ("[2001:dead::1]:443", "2001:dead::1"),
            ("[2001:dead::1]", "2001:dead::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("\t203.0.113.9 ", "203.0.113.9"),
        ] {
            assert_eq!(client("10.0.0.1", &[written]), is(meant), "{written}");
        }
    }

    #[test]
    fn a_list_of_proxies_says_which_entry_is_wrong() {
        assert_eq!("".parse(), Ok(TrustedProxies::default()));
        let error = "10.0.0.1, ten".parse::<TrustedProxies>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"ten\" is neither an IP address nor a range such as 10.0.0.0/8"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_left_of_the_client_changes_nothing(garbage in any::<String>(), lines in any::<bool>()) {
            let joined = format!("{garbage},203.0.113.9,10.0.0.2");
            let split = [garbage.as_str(), "203.0.113.9", "10.0.0.2"];
            let got = if lines { client("10.0.0.1", &split) } else { client("10.0.0.1", &[&joined]) };
            prop_assert_eq!(got, is("203.0.113.9"));
        }

        #[test]
        fn no_header_is_too_odd(lines in proptest::collection::vec(any::<String>(), 0..4)) {
            let lines: Vec<&str> = lines.iter().map(|line| &**line).collect();
            let _ = client("10.0.0.1", &lines);
        }
    }
}
