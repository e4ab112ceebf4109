//! Processes that do not outlive the test binary, however it ends.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

/// Reads process ids, one a line, until its input ends, which it does with the process that holds the other end, even
/// where that is killed. Then it kills them and removes the directory.
const SCRIPT: &str = r#"
while read -r process; do all="$all $process"; done
[ -z "$all" ] || kill -9 $all
rm -rf -- "$1"
"#;

/// Some processes and their directory, all gone when this is dropped or this process ends.
pub(crate) struct Processes {
    home: PathBuf,
    reaper: Child,
    pipe: Option<ChildStdin>,
    children: Vec<(String, Child)>,
}

impl Processes {
    /// None yet, with a directory of their own.
    pub(crate) fn new() -> io::Result<Self> {
        let home = tempfile::Builder::new().prefix("tokenwright-test-").tempdir()?.keep();
        let mut reaper = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(&home)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for the tests: this one still has something to do then.
            .process_group(0)
            .spawn()?;
        let pipe = reaper.stdin.take();
        Ok(Self {
            home,
            reaper,
            pipe,
            children: Vec::new(),
        })
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Starts a program of a folder; what it prints goes into a file of the directory.
    pub(crate) fn start(&mut self, folder: &Path, name: &str, arguments: &[String]) -> io::Result<()> {
        let log = File::create(self.log(name))?;
        let child = Command::new(folder.join(name))
            .args(arguments)
            .current_dir(&self.home)
            .env("HOME", &self.home)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        if let Some(pipe) = &mut self.pipe {
            writeln!(pipe, "{}", child.id())?;
        }
        self.children.push((name.to_owned(), child));
        Ok(())
    }

    /// The first that ended by itself, with what it said last.
    pub(crate) fn ended(&mut self) -> Option<String> {
        let name = self.children.iter_mut().find_map(|(name, child)| {
            let over = !matches!(child.try_wait(), Ok(None));
            over.then(|| name.clone())
        })?;
        Some(format!("{name} ended. {}", self.last_words(&name)))
    }

    /// The last lines that a program printed.
    pub(crate) fn last_words(&self, name: &str) -> String {
        const LINES: usize = 15;
        let said = self.said(name);
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
        format!("It said last:\n{last}")
    }

    /// All that a program printed.
    pub(crate) fn said(&self, name: &str) -> String {
        let said = std::fs::read(self.log(name)).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }

    fn log(&self, name: &str) -> PathBuf {
        self.home.join(format!("{name}.log"))
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // The reaper kills them while they are still this process's children, so that no id can be somebody else's.
        drop(self.pipe.take());
        let _ = self.reaper.wait();
        for (_, child) in &mut self.children {
            let _ = child.wait();
        }
    }
}
