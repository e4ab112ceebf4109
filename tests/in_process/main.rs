//! The controller against the embedded API server, in one process and with the clock paused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod assignees;
mod cluster;
mod deployed;
mod faults;
mod last_used;
mod leader;
mod life;
mod meanwhile;
mod members;
mod organisation;
mod policies;
mod privileges;
mod restored;
mod start;
mod trouble;
mod verifier;
