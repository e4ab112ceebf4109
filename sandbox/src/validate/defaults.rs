//! Helpers for filling in what an object leaves out, and the defaults of pods.

use serde_json::{Value, json};

/// Sets a field that is missing, null or the empty string.
pub(crate) fn default_to(object: &mut Value, name: &str, value: impl FnOnce() -> Value) {
    let Some(fields) = object.as_object_mut() else { return };
    let is_given = match fields.get(name) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    };
    if !is_given {
        fields.insert(name.to_owned(), value());
    }
}

/// The object in a field, made where it is missing.
pub(crate) fn object_in<'a>(object: &'a mut Value, name: &str) -> &'a mut Value {
    if !object.is_object() {
        *object = json!({});
    }
    if !object[name].is_object() {
        object[name] = json!({});
    }
    &mut object[name]
}

/// The defaults of a pod's spec, in a pod or in a template.
pub(crate) fn default_pod_spec(spec: &mut Value) {
    if !spec.is_object() {
        return;
    }
    default_to(spec, "dnsPolicy", || "ClusterFirst".into());
    default_to(spec, "restartPolicy", || "Always".into());
    default_to(spec, "schedulerName", || "default-scheduler".into());
    default_to(spec, "securityContext", || json!({}));
    default_to(spec, "terminationGracePeriodSeconds", || 30.into());
    if let Some(account) = spec["serviceAccountName"]
        .as_str()
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
    {
        spec["serviceAccount"] = account.into();
    }
    for list in ["initContainers", "containers"] {
        spec.get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .for_each(default_container);
    }
    spec.get_mut("volumes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .for_each(default_volume);
}

fn default_container(container: &mut Value) {
    if !container.is_object() {
        return;
    }
    let image = container["image"].as_str().unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or_default();
    let is_latest = !image.contains('@') && (!name.contains(':') || name.ends_with(":latest"));
    default_to(container, "imagePullPolicy", || {
        if is_latest { "Always" } else { "IfNotPresent" }.into()
    });
    default_to(container, "resources", || json!({}));
    default_to(container, "terminationMessagePath", || "/dev/termination-log".into());
    default_to(container, "terminationMessagePolicy", || "File".into());
    for port in container
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        default_to(port, "protocol", || "TCP".into());
    }
    for variable in container
        .get_mut("env")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(reference) = variable.pointer_mut("/valueFrom/fieldRef") {
            default_to(reference, "apiVersion", || "v1".into());
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get_mut(probe).filter(|probe| probe.is_object()) else {
            continue;
        };
        default_to(probe, "timeoutSeconds", || 1.into());
        default_to(probe, "periodSeconds", || 10.into());
        default_to(probe, "successThreshold", || 1.into());
        default_to(probe, "failureThreshold", || 3.into());
        if let Some(request) = probe.get_mut("httpGet") {
            default_to(request, "path", || "/".into());
            default_to(request, "scheme", || "HTTP".into());
        }
    }
}

fn default_volume(volume: &mut Value) {
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(source) {
            default_to(source, "defaultMode", || 420.into());
        }
    }
    if let Some(host_path) = volume.get_mut("hostPath")
        && host_path["type"].is_null()
    {
        host_path["type"] = "".into();
    }
    for source in volume
        .pointer_mut("/projected/sources")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(token) = source.get_mut("serviceAccountToken") {
            default_to(token, "expirationSeconds", || 3600.into());
        }
    }
}
