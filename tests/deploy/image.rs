//! What the image is made by, as far as it can be told without building it.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;

use crate::render::{file, kustomize};

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap()
}

/// The version of the compiler that the image is built by.
pub(crate) fn compiler() -> String {
    let dockerfile = read("Dockerfile");
    let (_, version) = dockerfile.split_once("FROM rust:").unwrap();
    version.split_once("-slim").unwrap().0.to_owned()
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
    let numbers = |version: &str| -> Vec<u32> { version.split('.').map(|part| part.parse().unwrap()).collect() };
    let built = numbers(&compiler());
    assert!(built >= numbers(env!("CARGO_PKG_RUST_VERSION")), "{built:?}");
}

/// All of it is looked at where the image is built, which these lines make it be.
#[test]
fn the_binary_is_static_and_small_and_without_the_sandbox() {
    let dockerfile = read("Dockerfile");
    for said in [
        "--profile image",
        "--no-default-features",
        "-C target-feature=+crt-static",
        "! /tokenwright sandbox --help",
        r#"test "$(stat --format %s /tokenwright)" -le 25000000"#,
    ] {
        assert!(dockerfile.contains(said), "{said}");
    }
}

/// What `cargo` prints of a checkout, without asking a registry.
fn cargo(checkout: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--offline", "--locked", "--no-default-features"])
        .current_dir(checkout)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one that the compiler runs on.
fn platform() -> String {
    let output = Command::new("rustc").args(["--print", "host-tuple"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The names of what the binary is made of, to those who draw bills of materials.
fn listed(checkout: &Path) -> BTreeSet<String> {
    // Of others there is nothing here to look at.
    let platform = format!("--filter-platform={}", platform());
    let metadata = cargo(checkout, &["metadata", "--format-version=1", &platform]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let mut reached = BTreeSet::new();
    let mut next = vec![&metadata["resolve"]["root"]];
    while let Some(id) = next.pop() {
        if !reached.insert(id.as_str().unwrap()) {
            continue;
        }
        let node = nodes.iter().find(|node| &node["id"] == id).unwrap();
        let needed = node["deps"].as_array().unwrap().iter().filter(|dependency| {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            kinds.iter().any(|kind| kind["kind"].is_null())
        });
        next.extend(needed.map(|dependency| &dependency["pkg"]));
    }
    let packages = packages
        .iter()
        .filter(|package| reached.contains(package["id"].as_str().unwrap()));
    packages
        .map(|package| package["name"].as_str().unwrap().to_owned())
        .collect()
}

/// What scanners and their readers are told of the image does not have them look into what only tests need.
#[test]
fn bills_of_materials_list_what_the_image_has_and_not_what_tests_need() {
    let checkout = tempfile::tempdir().unwrap();
    for path in [
        "Cargo.toml",
        "Cargo.lock",
        "sandbox/Cargo.toml",
        ".ci/strip-dev-dependencies",
    ] {
        let copy = checkout.path().join(path);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(file(path), copy).unwrap();
    }
    for path in ["src/lib.rs", "src/main.rs", "sandbox/src/lib.rs"] {
        let source = checkout.path().join(path);
        fs::create_dir_all(source.parent().unwrap()).unwrap();
        fs::write(source, "").unwrap();
    }
    let stripped = Command::new(checkout.path().join(".ci/strip-dev-dependencies"))
        .env("CARGO_NET_OFFLINE", "true")
        .status()
        .unwrap();
    assert!(stripped.success());
    let listed = listed(checkout.path());
    let tree = cargo(
        &file("."),
        &["tree", "--package=tokenwright", "--edges=normal", "--prefix=none"],
    );
    let linked: BTreeSet<String> = tree
        .lines()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    assert!(linked.contains("kube"), "{linked:?}");
    assert!(linked.is_subset(&listed), "{:?}", linked.difference(&listed));
    // What is only named by a feature of another crate, `ring?/alloc`, is taken to be there.
    let named = ["jiff-static", "ring"].map(str::to_owned);
    let more: BTreeSet<&String> = listed.difference(&linked).collect();
    assert_eq!(more, named.iter().collect());
}

/// The licences that a file allows, from the line that begins a list of them.
fn allowed(path: &str, list: &str) -> Vec<String> {
    let text = read(path);
    let (_, list) = text.split_once(list).unwrap();
    let licences = list.split_once(']').unwrap().0.split('"').skip(1).step_by(2);
    licences.map(str::to_owned).collect()
}

#[test]
fn what_may_be_depended_on_is_what_the_image_has_the_licences_of() {
    let allowed_to_depend = allowed("deny.toml", "\nallow = [");
    assert!(allowed_to_depend.len() > 5, "{allowed_to_depend:?}");
    assert_eq!(allowed(".ci/about.toml", "\naccepted = ["), allowed_to_depend);
}
