//! What the image is made by, as far as it can be told without building it.

use std::fs;

use serde_json::{Value, json};

use crate::render::{file, kustomize};

fn read(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap()
}

#[test]
fn the_image_holds_one_binary_that_runs_as_the_pods_say() {
    let dockerfile = read("Dockerfile");
    let (_, last) = dockerfile.rsplit_once("\nFROM ").unwrap();
    let lines: Vec<&str> = last.lines().collect();
    assert_eq!(lines[0], "scratch");
    assert_eq!(lines.last(), Some(&r#"ENTRYPOINT ["/tokenwright"]"#));
    let objects = kustomize("all-namespaces");
    for deployment in objects.of("Deployment") {
        let security = &deployment["spec"]["template"]["spec"]["securityContext"];
        let user = format!("USER {}:{}", security["runAsUser"], security["runAsGroup"]);
        assert!(lines.contains(&user.as_str()), "{user} is not in {lines:?}");
    }
}

/// Linked statically, the library finds no `getrandom` and opens a device, without which no token could be made.
#[test]
fn the_image_needs_no_device_for_random_numbers() {
    assert!(read("Dockerfile").contains(r#"--cfg getrandom_backend="linux_getrandom""#));
}

#[test]
fn the_image_is_built_by_a_compiler_that_is_new_enough() {
    let dockerfile = read("Dockerfile");
    let (_, version) = dockerfile.split_once("FROM rust:").unwrap();
    let numbers = |version: &str| -> Vec<u32> { version.split('.').map(|part| part.parse().unwrap()).collect() };
    let built = numbers(version.split_once("-slim").unwrap().0);
    assert!(built >= numbers(env!("CARGO_PKG_RUST_VERSION")), "{built:?}");
}

/// A tag can be moved to other code, and what runs in a release can sign.
#[test]
fn workflows_run_what_is_pinned_and_have_no_right_that_they_do_not_name() {
    let mut pinned = 0;
    for name in ["ci", "release"] {
        let path = format!(".github/workflows/{name}.yaml");
        let text = read(&path);
        let workflow: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(workflow["permissions"], json!({}), "{path}");
        for (job, settings) in workflow["jobs"].as_object().unwrap() {
            assert!(settings["permissions"].is_object(), "{path}: {job}");
        }
        for line in text.lines() {
            let Some((_, action)) = line.split_once("uses: ") else {
                continue;
            };
            if action.starts_with("./") {
                continue;
            }
            let (_, version) = action.split_once('@').unwrap();
            let (commit, comment) = version.split_once(" # v").unwrap_or_else(|| panic!("{path}: {line}"));
            let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(is_commit && !comment.is_empty(), "{path}: {line}");
            pinned += 1;
        }
    }
    assert!(pinned > 0);
}
