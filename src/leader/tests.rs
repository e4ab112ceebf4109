use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use http::Request;
use tokio::{
    sync::Notify,
    time::{Instant, advance},
};
use tower::{Service, service_fn};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// How many requests are sent of those that wait for a connection until they are told.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_out_of_the_term_not_even_what_was_begun_in_it() {
    let (connected, sent, term) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)), Term::default());
    let mut service = term.guard(service_fn(|_: Request<()>| {
        let (connected, sent) = (connected.clone(), sent.clone());
        async move {
            connected.notified().await;
            sent.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(())
        }
    }));
    let sent = || sent.load(Ordering::Relaxed);
    let refused = |answer: Option<Result<(), tower::BoxError>>| answer.unwrap().unwrap_err().to_string();

    let early = service.call(Request::default()).now_or_never();
    assert_eq!(refused(early), "this process does not lead");

    term.extend(Instant::now() + 8 * SECOND);
    let mut within = service.call(Request::default());
    assert!((&mut within).now_or_never().is_none());
    connected.notify_one();
    assert!(within.now_or_never().unwrap().is_ok());
    assert_eq!(sent(), 1);

    let mut stopped = service.call(Request::default());
    assert!((&mut stopped).now_or_never().is_none());
    advance(8 * SECOND).await;
    connected.notify_one();
    assert_eq!(refused(stopped.now_or_never()), "this process does not lead");
    let late = service.call(Request::default()).now_or_never();
    assert_eq!(refused(late), "this process does not lead");
    assert_eq!(sent(), 1);

    term.extend(Instant::now() + 8 * SECOND);
    term.end();
    let ended = service.call(Request::default()).now_or_never();
    assert_eq!(refused(ended), "this process does not lead");
}

#[test]
fn a_leader_ends_before_another_may_begin_and_renews_often_enough_before() {
    for seconds in [3, 12, 15, 3600] {
        let settings = Settings {
            namespace: String::new(),
            name: String::new(),
            identity: String::new(),
            duration: seconds * SECOND,
        };
        // Twice it may go wrong.
        let renewed = 2 * settings.renewal() + 2 * settings.look();
        assert!(renewed < settings.deadline() && settings.patience() < settings.deadline());
        assert!(settings.deadline() < settings.duration);
    }
}
