//! The binary, driven by a real kubectl.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod admission;
mod bench;
mod binary;
mod confined;
mod http;
mod leader;
mod members;
mod picture;
mod process;
mod question;
mod rows;
mod shipped;
mod stage;
mod systems;
mod terminal;
mod verified;
