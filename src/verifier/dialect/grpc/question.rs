//! What a `CheckRequest` asks.

use std::net::IpAddr;

use super::messages::{AttributeContext, CheckRequest, HeaderValue, HttpRequest};
use crate::{
    domain::client_address::{self, TrustedProxies},
    verifier::{
        Requirements,
        credential::{HeaderPair, Presented, extract},
        dialect::requirements::{InvalidRequirements, require},
    },
};

const FORWARDED: &str = "x-forwarded-for";

/// A question, as its message has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'r> {
    attributes: Option<&'r AttributeContext>,
    http: Option<&'r HttpRequest>,
}

impl<'r> Question<'r> {
    pub(super) fn new(request: &'r CheckRequest) -> Self {
        let attributes = request.attributes.as_ref();
        Self {
            attributes,
            http: attributes.and_then(|attributes| attributes.request.as_ref()?.http.as_ref()),
        }
    }

    /// What the client presents. Headers that came twice are joined by commas in one of Envoy's two ways to send them;
    /// no credential has a comma, so neither way lets two of them pass for one.
    pub(super) fn presented(&self, pair: &HeaderPair) -> Presented<'r> {
        if self.is_ambiguous() {
            return Presented::Malformed;
        }
        extract(self.headers(), pair)
    }

    /// The client's address. The peer is the other end of the connection, whatever Envoy makes of forwarded addresses;
    /// with `use_remote_address` it comes again as the last of them, and by that changes nothing.
    ///
    /// None: there is no IP address at the other end, so nobody is there whose word on the client could be trusted; or a
    /// trusted proxy, and no word of whom it asks for. Its own address, which a filter may well allow, is not its client's.
    pub(super) fn address(&self, trusted: &TrustedProxies) -> Option<IpAddr> {
        let address = self.attributes?.source.as_ref()?.address.as_ref()?;
        let peer = std::str::from_utf8(&address.socket_address.as_ref()?.address).ok()?;
        let peer: IpAddr = peer.parse().ok()?;
        let lines = self.headers().filter(|(name, _)| name.eq_ignore_ascii_case(FORWARDED));
        // What is no text is no address, but it has its place among the others.
        let lines = lines.map(|(_, value)| std::str::from_utf8(value).unwrap_or_default());
        let client = client_address::resolve(peer, lines, trusted);
        client.filter(|client| *client != peer.to_canonical() || !trusted.contains(peer))
    }

    /// What the route requires.
    pub(super) fn requirements(&self) -> Result<Requirements, InvalidRequirements> {
        let extensions = self.attributes.map(|attributes| &*attributes.context_extensions);
        let text = |bytes: &'r [u8]| std::str::from_utf8(bytes).unwrap_or("\u{fffd}");
        let mut requirements = Requirements::default();
        for entry in extensions.unwrap_or_default() {
            let mut values = text(&entry.value)
                .split([' ', ','])
                .filter(|value| !value.is_empty())
                .peekable();
            let none = values.peek().is_none().then_some("");
            for value in values.chain(none) {
                require(&mut requirements, text(&entry.key), value.into())?;
            }
        }
        Ok(requirements)
    }

    /// The client's headers. A name that is no text is none of those that matter.
    pub(super) fn headers(&self) -> impl DoubleEndedIterator<Item = (&'r str, &'r [u8])> + use<'r> {
        let merged = self.http.map(|http| &*http.headers).unwrap_or_default();
        let named = |header: &'r HeaderValue| {
            let value = match header.raw_value.is_empty() {
                true => &*header.value,
                false => &*header.raw_value,
            };
            Some((std::str::from_utf8(&header.key).ok()?, value))
        };
        merged.iter().chain(self.raw_headers()).filter_map(named)
    }

    fn raw_headers(&self) -> &'r [HeaderValue] {
        let raw = self.http.and_then(|http| http.header_map.as_ref());
        raw.map(|raw| &*raw.headers).unwrap_or_default()
    }

    /// Whether the headers are there in both ways that exclude each other: somebody else might read the other.
    fn is_ambiguous(&self) -> bool {
        let both_ways = self.http.is_some_and(|http| !http.headers.is_empty()) && !self.raw_headers().is_empty();
        let both_values = |header: &HeaderValue| !header.value.is_empty() && !header.raw_value.is_empty();
        both_ways || self.raw_headers().iter().any(both_values)
    }
}
