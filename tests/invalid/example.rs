//! The manifests, and what they say will become of them.

use std::{fs, path::Path};

use serde_json::Value;

pub(crate) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/invalid");

/// One file. All documents but the last are in order; what is expected speaks of the last, or of the ApiToken among them.
pub(crate) struct Example {
    /// The file's name.
    pub(crate) name: String,
    pub(crate) documents: Vec<Value>,
    pub(crate) expected: Expected,
}

pub(crate) enum Expected {
    /// The API server refuses it with an answer that has all of these in it.
    Refused(Vec<String>),
    /// A condition of the ApiToken, or of what is last, is False for this reason, with a message that has this in it.
    Reported { reason: String, text: String },
}

/// All files, in the order of their names.
pub(crate) fn all() -> Vec<Example> {
    read(Path::new(FOLDER))
        .into_iter()
        .map(|(name, text)| Example {
            documents: documents(&name, &text),
            expected: expected(&name, &text),
            name,
        })
        .collect()
}

/// What the examples refer to, in the order in which it is applied.
pub(crate) fn setup() -> Vec<Value> {
    read(&Path::new(FOLDER).join("setup"))
        .into_iter()
        .flat_map(|(name, text)| documents(&name, &text))
        .collect()
}

fn read(folder: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn documents(name: &str, text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(!documents.is_empty(), "{name} is empty");
    documents
}

fn expected(name: &str, text: &str) -> Expected {
    let sentence = text.lines().next().unwrap_or_default();
    assert!(
        sentence.starts_with("# ") && !sentence.starts_with("# re"),
        "{name} does not start with what is wrong with it"
    );
    let after = |mark: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.strip_prefix(mark))
            .map(str::to_owned)
            .collect()
    };
    let (refused, reported) = (after("# refused: "), after("# reported: "));
    match (refused.as_slice(), reported.as_slice()) {
        ([_, ..], []) => Expected::Refused(refused),
        ([], [reported]) => {
            let (reason, text) = reported
                .split_once(": ")
                .unwrap_or_else(|| panic!("{name} names no reason: {reported}"));
            Expected::Reported {
                reason: reason.to_owned(),
                text: text.to_owned(),
            }
        }
        _ => panic!("{name} says neither '# refused: <text>' nor '# reported: <Reason>: <text>', or both"),
    }
}
