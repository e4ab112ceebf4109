//! The three kinds of patches.

mod json;
mod merge;
mod strategic;

pub(crate) use json::apply as apply_json;
pub(crate) use merge::apply as apply_merge;
pub(crate) use strategic::apply as apply_strategic;
