//! The dashboard, as far as it can be told without Grafana.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};

use crate::render::file;

fn dashboard() -> Value {
    let text = fs::read_to_string(file("deploy/kustomize/components/monitoring/dashboard.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What it shows, one beside the other.
pub(crate) fn panels() -> Vec<Value> {
    dashboard()["panels"].as_array().unwrap().clone()
}

/// The units that what a query gives can have, as Grafana calls them.
fn units(query: &str) -> &'static [&'static str] {
    // A quantile has the unit of the bounds, though they are counted.
    let rises = query.contains("rate(") && !query.contains("histogram_quantile(");
    match query {
        _ if rises => &["reqps", "ops"],
        _ if query.contains("_seconds") => &["s"],
        _ if query.contains("_bytes") => &["bytes"],
        _ => &["short"],
    }
}

#[test]
fn every_panel_asks_the_source_that_is_chosen_and_tells_the_unit() {
    let dashboard = dashboard();
    let chosen = &dashboard["templating"]["list"][0];
    assert_eq!(
        (&chosen["type"], &chosen["query"]),
        (&json!("datasource"), &json!("prometheus"))
    );
    let source = json!({ "type": "prometheus", "uid": format!("${{{}}}", chosen["name"].as_str().unwrap()) });
    let mut ids = BTreeSet::new();
    for panel in panels() {
        let title = panel["title"].as_str().unwrap();
        assert!(
            ["stat", "timeseries"].contains(&panel["type"].as_str().unwrap()),
            "{title}"
        );
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        assert_eq!(panel["datasource"], source, "{title}");
        let mut references = BTreeSet::new();
        for target in panel["targets"].as_array().unwrap() {
            assert!(references.insert(target["refId"].as_str().unwrap()), "{title}");
            assert_eq!(target["datasource"], source, "{title}");
            let query = target["expr"].as_str().unwrap();
            let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap();
            assert!(units(query).contains(&unit), "{title}: {unit}");
        }
        assert!(!references.is_empty(), "{title}");
    }
}

#[test]
fn no_panel_lies_on_another_or_outside() {
    const WIDTH: u64 = 24;
    let mut taken = BTreeSet::new();
    for panel in panels() {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(w > 0 && h > 0 && x + w <= WIDTH, "{}", panel["title"]);
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{} lies on another", panel["title"]);
        }
    }
    // Grafana moves up what hangs in the air, and the file would show another order than the screen.
    let height = taken.iter().map(|(_, y)| y + 1).max().unwrap();
    assert_eq!(taken.len() as u64, WIDTH * height);
}
