//! Our own examples: those that are in order pass, and those of `examples/invalid` fail as they say.

use std::fs;

use jiff::Timestamp;
use tokenwright::check::{File, check as check_texts};

use crate::{
    example::{self, Expected},
    run::{ROOT, check, check_with_input},
};

/// Examples that are there to be refused.
const REFUSED: [&str; 2] = ["invalid", "refused.yaml"];

/// What only a cluster decides: Secrets and rights that are there, use, and namespaces, members and time to come.
const OF_A_CLUSTER: [&str; 9] = [
    "organisation-rights-in-the-way.yaml",
    "token-assigned-to-nobody.yaml",
    "token-assigned-where-not-permitted.yaml",
    "token-idle.yaml",
    "token-in-missing-namespace.yaml",
    "token-not-yet-valid.yaml",
    "token-secret-in-the-way.yaml",
    "token-secret-not-permitted.yaml",
    "token-suspended.yaml",
];

/// What is said in other words where there is no cluster, and no controller that knew the token before.
const OTHERWISE: [(&str, &str); 4] = [
    (
        "token-label-a-number.yaml",
        "metadata.labels.floor must be a text: put it in quotes.",
    ),
    (
        "token-of-member-removed.yaml",
        "User \"grace\" is not a member of organisation \"hooli\"",
    ),
    (
        "token-of-unknown-organisation.yaml",
        "There is no Organisation \"umbrella\" in what is checked",
    ),
    (
        "token-secret-of-another-token.yaml",
        "Secret \"shared\" is ApiToken shop/first-of-two's already",
    ),
];

#[test]
fn what_is_in_order_passes() {
    let mut checked = 0;
    for entry in fs::read_dir(format!("{ROOT}/examples")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let is_manifest = entry.file_type().unwrap().is_dir() || name.ends_with(".yaml");
        if !is_manifest || REFUSED.contains(&&*name) || name.starts_with("bench-") {
            continue;
        }
        let ended = check("examples", &["--strict", &name]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""), "{name}: {}", ended.err);
        checked += 1;
    }
    assert!(checked >= 2, "only {checked} examples");
}

#[test]
fn the_token_that_the_readme_shows_is_in_order() {
    let readme = fs::read_to_string(format!("{ROOT}/README.md")).unwrap();
    let (_, shown) = readme.split_once("```yaml\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    // Of the organisation that the first try makes.
    let ended = check_with_input("examples", &["--strict", "quickstart.yaml", "-"], shown);
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""), "{}", ended.err);
    assert!(ended.err.starts_with("2 files, "), "{}", ended.err);
}

#[test]
fn what_is_wrong_fails_as_it_says() {
    let mut passed = Vec::new();
    for example in example::all() {
        let Some(why) = missing(&example) else { continue };
        passed.push((example.name, why));
    }
    let passed_names: Vec<&str> = passed.iter().map(|(name, _)| &**name).collect();
    assert_eq!(passed_names, OF_A_CLUSTER, "{passed:#?}");
}

/// What was expected and is not said, and what is said instead.
fn missing(example: &example::Example) -> Option<(Vec<String>, String)> {
    let path = format!("examples/invalid/{}", example.name);
    let files = ["examples/invalid/setup/2-organisations.yaml", &path].map(|name| File {
        name: name.to_owned(),
        text: fs::read_to_string(format!("{ROOT}/{name}")).unwrap(),
    });
    let findings = check_texts(&files, None, None, Timestamp::now()).findings;
    let said: Vec<String> = findings
        .iter()
        .filter(|finding| finding.file == path)
        .map(|finding| {
            // Field and message as the API server puts them together.
            let field = finding.field.as_deref().unwrap_or_default();
            format!("{field}: {}", finding.message)
        })
        .collect();
    let otherwise = OTHERWISE.iter().find(|(name, _)| *name == example.name);
    let expected = match (&example.expected, otherwise) {
        (_, Some((_, text))) => vec![(*text).to_owned()],
        (Expected::Refused(texts), None) => texts.clone(),
        // What the controller says of a token that it knew before.
        (Expected::Reported { text, .. }, None) => {
            vec![text.replace(" Until that is corrected, the token keeps the rights it had.", "")]
        }
    };
    let missing: Vec<String> = expected
        .into_iter()
        .filter(|text| !said.iter().any(|said| said.contains(text)))
        .collect();
    (!missing.is_empty()).then(|| (missing, said.join("\n")))
}
