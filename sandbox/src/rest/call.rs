//! What a request asks for, read from its method and address.

use http::{Method, Uri};

use crate::auth::Attempt;
use crate::status::{Answer, Refusal};

/// The query of a request, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(key, value)| (decode(key), decode(value)))
                .collect(),
        )
    }

    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.find(name), Some("" | "1" | "true" | "True"))
    }

    /// A number, when there is one.
    pub(crate) fn number(&self, name: &str) -> Answer<Option<u64>> {
        match self.find(name) {
            None | Some("") => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| Refusal::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"))),
        }
    }
}

/// Decodes `%41` and `+`.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digits = rest.clone();
                let mut digit = || char::from(digits.next()?).to_digit(16);
                match (digit(), digit()) {
                    (Some(high), Some(low)) => {
                        rest.nth(1);
                        u8::try_from(high * 16 + low).unwrap_or(byte)
                    }
                    _ => byte,
                }
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A request, understood.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) attempt: Attempt,
    pub(crate) query: Query,
}

impl Call {
    pub(crate) fn read(method: &Method, uri: &Uri) -> Self {
        let query = Query::parse(uri.query().unwrap_or_default());
        let path = uri.path();
        let decoded: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| decode(&part.replace('+', "%2B")))
            .collect();
        let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
            _ => {
                let attempt = Attempt {
                    verb: method.as_str().to_lowercase(),
                    path: Some(path.to_owned()),
                    ..Attempt::default()
                };
                return Self {
                    method: method.clone(),
                    attempt,
                    query,
                };
            }
        };
        // The old form of a watch: /api/v1/watch/...
        let (old_watch, rest) = match rest {
            ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
            rest => (false, rest),
        };
        let (namespace, resource, name, subresource) = match rest {
            ["namespaces"] => ("", "namespaces", "", ""),
            ["namespaces", name] => (*name, "namespaces", *name, ""),
            ["namespaces", name, subresource @ ("status" | "finalize")] => (*name, "namespaces", *name, *subresource),
            ["namespaces", namespace, resource] => (*namespace, *resource, "", ""),
            ["namespaces", namespace, resource, name] => (*namespace, *resource, *name, ""),
            ["namespaces", namespace, resource, name, subresource, ..] => (*namespace, *resource, *name, *subresource),
            [resource] => ("", *resource, "", ""),
            [resource, name] => ("", *resource, *name, ""),
            [resource, name, subresource, ..] => ("", *resource, *name, *subresource),
            [] => ("", "", "", ""),
        };
        let watch = old_watch || query.flag("watch");
        let mut attempt = Attempt {
            verb: verb(method, name, watch).to_owned(),
            group: group.to_owned(),
            version: version.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            path: None,
        };
        if matches!(attempt.verb.as_str(), "list" | "watch" | "deletecollection") {
            // Rights may be given by name also for lists of one name.
            let named = query
                .text("fieldSelector")
                .split(',')
                .find_map(|part| part.strip_prefix("metadata.name="));
            attempt.name = named
                .map(|name| name.trim_start_matches('=').to_owned())
                .unwrap_or_default();
        }
        Self {
            method: method.clone(),
            attempt,
            query,
        }
    }

    /// The name in the path, which for lists is none even when a selector names one object.
    pub(crate) fn name(&self) -> &str {
        if matches!(self.attempt.verb.as_str(), "list" | "watch" | "deletecollection") {
            ""
        } else {
            &self.attempt.name
        }
    }
}

fn verb(method: &Method, name: &str, watch: bool) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if name.is_empty() => "deletecollection",
        Method::DELETE => "delete",
        _ if watch && name.is_empty() => "watch",
        _ if name.is_empty() => "list",
        _ => "get",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: Method, uri: &str) -> (String, String, String) {
        let attempt = Call::read(&method, &uri.parse().unwrap()).attempt;
        let place = [&*attempt.group, &*attempt.version, &*attempt.namespace, &*attempt.name].join("|");
        let resource = attempt.path.clone().unwrap_or_else(|| attempt.full_resource());
        (attempt.verb, resource, place)
    }

    #[test]
    fn addresses() {
        let cases = [
            (
                Method::GET,
                "/api/v1/namespaces/x/secrets/y",
                "get",
                "secrets",
                "|v1|x|y",
            ),
            (Method::GET, "/api/v1/secrets?watch=true", "watch", "secrets", "|v1||"),
            (
                Method::GET,
                "/apis/apps/v1/namespaces/x/deployments/y/scale",
                "get",
                "deployments/scale",
                "apps|v1|x|y",
            ),
            (
                Method::PUT,
                "/api/v1/namespaces/x/finalize",
                "update",
                "namespaces/finalize",
                "|v1|x|x",
            ),
            (
                Method::DELETE,
                "/api/v1/namespaces/x/secrets",
                "deletecollection",
                "secrets",
                "|v1|x|",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/x/secrets?fieldSelector=metadata.name%3Dz",
                "list",
                "secrets",
                "|v1|x|z",
            ),
            (Method::GET, "/apis/apps/v1", "get", "/apis/apps/v1", "|||"),
            (Method::GET, "/version", "get", "/version", "|||"),
        ];
        for (method, uri, verb, resource, place) in cases {
            assert_eq!(
                read(method, uri),
                (verb.to_owned(), resource.to_owned(), place.to_owned()),
                "{uri}"
            );
        }
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("labelSelector=a+in+%28b%2Cc%29&limit=5&watch");
        assert_eq!(query.text("labelSelector"), "a in (b,c)");
        assert_eq!(query.number("limit").unwrap(), Some(5));
        assert!(query.flag("watch"));
    }
}
