//! A real kubectl over TLS.

mod builtin;
mod custom;
mod deletion;
mod users;

use kube_sandbox::testing::Kubectl;
use kube_sandbox::{Sandbox, Server, User};
use tempfile::TempDir;

/// A served sandbox and a kubectl for it.
struct Bench {
    sandbox: Sandbox,
    server: Server,
    kubectl: Kubectl,
    home: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let sandbox = Sandbox::builder()
            .user("bob-token", User::new("bob").group("developers"))
            .build();
        let server = sandbox
            .serve("127.0.0.1:0".parse().expect("an address"))
            .await
            .expect("it listens");
        let home = tempfile::tempdir().expect("a directory");
        let kubectl = Kubectl::new(home.path(), &server.kubeconfig("admin")).expect("a kubectl");
        Self {
            sandbox,
            server,
            kubectl,
            home,
        }
    }

    /// kubectl as another user.
    fn as_user(&self, user: &str) -> Kubectl {
        Kubectl::new(&self.home.path().join(user), &self.server.kubeconfig(user)).expect("a kubectl")
    }

    /// Runs a command line, split at spaces, and answers what it printed.
    async fn ok(&self, line: &str) -> String {
        self.kubectl.ok(line.split(' ')).await
    }

    /// Runs a command line that is refused, and answers what it complained of.
    async fn refused(&self, line: &str) -> String {
        let outcome = self.kubectl.run(line.split(' ')).await;
        assert!(!outcome.success, "kubectl {line} went through: {}", outcome.stdout);
        outcome.stderr
    }

    /// Writes a manifest into the directory that kubectl runs in.
    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.home.path().join(name), content).expect("the disk");
    }
}

/// Asserts that a text holds each of the parts.
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}
