//! `POST /introspect`, RFC 7662: a service asks what a token is good for.
//!
//! The caller shows a token of its own that has the permission [`PERMISSION`], and is told of tokens of its own
//! organisation only. A token that is not active is nothing but that, whatever the reason.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header::WWW_AUTHENTICATE, request::Parts};
use http_body::Body;
use serde::Serialize;

use super::{
    body, gateway, refusal,
    reply::{self, Reply},
};
use crate::verifier::{
    Code, Dialect, Identity, Judge, Requirements,
    credential::{HeaderPair, MAX_HEADER, extract},
    dialect::{challenge::challenge, identity},
};

/// What a caller's token must permit.
const PERMISSION: &str = "tokenwright:introspect";

/// Without `Debug`: it holds a credential.
struct Question {
    token: String,
    address: Option<IpAddr>,
}

#[derive(Serialize)]
struct Active<'a> {
    active: bool,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    sub: String,
    organisation: &'a str,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    projects: Vec<&'a str>,
}

#[derive(Serialize)]
struct Inactive {
    active: bool,
}

pub(super) async fn answer<B>(judge: &Judge, parts: &Parts, body: &mut B, peer: IpAddr) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
{
    let organisation = match caller(judge, parts, peer).await {
        Ok(organisation) => organisation,
        Err(refusal) => return refusal,
    };
    let form = match body::read(judge, body, &parts.headers, "application/x-www-form-urlencoded").await {
        Ok(form) => form,
        Err(refusal) => return refusal,
    };
    match Question::parse(&form) {
        Ok(question) => question.answer(judge, &parts.headers, organisation).await,
        Err(sentence) => {
            let error = serde_json::json!({ "error": "invalid_request", "error_description": sentence });
            reply::json(StatusCode::BAD_REQUEST, &error)
        }
    }
}

/// The organisation of a caller that may ask. One that may not is answered with 401 whatever it lacks, as the RFC says.
async fn caller(judge: &Judge, parts: &Parts, peer: IpAddr) -> Result<String, Reply> {
    if parts.headers.values().any(|value| value.len() > MAX_HEADER) {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(reply::text(status, "A header is longer than 8 KiB.\n"));
    }
    let requires = Requirements {
        permissions: vec![PERMISSION.to_owned()],
        ..Requirements::default()
    };
    let address = gateway::resolve(peer, &parts.headers, &judge.trusted_proxies);
    let decision = gateway::judge_headers(judge, Dialect::Introspect, &parts.headers, address, &requires).await;
    match (decision.identity(), decision.code) {
        (Some(identity), _) => Ok(identity.organisation().to_owned()),
        (None, Code::Stale) => Err(refusal::unavailable()),
        (None, code) => Err(unauthorized(challenge(code, &requires))),
    }
}

fn unauthorized(challenge: HeaderValue) -> Reply {
    let mut reply = reply::text(
        StatusCode::UNAUTHORIZED,
        "An API token with the permission tokenwright:introspect is needed.\n",
    );
    reply.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    reply
}

impl Question {
    /// Reads the form. Parameters that are not known are ignored, as the RFC wants it.
    fn parse(form: &[u8]) -> Result<Self, &'static str> {
        let (mut token, mut address) = (None, None);
        for (key, value) in form_urlencoded::parse(form) {
            let parameter = match &*key {
                "token" => &mut token,
                "address" => &mut address,
                _ => continue,
            };
            if parameter.replace(value).is_some() {
                return Err("token and address can each be given once");
            }
        }
        let address = address.map(|text| text.parse().map_err(|_| "address is not an IP address"));
        Ok(Self {
            token: token.ok_or("token is missing")?.into_owned(),
            address: address.transpose()?,
        })
    }

    async fn answer(&self, judge: &Judge, headers: &HeaderMap, organisation: String) -> Reply {
        let requires = Requirements {
            organisation: Some(organisation),
            ..Requirements::default()
        };
        let presented = extract([("x-api-key", self.token.as_bytes())], &HeaderPair::default());
        let decision = judge
            .judge(Dialect::Introspect, headers, &presented, self.address, &requires)
            .await;
        match (decision.identity(), decision.code) {
            (Some(identity), _) => reply::json(StatusCode::OK, &Active::of(identity)),
            (None, Code::Stale) => refusal::unavailable(),
            (None, _) => reply::json(StatusCode::OK, &Inactive { active: false }),
        }
    }
}

impl<'a> Active<'a> {
    fn of(identity: &'a Identity) -> Self {
        let permissions = identity.permissions();
        Self {
            active: true,
            scope: permissions.iter().collect::<Vec<_>>().join(" "),
            client_id: identity.client_id(),
            username: identity.user(),
            token_type: "Bearer",
            exp: identity.expires_at().map(|end| end.as_second()),
            sub: identity::token(identity),
            organisation: identity.organisation(),
            r#type: identity::type_(identity),
            role: identity.role(),
            projects: identity::projects(identity),
        }
    }
}
