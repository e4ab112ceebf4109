//! The HTTP face: from a request to its answer.
//!
//! `call` reads the address, `accept` and `body` negotiate forms, the verbs live in `read`, `watch`, `write`, `remove`
//! and `scale`, questions in `review`, and what is no resource in `paths`. Everything but the events of a watch is
//! synchronous; what may wait (faults) is around it, in [`serve`].

mod accept;
mod answer;
mod body;
mod call;
mod paths;
mod read;
mod remove;
mod review;
mod scale;
mod watch;
mod write;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};

pub use answer::Body;

use crate::auth::{Attempt, User};
use crate::cluster::Cluster;
use crate::faults::{Failure, Fault, Hit};
use crate::requests::RequestRecord;
use crate::sandbox::Shared;
use crate::status::{Answer, Refusal, details};
use accept::Wanted;
use answer::Reply;
use call::Call;

/// The largest body that is read, as the real server has it.
pub(crate) const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// A request whose body has been read.
pub(crate) struct Incoming {
    pub(crate) call: Call,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The raw query, for the log.
    query: String,
}

impl Incoming {
    pub(crate) fn new(head: &http::request::Parts, body: Bytes) -> Self {
        Self {
            call: Call::read(&head.method, &head.uri),
            headers: head.headers.clone(),
            body,
            query: head.uri.query().unwrap_or_default().to_owned(),
        }
    }
}

/// Answers a request, with the faults that are in force. An error is a connection that breaks.
pub(crate) async fn serve(shared: Arc<Shared>, user: Option<User>, incoming: Incoming) -> io::Result<Response<Body>> {
    let identity = identify(&shared, user, &incoming);
    let name = identity.as_ref().map_or("", |user| user.name.as_str()).to_owned();
    let hit = identity
        .as_ref()
        .ok()
        .and_then(|user| shared.faults.strike(user, &incoming.call.attempt));
    let mut as_of = None;
    let mut after: Option<Hit> = None;
    if let Some(hit) = hit {
        match &hit.fault {
            Fault::Fail(failure) => {
                let reply = answer::refusal(&injected(&incoming.call.attempt, failure));
                record(&shared, &incoming, &name, reply.status(), false);
                return Ok(reply);
            }
            Fault::DropRequest => {
                record(&shared, &incoming, &name, StatusCode::SERVICE_UNAVAILABLE, true);
                return Err(broken());
            }
            Fault::HangBefore => hit.removal().await,
            Fault::Stale(revision) => as_of = Some(*revision),
            Fault::Delay(_) | Fault::Trickle(_) | Fault::DropAnswer | Fault::HangAfter => after = Some(hit),
        }
    }
    let reply = match identity.and_then(|user| dispatch(&shared, &user, &incoming, as_of)) {
        Ok(reply) => reply,
        Err(refusal) => answer::refusal(&refusal),
    };
    let lost = after.as_ref().is_some_and(|hit| hit.fault == Fault::DropAnswer);
    record(&shared, &incoming, &name, reply.status(), lost);
    if let Some(hit) = after {
        match hit.fault {
            Fault::Delay(time) => tokio::time::sleep(time).await,
            Fault::Trickle(pause) => return Ok(reply.map(|body| body.trickling(pause))),
            Fault::DropAnswer => return Err(broken()),
            _ => hit.removal().await,
        }
    }
    Ok(reply)
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "injected fault: the connection broke")
}

fn injected(attempt: &Attempt, failure: &Failure) -> Refusal {
    let code = StatusCode::from_u16(failure.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut refusal = *Refusal::new(code, &failure.reason, failure.message.clone());
    refusal.details = Some(details(&attempt.group, &attempt.resource, &attempt.name));
    refusal.retry_after = failure.retry_after;
    refusal
}

/// Logs a request; `lost` is one whose client gets no answer.
fn record(shared: &Shared, incoming: &Incoming, user: &str, code: StatusCode, lost: bool) {
    let attempt = &incoming.call.attempt;
    let agent = incoming
        .headers
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default();
    let writes = matches!(
        attempt.verb.as_str(),
        "create" | "update" | "patch" | "delete" | "deletecollection"
    );
    let review = attempt.resource.ends_with("reviews");
    let dry_run = !incoming.call.query.text("dryRun").is_empty();
    shared.log.add(RequestRecord {
        verb: attempt.verb.clone(),
        group: attempt.group.clone(),
        version: attempt.version.clone(),
        resource: attempt.resource.clone(),
        subresource: attempt.subresource.clone(),
        namespace: attempt.namespace.clone(),
        name: attempt.name.clone(),
        path: attempt.path.clone().unwrap_or_default(),
        query: incoming.query.clone(),
        user: user.to_owned(),
        user_agent: agent.to_owned(),
        code: if lost { 0 } else { code.as_u16() },
        write: writes && !review && !dry_run && code.is_success(),
    });
}

/// Who asks: the user of the transport or of the bearer token, or whom they may speak for.
fn identify(shared: &Shared, user: Option<User>, incoming: &Incoming) -> Answer<User> {
    let user = match user {
        Some(user) => user,
        None => match bearer(&incoming.headers) {
            Some(token) => shared.user_of_token(token).ok_or_else(Refusal::unauthorized)?,
            None => User::anonymous(),
        },
    };
    impersonated(&mut shared.lock(), user.authenticated(), &incoming.headers)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value
        .strip_prefix("Bearer ")
        .or_else(|| value.strip_prefix("bearer "))
        .map(str::trim)
}

fn impersonated(cluster: &mut Cluster, user: User, headers: &HeaderMap) -> Answer<User> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let groups: Vec<String> = headers
        .get_all("impersonate-group")
        .iter()
        .filter_map(|it| it.to_str().ok())
        .map(str::to_owned)
        .collect();
    let Some(name) = header("impersonate-user") else {
        return if groups.is_empty() && header("impersonate-uid").is_none() {
            Ok(user)
        } else {
            Err(Refusal::bad_request(
                "requested impersonation without impersonating a user",
            ))
        };
    };
    let mut allowed = |group: &str, resource: &str, namespace: &str, name: &str| {
        let attempt = Attempt {
            verb: "impersonate".to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..Attempt::default()
        };
        if cluster.allows(&user, &attempt) {
            Ok(())
        } else {
            Err(denied(&user, &attempt))
        }
    };
    let mut other = User::new(name);
    other.groups = groups;
    match name
        .strip_prefix("system:serviceaccount:")
        .and_then(|account| account.split_once(':'))
    {
        Some((namespace, account)) => {
            allowed("", "serviceaccounts", namespace, account)?;
            if other.groups.is_empty() {
                other = User::service_account(namespace, account);
            }
        }
        None => allowed("", "users", "", name)?,
    }
    for group in &other.groups {
        if !name.starts_with("system:serviceaccount:") || !group.starts_with("system:serviceaccounts") {
            allowed("", "groups", "", group)?;
        }
    }
    if let Some(uid) = header("impersonate-uid") {
        allowed("authentication.k8s.io", "uids", "", uid)?;
        other.uid = uid.to_owned();
    }
    if name == "system:anonymous" && other.groups.is_empty() {
        return Ok(User::anonymous());
    }
    Ok(other.authenticated())
}

/// The 403 of a user without the right.
fn denied(user: &User, attempt: &Attempt) -> Box<Refusal> {
    if let Some(path) = &attempt.path {
        let mut refusal = Refusal::new(
            StatusCode::FORBIDDEN,
            "Forbidden",
            format!(
                "forbidden: User \"{}\" cannot {} path \"{path}\"",
                user.name, attempt.verb
            ),
        );
        refusal.details = Some(serde_json::json!({}));
        return refusal;
    }
    let qualified = match attempt.group.as_str() {
        "" => attempt.resource.clone(),
        group => format!("{}.{group}", attempt.resource),
    };
    let what = match attempt.name.as_str() {
        "" => qualified,
        name => format!("{qualified} \"{name}\""),
    };
    let place = match attempt.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    let mut refusal = Refusal::new(
        StatusCode::FORBIDDEN,
        "Forbidden",
        format!(
            "{what} is forbidden: User \"{}\" cannot {} resource \"{}\" in API group \"{}\" {place}",
            user.name,
            attempt.verb,
            attempt.full_resource(),
            attempt.group
        ),
    );
    refusal.details = Some(details(&attempt.group, &attempt.resource, &attempt.name));
    refusal
}

fn dispatch(shared: &Arc<Shared>, user: &User, incoming: &Incoming, as_of: Option<u64>) -> Answer<Reply> {
    let call = &incoming.call;
    let attempt = &call.attempt;
    let mut cluster = shared.lock();
    if !cluster.allows(user, attempt) {
        return Err(denied(user, attempt));
    }
    if incoming.body.len() > BODY_LIMIT {
        return Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {BODY_LIMIT}"),
        ));
    }
    if attempt.path.as_deref() == Some(paths::OLD_OPENAPI) {
        return Ok(paths::old_openapi());
    }
    let wanted = Wanted::read(&incoming.headers)?;
    if let Some(path) = &attempt.path {
        return paths::answer(&cluster, call, path, wanted);
    }
    let catalog = cluster.catalog();
    if !catalog.serves(&attempt.group, &attempt.version) {
        return paths::not_found();
    }
    let found = catalog
        .find(&attempt.group, &attempt.version, &attempt.resource)
        .cloned();
    let Some(resource) = found else {
        let custom = catalog.all().any(|it| it.group == attempt.group && it.custom.is_some());
        return if custom {
            paths::not_found()
        } else {
            Err(Refusal::no_such_path())
        };
    };
    if attempt.subresource.is_empty() && !resource.verbs.contains(&attempt.verb.as_str()) {
        return Err(Refusal::method_not_allowed());
    }
    let cluster_scoped = !resource.namespaced && !attempt.namespace.is_empty() && !resource.is("", "namespaces");
    if cluster_scoped {
        return if resource.custom.is_some() {
            paths::not_found()
        } else {
            Err(Refusal::no_such_path())
        };
    }
    let reply = match (attempt.verb.as_str(), attempt.subresource.as_str()) {
        ("create", "") if resource.verbs.len() == 1 => review::answer(shared, &mut cluster, user, &resource, incoming),
        ("get", "" | "status") if attempt.subresource.is_empty() || resource.status => {
            read::get(&mut cluster, &resource, call, wanted, as_of)
        }
        ("list", "") => read::list(&mut cluster, &resource, call, wanted, as_of),
        ("watch", "") => watch::watch(shared, &mut cluster, &resource, call, wanted),
        ("create", "") => write::create(&mut cluster, user, &resource, incoming, wanted),
        ("update" | "patch", "") => write::change(&mut cluster, user, &resource, incoming, wanted),
        ("update" | "patch", "status") if resource.status => {
            write::change(&mut cluster, user, &resource, incoming, wanted)
        }
        ("update", "finalize") if resource.is("", "namespaces") => {
            write::change(&mut cluster, user, &resource, incoming, wanted)
        }
        ("get" | "update" | "patch", "scale") if resource.scale.is_some() => {
            scale::answer(&mut cluster, user, &resource, incoming, wanted)
        }
        ("delete", "") => remove::one(&mut cluster, user, &resource, incoming, wanted),
        ("deletecollection", "") => remove::collection(&mut cluster, user, &resource, incoming),
        (_, "status" | "scale") if resource.custom.is_some() => Err(Refusal::not_found(&resource, call.name())),
        _ => Err(Refusal::no_such_path()),
    };
    cluster.settle();
    let mut reply = reply?;
    if let Some(warning) = resource.custom.as_ref().and_then(|custom| custom.deprecation.as_ref()) {
        answer::warn(&mut reply, std::slice::from_ref(warning));
    }
    Ok(reply)
}
