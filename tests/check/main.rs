//! `tokenwright check` as a process: what it writes, how it ends, and that it agrees with the server and the controller.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "what is expected is read here, and played there")]
#[path = "../invalid/example.rs"]
mod example;
#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod documents;
mod ends;
mod examples;
mod output;
mod run;
