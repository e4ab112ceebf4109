//! Every manifest of `examples/invalid/` is refused by the API server, or reported by the controller, with the words that
//! the manifest itself announces; and every rule and reason there is has such a manifest.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod coverage;
mod example;
mod stage;

use std::sync::Mutex;

use coverage::Coverage;
use stage::{Refusals, Stage};
use support::{Server, on_every_server};

on_every_server!(every_example_fails_as_it_says);

async fn every_example_fails_as_it_says(server: Server) {
    watch_for_panics();
    let real = server.name() != "sandbox";
    let refusals = play(server).await;
    if real {
        // The sandbox says what this version says, so it can only be held to that.
        let sandbox = play(Server::sandbox().await).await;
        if refusals.version == sandbox.version {
            similar(&refusals, &sandbox);
        }
    }
    assert_eq!(*PANICS.lock().unwrap(), Vec::<String>::new());
}

async fn play(server: Server) -> Refusals {
    let examples = example::all();
    assert!(examples.len() >= 45, "only {} examples", examples.len());
    let name = server.name();
    let mut stage = Stage::set(server).await;
    let mut coverage = Coverage::default();
    let mut failures = Vec::new();
    for example in &examples {
        if let Err(why) = stage.play(example, &mut coverage).await {
            failures.push(format!("{}: {why}", example.name));
        }
    }
    assert!(failures.is_empty(), "on the {name}:\n{}", failures.join("\n"));
    assert_eq!(coverage.missing(), Vec::<String>::new(), "these have no example");
    stage.strike().await
}

/// Both servers refuse the same with the same words.
fn similar(real: &Refusals, sandbox: &Refusals) {
    let different: Vec<String> = real
        .answers
        .iter()
        .filter(|(example, answer)| sandbox.answers.get(*example) != Some(*answer))
        .map(|(example, answer)| {
            format!(
                "{example}:\n real    {answer:?}\n sandbox {:?}",
                sandbox.answers.get(example)
            )
        })
        .collect();
    assert!(
        different.is_empty(),
        "the sandbox answers differently:\n{}",
        different.join("\n")
    );
}

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A panic in a task ends that task and nothing else; it is not to go unnoticed.
fn watch_for_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.lock().unwrap().push(panic.to_string());
        usual(panic);
    }));
}
