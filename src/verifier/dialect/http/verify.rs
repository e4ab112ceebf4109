//! `POST /v1/verify`: JSON for programs. What was understood is answered with 200 and a code; of a token that is not
//! good nothing else is told.

use std::net::IpAddr;

use bytes::Bytes;
use http::{StatusCode, request::Parts};
use http_body::Body;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    body,
    reply::{self, Reply},
};
use crate::verifier::{
    Decision, Dialect, Identity, Judge, Origin, Requirements,
    credential::{HeaderPair, Presented, extract},
    dialect::{
        identity,
        requirements::{self, InvalidRequirements},
    },
};

/// Without `Debug`: it holds a credential.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Question {
    token: Option<String>,
    client_id: Option<String>,
    secret_key: Option<String>,
    address: Option<IpAddr>,
    organisation: Option<String>,
    permissions: Vec<String>,
    projects: Vec<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    valid: bool,
    code: &'static str,
    #[serde(flatten)]
    holder: Option<Holder<'a>>,
}

/// Whose token it is and what it may do.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Holder<'a> {
    organisation: &'a str,
    token: String,
    r#type: &'static str,
    user: Option<&'a str>,
    role: Option<&'a str>,
    permissions: Vec<String>,
    projects: Vec<&'a str>,
    expires_at: Option<Timestamp>,
}

const FIELDS: &str = "token, clientId, secretKey, address, organisation, permissions and projects";

pub(super) async fn answer<B>(judge: &Judge, parts: &Parts, body: &mut B, peer: IpAddr) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
{
    let text = match body::read(judge, body, &parts.headers, "application/json").await {
        Ok(text) => text,
        Err(refusal) => return refusal,
    };
    let question = match Question::parse(&text) {
        Ok(question) => question,
        Err(sentence) => return bad_request(&sentence),
    };
    let requires = match question.requirements() {
        Ok(requires) => requires,
        Err(error) => return bad_request(&format!("This cannot be asked: {error}.")),
    };
    // Anybody may ask here, and say what he likes.
    let origin = Origin {
        address: question.address,
        is_claimed: !judge.trusted_proxies.contains(peer),
    };
    let decision = judge
        .judge_from(
            Dialect::Verify,
            &parts.headers,
            &question.presented(),
            origin,
            &requires,
        )
        .await;
    reply::json(StatusCode::OK, &Answer::of(&decision))
}

fn bad_request(sentence: &str) -> Reply {
    reply::json(StatusCode::BAD_REQUEST, &serde_json::json!({ "error": sentence }))
}

impl Question {
    /// Reads the body, or says where it is wrong. The parser's own words may repeat what it read, which can be a token.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let wrong =
            |line, column| format!("The body must be one JSON object of {FIELDS}; see line {line}, column {column}.");
        // A list would be taken for the fields in their order.
        if !text.trim_ascii_start().starts_with(b"{") {
            return Err(wrong(1, 1));
        }
        serde_json::from_slice(text).map_err(|error| wrong(error.line(), error.column()))
    }

    fn requirements(&self) -> Result<Requirements, InvalidRequirements> {
        let mut requirements = Requirements::default();
        let lists = [("permission", &self.permissions), ("project", &self.projects)];
        let listed = lists
            .iter()
            .flat_map(|(key, values)| values.iter().map(move |value| (*key, value)));
        for (key, value) in self
            .organisation
            .iter()
            .map(|value| ("organisation", value))
            .chain(listed)
        {
            requirements::require(&mut requirements, key, value.into())?;
        }
        Ok(requirements)
    }

    /// What a request with these headers would present.
    fn presented(&self) -> Presented<'_> {
        let headers = [
            ("x-api-key", &self.token),
            ("x-client-id", &self.client_id),
            ("x-secret-key", &self.secret_key),
        ];
        let given = headers
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?.as_bytes())));
        extract(given, &HeaderPair::default())
    }
}

impl<'a> Answer<'a> {
    fn of(decision: &'a Decision) -> Self {
        Self {
            valid: decision.identity().is_some(),
            code: decision.code.as_str(),
            holder: decision.identity().map(Holder::of),
        }
    }
}

impl<'a> Holder<'a> {
    fn of(identity: &'a Identity) -> Self {
        Self {
            organisation: identity.organisation(),
            token: identity::token(identity),
            r#type: identity::type_(identity),
            user: identity.user(),
            role: identity.role(),
            permissions: identity.permissions().iter().map(str::to_owned).collect(),
            projects: identity::projects(identity),
            expires_at: identity.expires_at(),
        }
    }
}
