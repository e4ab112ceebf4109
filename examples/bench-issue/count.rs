//! Counting a client's requests where they leave it, so that it works with any API server.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt;
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use serde::{Deserialize, Serialize};
use tokenwright::telemetry::Operation;
use tower::ServiceExt;

/// What a client asked for, and what it got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Requests {
    /// How many by verb and resource, such as `update apitokens/status`.
    pub(crate) by_kind: BTreeMap<String, u64>,
    /// How many were answered with this HTTP status, of 400 and above.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// The bytes of their bodies.
    pub(crate) sent_bytes: u64,
    /// The bytes of the answers' bodies, of watches too.
    pub(crate) received_bytes: u64,
}

#[derive(Clone, Default)]
pub(crate) struct Counter(Arc<Mutex<Requests>>);

impl Counter {
    pub(crate) fn so_far(&self) -> Requests {
        self.lock().clone()
    }

    /// A client like any other, but for its requests being counted.
    pub(crate) fn client(&self, config: Config) -> kube::Result<Client> {
        let counter = self.clone();
        let layer = tower::layer::layer_fn(move |service| {
            let (asked, answered) = (counter.clone(), counter.clone());
            ServiceExt::<Request<Body>>::map_request(service, move |request: Request<Body>| {
                asked.asked(&request);
                request
            })
            .map_response(move |response| answered.answered(response))
        });
        Ok(ClientBuilder::try_from(config)?.with_layer(&layer).build())
    }

    fn asked(&self, request: &Request<Body>) {
        let mut requests = self.lock();
        requests.sent_bytes += request.body().size_hint().lower();
        *requests
            .by_kind
            .entry(Operation::of(request.method(), request.uri()).to_string())
            .or_default() += 1;
    }

    fn answered<B>(
        &self,
        response: Response<B>,
    ) -> Response<impl http_body::Body<Data = B::Data, Error = B::Error> + use<B>>
    where
        B: http_body::Body<Data = bytes::Bytes>,
    {
        let status = response.status().as_u16();
        if status >= 400 {
            *self.lock().refused.entry(status).or_default() += 1;
        }
        let counter = self.clone();
        response.map(|body| {
            body.map_frame(move |frame| {
                counter.lock().received_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                frame
            })
        })
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
