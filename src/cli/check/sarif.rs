//! SARIF 2.1.0, which code hosts show beside the lines of a change.

use std::{fmt::Write, path::Path};

use serde_json::{Value, json};

use crate::check::{Finding, Report, Rule};

/// One run with everything in it.
pub(super) fn write(report: &Report) -> serde_json::Result<String> {
    let written = json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "tokenwright",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": Rule::ALL.iter().map(|rule| json!({
                    "id": rule.id(),
                    "name": rule.id(),
                    "shortDescription": { "text": rule.demand() },
                })).collect::<Vec<_>>(),
            } },
            "columnKind": "unicodeCodePoints",
            "results": report.findings.iter().map(result).collect::<Vec<_>>(),
        }],
    });
    Ok(serde_json::to_string_pretty(&written)? + "\n")
}

fn result(finding: &Finding) -> Value {
    let mut location = json!({ "physicalLocation": {
        "artifactLocation": { "uri": uri(&finding.file) },
        "region": { "startLine": finding.line },
    } });
    if let Some(object) = &finding.object {
        let name = match &finding.field {
            Some(field) => format!("{object}: {field}"),
            None => object.to_string(),
        };
        location["logicalLocations"] = json!([{ "fullyQualifiedName": name }]);
    }
    json!({
        "ruleId": finding.rule.id(),
        "ruleIndex": Rule::ALL.iter().position(|rule| *rule == finding.rule),
        "level": finding.severity.as_str(),
        "message": { "text": finding.sentence() },
        "locations": [location],
    })
}

/// Relative to where it was run, which is the repository's root in a pull request's check.
fn uri(file: &str) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let path = Path::new(file);
    let path = path.strip_prefix(here).unwrap_or(path);
    let scheme = if path.is_absolute() { "file://" } else { "" };
    let mut uri = scheme.to_owned();
    for byte in path.to_string_lossy().bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(byte.into()),
            // Writing into a String does not fail.
            _ => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_uri_relative_to_here() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(uri("a/b c.yaml"), "a/b%20c.yaml");
        assert_eq!(uri("ä#?.yaml"), "%C3%A4%23%3F.yaml");
        assert_eq!(uri(here.join("a.yaml").to_str().unwrap()), "a.yaml");
        assert_eq!(uri("/elsewhere/a.yaml"), "file:///elsewhere/a.yaml");
    }
}
