//! NGINX, answering nothing but 204: what a web server known for its speed needs for no work at all.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::Result;

const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// One process of it with one thread. Ends when it is dropped.
pub(crate) struct Nginx {
    child: Child,
    pub(crate) address: SocketAddr,
    _folder: TempDir,
}

impl Nginx {
    /// None: there is no `nginx` on the PATH.
    pub(crate) fn start() -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, configuration(address))?;
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&path)
            .args(["-e", "stderr"]);
        let child = match command.stdin(Stdio::null()).stdout(Stdio::null()).spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot start nginx: {error}").into()),
        };
        let nginx = Self {
            child,
            address,
            _folder: folder,
        };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if start.elapsed() > PATIENCE {
                return Err("nginx did not listen within ten seconds".into());
            }
            thread::sleep(POLL);
        }
        Ok(Some(nginx))
    }

    /// What it has used of the CPU.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/schedstat", self.child.id()))?;
        let nanoseconds = text.split(' ').next().unwrap_or_default().parse()?;
        Ok(Duration::from_nanos(nanoseconds))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(address: SocketAddr) -> String {
    let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|module| format!("{module}_temp_path {module};\n"))
        .collect();
    format!(
        "daemon off; master_process off; pid nginx.pid; events {{ }}\n\
         http {{ access_log off; keepalive_requests 1000000000; {folders}\n\
         server {{ listen {address}; location / {{ return 204; }} }} }}\n"
    )
}
