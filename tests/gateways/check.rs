//! Whether a row came out as expected.

use crate::{
    backend::Received,
    request::Answer,
    rows::{self, Expected, Identity, Row},
    tokens::Tokens,
};

/// What must not reach the service.
const CREDENTIALS: [&str; 4] = ["authorization", "x-api-key", "x-client-id", "x-secret-key"];

/// `reached`: whether the request got to the service.
pub(crate) fn check(row: &Row, answer: &Answer, reached: bool, tokens: &Tokens) -> Result<(), String> {
    client_sees(answer, tokens)?;
    match &row.expected {
        Expected::LetIn(identity) => {
            if answer.status != 200 {
                return Err(format!("it was not let in: {answer:?}"));
            }
            service_sees(row, answer, identity, tokens)
        }
        Expected::Within(_) if !reached && (400..500).contains(&answer.status) => Ok(()),
        Expected::Within(part) => match received(answer)?.target {
            target if part.has(&target) => Ok(()),
            target => Err(format!("it reached the service as {target}")),
        },
        Expected::Refused(_) if reached => Err(format!("it reached the service: {answer:?}")),
        Expected::Refused(statuses) if statuses.contains(&answer.status) => Ok(()),
        Expected::Refused(statuses) => Err(format!("{statuses:?} expected: {answer:?}")),
    }
}

/// Whoever is refused is told what is asked for; and nobody is told who he is.
fn client_sees(answer: &Answer, tokens: &Tokens) -> Result<(), String> {
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    if matches!(answer.status, 401 | 403) && !challenge.starts_with("Bearer realm=") {
        return Err(format!("no challenge: {answer:?}"));
    }
    let names_identity = answer.headers.iter().any(|(name, _)| name.contains("tokenwright"));
    if names_identity || answer.headers.iter().any(|(_, value)| tokens.is_in(value)) {
        return Err(format!("it tells too much: {answer:?}"));
    }
    Ok(())
}

fn service_sees(row: &Row, answer: &Answer, identity: &Identity, tokens: &Tokens) -> Result<(), String> {
    let received = received(answer)?;
    if received.target != row.request.path {
        return Err(format!("it came as {}", received.target));
    }
    let headers = &received.headers;
    // One that is empty says no more than one that is not there.
    let says_who = |(name, value): &&(String, String)| is_of_identity(name) && !value.is_empty();
    let mut who: Vec<_> = headers.iter().filter(says_who).cloned().collect();
    who.sort();
    let wanted: Vec<_> = identity.clone().into_iter().collect();
    if who != wanted {
        return Err(format!("it is {who:?} and not {wanted:?}"));
    }
    let has_credential = CREDENTIALS.iter().any(|name| received.values(name).next().is_some());
    if has_credential || tokens.is_in(&answer.body) {
        return Err(format!("the credential was passed on: {headers:?}"));
    }
    if let Some((name, _)) = headers.iter().find(|(name, _)| name.contains(['_', '.'])) {
        return Err(format!("{name} can be taken for another"));
    }
    let [client, from, proxy] = [row.client, row.request.from, rows::PROXY].map(|address| address.to_string());
    let last = received.values("x-forwarded-for").next_back();
    let mut hops = last.into_iter().flat_map(|hops| hops.rsplit(',')).map(str::trim);
    let is_forged = |address: &str| address != client && address != from;
    if hops.find(|hop| *hop != proxy) != Some(&client) || received.values("x-real-ip").any(is_forged) {
        return Err(format!("{client} came as another address: {headers:?}"));
    }
    if received.length != row.request.body.len() {
        return Err(format!("{} bytes of the body arrived", received.length));
    }
    Ok(())
}

fn received(answer: &Answer) -> Result<Received, String> {
    serde_json::from_str(&answer.body).map_err(|_| format!("it did not reach the service: {answer:?}"))
}

/// However a service might read the name.
fn is_of_identity(name: &str) -> bool {
    let name = name.replace(|character: char| !character.is_alphanumeric(), "-");
    name.starts_with("x-tokenwright-")
}
