//! When alerts fire, and when they do not: their queries, evaluated on series as the processes have them.

use serde_json::{Value, json};

use crate::{
    monitoring::{rules, series},
    promql::PARSER,
    python::python,
};

const AGE: &str = "tokenwright_verifier_view_age_seconds";
const CONNECTIONS: &str = "tokenwright_verifier_connections_refused_total";
const REQUESTS: &str = "tokenwright_verifier_requests_refused_total";
const REUSES: &str = "tokenwright_verifier_reuse_detections_total";
const LEADER: &str = "tokenwright_leader";
const OVERDUE: &str = "tokenwright_rotations_overdue";
const EXPIRING: &str = "tokenwright_tokens_expiring";
const VIOLATING: &str = "tokenwright_tokens_violating";

/// A metric and the Pod that it is of, with its values minute by minute.
type World = Vec<(&'static str, &'static str, Vec<f64>)>;

/// Two verifiers and two controllers that are well.
fn well() -> World {
    let mut world = Vec::new();
    for pod in ["verifier-a", "verifier-b"] {
        world.push((AGE, pod, vec![3.0]));
        // It has happened; the same for half an hour.
        for count in [CONNECTIONS, REQUESTS, REUSES] {
            world.push((count, pod, vec![7.0; 30]));
        }
    }
    for (pod, leads) in [("controller-a", 1.0), ("controller-b", 0.0)] {
        world.push((LEADER, pod, vec![leads]));
        for gauge in [OVERDUE, EXPIRING, VIOLATING] {
            world.push((gauge, pod, vec![0.0]));
        }
    }
    world
}

/// The same with these values of a metric, of the first Pod that has it.
fn but(metric: &str, values: &[f64]) -> World {
    let mut world = well();
    let found = world.iter_mut().find(|(name, _, _)| *name == metric);
    found.unwrap().2 = values.to_vec();
    world
}

fn without(metric: &str) -> World {
    let mut world = well();
    world.retain(|(name, _, _)| *name != metric);
    world
}

/// The alerts that fire in each world.
fn firing(worlds: &[World]) -> Vec<Vec<String>> {
    let rules = rules();
    let queries: Vec<&Value> = rules.iter().map(|rule| &rule["expr"]).collect();
    let one = |(metric, pod, values): &(&str, &str, Vec<f64>)| json!({ "metric": metric, "labels": { "pod": pod }, "values": values });
    let worlds: Vec<Vec<Value>> = worlds.iter().map(|world| world.iter().map(one).collect()).collect();
    let found = python("alerts.py", &PARSER, &json!({ "queries": queries, "worlds": worlds }));
    let found: Vec<Vec<Vec<Value>>> = serde_json::from_value(found).unwrap();
    let names = |found: Vec<Vec<Value>>| {
        let fire = rules.iter().zip(found).filter(|(_, found)| !found.is_empty());
        fire.map(|(rule, _)| rule["alert"].as_str().unwrap().replacen("Tokenwright", "", 1))
            .collect()
    };
    found.into_iter().map(names).collect()
}

#[test]
fn alerts_fire_when_they_should_and_not_otherwise() {
    let last_of = |value: f64| [vec![7.0; 29], vec![value]].concat();
    let cases: [(World, &[&str]); 18] = [
        (well(), &[]),
        (without(AGE), &["VerifierAbsent"]),
        (but(AGE, &[120.0]), &[]),
        (but(AGE, &[121.0]), &["VerifierStale"]),
        (but(CONNECTIONS, &last_of(8.0)), &["VerifierFull"]),
        (but(REQUESTS, &last_of(8.0)), &["VerifierFull"]),
        // It was some time ago, or the process began anew.
        (but(REQUESTS, &[vec![7.0; 20], vec![8.0; 10]].concat()), &[]),
        (but(REQUESTS, &last_of(0.0)), &[]),
        (without(LEADER), &["ControllerAbsent"]),
        (but(LEADER, &[0.0]), &["ControllerAbsent"]),
        (but(OVERDUE, &[1.0]), &["RotationsOverdue"]),
        (but(EXPIRING, &[1.0]), &["TokensExpiring"]),
        (but(REUSES, &last_of(8.0)), &["ReuseDetected"]),
        (
            but(REUSES, &[vec![7.0; 20], vec![8.0; 10]].concat()),
            &["ReuseDetected"],
        ),
        (but(REUSES, &[vec![7.0; 10], vec![8.0; 20]].concat()), &[]),
        (but(REUSES, &last_of(0.0)), &[]),
        (but(VIOLATING, &[1.0]), &["PolicyViolations"]),
        (but(VIOLATING, &[0.0]), &[]),
    ];
    let (worlds, expected): (Vec<World>, Vec<&[&str]>) = cases.into_iter().unzip();
    let known = series();
    for (metric, _, _) in &worlds[0] {
        assert!(known.contains_key(*metric), "{metric}");
    }
    for (index, (fires, expected)) in firing(&worlds).into_iter().zip(&expected).enumerate() {
        assert_eq!(fires, *expected, "world {index}");
    }
    let mut fired: Vec<&str> = expected.into_iter().flatten().copied().collect();
    fired.sort_unstable();
    fired.dedup();
    assert_eq!(fired.len(), rules().len(), "{fired:?}");
}
