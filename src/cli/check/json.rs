//! JSON, for programs.

use serde_json::{Value, json};

use crate::check::{Finding, Report, Severity};

/// One object with everything in it.
pub(super) fn write(report: &Report) -> serde_json::Result<String> {
    let written = json!({
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "summary": {
            "files": report.files,
            "objects": report.objects,
            "errors": report.count(Severity::Error),
            "warnings": report.count(Severity::Warning),
            "notes": report.count(Severity::Note),
        },
    });
    Ok(serde_json::to_string_pretty(&written)? + "\n")
}

fn finding(finding: &Finding) -> Value {
    json!({
        "file": finding.file,
        "line": finding.line,
        "severity": finding.severity.as_str(),
        "rule": finding.rule.id(),
        "object": finding.object.as_ref().map(|object| json!({
            "kind": object.kind,
            "namespace": object.namespace,
            "name": object.name,
        })),
        "field": finding.field,
        "message": finding.message,
    })
}
