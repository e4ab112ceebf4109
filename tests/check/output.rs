//! All three formats, whole, for a folder in which much is wrong.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::run::{Ended, ROOT, check};

const FIXTURES: &str = "tests/check/fixtures";

/// A change that is meant: `tokenwright check -o FORMAT . > ../expected/FILE`, in the folder of the fixtures.
fn expect(format: &str, file: &str) -> String {
    let Ended { code, out, err } = check(FIXTURES, &["--output", format, "."]);
    let path = Path::new(ROOT).join("tests/check/expected").join(file);
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let version = format!("\"semanticVersion\": \"{}\"", env!("CARGO_PKG_VERSION"));
    let said = out.replace(&version, "\"semanticVersion\": \"VERSION\"");
    assert!(said == expected, "{} is not what it says:\n{said}", path.display());
    assert_eq!(
        (code, err.as_str()),
        (Some(1), "5 files, 16 objects: 25 errors, 9 warnings\n")
    );
    out
}

#[test]
fn text_is_a_line_for_each() {
    let out = expect("text", "text.txt");
    assert!(!out.contains('\x1b'), "there is no terminal to be coloured");
}

#[test]
fn json_has_everything_in_one_object() {
    let written: Value = serde_json::from_str(&expect("json", "json.json")).unwrap();
    let text = check(FIXTURES, &["."]).out;
    assert_eq!(written["findings"].as_array().unwrap().len(), text.lines().count());
}

#[test]
fn sarif_is_what_code_hosts_take() {
    let written: Value = serde_json::from_str(&expect("sarif", "sarif.json")).unwrap();
    assert_is_sarif(&written);
    let text = check(FIXTURES, &["."]).out;
    assert_eq!(
        written["runs"][0]["results"].as_array().unwrap().len(),
        text.lines().count()
    );
}

/// What SARIF 2.1.0 requires of the properties that are used, and code hosts of a result that is to be shown.
fn assert_is_sarif(written: &Value) {
    let keys = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let within = |value: &Value, known: &[&str]| {
        let unknown: Vec<String> = keys(value).into_iter().filter(|key| !known.contains(&&**key)).collect();
        assert_eq!(unknown, Vec::<String>::new(), "{value}");
    };
    within(written, &["$schema", "version", "runs"]);
    assert_eq!(written["version"], "2.1.0");
    let [run] = &written["runs"].as_array().unwrap()[..] else {
        panic!("one run")
    };
    within(run, &["tool", "columnKind", "results"]);
    assert!(["utf16CodeUnits", "unicodeCodePoints"].contains(&run["columnKind"].as_str().unwrap()));
    let driver = &run["tool"]["driver"];
    within(driver, &["name", "semanticVersion", "informationUri", "rules"]);
    assert_eq!(driver["name"], "tokenwright");
    assert!(driver["informationUri"].as_str().unwrap().starts_with("https://"));
    let rules = driver["rules"].as_array().unwrap();
    let ids: BTreeSet<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), rules.len(), "an id is there twice");
    for rule in rules {
        within(rule, &["id", "name", "shortDescription"]);
        assert!(!rule["shortDescription"]["text"].as_str().unwrap().is_empty());
    }
    for result in run["results"].as_array().unwrap() {
        within(result, &["ruleId", "ruleIndex", "level", "message", "locations"]);
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let [location] = &result["locations"].as_array().unwrap()[..] else {
            panic!("one location: {result}")
        };
        within(location, &["physicalLocation", "logicalLocations"]);
        let place = &location["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert!(
            !uri.starts_with('/')
                && !uri.contains([':', '\\', ' '])
                && Path::new(ROOT).join(FIXTURES).join(uri).is_file(),
            "{uri} is not relative to where it ran"
        );
        assert!(place["region"]["startLine"].as_u64().unwrap() >= 1);
    }
}
