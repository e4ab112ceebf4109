//! What a gateway asks the verifier, and what it is answered.

use std::fmt::Write;

use crate::{http::get_with, process::LIMIT, stage::Stage};

/// A request to the organisation's API, as Traefik and Caddy have it judged.
#[derive(Clone)]
pub(crate) struct Question {
    verifier: String,
    query: String,
    headers: String,
    address: &'static str,
}

impl Question {
    /// One without a credential, from an address of the documentation's range, of which nothing is asked but the organisation.
    pub(crate) fn of(stage: &Stage) -> Self {
        Self {
            verifier: stage.verifier.clone(),
            query: format!("organisation={}", stage.name),
            headers: String::new(),
            address: "203.0.113.9",
        }
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        write!(self.headers, "{name}: {value}\r\n").unwrap();
        self
    }

    pub(crate) fn permission(mut self, name: &str) -> Self {
        write!(self.query, "&permission={name}").unwrap();
        self
    }

    pub(crate) fn project(mut self, name: &str) -> Self {
        write!(self.query, "&project={name}").unwrap();
        self
    }

    pub(crate) fn from(mut self, address: &'static str) -> Self {
        self.address = address;
        self
    }

    /// The status code.
    pub(crate) async fn code(&self) -> String {
        let answer = self.answer().await;
        answer.split_whitespace().next().unwrap().to_owned()
    }

    /// The status code and the body.
    pub(crate) async fn answer(&self) -> String {
        let path = format!("/forward-auth?{}", self.query);
        let headers = format!("{}X-Forwarded-For: {}\r\n", self.headers, self.address);
        get_with(&self.verifier, &path, &headers).await
    }

    /// Asks until the status code is this.
    pub(crate) async fn becomes(&self, code: &str) {
        let asking = async { while self.code().await != code {} };
        let in_time = tokio::time::timeout(LIMIT, asking).await;
        assert!(in_time.is_ok(), "{}: never answered {code}", self.query);
    }
}
