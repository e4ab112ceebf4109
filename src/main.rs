//! The `tokenwright` binary.

fn main() {}
