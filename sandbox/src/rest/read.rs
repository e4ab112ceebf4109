//! Get and list.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::StatusCode;
use serde_json::{Value, json};

use super::accept::{Shape, Wanted};
use super::answer::{self, Reply};
use super::call::Call;
use crate::catalog::Resource;
use crate::cluster::Cluster;
use crate::schema::{ErrorKind, FieldError};
use crate::status::{Answer, Refusal};
use crate::store::{Key, Selector, Stored, text};
use crate::table::{self, IncludeObject};

/// Answers one object in the form that the client wants.
pub(crate) fn one(
    cluster: &Cluster,
    resource: &Resource,
    call: &Call,
    wanted: Wanted,
    code: StatusCode,
    object: &Stored,
) -> Answer<Reply> {
    if wanted == Wanted::JSON {
        return Ok(answer::json(code, resource.show_bytes(object)));
    }
    let shown = resource.show(object);
    let shaped = match wanted.shape {
        Shape::Full | Shape::Discovery => shown,
        Shape::Metadata => partial_metadata(&shown),
        Shape::Table => {
            let metadata = json!({"resourceVersion": shown["metadata"]["resourceVersion"]});
            table::render(&resource.columns, &[shown], include(call)?, &metadata, cluster.now())
        }
    };
    Ok(answer::value(code, &shaped, wanted.yaml))
}

pub(crate) fn include(call: &Call) -> Answer<IncludeObject> {
    IncludeObject::parse(call.query.find("includeObject"))
        .ok_or_else(|| Refusal::bad_request("unrecognized includeObject value"))
}

pub(crate) fn partial_metadata(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// Answers a get; `as_of` is a past revision that a fault wants to be shown.
pub(crate) fn get(
    cluster: &mut Cluster,
    resource: &Resource,
    call: &Call,
    wanted: Wanted,
    as_of: Option<u64>,
) -> Answer<Reply> {
    let key = key(resource, call);
    let found = match as_of {
        Some(revision) => cluster
            .table(&resource.table)
            .at(revision)
            .ok()
            .and_then(|past| past.get(&key).cloned()),
        None => cluster.find(&resource.table, &key),
    };
    let object = found.ok_or_else(|| Refusal::not_found(resource, &key.name))?;
    one(cluster, resource, call, wanted, StatusCode::OK, &object)
}

/// The key of the object that a call names.
pub(crate) fn key(resource: &Resource, call: &Call) -> Key {
    Key::new(namespace(resource, call), call.name())
}

/// The namespace that a call is about; empty: all of them, or none as the resource has none.
pub(crate) fn namespace<'c>(resource: &Resource, call: &'c Call) -> &'c str {
    if resource.namespaced {
        &call.attempt.namespace
    } else {
        ""
    }
}

pub(crate) fn selector(resource: &Resource, call: &Call) -> Answer<Selector> {
    Selector::parse(
        resource,
        call.query.text("labelSelector"),
        call.query.text("fieldSelector"),
    )
}

/// One page of a list.
struct Page {
    objects: Vec<Arc<Stored>>,
    revision: u64,
    /// Behind what the next page begins, and how many objects are left.
    more: Option<(Key, usize)>,
}

/// Answers a list.
pub(crate) fn list(
    cluster: &mut Cluster,
    resource: &Resource,
    call: &Call,
    wanted: Wanted,
    as_of: Option<u64>,
) -> Answer<Reply> {
    cluster.settle();
    let selector = selector(resource, call)?;
    let selects = !(call.query.text("labelSelector").is_empty() && call.query.text("fieldSelector").is_empty());
    let page = page(cluster, resource, call, &selector, as_of)?;
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if let Some((last, left)) = &page.more {
        metadata["continue"] = continue_token(page.revision, last).into();
        if !selects {
            metadata["remainingItemCount"] = (*left).into();
        }
    }
    if wanted == Wanted::JSON {
        return Ok(answer::json(StatusCode::OK, plain(resource, &page, &metadata)));
    }
    let whole = wanted.shape == Shape::Table;
    let show = |object: &Arc<Stored>| {
        if whole {
            resource.show(object)
        } else {
            resource.item(object)
        }
    };
    let objects: Vec<Value> = page.objects.iter().map(show).collect();
    let shaped = match wanted.shape {
        Shape::Full | Shape::Discovery => json!({
            "kind": resource.list_kind, "apiVersion": resource.api_version(), "metadata": metadata, "items": objects,
        }),
        Shape::Metadata => json!({
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            "items": objects.iter().map(partial_metadata).collect::<Vec<_>>(),
        }),
        Shape::Table => table::render(&resource.columns, &objects, include(call)?, &metadata, cluster.now()),
    };
    Ok(answer::value(StatusCode::OK, &shaped, wanted.yaml))
}

/// Puts a list together from the bytes of its objects.
fn plain(resource: &Resource, page: &Page, metadata: &Value) -> Bytes {
    let size: usize = page.objects.iter().map(|object| object.body.len() + 1).sum();
    let mut bytes = BytesMut::with_capacity(size + 256);
    let head =
        json!({"apiVersion": resource.api_version(), "kind": resource.list_kind, "metadata": metadata}).to_string();
    // Without its closing brace: the items follow.
    bytes.put_slice(&head.as_bytes()[..head.len() - 1]);
    bytes.put_slice(b",\"items\":[");
    for (at, object) in page.objects.iter().enumerate() {
        if at > 0 {
            bytes.put_u8(b',');
        }
        bytes.put_slice(&resource.item_bytes(object));
    }
    bytes.put_slice(b"]}\n");
    bytes.freeze()
}

fn page(
    cluster: &mut Cluster,
    resource: &Resource,
    call: &Call,
    selector: &Selector,
    as_of: Option<u64>,
) -> Answer<Page> {
    let (exact, after) = moment(cluster, call)?;
    let exact = as_of.or(exact);
    let now = cluster.revision();
    let compacted = cluster.compacted();
    let limit = call.query.number("limit")?.filter(|limit| *limit > 0);
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let namespace = namespace(resource, call);
    let table = cluster.table(&resource.table);
    let past = match exact.filter(|exact| table.changed_since(*exact)) {
        Some(exact) if exact < compacted && as_of.is_none() => return Err(too_old(call, exact, compacted)),
        Some(exact) => Some(table.at(exact).map_err(|oldest| too_old(call, exact, oldest))?),
        None => match exact.filter(|exact| *exact < compacted && as_of.is_none()) {
            Some(exact) => return Err(too_old(call, exact, compacted)),
            None => None,
        },
    };
    let matching: Box<dyn Iterator<Item = &Arc<Stored>>> = match &past {
        Some(past) => Box::new(crate::store::within(past, namespace, after.as_ref())),
        None => Box::new(table.within(namespace, after.as_ref())),
    };
    let mut all = matching;
    let objects: Vec<_> = all
        .by_ref()
        .filter(|object| selector.matches(object))
        .take(limit)
        .cloned()
        .collect();
    // What is left may not match: the real server does not look either.
    let left = if objects.len() == limit { all.count() } else { 0 };
    let more = objects.last().filter(|_| left > 0).map(|last| (last.key.clone(), left));
    Ok(Page {
        objects,
        revision: exact.unwrap_or(now),
        more,
    })
}

fn too_old(call: &Call, asked: u64, oldest: u64) -> Box<Refusal> {
    if call.query.text("continue").is_empty() {
        return Refusal::too_old(asked, oldest);
    }
    Refusal::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter.",
    )
}

/// The exact revision that a list must show, if any, and the key behind which it begins.
fn moment(cluster: &Cluster, call: &Call) -> Answer<(Option<u64>, Option<Key>)> {
    let token = call.query.text("continue");
    if !token.is_empty() {
        if !call.query.text("resourceVersion").is_empty() {
            return Err(Refusal::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let (revision, key) = read_token(token).ok_or_else(|| {
            Refusal::bad_request(format!("invalid continue token: continue key is not valid: {token}"))
        })?;
        return Ok((Some(revision), Some(key)));
    }
    let matching = call.query.text("resourceVersionMatch");
    let revision = revision_of(call)?;
    if !matching.is_empty() && call.query.text("resourceVersion").is_empty() {
        return Err(forbidden_option(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        ));
    }
    match (matching, revision) {
        ("Exact", None) => Err(forbidden_option(
            "resourceVersionMatch",
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        )),
        ("Exact", Some(revision)) => not_in_future(cluster, revision).map(|()| (Some(revision), None)),
        ("" | "NotOlderThan", None) => Ok((None, None)),
        ("" | "NotOlderThan", Some(revision)) => {
            not_in_future(cluster, revision)?;
            // With a limit and no word on matching, the real server takes the revision as exact.
            let exact = matching.is_empty() && call.query.number("limit")?.is_some_and(|limit| limit > 0);
            Ok((exact.then_some(revision), None))
        }
        (other, _) => {
            let supported = ["Exact", "NotOlderThan", ""];
            Err(Refusal::invalid_options(
                "ListOptions",
                unsupported("resourceVersionMatch", other.into(), &supported),
            ))
        }
    }
}

pub(crate) fn forbidden_option(field: &str, why: &str) -> Box<Refusal> {
    let error = FieldError {
        kind: ErrorKind::Forbidden,
        field: field.to_owned(),
        value: None,
        detail: why.to_owned(),
    };
    Refusal::invalid_options("ListOptions", error)
}

/// A value outside of those that an option may have.
pub(crate) fn unsupported(field: &str, value: Value, supported: &[&str]) -> FieldError {
    let supported: Vec<String> = supported.iter().map(|it| format!("\"{it}\"")).collect();
    FieldError {
        kind: ErrorKind::NotSupported,
        field: field.to_owned(),
        value: Some(value),
        detail: format!("supported values: {}", supported.join(", ")),
    }
}

/// The `resourceVersion` of a list or watch; 0 and nothing are none.
pub(crate) fn revision_of(call: &Call) -> Answer<Option<u64>> {
    let asked = call.query.text("resourceVersion");
    match asked.parse::<u64>() {
        _ if asked.is_empty() => Ok(None),
        Ok(0) => Ok(None),
        Ok(revision) => Ok(Some(revision)),
        Err(_) => Err(Refusal::bad_request(format!(
            "invalid resource version: resourceVersion: Invalid value: \"{asked}\": strconv.ParseUint: parsing \
             \"{asked}\": invalid syntax"
        ))),
    }
}

fn not_in_future(cluster: &Cluster, asked: u64) -> Answer<()> {
    let current = cluster.revision();
    if asked <= current {
        return Ok(());
    }
    let mut refusal = Refusal::new(
        StatusCode::GATEWAY_TIMEOUT,
        "Timeout",
        format!("Timeout: Too large resource version: {asked}, current: {current}"),
    );
    refusal.details = Some(json!({"causes": [{
        "reason": "ResourceVersionTooLarge", "message": "Too large resource version",
    }]}));
    refusal.retry_after = Some(1);
    Err(refusal)
}

/// A token that names a moment and a key; hexadecimal, because clients must not read it.
fn continue_token(revision: u64, last: &Key) -> String {
    let plain = json!([revision, last.namespace, last.name]).to_string();
    plain.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn read_token(token: &str) -> Option<(u64, Key)> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let bytes: Option<Vec<u8>> = token
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::try_from(digit(pair.first()?)? * 16 + digit(pair.get(1)?)?).ok())
        .collect();
    let plain: Value = serde_json::from_slice(&bytes?).ok()?;
    Some((plain[0].as_u64()?, Key::new(text(&plain[1]), text(&plain[2]))))
}
