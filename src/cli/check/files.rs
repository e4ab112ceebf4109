//! From paths to texts.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{check::File, cli::is_manifest};

/// Stands for standard input.
const STANDARD_INPUT: &str = "-";

/// Reads files, all manifests below folders in the order of their names, and standard input for `-`. Each once.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<File>, String> {
    let mut seen = HashSet::new();
    let mut files = Vec::new();
    for path in paths {
        if path.as_os_str() == STANDARD_INPUT {
            if seen.insert(path.clone()) {
                let text = io::read_to_string(io::stdin());
                let text = text.map_err(|error| format!("cannot read standard input: {error}"))?;
                if text.trim().is_empty() {
                    return Err("standard input was empty; did what writes it fail?".to_owned());
                }
                let name = "stdin".to_owned();
                files.push(File { name, text });
            }
            continue;
        }
        let mut found = Vec::new();
        if path.is_dir() {
            collect(path, &mut found)?;
            if found.is_empty() {
                return Err(format!("there are no .yaml, .yml or .json files in {}", path.display()));
            }
        } else {
            found.push(path.clone());
        }
        for path in found {
            let is_new = seen.insert(fs::canonicalize(&path).unwrap_or_else(|_| path.clone()));
            if is_new {
                files.push(file(&path)?);
            }
        }
    }
    Ok(files)
}

fn file(path: &Path) -> Result<File, String> {
    let name = path.strip_prefix(".").unwrap_or(path).display().to_string();
    let bytes = fs::read(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    // What is no UTF-8 is found to be no YAML either.
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(File { name, text })
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let explain = |error: io::Error| format!("cannot read {}: {error}", folder.display());
    let entries: io::Result<Vec<_>> = fs::read_dir(folder).map_err(explain)?.collect();
    let mut entries = entries.map_err(explain)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // Not a link's target: folders that link to one another have no end.
        let is_folder = entry.file_type().map_err(explain)?.is_dir();
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if is_folder && !is_hidden {
            collect(&path, found)?;
        } else if !is_folder && is_manifest(&path) && path.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_to_their_depths_and_files_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("b/.hidden")).unwrap();
        for name in ["c.yaml", "b/a.yml", "b/z.json", "b/notes.txt", "b/.hidden/x.yaml"] {
            fs::write(path(name), name).unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), path("b/loop")).unwrap();
        let texts =
            |paths: &[PathBuf]| -> Vec<String> { read(paths).unwrap().into_iter().map(|file| file.text).collect() };
        let all = ["b/a.yml", "b/z.json", "c.yaml"];
        assert_eq!(texts(&[folder.path().to_owned()]), all);
        assert_eq!(texts(&[path("b"), folder.path().to_owned(), path("c.yaml")]), all);
        assert_eq!(texts(&[path("b/notes.txt")]), ["b/notes.txt"]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.yaml");
        let why = read(std::slice::from_ref(&missing)).unwrap_err();
        assert!(
            why.starts_with(&format!("cannot read {}: ", missing.display())),
            "{why}"
        );
        let empty = format!("there are no .yaml, .yml or .json files in {}", folder.path().display());
        assert_eq!(read(&[folder.path().to_owned()]), Err(empty));
    }
}
