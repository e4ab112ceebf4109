//! Documents that are no objects, or whose metadata is not what it should be.

use crate::run::{Ended, check_with_input};

const TOKEN: &str = "\
apiVersion: tokenwright.dev/v1alpha1
kind: ApiToken
metadata:
  name: web
  namespace: shop
spec: {organisation: acme, role: Reader}
";

/// All that is said of what comes on standard input but of the organisation, which is elsewhere, and how it ends.
fn said(input: &str) -> (Option<i32>, Vec<String>) {
    let Ended { code, out, .. } = check_with_input("", &["-"], input);
    let lines = out.lines().filter(|line| !line.contains("There is no Organisation"));
    (code, lines.map(str::to_owned).collect())
}

#[test]
fn what_is_no_object_but_meant_to_be_one_is_not_passed_over() {
    for (input, line) in [
        (
            TOKEN.replace("apiVersion: tokenwright.dev/v1alpha1\n", ""),
            "stdin:1: error: This is no Kubernetes object: apiVersion is missing. Write apiVersion: tokenwright.dev/v1alpha1.",
        ),
        (
            TOKEN.replace("kind: ApiToken\n", ""),
            "stdin:1: error: This has no kind. Write kind: Organisation, ApiToken or TokenPolicy.",
        ),
        (
            "deploy/shop.yaml\n".to_owned(),
            "stdin:1: error: This is no Kubernetes object but a text.",
        ),
        (
            "- kind: ApiToken\n  metadata: {name: web}\n".to_owned(),
            "stdin:1: error: This is no Kubernetes object but a list. Begin each of the objects with a line ---, and take out \
             the dashes before them.",
        ),
        (
            format!("{TOKEN}spec: {{}}\n"),
            "stdin:7: error: This cannot be read: \"spec\" is there twice. Keep one of the two, or begin another object with a \
             line ---. Nothing of this document was judged.",
        ),
    ] {
        assert_eq!(said(&input), (Some(1), vec![line.to_owned()]), "{input}");
    }
}

#[test]
fn what_is_somebody_elses_is_passed_over() {
    for input in [
        "- {op: replace, path: /spec/replicas, value: 2}\n",
        "replicas: 2\n",
        "kind: Kustomization\nresources: [shop.yaml]\n",
        "apiVersion: cloud.example.com/v1\nkind: ApiToken\nmetadata: {name: 5}\n",
    ] {
        assert_eq!(said(input), (Some(0), Vec::new()), "{input}");
    }
}

#[test]
fn a_misspelt_group_is_a_warning() {
    let misspelt = TOKEN.replace("tokenwright.dev", "tokenwrigth.dev");
    let line = "stdin:1: warning: ApiToken web: There is no kind \"ApiToken\" of \"tokenwrigth.dev/v1alpha1\" here, so this was \
                passed over. If tokenwright's is meant, write apiVersion: tokenwright.dev/v1alpha1. (apiVersion)";
    assert_eq!(said(&misspelt), (Some(0), vec![line.to_owned()]));
}

#[test]
fn what_must_be_a_text_is_to_be_put_in_quotes() {
    for (from, to, line) in [
        (
            "namespace: shop",
            "namespace: 5",
            "stdin:5: error: ApiToken 5/web: metadata.namespace",
        ),
        (
            "namespace: shop",
            "namespace: y",
            "stdin:5: error: ApiToken true/web: metadata.namespace",
        ),
        ("name: web", "name: 7", "stdin:4: error: ApiToken shop/7: metadata.name"),
        (
            "namespace: shop",
            "namespace: shop\n  labels: {version: 1.5}",
            "stdin:6: error: ApiToken shop/web: metadata.labels.version",
        ),
    ] {
        let field = line.rsplit(' ').next().unwrap();
        let line = format!("{line} must be a text: put it in quotes. ({field})");
        assert_eq!(said(&TOKEN.replace(from, to)), (Some(1), vec![line]));
    }
}

#[test]
fn a_time_that_no_clock_knows_is_told_with_its_field() {
    let expiry = "role: Reader, expiry: {at: \"2027-01-01T00:00:00+99:99\"}";
    let (code, lines) = said(&TOKEN.replace("role: Reader", expiry));
    assert_eq!((code, lines.len()), (Some(1), 1), "{lines:?}");
    assert!(
        lines[0].starts_with("stdin:6: error: ApiToken shop/web: The ApiToken cannot be read: spec.expiry.at: ")
            && lines[0].ends_with(" is not a time: write one such as 2027-01-31T12:00:00Z. (spec.expiry.at)"),
        "{lines:?}"
    );
}
