//! What is asked of an API server, in RBAC's words.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Method, Request, Response, Uri};
use tower::Service;
use tracing::Instrument;

use super::span;

/// A verb and a resource with its subresource, such as `update apitokens/status`. No names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation<'u> {
    /// Such as `update`.
    pub verb: &'static str,
    /// Such as `apitokens/status`.
    pub resource: Resource<'u>,
}

/// A resource, and what of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'u> {
    name: &'u str,
    subresource: Option<&'u str>,
}

impl<'u> Operation<'u> {
    /// What a request with this method and this URL asks for. What is no resource is named by its path.
    pub fn of(method: &Method, uri: &'u Uri) -> Self {
        let path = uri.path().trim_matches('/');
        let parts: Vec<&str> = path.split('/').collect();
        let (resource, name) = match parts.as_slice() {
            ["api", _, "namespaces", _, name, rest @ ..]
            | ["apis", _, _, "namespaces", _, name, rest @ ..]
            | ["api", _, name, rest @ ..]
            | ["apis", _, _, name, rest @ ..] => {
                let subresource = rest.get(1).copied();
                (Resource { name, subresource }, rest.first())
            }
            _ => (
                Resource {
                    name: path,
                    subresource: None,
                },
                None,
            ),
        };
        let watched = uri.query().is_some_and(|query| query.contains("watch=true"));
        let verb = match (method.as_str(), name) {
            ("GET", None) if watched => "watch",
            ("GET", None) => "list",
            ("GET", Some(_)) => "get",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", None) => "deletecollection",
            ("DELETE", Some(_)) => "delete",
            _ => "other",
        };
        Self { verb, resource }
    }
}

impl fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        self.subresource
            .map_or(Ok(()), |subresource| write!(f, "/{subresource}"))
    }
}

/// A client's requests, each with a span where it is part of one.
#[derive(Clone, Debug)]
pub(crate) struct Traced<S>(pub(crate) S);

impl<S, B, R> Service<Request<B>> for Traced<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: 'static,
    S::Error: 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let operation = Operation::of(request.method(), request.uri());
        let span = span::request(&operation, request.method().as_str());
        let sending = self.0.call(request).instrument(span.clone());
        Box::pin(async move {
            let answer = sending.await;
            span::answered(&span, answer.as_ref().ok());
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_named_as_rbac_names_them_and_without_names_and_queries() {
        let apis = "/apis/tokenwright.dev/v1alpha1";
        for (method, url, expected) in [
            (
                "GET",
                format!("{apis}/apitokens?watch=true&resourceVersion=7"),
                "watch apitokens",
            ),
            (
                "GET",
                format!("{apis}/namespaces/shop/apitokens?limit=500"),
                "list apitokens",
            ),
            (
                "PUT",
                format!("{apis}/namespaces/shop/apitokens/webshop/status"),
                "update apitokens/status",
            ),
            (
                "PATCH",
                format!("{apis}/organisations/acme/status?fieldManager=x"),
                "patch organisations/status",
            ),
            (
                "GET",
                "/api/v1/namespaces/shop/secrets/webshop".to_owned(),
                "get secrets",
            ),
            ("POST", "/api/v1/namespaces/shop/secrets".to_owned(), "create secrets"),
            (
                "DELETE",
                "/api/v1/namespaces/shop/secrets/webshop".to_owned(),
                "delete secrets",
            ),
            (
                "DELETE",
                "/api/v1/namespaces/shop/secrets".to_owned(),
                "deletecollection secrets",
            ),
            ("GET", "/api/v1/namespaces".to_owned(), "list namespaces"),
            ("GET", "/api/v1/namespaces/shop".to_owned(), "get namespaces"),
            ("GET", "/version?pretty=true".to_owned(), "list version"),
        ] {
            let (method, url): (Method, Uri) = (method.parse().unwrap(), url.parse().unwrap());
            assert_eq!(Operation::of(&method, &url).to_string(), expected, "{method} {url}");
        }
    }
}
