//! What a terminal shows, and what it does not.

use std::{
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// The two ends of a terminal: what reads all that is shown, and what programs write to.
fn terminal() -> (File, OwnedFd) {
    let reader = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&reader).unwrap();
    unlockpt(&reader).unwrap();
    let path = ptsname(&reader, Vec::new()).unwrap().into_string().unwrap();
    let writer = File::options().read(true).write(true).open(path).unwrap();
    (reader.into(), writer.into())
}

/// What is shown of what a mode writes to standard output and standard error, with these variables.
fn shown(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let (mut reader, writer) = terminal();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokenwright"));
    command
        .args(arguments)
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .envs(variables.iter().copied())
        .env_remove("KUBECONFIG")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer);
    let mut child = command.spawn().unwrap();
    // With it goes this end of the terminal, which shows its end when all of them are closed.
    drop(command);
    let mut read = Vec::new();
    // On Linux that is an error and not an end of the file.
    let _ = reader.read_to_end(&mut read);
    child.wait().unwrap();
    String::from_utf8(read).unwrap()
}

#[test]
fn logs_and_findings_are_coloured_on_a_terminal_unless_no_color_or_the_terminal_forbids_it() {
    let nobody = ["--kubeconfig", "no/such", "--otlp-endpoint", "http://127.0.0.1:9"];
    let modes = [
        ([&["controller"], &nobody[..]].concat(), "exporting traces"),
        ([&["verifier"], &nobody[..]].concat(), "exporting traces"),
        (
            vec!["check", "examples/quickstart.yaml", "examples/refused.yaml"],
            "has no role \"Boss\"",
        ),
    ];
    for (arguments, words) in modes {
        for (variables, coloured) in [
            (&[][..], true),
            (&[("NO_COLOR", "")], true),
            (&[("NO_COLOR", "1")], false),
            (&[("TERM", "dumb")], false),
        ] {
            let shown = shown(&arguments, variables);
            assert!(shown.contains(words), "{arguments:?} {variables:?}: {shown}");
            assert_eq!(
                shown.contains('\x1b'),
                coloured,
                "{arguments:?} {variables:?}: {shown:?}"
            );
        }
    }
}
