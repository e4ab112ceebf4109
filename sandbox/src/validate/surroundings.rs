//! What workloads are surrounded by: disruption budgets, autoscalers, network policies, priority classes.

use serde_json::{Value, json};

use super::defaults::{default_to, object_in};
use super::{at_least_zero, names, one_of};
use crate::schema::{FieldError, text as wording};

/// The highest priority that is not the system's own.
const HIGHEST_PRIORITY: i64 = 1_000_000_000;
const NETWORK_PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// What the status of a new PodDisruptionBudget says before any controller has seen it.
pub(crate) fn default_budget(object: &mut Value, is_new: bool) {
    if is_new {
        object["status"] =
            json!({"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0});
    }
}

/// Checks a PodDisruptionBudget.
pub(crate) fn validate_budget(object: &Value, errors: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    let fields = ["minAvailable", "maxUnavailable"];
    if fields.iter().all(|field| !spec[field].is_null()) {
        // The real server shows its Go struct.
        let shown = format!(
            "{{\"MinAvailable\":{},\"Selector\":{},\"MaxUnavailable\":{},\"UnhealthyPodEvictionPolicy\":{}}}",
            wording::json(&spec["minAvailable"]),
            wording::json(&spec["selector"]),
            wording::json(&spec["maxUnavailable"]),
            wording::json(&spec["unhealthyPodEvictionPolicy"]),
        );
        let detail = format!("{shown}: minAvailable and maxUnavailable cannot be both set");
        errors.push(FieldError::invalid_whole("spec", detail));
    }
    at_least_zero("spec", spec, &fields, errors);
    for field in fields {
        let Some(percent) = spec[field].as_str() else { continue };
        let number = percent.strip_suffix('%').and_then(|number| number.parse::<u64>().ok());
        let detail = match number {
            None => {
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', \
                 regex used for validation is '[0-9]+%')"
            }
            Some(101..) => "must not be greater than 100%",
            Some(_) => continue,
        };
        errors.push(FieldError::invalid(format!("spec.{field}"), percent, detail));
    }
    if !spec["unhealthyPodEvictionPolicy"].is_null() {
        let policies = ["AlwaysAllow", "IfHealthyBudget"];
        one_of("spec", spec, "unhealthyPodEvictionPolicy", &policies, errors);
    }
}

/// The defaults of a HorizontalPodAutoscaler.
pub(crate) fn default_autoscaler(object: &mut Value, is_new: bool) {
    if is_new {
        object["status"] = json!({"desiredReplicas": 0, "currentMetrics": null});
    }
    let spec = object_in(object, "spec");
    if spec["minReplicas"].is_null() {
        spec["minReplicas"] = 1.into();
    }
    if spec["metrics"].as_array().is_none_or(Vec::is_empty) {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        spec["metrics"] = json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]);
    }
    if let Some(behavior) = spec.get_mut("behavior").filter(|behavior| behavior.is_object()) {
        let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
        let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
        let up = object_in(behavior, "scaleUp");
        default_to(up, "stabilizationWindowSeconds", || 0.into());
        default_to(up, "selectPolicy", || "Max".into());
        default_to(up, "policies", || json!([pods, percent]));
        let down = object_in(behavior, "scaleDown");
        default_to(down, "selectPolicy", || "Max".into());
        default_to(down, "policies", || json!([percent]));
    }
}

/// Checks a HorizontalPodAutoscaler.
pub(crate) fn validate_autoscaler(object: &Value, errors: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    for field in ["kind", "name"] {
        if spec["scaleTargetRef"][field].as_str().is_none_or(str::is_empty) {
            errors.push(FieldError::required(format!("spec.scaleTargetRef.{field}"), ""));
        }
    }
    if spec["scaleTargetRef"]["apiVersion"].as_str().is_none_or(str::is_empty) {
        let detail = "apiVersion must specify API group";
        errors.push(FieldError::invalid("spec.scaleTargetRef.apiVersion", "", detail));
    }
    let outside = |metric: &Value| metric["type"] == "Object" || metric["type"] == "External";
    if spec["minReplicas"] == 0 && !list(&spec["metrics"]).any(outside) {
        let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(FieldError::forbidden("spec.metrics", detail));
    }
    let (least, most) = (&spec["minReplicas"], spec["maxReplicas"].as_i64().unwrap_or_default());
    if least.as_i64().is_some_and(|least| least < 1) {
        let detail = "must be greater than or equal to 1";
        errors.push(FieldError::invalid("spec.minReplicas", least.clone(), detail));
    }
    if most < 1 {
        let detail = "must be set and greater than 0";
        errors.push(FieldError::required("spec.maxReplicas", detail));
    } else if least.as_i64().is_some_and(|least| most < least) {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid("spec.maxReplicas", most, detail));
    }
}

/// The defaults of a NetworkPolicy: what it is about follows from what it has.
pub(crate) fn default_network_policy(object: &mut Value) {
    let spec = object_in(object, "spec");
    for rules in ["ingress", "egress"] {
        let rules = spec.get_mut(rules).and_then(Value::as_array_mut);
        for rule in rules.into_iter().flatten() {
            let ports = rule.get_mut("ports").and_then(Value::as_array_mut);
            for port in ports.into_iter().flatten() {
                default_to(port, "protocol", || "TCP".into());
            }
        }
    }
    let leaves = spec["egress"].as_array().is_some_and(|rules| !rules.is_empty());
    let types: &[&str] = if leaves { &["Ingress", "Egress"] } else { &["Ingress"] };
    default_to(spec, "policyTypes", || types.into());
}

/// Checks a NetworkPolicy.
pub(crate) fn validate_network_policy(object: &Value, errors: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    for (index, kind) in list(&spec["policyTypes"]).enumerate() {
        if ![json!("Ingress"), json!("Egress")].contains(kind) {
            let field = format!("spec.policyTypes[{index}]");
            errors.push(FieldError::not_supported(field, kind.clone(), &["Ingress", "Egress"]));
        }
    }
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in list(&spec[rules]).enumerate() {
            let place = format!("spec.{rules}[{index}]");
            for (index, port) in list(&rule["ports"]).enumerate() {
                validate_port(&format!("{place}.ports[{index}]"), port, errors);
            }
            for (index, peer) in list(&rule[peers]).enumerate() {
                if peer.as_object().is_none_or(serde_json::Map::is_empty) {
                    let field = format!("{place}.{peers}[{index}]");
                    errors.push(FieldError::required(field, "must specify a peer"));
                }
            }
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn validate_port(place: &str, port: &Value, errors: &mut Vec<FieldError>) {
    one_of(place, port, "protocol", &NETWORK_PROTOCOLS, errors);
    let field = format!("{place}.port");
    if let Some(number) = port["port"].as_i64().filter(|number| !(1..=65535).contains(number)) {
        let detail = "must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(&field, number, detail));
    }
    if let Some(name) = port["port"].as_str() {
        let wrong = names::port(name).into_iter();
        errors.extend(wrong.map(|what| FieldError::invalid(&field, name, what)));
    }
}

/// The defaults of a PriorityClass.
pub(crate) fn default_priority(object: &mut Value) {
    default_to(object, "preemptionPolicy", || "PreemptLowerPriority".into());
}

/// Checks a PriorityClass, and with `old` what of it may change.
pub(crate) fn validate_priority(object: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if name.starts_with("system-") {
        let detail = format!(
            "priority class names with 'system-' prefix are reserved for system use only. error: {name} is not a known \
             system priority class"
        );
        errors.push(FieldError::forbidden("metadata.name", detail));
    }
    if object["value"].as_i64() > Some(HIGHEST_PRIORITY) {
        let detail = format!("maximum allowed value of a user defined priority is {HIGHEST_PRIORITY}");
        errors.push(FieldError::forbidden("value", detail));
    }
    let policies = ["PreemptLowerPriority", "Never"];
    one_of("", object, "preemptionPolicy", &policies, errors);
    for field in ["value", "preemptionPolicy"] {
        if old.is_some_and(|old| old[field] != object[field]) {
            errors.push(FieldError::forbidden(field, "may not be changed in an update."));
        }
    }
}
