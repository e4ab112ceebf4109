//! Lines for people.

use std::fmt::Write;

use crate::check::{Report, Severity};

/// A line for each finding.
pub(super) fn write(report: &Report, coloured: bool) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        let word = finding.severity.as_str();
        let severity = match (coloured, finding.severity) {
            (false, _) => word.to_owned(),
            (true, Severity::Error) => format!("\x1b[1;31m{word}\x1b[0m"),
            (true, Severity::Warning) => format!("\x1b[1;33m{word}\x1b[0m"),
            (true, Severity::Note) => format!("\x1b[1;36m{word}\x1b[0m"),
        };
        // Writing into a String does not fail.
        let _ = writeln!(
            out,
            "{}:{}: {severity}: {}",
            finding.file,
            finding.line,
            finding.sentence()
        );
    }
    out
}

/// `3 files, 12 objects: 2 errors, 1 warning`
pub(super) fn summary(report: &Report) -> String {
    let counted = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    let mut found = format!(
        "{}, {}: {}, {}",
        counted(report.files, "file"),
        counted(report.objects, "object"),
        counted(report.count(Severity::Error), "error"),
        counted(report.count(Severity::Warning), "warning"),
    );
    let notes = report.count(Severity::Note);
    if notes > 0 {
        let _ = write!(found, ", {}", counted(notes, "note"));
    }
    found
}
