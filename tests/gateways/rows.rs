//! What every gateway is asked, and what is to become of it.

use std::{collections::BTreeMap, net::Ipv4Addr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokenwright::{api::TokenType, domain::credential};

use crate::{
    paths::{self, Part},
    request::Request,
    tokens::{Token, Tokens},
};

/// Where clients are, unless it matters.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// The address that the organisation's IP filter allows.
const OFFICE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// A proxy before the gateway, which the organisation's IP filter allows, too.
pub(crate) const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);
/// A route that asks for `orders:read`.
const ORDERS: &str = "/orders/today";

pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) request: Request,
    /// Whose address the service is to see.
    pub(crate) client: Ipv4Addr,
    pub(crate) expected: Expected,
}

/// Headers that say who somebody is, names in lower case.
pub(crate) type Identity = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// With these identity headers and no others.
    LetIn(Identity),
    /// With one of these.
    Refused(&'static [u16]),
    /// Refused, or let in to this and to nothing else.
    Within(Part),
}

const UNAUTHORISED: Expected = Expected::Refused(&[401]);
const FORBIDDEN: Expected = Expected::Refused(&[403]);
/// Some gateways answer themselves what is no sound request.
const UNAUTHORISED_OR_BAD: Expected = Expected::Refused(&[400, 401]);
const FORBIDDEN_OR_BAD: Expected = Expected::Refused(&[400, 403]);

impl Row {
    fn new(name: &str, lines: impl IntoIterator<Item = String>, expected: Expected) -> Self {
        let request = Request {
            from: OUTSIDE,
            path: ORDERS.to_owned(),
            lines: lines.into_iter().collect(),
            body: String::new(),
        };
        Self {
            name: name.to_owned(),
            request,
            client: OUTSIDE,
            expected,
        }
    }

    fn at(mut self, path: &str) -> Self {
        self.request.path = path.to_owned();
        self
    }

    fn with_body(mut self, length: usize) -> Self {
        self.request.body = "0".repeat(length);
        self
    }

    fn from(mut self, address: Ipv4Addr) -> Self {
        self.request.from = address;
        self.client = address;
        self
    }

    /// From `client` by way of the proxy, which adds its address to what the client wrote.
    fn by_way_of_the_proxy(mut self, written: &str, client: Ipv4Addr) -> Self {
        self.request.from = PROXY;
        self.request.lines.push(format!("X-Forwarded-For: {written}{client}"));
        self.client = client;
        self
    }
}

pub(crate) fn rows(tokens: &Tokens) -> Vec<Row> {
    let sections = [
        let_in,
        refused,
        routes,
        odd_paths,
        ordinary_paths,
        forged_routes,
        forged_identities,
        forged_addresses,
    ];
    sections.iter().flat_map(|section| section(tokens)).collect()
}

/// A request that is let in, for as long as its token is good.
pub(crate) fn good(tokens: &Tokens) -> Row {
    Row::new(
        "a good token",
        [bearer(tokens.of("reader"))],
        Expected::LetIn(reader(tokens)),
    )
}

/// A member's own token.
pub(crate) fn member(tokens: &Tokens) -> Row {
    Row::new(
        "a member's token",
        [bearer(tokens.of("ann"))],
        Expected::LetIn(ann(tokens)),
    )
}

/// A good token in each of the headers that may carry it.
pub(crate) fn in_every_header(tokens: &Tokens) -> Vec<Row> {
    let token = tokens.of("reader");
    let as_reader = || Expected::LetIn(reader(tokens));
    vec![
        Row::new("a bearer token", [bearer(token)], as_reader()),
        Row::new("a key", [format!("X-API-Key: {}", token.secret)], as_reader()),
        Row::new("a client ID and its secret key", pair(token), as_reader()),
        Row::new("Basic", [basic(token)], as_reader()),
    ]
}

fn let_in(tokens: &Tokens) -> Vec<Row> {
    let token = tokens.of("reader");
    let as_reader = || Expected::LetIn(reader(tokens));
    let in_lower_case = format!("authorization: bearer {}", token.secret);
    let [id, key] = pair(token);
    let others = [
        Row::new("names in lower case", [in_lower_case], as_reader()),
        Row::new("one credential in two ways", [bearer(token), id, key], as_reader()),
        // Longer than what the verifier would read.
        Row::new("with a body", [bearer(token)], as_reader()).with_body(100_000),
        member(tokens),
    ];
    in_every_header(tokens).into_iter().chain(others).collect()
}

fn refused(tokens: &Tokens) -> Vec<Row> {
    let (reader, ann) = (tokens.of("reader"), tokens.of("ann"));
    let secret = &reader.secret;
    let unknown = credential::Token::generate("acme", TokenType::Organisation, &mut rand::rng());
    let mut broken = secret.clone();
    let last = broken.pop();
    broken.push(if last == Some('0') { '1' } else { '0' });
    let [other_id, _] = pair(ann);
    let [_, key] = pair(reader);
    let refused = |name: &str, lines: &[String]| Row::new(name, lines.to_vec(), UNAUTHORISED);
    vec![
        refused("nothing", &[]),
        refused(
            "a scheme that is not ours",
            &[format!("Authorization: Digest {secret}")],
        ),
        refused("no token", &["Authorization: Bearer nonsense".to_owned()]),
        refused("a wrong checksum", &[format!("Authorization: Bearer {broken}")]),
        refused(
            "a token nobody issued",
            &[format!("Authorization: Bearer {}", unknown.expose())],
        ),
        refused("an expired one", &[bearer(tokens.of("expired"))]),
        refused("another's client ID", &[other_id, key]),
        refused(
            "two credentials",
            &[bearer(reader), format!("X-API-Key: {}", ann.secret)],
        ),
        refused("two joined", &[format!("{}, Bearer {secret}", bearer(reader))]),
        refused("in the query", &[]).at(&format!("{ORDERS}?access_token={secret}")),
        Row::new("a header twice", [bearer(reader), bearer(reader)], UNAUTHORISED_OR_BAD),
        Row::new("two of them", [bearer(reader), bearer(ann)], UNAUTHORISED_OR_BAD),
        Row::new("another organisation's", [bearer(tokens.of("stranger"))], FORBIDDEN),
        Row::new("one without the permission", [bearer(tokens.of("clerk"))], FORBIDDEN),
    ]
}

fn routes(tokens: &Tokens) -> Vec<Row> {
    let (clerk, stranger) = (bearer(tokens.of("clerk")), bearer(tokens.of("stranger")));
    let anybody = || Expected::LetIn(Identity::new());
    let as_clerk = Expected::LetIn(clerks(tokens));
    vec![
        Row::new("the organisation will do", [clerk.clone()], as_clerk).at("/account/me"),
        Row::new("and has to be it", [stranger], FORBIDDEN).at("/account/me"),
        Row::new("and somebody", [], UNAUTHORISED).at("/account/me"),
        Row::new("an open route", [], anybody()).at("/healthz"),
        Row::new("with a token it does not ask for", [clerk], anybody()).at("/healthz"),
    ]
}

fn odd_paths(tokens: &Tokens) -> Vec<Row> {
    let clerk = bearer(tokens.of("clerk"));
    let rows = paths::ODD.iter().flat_map(|path| {
        let nobody = Row::new("nobody", [], Expected::Within(Part::Open));
        let clerk = Row::new("any token", [clerk.clone()], Expected::Within(Part::Account));
        [nobody.at(path), clerk.at(path)]
    });
    rows.collect()
}

fn ordinary_paths(tokens: &Tokens) -> Vec<Row> {
    let clerk = bearer(tokens.of("clerk"));
    let row = |path| Row::new("as it is", [clerk.clone()], Expected::LetIn(clerks(tokens))).at(path);
    paths::ORDINARY.iter().copied().map(row).collect()
}

/// Requirements that a client would like to have.
fn forged_routes(tokens: &Tokens) -> Vec<Row> {
    let (clerk, stranger) = (bearer(tokens.of("clerk")), bearer(tokens.of("stranger")));
    let as_clerk = |line: &str| Row::new(line, [clerk.clone(), line.to_owned()], FORBIDDEN);
    let in_query = "/orders/today?organisation=globex&permission=bookings:write";
    vec![
        as_clerk("X-Original-URI: /account/me"),
        as_clerk("X-Original-URL: /account/me"),
        as_clerk("X-Forwarded-Uri: /account/me"),
        as_clerk("X-Rewrite-URL: /account/me"),
        as_clerk("X-Envoy-Original-Path: /account/me"),
        Row::new(in_query, [clerk.clone()], FORBIDDEN).at(in_query),
        Row::new(in_query, [stranger], FORBIDDEN).at(in_query),
    ]
}

/// Another way to write a header's name.
type Spelling = fn(&str) -> String;

fn forged_identities(tokens: &Tokens) -> Vec<Row> {
    let names = [
        "X-Tokenwright-Organisation",
        "X-Tokenwright-Token",
        "X-Tokenwright-Client-Id",
        "X-Tokenwright-Type",
        "X-Tokenwright-User",
        "X-Tokenwright-Role",
        "X-Tokenwright-Permissions",
        "X-Tokenwright-Projects",
    ];
    let forged = |respell: Spelling| names.map(|name| format!("{}: *", respell(name))).to_vec();
    let as_reader = |name: &str, lines: Vec<String>| {
        let lines = [vec![bearer(tokens.of("reader"))], lines].concat();
        Row::new(name, lines, Expected::LetIn(reader(tokens)))
    };
    let spellings: [(&str, Spelling); 5] = [
        ("an identity", str::to_owned),
        ("in lower case", str::to_lowercase),
        ("with underscores", |name| name.replace('-', "_")),
        ("with one underscore", |name| name.replacen("t-", "t_", 1)),
        ("with dots", |name| name.replace('-', ".")),
    ];
    let mut rows = Vec::new();
    for (name, respell) in spellings {
        let open = Row::new(name, forged(respell), Expected::LetIn(Identity::new()));
        rows.push(as_reader(name, forged(respell)));
        rows.push(open.at("/healthz"));
    }
    for name in names {
        rows.push(as_reader(
            "an identity lost on the way",
            vec![format!("Connection: close, {name}")],
        ));
    }
    rows
}

/// A token that is good at the office only, and ways to pretend to be there.
fn forged_addresses(tokens: &Tokens) -> Vec<Row> {
    let token = bearer(tokens.of("office"));
    let as_office = || Expected::LetIn(identity(tokens, "office", "Reader", READER, "*"));
    let elsewhere = [token.clone(), "X-Forwarded-For: 203.0.113.9".to_owned()];
    let mut rows = vec![
        Row::new("at the office", [token.clone()], as_office()).from(OFFICE),
        Row::new("at the office, saying otherwise", elsewhere, as_office()).from(OFFICE),
        Row::new("elsewhere", [token.clone()], FORBIDDEN),
    ];
    for line in [
        "X-Forwarded-For: 127.0.0.3",
        "X-Forwarded-For: 127.0.0.3, 127.0.0.1",
        "X_Forwarded_For: 127.0.0.3",
        "X.Forwarded.For: 127.0.0.3",
        "X-Real-IP: 127.0.0.3",
        "X-Envoy-External-Address: 127.0.0.3",
        "X-Original-Forwarded-For: 127.0.0.3",
        "X-Client-IP: 127.0.0.3",
        "True-Client-IP: 127.0.0.3",
        "Forwarded: for=127.0.0.3",
    ] {
        rows.push(Row::new(line, [token.clone(), line.to_owned()], FORBIDDEN));
    }
    let aliases =
        ["X_Forwarded_For", "X.Forwarded.For", "X_Real_IP", "X-Real-IP"].map(|name| format!("{name}: 127.0.0.3"));
    let lines = [vec![bearer(tokens.of("reader"))], aliases.to_vec()].concat();
    rows.push(Row::new(
        "an address for the service",
        lines,
        Expected::LetIn(reader(tokens)),
    ));
    let twice = ["X-Forwarded-For: 127.0.0.3", "X-Forwarded-For: 127.0.0.1"].map(str::to_owned);
    let lost = ["Connection: close, X-Forwarded-For", "X-Forwarded-For: 127.0.0.3"].map(str::to_owned);
    for (name, lines) in [
        ("X-Forwarded-For twice", twice),
        ("X-Forwarded-For lost on the way", lost),
    ] {
        rows.push(Row::new(
            name,
            [vec![token.clone()], lines.to_vec()].concat(),
            FORBIDDEN_OR_BAD,
        ));
    }
    rows
}

/// What a gateway is asked that is behind another proxy.
pub(crate) fn behind_a_proxy(tokens: &Tokens) -> Vec<Row> {
    let token = bearer(tokens.of("office"));
    let as_office = || Expected::LetIn(identity(tokens, "office", "Reader", READER, "*"));
    let row = |name: &str, expected: Expected| Row::new(name, [token.clone()], expected);
    let elsewhere = Ipv4Addr::new(203, 0, 113, 9);
    let forged = |line: &str| Row::new(line, [token.clone(), line.to_owned()], FORBIDDEN);
    vec![
        row("at the office", as_office()).by_way_of_the_proxy("", OFFICE),
        row("at the office, saying otherwise", as_office()).by_way_of_the_proxy("203.0.113.9, ", OFFICE),
        row("elsewhere", FORBIDDEN).by_way_of_the_proxy("", elsewhere),
        row("elsewhere, saying otherwise", FORBIDDEN).by_way_of_the_proxy("127.0.0.3, ", elsewhere),
        row("elsewhere, as the proxy", FORBIDDEN).by_way_of_the_proxy("127.0.0.4, ", elsewhere),
        forged("X-Forwarded-For: 127.0.0.3"),
        forged("X-Forwarded-For: 127.0.0.3, 127.0.0.4"),
    ]
}

const READER: &str = "orders:read,reports:read";

fn reader(tokens: &Tokens) -> Identity {
    identity(tokens, "reader", "Reader", READER, "checkout")
}

fn clerks(tokens: &Tokens) -> Identity {
    identity(tokens, "clerk", "Clerk", "bookings:write", "*")
}

fn ann(tokens: &Tokens) -> Identity {
    let mut identity = identity(tokens, "ann", "Reader", READER, "*");
    identity.insert("x-tokenwright-type".to_owned(), "Personal".to_owned());
    identity.insert("x-tokenwright-user".to_owned(), "ann@acme.example".to_owned());
    identity
}

fn identity(tokens: &Tokens, name: &str, role: &str, permissions: &str, projects: &str) -> Identity {
    let pairs = [
        ("organisation", "acme"),
        ("token", &format!("shop/{name}")),
        ("client-id", &tokens.of(name).client_id),
        ("type", "Organisation"),
        ("role", role),
        ("permissions", permissions),
        ("projects", projects),
    ];
    let header = |(name, value): (&str, &str)| (format!("x-tokenwright-{name}"), value.to_owned());
    pairs.into_iter().map(header).collect()
}

fn bearer(token: &Token) -> String {
    format!("Authorization: Bearer {}", token.secret)
}

fn pair(token: &Token) -> [String; 2] {
    [
        format!("X-Client-Id: {}", token.client_id),
        format!("X-Secret-Key: {}", token.secret),
    ]
}

fn basic(token: &Token) -> String {
    let pair = STANDARD.encode(format!("{}:{}", token.client_id, token.secret));
    format!("Authorization: Basic {pair}")
}
