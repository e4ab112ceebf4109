//! The kubeconfig that leads to the sandbox.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::Error;

/// A kubeconfig that is removed when the server it leads to is gone.
pub(super) struct KubeconfigFile {
    path: PathBuf,
    text: String,
}

impl KubeconfigFile {
    pub(super) fn write(path: &Path, text: &str) -> Result<Self, Error> {
        let explain = |error| format!("cannot write the kubeconfig {}: {error}", path.display());
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(explain)?;
        }
        // It holds a credential: for its owner only, and written anew so that an old file's mode does not stay.
        let _ = fs::remove_file(path);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(explain)?;
        file.write_all(text.as_bytes()).map_err(explain)?;
        Ok(Self {
            path: path.to_owned(),
            text: text.to_owned(),
        })
    }
}

impl Drop for KubeconfigFile {
    fn drop(&mut self) {
        // Another sandbox may have written its own there meanwhile.
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
