//! What is said to whoever started it. Neither a reader who has gone nor a disk that is full makes it panic.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Writes this to standard output, as it is. That nobody reads any more is no error: they have seen enough.
///
/// # Errors
/// When it cannot be written, in a sentence.
pub(super) fn print(text: impl Display) -> Result<(), String> {
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// The same with the end of the line.
///
/// # Errors
/// As of [`print`].
#[cfg(feature = "sandbox")]
pub(super) fn print_line(line: impl Display) -> Result<(), String> {
    print(format_args!("{line}\n"))
}

/// Writes a line to standard error, if that is possible.
pub(super) fn complain(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
