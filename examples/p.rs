#![allow(missing_docs)]
fn main(){ print!("{}", tokenwright::api::print_crds().unwrap()); }
