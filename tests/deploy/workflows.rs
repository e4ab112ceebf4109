//! What runs on the code host: what it may do, what it runs, and what a release becomes.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    image::{compiler, read},
    render::{file, shown},
};

fn workflow(name: &str) -> Value {
    serde_saphyr::from_str(&read(&format!(".github/workflows/{name}.yaml"))).unwrap()
}

/// The actions of others in a text. A tag can be moved to other code, and what runs in a release can sign.
fn pinned(path: &str) -> Vec<String> {
    let text = read(path);
    let uses = text.lines().filter_map(|line| line.split_once("uses: "));
    let others = uses
        .map(|(_, action)| action)
        .filter(|action| !action.starts_with("./"));
    others
        .inspect(|action| {
            let (_, version) = action.split_once('@').unwrap();
            let (commit, comment) = version.split_once(" # v").unwrap_or_else(|| panic!("{path}: {action}"));
            let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(is_commit && !comment.is_empty(), "{path}: {action}");
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn workflows_run_what_is_pinned_and_have_no_right_that_they_do_not_name() {
    for name in ["ci", "release"] {
        let path = format!(".github/workflows/{name}.yaml");
        let workflow = workflow(name);
        assert_eq!(workflow["permissions"], json!({}), "{path}");
        for (job, settings) in workflow["jobs"].as_object().unwrap() {
            assert!(settings["permissions"].is_object(), "{path}: {job}");
        }
        assert!(!pinned(&path).is_empty(), "{path}");
    }
}

#[test]
fn the_workflow_for_pull_requests_runs_the_image_and_what_is_pinned() {
    let page = "docs/check.md";
    let checkout = pinned(".github/workflows/ci.yaml").remove(0);
    assert!(
        pinned(page).contains(&checkout),
        "{checkout} is not what {page} checks out with"
    );
    let workflow = shown(page)
        .into_iter()
        .find(|block| block["name"] == "manifests")
        .unwrap();
    let run = workflow["jobs"]["check"]["steps"][1]["run"].as_str().unwrap();
    let image = format!("ghcr.io/tokenwright/tokenwright:{}", env!("CARGO_PKG_VERSION"));
    assert!(run.contains(&image), "{run}");
}

/// A newer compiler has lints that a change cannot know of.
#[test]
fn changes_are_judged_by_the_compiler_that_builds_the_image() {
    assert_eq!(workflow("ci")["env"]["RUSTUP_TOOLCHAIN"], json!(compiler()));
}

/// What the last step of a release has `gh` do, where the release is there already or not.
fn released(version: &str, is_there: bool) -> Vec<String> {
    let workflow = workflow("release");
    let steps = workflow["jobs"]["publish"]["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["name"] == "Release").unwrap();
    let home = tempfile::tempdir().unwrap();
    symlink(file("deploy"), home.path().join("deploy")).unwrap();
    let programs = home.path().join("programs");
    fs::create_dir(&programs).unwrap();
    let gh = format!("echo \"$@\" >> said; [ \"$2\" != view ] || {is_there}");
    for (name, script) in [("gh", gh.as_str()), ("kubectl", "echo rendered")] {
        let program = programs.join(name);
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let ended = Command::new("bash")
        .args(["-e", "-o", "pipefail", "-c", step["run"].as_str().unwrap()])
        .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
        .env("GITHUB_REF_NAME", format!("v{version}"))
        .env("VERSION", version)
        .current_dir(home.path())
        .status()
        .unwrap();
    assert!(ended.success());
    let said = fs::read_to_string(home.path().join("said")).unwrap();
    said.lines().map(str::to_owned).collect()
}

#[test]
fn a_release_to_try_is_a_pre_release_and_one_that_failed_half_way_goes_on() {
    let files = "tokenwright.cdx.json tokenwright-1.0.0.tgz tokenwright-all-namespaces.yaml tokenwright-ha.yaml \
                 tokenwright-namespaced.yaml";
    let view = "release view v1.0.0".to_owned();
    let upload = format!("release upload v1.0.0 --clobber {files}");
    let create = "release create v1.0.0 --verify-tag --generate-notes".to_owned();
    assert_eq!(released("1.0.0", false), [view.clone(), create, upload.clone()]);
    assert_eq!(released("1.0.0", true), [view, upload]);
    assert_eq!(
        released("1.0.0-rc.1", false)[1],
        "release create v1.0.0-rc.1 --verify-tag --generate-notes --prerelease --latest=false"
    );
}
