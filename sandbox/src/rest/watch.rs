//! Watches: the changes of a table as a stream of events.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, Sleep};

use super::accept::{Shape, Wanted};
use super::answer::{self, Body, Reply};
use super::call::Call;
use super::read::{forbidden_option, include, namespace, partial_metadata, revision_of, selector};
use crate::catalog::Resource;
use crate::cluster::Cluster;
use crate::sandbox::Shared;
use crate::status::{Answer, Refusal};
use crate::store::{Change, ChangeKind, Delivery, Selector, Stored};
use crate::table::{self, IncludeObject};

/// How long a watch lives that does not say so itself.
const DEFAULT_LIFE: Duration = Duration::from_secs(45 * 60);
/// How often a watch that allows it hears which revision it has reached.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// A watch that is shorter gets no bookmark at its end.
const SHORT: Duration = Duration::from_secs(2);
/// Events taken over at a time: what one slow watch holds in memory.
const BATCH: usize = 256;

struct Watch {
    shared: Arc<Shared>,
    resource: Arc<Resource>,
    namespace: String,
    selector: Selector,
    shape: Shape,
    include: IncludeObject,
    /// Changes up to this revision have been delivered.
    cursor: u64,
    queue: VecDeque<Bytes>,
    started: Delivery,
    signal: Receiver<()>,
    bookmarks: bool,
    first: bool,
    over: bool,
    deadline: Option<Pin<Box<Sleep>>>,
    next_bookmark: Option<Pin<Box<Sleep>>>,
}

/// Starts a watch.
pub(crate) fn watch(
    shared: &Arc<Shared>,
    cluster: &mut Cluster,
    resource: &Arc<Resource>,
    call: &Call,
    wanted: Wanted,
) -> Answer<Reply> {
    let asked = revision_of(call)?;
    let initial = initial_events(call, asked)?;
    let life = match call.query.number("timeoutSeconds")? {
        None | Some(0) => DEFAULT_LIFE,
        Some(seconds) => Duration::from_secs(seconds),
    };
    let bookmarks = call.query.flag("allowWatchBookmarks");
    let selector = selector(resource, call)?;
    let include = include(call)?;
    let (current, compacted) = (cluster.revision(), cluster.compacted());
    let namespace = namespace(resource, call).to_owned();
    let table = cluster.table(&resource.table);
    let mut watch = Watch {
        shared: shared.clone(),
        resource: resource.clone(),
        namespace,
        selector,
        shape: wanted.shape,
        include,
        cursor: if initial.is_some() {
            current
        } else {
            asked.unwrap_or(current)
        },
        queue: VecDeque::new(),
        started: table.delivery(),
        signal: table.subscribe(),
        bookmarks: bookmarks && life > SHORT,
        first: true,
        over: false,
        deadline: None,
        next_bookmark: None,
    };
    if shared.watch_timeouts {
        let now = Instant::now();
        watch.deadline = Some(Box::pin(tokio::time::sleep_until(now + life)));
        watch.next_bookmark = bookmarks.then(|| Box::pin(tokio::time::sleep_until(now + BOOKMARK_EVERY)));
    }
    match initial {
        Some(with_bookmark) => {
            let table = cluster.table(&resource.table);
            let objects: Vec<Arc<Stored>> = table
                .within(&watch.namespace, None)
                .filter(|it| watch.selector.matches(it))
                .cloned()
                .collect();
            for object in objects {
                watch.push(cluster, ChangeKind::Added, &object);
            }
            if with_bookmark && bookmarks {
                watch.push_bookmark(true);
            }
        }
        None if watch.cursor < compacted => watch.push_too_old(compacted),
        None => {}
    }
    let events = futures::stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((event, watch))
    });
    Ok(answer::typed(
        StatusCode::OK,
        "application/json",
        Body::events(events.boxed()),
    ))
}

/// Whether the watch begins with what is there already, and if so whether a bookmark marks the end of that.
fn initial_events(call: &Call, asked: Option<u64>) -> Answer<Option<bool>> {
    let matching = call.query.text("resourceVersionMatch");
    match call.query.find("sendInitialEvents") {
        None | Some("") if !matching.is_empty() => Err(forbidden_option(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )),
        None | Some("") => Ok(asked.is_none().then_some(false)),
        Some(_) if matching != "NotOlderThan" => Err(forbidden_option(
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        )),
        Some("true" | "1" | "True") => Ok(Some(true)),
        Some(_) => Ok(None),
    }
}

impl Watch {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            // Before looking: a change that comes while we look must wake us.
            self.signal.borrow_and_update();
            self.collect();
            if self.queue.is_empty() && !self.over {
                self.wait().await;
            }
        }
    }

    /// Takes over what has changed.
    fn collect(&mut self) {
        let shared = self.shared.clone();
        let mut cluster = shared.lock();
        let current = cluster.revision();
        let table = cluster.table(&self.resource.table);
        let delivery = table.delivery();
        if delivery.closed > self.started.closed {
            self.over = true;
            return;
        }
        if delivery.expired > self.started.expired {
            self.push_too_old(current);
            return;
        }
        if delivery.paused || delivery.hung > self.started.hung {
            return;
        }
        let changes: Vec<Change> = match table.since(self.cursor) {
            Ok(changes) => changes.take(BATCH).cloned().collect(),
            Err(oldest) => return self.push_too_old(oldest),
        };
        self.cursor = if changes.len() < BATCH {
            current
        } else {
            changes[BATCH - 1].revision
        };
        for change in &changes {
            self.deliver(&cluster, change);
        }
    }

    /// Tells of a change what it means to this watch's selector.
    fn deliver(&mut self, cluster: &Cluster, change: &Change) {
        let elsewhere = !self.namespace.is_empty() && change.object.key.namespace != self.namespace;
        if elsewhere || change.lost {
            return;
        }
        let was = change
            .previous
            .as_ref()
            .is_some_and(|previous| self.selector.matches(previous));
        let is = change.kind != ChangeKind::Deleted && self.selector.matches(&change.object);
        match (was, is, &change.previous) {
            (false, false, _) => {}
            (false, true, _) => self.push(cluster, ChangeKind::Added, &change.object),
            (true, true, _) => self.push(cluster, ChangeKind::Modified, &change.object),
            (true, false, _) if change.kind == ChangeKind::Deleted => {
                self.push(cluster, ChangeKind::Deleted, &change.object);
            }
            (true, false, Some(previous)) => {
                // It left the selection: its last state that was selected, under this change's revision.
                let last = Stored::new(previous.value(), change.revision);
                self.push(cluster, ChangeKind::Deleted, &last);
            }
            (true, false, None) => {}
        }
    }

    fn push(&mut self, cluster: &Cluster, kind: ChangeKind, object: &Stored) {
        let kind = match kind {
            ChangeKind::Added => "ADDED",
            ChangeKind::Modified => "MODIFIED",
            ChangeKind::Deleted => "DELETED",
        };
        let object = match self.shape {
            Shape::Full | Shape::Discovery => self.resource.show_bytes(object),
            Shape::Metadata => partial_metadata(&self.resource.show(object)).to_string().into(),
            Shape::Table => {
                let shown = self.resource.show(object);
                table::render_event(&self.resource.columns, &shown, self.include, self.first, cluster.now())
                    .to_string()
                    .into()
            }
        };
        self.first = false;
        self.push_line(kind, &object);
    }

    fn push_line(&mut self, kind: &str, object: &[u8]) {
        let mut line = Vec::with_capacity(object.len() + 40);
        line.extend_from_slice(b"{\"type\":\"");
        line.extend_from_slice(kind.as_bytes());
        line.extend_from_slice(b"\",\"object\":");
        line.extend_from_slice(object);
        line.extend_from_slice(b"}\n");
        self.queue.push_back(line.into());
    }

    fn push_bookmark(&mut self, end_of_initial: bool) {
        let mut metadata = json!({"resourceVersion": self.cursor.to_string(), "creationTimestamp": null});
        if end_of_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let (kind, api_version): (&str, Value) = match self.shape {
            Shape::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1".into()),
            _ => (&self.resource.kind, self.resource.api_version().into()),
        };
        let object = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
        self.push_line("BOOKMARK", object.to_string().as_bytes());
    }

    fn push_too_old(&mut self, oldest: u64) {
        let status = Refusal::too_old(self.cursor, oldest).status();
        self.push_line("ERROR", status.to_string().as_bytes());
        self.over = true;
    }

    /// Waits for a change, the next bookmark or the end.
    async fn wait(&mut self) {
        let Self {
            signal,
            deadline,
            next_bookmark,
            ..
        } = self;
        let never = std::future::pending::<()>;
        tokio::select! {
            biased;
            changed = signal.changed() => {
                // The table outlives every watch; if it does not, there is nothing more to come.
                self.over = changed.is_err();
            }
            () = async { match next_bookmark { Some(sleep) => sleep.await, None => never().await } } => {
                self.next_bookmark = Some(Box::pin(tokio::time::sleep(BOOKMARK_EVERY)));
                self.bookmark_if_heard();
            }
            () = async { match deadline { Some(sleep) => sleep.await, None => never().await } } => {
                if self.bookmarks {
                    self.bookmark_if_heard();
                }
                self.over = true;
            }
        }
    }

    /// A bookmark, unless a fault keeps this watch from hearing anything.
    fn bookmark_if_heard(&mut self) {
        let shared = self.shared.clone();
        let mut cluster = shared.lock();
        let delivery = cluster.table(&self.resource.table).delivery();
        if !delivery.paused && delivery.hung == self.started.hung {
            self.push_bookmark(false);
        }
    }
}
