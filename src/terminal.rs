//! What can be shown where text is read.

use std::{env, io::IsTerminal};

/// Whether what is written there is to be coloured: on a terminal that can show it, unless `NO_COLOR` says otherwise.
pub(crate) fn is_coloured(stream: &impl IsTerminal) -> bool {
    // An empty one counts as none: https://no-color.org
    let is_unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    stream.is_terminal() && !is_unwanted && !is_dumb
}
