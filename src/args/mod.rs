//! The command line.

mod namespaces;
mod values;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use namespaces::Namespaces;

#[cfg(feature = "sandbox")]
use self::values::loopback;
use self::{
    namespaces::namespace,
    values::{address, lease_duration, log_filter, positive},
};
use crate::{
    api::Duration,
    domain::client_address::TrustedProxies,
    telemetry::{Endpoint, LogFormat},
};

/// An organisation's API tokens as Kubernetes resources.
///
/// Apply an Organisation and an ApiToken, and get a Secret that holds the token and is replaced or deleted in time.
/// Begin with 'tokenwright sandbox': it needs no cluster.
#[derive(Debug, Parser)]
#[command(name = "tokenwright", version, arg_required_else_help = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The modes of the binary.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look after the ApiTokens of a cluster.
    Controller(ControllerArguments),
    /// Answer gateways and programs: is this request's token good?
    Verifier(VerifierArguments),
    /// Try everything without a cluster: an API server in memory, the controller and the verifier in one process.
    #[cfg(feature = "sandbox")]
    Sandbox(SandboxArguments),
    /// Judge manifests before they are applied, as in a pull request: no cluster is needed.
    #[command(long_about = CHECK, after_long_help = CHECK_EXAMPLES)]
    Check(CheckArguments),
    /// Print the CustomResourceDefinitions as YAML, for 'kubectl apply -f -'.
    Crd(CrdArguments),
}

const CHECK: &str = "\
Judge manifests before they are applied, as in a pull request.

It judges Organisations, ApiTokens and TokenPolicies: by their schema, as the API server would; for duplicates; \
and by what the controller would say of their organisations, roles, permissions, projects, IP filters, members and \
policies. Objects of other kinds are passed over, but the labels of Namespaces count.

No cluster is asked, so an ApiToken whose Organisation is in none of the files is a warning, and so is a namespace whose \
labels are not known. With --kubeconfig they are errors, what is in the files is judged as a change of what the cluster \
has under the same name, and for a changed Organisation or TokenPolicy you are told which of the cluster's ApiTokens it \
would hit. The cluster is only read.

It ends with 0 when there are no errors, with 1 when there are (or warnings, with --strict), and with 2 when it could \
not be judged: an unknown option, a path that cannot be read, empty standard input, a cluster that does not answer.";

const CHECK_EXAMPLES: &str = "\
Examples:
  tokenwright check deploy/                              every .yaml, .yml and .json below a folder
  helm template shop ./chart | tokenwright check -       what a chart renders
  kustomize build overlays/live | tokenwright check --strict -
  tokenwright check --output sarif deploy/ > check.sarif   for annotations in a pull request
  tokenwright check --kubeconfig ~/.kube/config policies/  what it would do to live tokens";

/// `tokenwright controller`.
#[derive(Debug, Args)]
pub struct ControllerArguments {
    #[allow(missing_docs, reason = "flattened: clap shows the fields")]
    #[command(flatten)]
    pub cluster: ClusterArguments,

    /// Watch only these namespaces, separated by commas. Default: all of them; an empty list is refused. The status of
    /// Organisations and TokenPolicies and the rights of members are left to a controller that watches all.
    #[arg(long, value_name = "NAMES", env = "TOKENWRIGHT_NAMESPACES")]
    pub namespaces: Vec<Namespaces>,

    /// How many tokens to work on at the same time.
    #[arg(long, value_name = "NUMBER", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,

    /// How many retired credentials a token's status keeps, so that their use can be told from a guess.
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub history: u8,

    /// Show who created a token, from the annotation tokenwright.dev/created-by. Only where the policies of
    /// deploy/admission keep that true: without them anybody who creates a token can write any name there.
    #[arg(long, env = "TOKENWRIGHT_TRUST_CREATED_BY")]
    pub trust_created_by: bool,

    #[allow(missing_docs, reason = "flattened: clap shows the fields")]
    #[command(flatten)]
    pub election: ElectionArguments,

    #[allow(missing_docs, reason = "flattened: clap shows the fields")]
    #[command(flatten)]
    pub observed: ObservedArguments,
}

/// Which of several controllers works.
#[derive(Debug, Args)]
pub struct ElectionArguments {
    /// Run beside other controllers: work only while holding a Lease, and stand by while another holds it. A controller
    /// that loses it exits with 1, to be restarted.
    #[arg(long)]
    pub leader_elect: bool,

    /// The namespace of the Lease. Default: the Pod's own, or that of the kubeconfig's context.
    #[arg(long, value_name = "NAMESPACE", value_parser = namespace, requires = "leader_elect")]
    pub leader_election_namespace: Option<String>,

    /// The name of the Lease. Controllers of different namespaces need different ones.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "tokenwright-controller",
        requires = "leader_elect"
    )]
    pub lease_name: String,

    /// How long the leader may be silent before another takes over, 3s to 1h. A leader that cannot renew stops itself
    /// after two thirds of that.
    #[arg(long, value_name = "DURATION", default_value = "12s", value_parser = lease_duration, requires = "leader_elect")]
    pub lease_duration: Duration,
}

/// `tokenwright verifier`.
#[derive(Debug, Args)]
pub struct VerifierArguments {
    #[allow(missing_docs, reason = "flattened: clap shows the fields")]
    #[command(flatten)]
    pub cluster: ClusterArguments,

    /// Know only the tokens of these namespaces, separated by commas. Default: all of them; an empty list is refused.
    #[arg(long, value_name = "NAMES", env = "TOKENWRIGHT_NAMESPACES")]
    pub namespaces: Vec<Namespaces>,

    /// Where gateways and programs ask by HTTP: /ext-authz/…, /forward-auth, /auth-request, /v1/verify, /introspect.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9000", value_parser = address)]
    pub http: SocketAddr,

    /// Where Envoy asks by gRPC.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9001", value_parser = address)]
    pub grpc: SocketAddr,

    /// The proxies and gateways whose X-Forwarded-For is believed: addresses and ranges, separated by commas.
    #[arg(long, value_name = "CIDRS", default_value = "", hide_default_value = true)]
    pub trusted_proxies: TrustedProxies,

    /// How long to go on answering without news from the API server. After that everything is refused.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = positive)]
    pub max_staleness: Duration,

    /// Write a token's last use to its status at most this often.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = positive)]
    pub last_used_interval: Duration,

    /// Serve TLS with this certificate chain (PEM). Read again when the file changes.
    #[arg(long, value_name = "PATH", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key (PEM).
    #[arg(long, value_name = "PATH", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    #[allow(missing_docs, reason = "flattened: clap shows the fields")]
    #[command(flatten)]
    pub observed: ObservedArguments,
}

/// `tokenwright check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Files, folders with all that is below them, or - for standard input.
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,

    /// How findings are written to standard output: as lines for people, JSON, or SARIF 2.1.0 for code hosts.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = CheckOutput::Text)]
    pub output: CheckOutput,

    /// Treat warnings as errors.
    #[arg(long)]
    pub strict: bool,

    /// The namespace of ApiTokens that do not say theirs.
    #[arg(short, long, value_name = "NAME", value_parser = namespace)]
    pub namespace: Option<String>,

    /// Judge against the cluster of this kubeconfig. Without it and --context, none is asked.
    #[arg(long, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,

    /// Judge against the cluster of this context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// How `tokenwright check` writes what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckOutput {
    /// A line for each.
    Text,
    /// One object with all of them.
    Json,
    /// SARIF 2.1.0.
    Sarif,
}

/// `tokenwright crd`.
#[derive(Debug, Args)]
pub struct CrdArguments {
    /// Write a file for each kind into this folder instead.
    #[arg(long, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
}

/// `tokenwright sandbox`.
#[cfg(feature = "sandbox")]
#[derive(Debug, Args)]
pub struct SandboxArguments {
    /// Where to write the sandbox's kubeconfig; removed when it ends.
    #[arg(long, value_name = "PATH", default_value = ".sandbox/kubeconfig")]
    pub kubeconfig: PathBuf,

    /// The loopback address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = loopback)]
    pub listen: SocketAddr,

    /// The loopback address where the verifier answers by HTTP. Default: 127.0.0.1:9000, or a free port.
    #[arg(long, value_name = "ADDRESS", value_parser = loopback)]
    pub http: Option<SocketAddr>,

    /// The loopback address where the verifier answers Envoy by gRPC. Default: 127.0.0.1:9001, or a free port.
    #[arg(long, value_name = "ADDRESS", value_parser = loopback)]
    pub grpc: Option<SocketAddr>,

    /// A manifest to apply at the start, or a folder of them, without those of folders in it. Can be given several times.
    /// Default: the quickstart.
    #[arg(long, value_name = "PATH")]
    pub apply: Vec<PathBuf>,

    /// Exit as soon as every applied ApiToken is Ready: with 0, or with 1 and the reasons after --timeout.
    #[arg(long)]
    pub once: bool,

    /// How many seconds --once waits.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "once")]
    pub timeout: u64,

    #[allow(missing_docs, reason = "flattened: clap shows the fields")]
    #[command(flatten)]
    pub log: LogArguments,
}

/// Which cluster.
#[derive(Debug, Args)]
pub struct ClusterArguments {
    /// How to reach the cluster. Default: $KUBECONFIG, ~/.kube/config, or the service account when run in a Pod.
    #[arg(long, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig to use. Default: its current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// How to log.
#[derive(Debug, Args)]
pub struct LogArguments {
    /// How log lines are written to standard error.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What is logged: error, warn, info, debug, or module=level pairs. RUST_LOG overrides it.
    #[arg(long, value_name = "FILTER", value_parser = log_filter)]
    pub log: Option<String>,
}

/// How a mode that serves tells how it fares.
#[derive(Debug, Args)]
pub struct ObservedArguments {
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080", value_parser = address)]
    pub metrics: SocketAddr,

    /// Send traces to this collector by OTLP over HTTP, such as http://collector.monitoring:4318. Default:
    /// $OTEL_EXPORTER_OTLP_ENDPOINT; without it there are none. Which of them is said by $OTEL_TRACES_SAMPLER.
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<Endpoint>,

    #[allow(missing_docs, reason = "flattened: clap shows the fields")]
    #[command(flatten)]
    pub log: LogArguments,
}
