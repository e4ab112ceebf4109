//! Metrics, and what is made of them: all that is spoken of exists, and all that exists is spoken of.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
};

use serde_json::Value;
use tokenwright::{
    api::PolicyCounts,
    metrics::Metrics,
    verifier::{Freshness, Index, Judge},
};

use crate::render::{Objects, file, kustomize_folder};

fn read(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap()
}

/// What the two processes register, in the order they do.
fn registered() -> [String; 2] {
    let judge = Judge::new(Arc::new(Index::new()), Arc::new(Freshness::new(1)));
    let metrics = Metrics::default();
    // What there is for each policy is there with the first.
    metrics.policy_surveyed("expiry", PolicyCounts::default());
    [metrics.encode(), judge.encode_metrics()]
}

/// Name, type and description of each metric, with the names as they are asked for.
fn described(metrics: &str) -> Vec<[String; 3]> {
    let mut described = Vec::new();
    let mut help = "";
    for line in metrics.lines() {
        if let Some(line) = line.strip_prefix("# HELP ") {
            help = line.split_once(' ').unwrap().1;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            let help = help.trim_end_matches('.');
            described.push([format!("{name}{suffix}"), kind.to_owned(), help.to_owned()]);
        }
    }
    described
}

/// Every name that can be asked for, with the labels that it has.
pub(crate) fn series() -> BTreeMap<String, BTreeSet<String>> {
    let mut series = BTreeMap::new();
    for line in registered().iter().flat_map(|metrics| metrics.lines()) {
        if line.starts_with('#') {
            continue;
        }
        let (name, rest) = line.split_once(['{', ' ']).unwrap();
        // No value of a label has a bracket or a comma in it.
        let labels = rest.split_once("} ").map_or("", |(labels, _)| labels);
        let labels = labels.split(',').filter_map(|label| label.split_once('='));
        let labels = labels.map(|(label, _)| label.to_owned()).collect();
        series.insert(name.to_owned(), labels);
    }
    series
}

fn names() -> BTreeSet<String> {
    series().into_keys().collect()
}

/// The names of metrics in a text.
fn asked_for(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words
        .filter(|word| word.starts_with("tokenwright_"))
        .map(str::to_owned)
        .collect()
}

fn monitoring() -> Objects {
    kustomize_folder("tests/deploy/monitored")
}

/// The rules that alert.
pub(crate) fn rules() -> Vec<Value> {
    let objects = monitoring();
    let rules = &objects.find("PrometheusRule", "tokenwright")["spec"]["groups"][0]["rules"];
    rules.as_array().unwrap().clone()
}

#[test]
fn the_table_of_metrics_is_what_is_registered() {
    let document = read("docs/metrics.md");
    let sections = document.split("\n## Of the ").skip(1);
    let written: Vec<Vec<&str>> = sections
        .map(|section| section.lines().filter(|line| line.starts_with("| `")).collect())
        .collect();
    let expected = registered().map(|metrics| -> Vec<String> {
        let row = |[name, kind, help]: [String; 3]| format!("| `{name}` | {kind} | {help} |");
        described(&metrics).into_iter().map(row).collect()
    });
    // A family without a series is not shown, and would be missed here.
    let counts =
        ["src/metrics.rs", "src/verifier/metrics.rs"].map(|path| read(path).matches("registry.register(").count());
    assert_eq!(
        counts,
        [expected[0].len(), expected[1].len()],
        "one does not begin at zero"
    );
    let table = expected
        .iter()
        .map(|rows| rows.join("\n"))
        .collect::<Vec<_>>()
        .join("\n\n");
    assert_eq!(written, expected, "docs/metrics.md should have these rows:\n{table}\n");
}

#[test]
fn every_alert_has_a_runbook() {
    let (rules, runbooks) = (rules(), read("docs/runbooks.md"));
    let sections: Vec<&str> = runbooks.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let alerts: Vec<&str> = rules.iter().map(|rule| rule["alert"].as_str().unwrap()).collect();
    assert_eq!(sections, alerts);
    for rule in &rules {
        let alert = rule["alert"].as_str().unwrap();
        let annotations = &rule["annotations"];
        let (_, anchor) = annotations["runbook_url"]
            .as_str()
            .unwrap()
            .split_once("/docs/runbooks.md#")
            .unwrap();
        assert_eq!(anchor, alert.to_lowercase());
        for annotation in ["summary", "description"] {
            assert!(annotations[annotation].is_string(), "{alert} has no {annotation}");
        }
        assert!(
            ["warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap()),
            "{alert}"
        );
    }
}

#[test]
fn runbooks_speak_of_metrics_that_there_are() {
    for document in ["docs/runbooks.md", "docs/install.md", "docs/verifier.md"] {
        let asked = asked_for(&read(document));
        assert_eq!(
            asked.difference(&names()).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "{document}"
        );
    }
}

#[test]
fn what_is_scraped_has_the_port_that_is_named() {
    let objects = monitoring();
    let monitor = &objects.find("ServiceMonitor", "tokenwright")["spec"];
    assert_eq!(monitor["endpoints"][0]["port"], "metrics");
    let wanted = monitor["selector"]["matchLabels"].as_object().unwrap();
    let mut scraped: Vec<&str> = objects
        .of("Service")
        .filter(|service| {
            wanted
                .iter()
                .all(|(label, value)| &service["metadata"]["labels"][label] == value)
        })
        .filter(|service| {
            service["spec"]["ports"]
                .as_array()
                .unwrap()
                .iter()
                .any(|port| port["name"] == "metrics")
        })
        .map(|service| service["metadata"]["name"].as_str().unwrap())
        .collect();
    scraped.sort();
    assert_eq!(scraped, ["tokenwright-controller", "tokenwright-verifier-metrics"]);
}
