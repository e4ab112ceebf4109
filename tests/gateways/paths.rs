//! Paths that are spelled in odd ways. A gateway may refuse them or bring them into form, but must not judge one route
//! and pass on what a service takes for another.

/// What a client may use without the permission that everything else asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What is open to everybody.
    Open,
    /// What any token of the organisation will do for, and the same.
    Account,
}

/// Paths that could be taken for others.
pub(crate) const ODD: &[&str] = &[
    "/orders/today/../../healthz",
    "/orders/today/../../account/me",
    "/orders/today%2f..%2f..%2fhealthz",
    "/orders/today/%2e%2e/%2e%2e/healthz",
    "/orders/../healthz",
    "/orders/..;/healthz",
    "/account/../orders/today",
    "/account/./../orders/today",
    "/account//../orders/today",
    "/account/me/../../orders/today",
    "/account/%2e%2e/orders/today",
    "/account/%2E%2E/orders/today",
    "/account/..%2forders/today",
    "/account/%2e%2e%2Forders/today",
    "/account/..;/orders/today",
    "/account/..;a=b/orders/today",
    "/account/%2e%2e;/orders/today",
    "/account/..%3b/orders/today",
    "/account/..%3B/orders/today",
    "/account/..\\orders/today",
    "/account/..%5corders/today",
    "/account/%5C../orders/today",
    "//orders/today",
    "//healthz",
    "/./healthz",
    "/healthz/",
    "/healthz/.",
    "/healthz/..",
    "/healthz/../orders/today",
    "/healthz/..%2forders/today",
    "/healthz;a",
    "/healthz;/../orders/today",
    "/healthz%00",
    "/healthz%23/orders",
    "/healthz%3f/../orders",
    "/healthz#/../orders",
    "/HEALTHZ",
    "/Account/me",
    "/%68ealthz",
    "/%61ccount/me",
    "/%71ueries/today",
    "http://api.example/orders/../healthz",
];

/// Paths that nobody should have to write otherwise, of the part that is [`Part::Account`].
pub(crate) const ORDINARY: &[&str] = &[
    "/account/a%20b",
    "/account/%C3%A9",
    "/account/a+b~c:d@e",
    "/account/a%2Bb%3Ac%40d",
    "/account/!$&'()*,=",
    "/account/.well-known/..a/a../...",
    "/account/100%25",
    "/account/?",
    "/account/me?next=/orders/..//%2f%2e%68&more",
];

impl Part {
    /// Whether a service finds nothing else at this target, however it reads it.
    pub(crate) fn has(self, target: &str) -> bool {
        let has = |path: &String| path == "/healthz" || self == Self::Account && path.starts_with("/account/");
        readings(target).iter().all(has)
    }
}

/// The path as it stands, and as services read it that do some or all of what some do.
fn readings(target: &str) -> Vec<String> {
    let path = target.split('?').next().unwrap_or_default();
    let mut readings = vec![path.to_owned()];
    let steps = [
        without_parameters,
        decoded,
        without_parameters,
        with_slashes,
        merged,
        resolved,
    ];
    for step in steps {
        let further: Vec<_> = readings.iter().map(|path| step(path)).collect();
        readings.extend(further);
    }
    readings
}

/// As servlets do.
fn without_parameters(path: &str) -> String {
    let segments = path
        .split('/')
        .map(|segment| segment.split(';').next().unwrap_or_default());
    segments.collect::<Vec<_>>().join("/")
}

fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => decoded.extend([&[byte], &part.as_bytes()[2..]].concat()),
            None => decoded.extend([b"%", part.as_bytes()].concat()),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// As browsers do.
fn with_slashes(path: &str) -> String {
    path.replace('\\', "/")
}

fn merged(path: &str) -> String {
    let segments: Vec<_> = path.split('/').collect();
    let last = segments.len() - 1;
    let kept = |&(at, segment): &(usize, &str)| at == 0 || at == last || !segment.is_empty();
    let kept = segments
        .into_iter()
        .enumerate()
        .filter(kept)
        .map(|(_, segment)| segment);
    kept.collect::<Vec<_>>().join("/")
}

/// Without dot segments, as RFC 3986 says in section 5.2.4.
fn resolved(path: &str) -> String {
    let mut resolved: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(resolved.pop()),
            _ => resolved.push(segment),
        }
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        resolved.push("");
    }
    format!("/{}", resolved.join("/"))
}

#[test]
fn a_path_is_read_in_all_ways() {
    for (target, account) in [
        ("/account/me?/../orders", true),
        ("/account/a/../b", true),
        ("/account/../orders", false),
        ("/account/..;a/orders", false),
        ("/account/%2e%2e;a/orders", false),
        ("/account/..%3Ba/orders", false),
        ("/account/..\\orders", false),
        ("/account/..%5corders", false),
        ("/account//../orders", false),
        ("//account/me", false),
        ("/Account/me", false),
        ("/%61ccount/me", false),
    ] {
        assert_eq!(Part::Account.has(target), account, "{target}: {:?}", readings(target));
    }
    assert!(Part::Open.has("/healthz?a") && !Part::Open.has("/account/me"));
    assert!(!Part::Open.has("/healthz/.") && !Part::Open.has("/orders/../healthz"));
}
