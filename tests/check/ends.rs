//! How it ends.

use std::fs;

use crate::run::{Ended, ROOT, check, check_with_input};

const TOKEN: &str = "
apiVersion: tokenwright.dev/v1alpha1
kind: ApiToken
metadata: { name: web, namespace: shop }
spec: { organisation: acme, role: Reader }
";

#[test]
fn with_nothing_wrong_it_ends_with_zero() {
    let ended = check("", &["examples/quickstart.yaml"]);
    let expected = Ended {
        code: Some(0),
        out: String::new(),
        err: "1 file, 5 objects: 0 errors, 0 warnings\n".to_owned(),
    };
    assert_eq!(ended, expected);
}

#[test]
fn warnings_count_when_they_are_to() {
    let warned = check_with_input("", &["-"], TOKEN);
    assert_eq!(
        (warned.code, warned.err.as_str()),
        (Some(0), "1 file, 1 object: 0 errors, 1 warning\n")
    );
    assert!(
        warned
            .out
            .starts_with("stdin:5: warning: ApiToken shop/web: There is no Organisation \"acme\" in what is checked"),
        "{}",
        warned.out
    );
    let strict = check_with_input("", &["--strict", "-"], TOKEN);
    assert_eq!(
        strict,
        Ended {
            code: Some(1),
            ..warned
        }
    );
}

#[test]
fn standard_input_and_files_are_one_set() {
    let organisation = "
apiVersion: tokenwright.dev/v1alpha1
kind: Organisation
metadata: { name: acme }
spec: { namespaces: { names: [shop] }, roles: [{ name: Reader }] }
";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("acme.json");
    fs::write(&path, organisation).unwrap();
    let ended = check_with_input("", &["--strict", "-", path.to_str().unwrap()], TOKEN);
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (Some(0), "2 files, 2 objects: 0 errors, 0 warnings\n")
    );
}

#[test]
fn what_cannot_be_judged_ends_with_two() {
    for (arguments, why) in [
        (&["nowhere.yaml"][..], "cannot read nowhere.yaml: "),
        (&["-"], "standard input was empty"),
        (&["examples", "-"], "standard input was empty"),
        (&["src"], "there are no .yaml, .yml or .json files in src"),
        (&[], "required arguments were not provided"),
        (&["--output", "xml", "."], "invalid value 'xml'"),
        (
            &["--kubeconfig", "nowhere", "examples"],
            "cannot read the kubeconfig nowhere: ",
        ),
    ] {
        let Ended { code, out, err } = check("", arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
        assert!(err.contains(why), "{arguments:?}: {err}");
    }
}

#[test]
fn a_cluster_that_is_not_found_is_told_with_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let kubeconfig = path.to_str().unwrap();
    let clusters = "apiVersion: v1\nkind: Config\nclusters: [{name: a, cluster: {server: \"https://127.0.0.1:1\"}}]\n";
    let contexts = "contexts: [{name: local, context: {cluster: a}}, {name: live, context: {cluster: a}}]\n";
    let current = "current-context: local\n";
    for (parts, context, why) in [
        (
            vec![clusters, contexts, current],
            "local",
            "cannot list the namespaces of the cluster: cannot reach https://127.0.0.1:1/: connection refused\n"
                .to_owned(),
        ),
        (
            vec![clusters, contexts, current],
            "nope",
            format!("the kubeconfig {kubeconfig} has no context \"nope\"; it has: local, live\n"),
        ),
        (
            vec![clusters, contexts],
            "",
            format!("the kubeconfig {kubeconfig} names no current context: give --context; it has: local, live\n"),
        ),
        (
            vec!["a: b\n"],
            "",
            format!("{kubeconfig} has no contexts: it is no kubeconfig\n"),
        ),
        (
            vec![""],
            "",
            format!("{kubeconfig} has no contexts: it is no kubeconfig\n"),
        ),
    ] {
        fs::write(&path, parts.concat()).unwrap();
        let mut arguments = vec!["--kubeconfig", kubeconfig, "examples/quickstart.yaml"];
        if !context.is_empty() {
            arguments.extend(["--context", context]);
        }
        let Ended { code, out, err } = check("", &arguments);
        assert_eq!((code, out.as_str(), err), (Some(2), "", format!("tokenwright: {why}")));
    }
}

#[test]
fn the_help_teaches_by_examples() {
    let help = check("", &["--help"]);
    assert_eq!(help.code, Some(0));
    for taught in [
        "Examples:",
        "helm template",
        "--output sarif",
        "It ends with 0",
        "--kubeconfig",
    ] {
        assert!(help.out.contains(taught), "{taught}: {}", help.out);
    }
}

#[test]
fn the_manual_names_every_rule() {
    let manual = fs::read_to_string(format!("{ROOT}/docs/check.md")).unwrap();
    let missing: Vec<&str> = tokenwright::check::Rule::ALL
        .iter()
        .map(|rule| rule.id())
        .filter(|id| !manual.contains(&format!("`{id}`")))
        .collect();
    assert_eq!(missing, [""; 0]);
}
