//! A program in a directory of its own. It ends when this is dropped, and with the test binary, however that ends.

use std::{fs, path::Path};

use crate::support::process::Processes;

pub(crate) struct Process {
    name: String,
    processes: Processes,
}

impl Process {
    /// Starts it among these files, which have names and contents.
    pub(crate) fn start(program: &Path, files: &[(&str, String)], arguments: &[&str]) -> Self {
        let mut processes = Processes::new().unwrap();
        for (name, text) in files {
            let path = processes.home().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let name = program.file_name().unwrap().to_str().unwrap().to_owned();
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let folder = program.parent().unwrap();
        processes.start(folder, &name, &arguments).unwrap();
        Self { name, processes }
    }

    /// All that it printed.
    pub(crate) fn said(&self) -> String {
        self.processes.said(&self.name)
    }

    pub(crate) fn last_words(&self) -> String {
        format!("{}: {}", self.name, self.processes.last_words(&self.name))
    }
}
