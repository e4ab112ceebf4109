//! Queries of Prometheus', read by a parser of its language: the alerts' and the dashboard's ask for series that there are, by
//! labels that these have, and as what they are.

use std::collections::BTreeSet;

use kube_sandbox::testing::Tool;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    dashboard,
    monitoring::{rules, series},
    python::python,
};

/// The parser.
pub(crate) const PARSER: Tool = Tool {
    name: "promql-parser",
    version: "0.11.0",
    package: "promql-parser",
    program: "promql_parser/__init__.py",
    variable: "PROMQL_PARSER",
};

/// What each series has beside its own labels: what Prometheus' operator adds to what it scrapes.
const SCRAPED: [&str; 3] = ["namespace", "pod", "service"];

/// What a query asks for, as promql.py tells it.
#[derive(Deserialize)]
struct Series {
    metric: String,
    matched: Vec<String>,
    functions: Vec<String>,
    kept: Vec<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    Series(Vec<Series>),
    Error(String),
}

fn parse(queries: &[&str]) -> Vec<Answer> {
    serde_json::from_value(python("promql.py", &PARSER, &json!(queries))).unwrap()
}

/// What is wrong with a query whose result is shown by these labels.
fn judge(answer: &Answer, shown: &BTreeSet<String>) -> Result<(), String> {
    let asked = match answer {
        Answer::Series(asked) => asked,
        Answer::Error(error) => return Err(error.clone()),
    };
    let known = series();
    for Series {
        metric,
        matched,
        functions,
        kept,
    } in asked
    {
        let labels = known.get(metric).ok_or_else(|| format!("there is no {metric}"))?;
        let has = |label: &&String| labels.contains(*label) || SCRAPED.contains(&label.as_str());
        if let Some(label) = matched.iter().chain(kept.iter().flatten()).find(|label| !has(label)) {
            return Err(format!("{metric} has no label {label}"));
        }
        // A quantile uses up the bounds of the buckets.
        let quantile = functions.iter().any(|function| function == "histogram_quantile");
        let carried = |label: &&String| {
            let kept = kept.iter().all(|labels| labels.contains(label));
            kept && has(label) && !(quantile && *label == "le")
        };
        if let Some(label) = shown.iter().find(|label| !carried(label)) {
            return Err(format!("what comes of {metric} has no label {label}"));
        }
        let counts = metric.ends_with("_total") || metric.ends_with("_bucket");
        let rises = functions
            .iter()
            .any(|function| ["rate", "increase"].contains(&function.as_str()));
        if counts != rises {
            return Err(format!(
                "{metric} is looked at as what it is not: a count only rises, and begins anew"
            ));
        }
    }
    if asked.is_empty() {
        Err("it asks for nothing".to_owned())
    } else {
        Ok(())
    }
}

/// The labels in what is written for people, as `{{label}}` or `$labels.label`.
fn shown(text: &str, before: &str) -> BTreeSet<String> {
    let ends = text.split(before).skip(1);
    let word = |rest: &str| {
        rest.split(|end: char| !end.is_ascii_alphanumeric() && end != '_')
            .next()
            .unwrap()
            .to_owned()
    };
    ends.map(word).collect()
}

#[test]
fn alerts_and_dashboard_ask_for_what_there_is() {
    let mut queries: Vec<(String, String, BTreeSet<String>)> = Vec::new();
    for rule in rules() {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let labels = shown(&rule["annotations"].to_string(), "$labels.");
        queries.push((text(&rule["alert"]), text(&rule["expr"]), labels));
    }
    for panel in dashboard::panels() {
        for target in panel["targets"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let labels = shown(&text(&target["legendFormat"]), "{{");
            queries.push((text(&panel["title"]), text(&target["expr"]), labels));
        }
    }
    assert!(queries.len() > 20, "{}", queries.len());
    let texts: Vec<&str> = queries.iter().map(|(_, query, _)| query.as_str()).collect();
    let mut asked = BTreeSet::new();
    for ((place, query, shown), answer) in queries.iter().zip(parse(&texts)) {
        assert_eq!(judge(&answer, shown), Ok(()), "{place}: {query}");
        if let Answer::Series(series) = answer {
            asked.extend(series.into_iter().map(|series| series.metric));
        }
    }
    assert!(asked.len() >= 10, "{asked:?}");
}

#[test]
fn queries_that_are_wrong_are_found() {
    let cases = [
        ("sum(tokenwright_tokens", "", "unclosed left parenthesis"),
        (
            "rate(tokenwright_leader)",
            "",
            "expected type matrix in call to function 'rate', got vector",
        ),
        ("tokenwright_token", "", "there is no tokenwright_token"),
        ("1 + 1", "", "it asks for nothing"),
        (
            "tokenwright_tokens{state='Ready'}",
            "",
            "tokenwright_tokens has no label state",
        ),
        (
            "sum by (cause) (tokenwright_tokens)",
            "",
            "tokenwright_tokens has no label cause",
        ),
        (
            "sum by (reason) (tokenwright_tokens)",
            "pod",
            "what comes of tokenwright_tokens has no label pod",
        ),
        (
            "tokenwright_events_dropped_total > 0",
            "",
            "tokenwright_events_dropped_total is looked at as what it is not: a count only rises, and begins anew",
        ),
        (
            "rate(tokenwright_tokens[5m])",
            "",
            "tokenwright_tokens is looked at as what it is not: a count only rises, and begins anew",
        ),
        (
            "histogram_quantile(0.5, sum by (le) (rate(tokenwright_reconcile_duration_seconds_bucket[5m])))",
            "le",
            "what comes of tokenwright_reconcile_duration_seconds_bucket has no label le",
        ),
    ];
    for ((query, label, why), answer) in cases.iter().zip(parse(&cases.map(|(query, _, _)| query))) {
        let shown = BTreeSet::from_iter((!label.is_empty()).then(|| (*label).to_owned()));
        assert_eq!(judge(&answer, &shown), Err((*why).to_owned()), "{query}");
    }
}
