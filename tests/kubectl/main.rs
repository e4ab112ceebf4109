//! The binary, driven by a real kubectl.

mod binary;
mod process;
mod rows;
mod stage;
