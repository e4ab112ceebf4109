//! Envoy's external authorization by HTTP. Only 200 lets a request in; other answers go to the client as they are.
//!
//! Envoy asks with the client's method, at `path_prefix` followed by the client's path and query. So the query is the
//! client's, and so is the path from where the prefix ends: what the route requires stands in the prefix, whose end is
//! marked by `/path`:
//!
//! ```yaml
//! path_prefix: /ext-authz/organisation=acme&permission=logs:read/path
//! ```
//!
//! A prefix without the mark is refused, because nothing else tells the last requirement from a path that does not begin
//! with a slash: `organisation=acme` followed by `-evil/…` is another organisation. The text is read once and from
//! left to right; `..`, `%2f` and whatever else the client writes comes after the mark and is not looked at. Nothing
//! that rewrites paths may stand between Envoy and the verifier.

use http::HeaderMap;

use super::gateway::FORWARDED;
use crate::verifier::{
    Requirements,
    dialect::requirements::{self, InvalidRequirements},
};

/// What paths of this dialect begin with.
pub(super) const PREFIX: &str = "/ext-authz/";
/// Where the client's path begins.
const MARK: &str = "path";

/// What the prefix requires.
pub(super) fn requirements(path: &str) -> Result<Requirements, InvalidRequirements> {
    let rest = path.strip_prefix(PREFIX).ok_or(InvalidRequirements::Endless)?;
    if is_marked(rest) {
        return Ok(Requirements::default());
    }
    let (text, rest) = rest.split_once('/').ok_or(InvalidRequirements::Endless)?;
    let requirements = requirements::parse(text)?;
    is_marked(rest)
        .then_some(requirements)
        .ok_or(InvalidRequirements::Endless)
}

fn is_marked(rest: &str) -> bool {
    rest.strip_prefix(MARK).is_some_and(|path| path.starts_with('/'))
}

/// Whether `X-Forwarded-For` holds one address: some versions of Envoy add their own, even where they are not told to
/// pass on the client's.
pub(super) fn speaks_of_itself(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(&FORWARDED).iter();
    let first = lines.next();
    lines.next().is_none() && first.is_some_and(|line| !line.as_bytes().contains(&b','))
}
