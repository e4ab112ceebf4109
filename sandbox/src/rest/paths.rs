//! Paths that are no resources: discovery, versions, health, OpenAPI.

use http::StatusCode;
use serde_json::{Value, json};

use super::accept::{Shape, Wanted};
use super::answer::{self, Body, Reply};
use super::call::Call;
use crate::catalog::{self, Catalog, Resource};
use crate::cluster::Cluster;
use crate::openapi;
use crate::status::{Answer, Refusal};

/// The Kubernetes version whose behaviour is followed.
const MINOR: &str = "36";

/// Where the older document is, in an encoding of its own.
pub(super) const OLD_OPENAPI: &str = "/openapi/v2";
/// `openapi.v2.Document` in protobuf: `swagger` 2.0, `info` with a title and a version, and no path.
const OLD_DOCUMENT: &[u8] = b"\x0a\x032.0\x12\x19\x0a\x0aKubernetes\x12\x0bunversioned\x42\x00";

/// A document that describes nothing. kubectl asks for it before it applies a `List`, and leaves to the server what it
/// knows no schema of.
pub(super) fn old_openapi() -> Reply {
    let media_type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    answer::typed(StatusCode::OK, media_type, Body::whole(OLD_DOCUMENT.into()))
}

pub(super) fn answer(cluster: &Cluster, call: &Call, path: &str, wanted: Wanted) -> Answer<Reply> {
    if call.method != http::Method::GET && call.method != http::Method::HEAD {
        return Err(Refusal::method_not_allowed());
    }
    let catalog = cluster.catalog();
    let aggregated = wanted.shape == Shape::Discovery;
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let document = match parts.as_slice() {
        [] => Some(
            json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]}),
        ),
        ["api"] => return Ok(discovery(&catalog::api_versions(&catalog, aggregated), aggregated)),
        ["apis"] => return Ok(discovery(&catalog::api_groups(&catalog, aggregated), aggregated)),
        ["api", version] => catalog::api_resources(&catalog, "", version),
        ["apis", group] => catalog::one_group(&catalog, group),
        ["apis", group, version] => catalog::api_resources(&catalog, group, version),
        ["version"] => Some(version()),
        ["healthz" | "livez" | "readyz", ..] => {
            return Ok(answer::typed(
                StatusCode::OK,
                "text/plain; charset=utf-8",
                Body::whole("ok".into()),
            ));
        }
        ["openapi", "v3"] => Some(openapi_index(&catalog)),
        ["openapi", "v3", "api", version] => openapi_document(&catalog, "", version),
        ["openapi", "v3", "apis", group, version] => openapi_document(&catalog, group, version),
        _ => None,
    };
    let Some(document) = document else {
        return not_found();
    };
    Ok(answer::value(StatusCode::OK, &document, wanted.yaml))
}

/// What nothing is known about at all is not even answered by a Status.
pub(super) fn not_found() -> Answer<Reply> {
    let body = Body::whole("404 page not found\n".into());
    Ok(answer::typed(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", body))
}

fn discovery(document: &Value, aggregated: bool) -> Reply {
    let media_type = if aggregated {
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    } else {
        "application/json"
    };
    answer::typed(StatusCode::OK, media_type, Body::whole(document.to_string().into()))
}

fn version() -> Value {
    json!({
        "major": "1", "minor": MINOR, "gitVersion": format!("v1.{MINOR}.0+sandbox"), "gitCommit": "",
        "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
        "emulationMajor": "1", "emulationMinor": MINOR, "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
    })
}

fn described(resource: &Resource) -> openapi::Resource {
    openapi::Resource {
        group: resource.group.clone(),
        version: resource.version.clone(),
        kind: resource.kind.clone(),
        plural: resource.plural.clone(),
        namespaced: resource.namespaced,
        verbs: resource.verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        subresources: resource.subresources().into_iter().map(str::to_owned).collect(),
        schema: resource.custom.as_ref().map(|custom| custom.source.clone()),
    }
}

fn resources_of(catalog: &Catalog, group: &str, version: &str) -> Vec<openapi::Resource> {
    let of_version = catalog.all().filter(|it| it.group == group && it.version == version);
    of_version.map(|resource| described(resource)).collect()
}

fn openapi_index(catalog: &Catalog) -> Value {
    let mut versions: Vec<(&str, &str)> = catalog
        .all()
        .map(|it| (it.group.as_str(), it.version.as_str()))
        .collect();
    versions.sort_unstable();
    versions.dedup();
    let hashed = versions.into_iter().map(|(group, version)| {
        // Clients keep a document for as long as its hash stays the same.
        let mut hash = 0xCBF2_9CE4_8422_2325_u64;
        for resource in resources_of(catalog, group, version) {
            for byte in format!("{resource:?}").bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
            }
        }
        (group, version, format!("{hash:016X}"))
    });
    openapi::index(hashed)
}

fn openapi_document(catalog: &Catalog, group: &str, version: &str) -> Option<Value> {
    let resources = resources_of(catalog, group, version);
    (!resources.is_empty()).then(|| openapi::group_version_document(group, version, &resources))
}
