//! `tokenwright check`: reads manifests, has them judged, and writes what was found.

mod cluster;
mod files;
mod json;
mod sarif;
mod text;

use std::{error::Error, io, process::ExitCode};

use jiff::Timestamp;

use super::{
    Outcome, misused,
    output::{complain, print},
};
use crate::{
    args::{CheckArguments, CheckOutput, ClusterArguments},
    check::{Report, Severity, check as judge},
    terminal::is_coloured,
};

/// Judges manifests and writes what was found.
///
/// # Errors
/// None: what keeps it from judging is written to standard error, and has its own exit code.
pub async fn check(arguments: CheckArguments) -> Outcome {
    let strict = arguments.strict;
    match try_check(arguments).await {
        Ok(report) => {
            let failed = report.count(Severity::Error) > 0 || strict && report.count(Severity::Warning) > 0;
            Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        Err(error) => Ok(misused(error)),
    }
}

async fn try_check(arguments: CheckArguments) -> Result<Report, Box<dyn Error + Send + Sync>> {
    let files = files::read(&arguments.paths)?;
    let asks_cluster = arguments.kubeconfig.is_some() || arguments.context.is_some();
    let cluster = if asks_cluster {
        let which = ClusterArguments {
            kubeconfig: arguments.kubeconfig,
            context: arguments.context,
        };
        Some(cluster::read(&which).await?)
    } else {
        None
    };
    let report = judge(
        &files,
        cluster.as_ref(),
        arguments.namespace.as_deref(),
        Timestamp::now(),
    );
    let written = match arguments.output {
        CheckOutput::Text => text::write(&report, is_coloured(&io::stdout())),
        CheckOutput::Json => json::write(&report)?,
        CheckOutput::Sarif => sarif::write(&report)?,
    };
    print(written)?;
    complain(text::summary(&report));
    Ok(report)
}
