//! The kubeconfig that leads to the sandbox.

use std::{
    fs,
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use http::Uri;
use kube::config::{Kubeconfig, NamedCluster};

use super::Error;

/// What the cluster and the context of a sandbox's kubeconfig are called.
const SANDBOX: &str = "sandbox";
/// Its user.
pub(super) const USER: &str = "admin";

/// Whether a kubeconfig may be written here. Another one than a sandbox's leads to a cluster, and may be all that does.
///
/// # Errors
/// Why not, in a sentence.
pub(super) fn may_write(path: &Path) -> Result<(), String> {
    match fs::read_to_string(path) {
        Ok(text) if is_of_a_sandbox(&text) => Ok(()),
        Ok(_) => Err(format!(
            "{} is there and is no sandbox's kubeconfig: name another file with --kubeconfig",
            path.display()
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!(
            "cannot write the kubeconfig {}: {error}; name another file with --kubeconfig",
            path.display()
        )),
    }
}

/// Whether all that a kubeconfig has is of a sandbox, or there is nothing in it. kubectl may have written it anew, as it
/// does for another default namespace.
fn is_of_a_sandbox(text: &str) -> bool {
    if text.trim().is_empty() {
        return true;
    }
    let Ok(kubeconfig) = Kubeconfig::from_yaml(text) else {
        return false;
    };
    let Kubeconfig {
        clusters,
        contexts,
        auth_infos,
        ..
    } = kubeconfig;
    !clusters.is_empty()
        && clusters.iter().all(is_sandbox)
        && contexts.iter().all(|context| context.name == SANDBOX)
        && auth_infos.iter().all(|user| user.name == USER)
}

fn is_sandbox(named: &NamedCluster) -> bool {
    let url = named.cluster.as_ref().and_then(|cluster| cluster.server.as_deref());
    let url: Option<Uri> = url.and_then(|url| url.parse().ok());
    let host = url.as_ref().and_then(Uri::host).unwrap_or_default();
    let address: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
    named.name == SANDBOX && address.is_ok_and(|address| address.is_loopback())
}

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

#[cfg(test)]
mod tests {
    use kube_sandbox::Sandbox;

    use super::*;

    async fn of_a_sandbox() -> String {
        let server = Sandbox::new().serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
        server.kubeconfig(USER)
    }

    #[tokio::test]
    async fn only_what_leads_nowhere_else_is_replaced() {
        let sandbox = of_a_sandbox().await;
        let with_namespace = sandbox.replace("namespace: default", "namespace: shop");
        for replaceable in ["", "\n", &sandbox, &with_namespace] {
            assert!(is_of_a_sandbox(replaceable), "{replaceable}");
        }
        let elsewhere = "- name: live\n  cluster:\n    server: https://example.com\n";
        let added = sandbox.replace("clusters:\n", &format!("clusters:\n{elsewhere}"));
        let user = sandbox.replace("- name: \"admin\"", "- name: root");
        let without = "apiVersion: v1\nkind: Config\n";
        assert!(added.contains("live") && user.contains("root"), "{added}{user}");
        let namesake = sandbox.replace("https://127.0.0.1", "https://192.0.2.1");
        for other in [added.as_str(), &user, &namesake, without, "notes", "[1]"] {
            assert!(!is_of_a_sandbox(other), "{other}");
        }
    }

    #[tokio::test]
    async fn the_one_that_another_sandbox_wrote_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let first = KubeconfigFile::write(&path, &of_a_sandbox().await).unwrap();
        let second = KubeconfigFile::write(&path, &of_a_sandbox().await).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }
}
