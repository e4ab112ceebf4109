//! `tokenwright crd`.

use std::{fs, process::ExitCode};

use super::{Outcome, output::print};
use crate::{api::crd_files, args::CrdArguments};

/// Prints the CRDs, or writes them into a folder.
///
/// # Errors
/// When standard output or the folder cannot be written to.
pub fn crd(arguments: &CrdArguments) -> Outcome {
    for (name, text) in crd_files()? {
        match &arguments.output {
            None => print(text)?,
            Some(folder) => {
                let path = folder.join(name);
                let explain = |error| format!("cannot write {}: {error}", path.display());
                fs::create_dir_all(folder).map_err(explain)?;
                fs::write(&path, text).map_err(explain)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
