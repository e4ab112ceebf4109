//! Lives of tokens, played through against a Secret and a status that are plain values.

mod expiry;
mod faults;
mod issue;
mod policy;
mod refusal;
mod reuse;
mod rotation;
mod world;
