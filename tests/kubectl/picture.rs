//! The picture of a session: `just picture` plays it and draws what was really said, and a test looks whether it still
//! shows what there is.

use std::{fmt::Write, fs, process::Stdio};

use anstyle_svg::Term;
use kube_sandbox::testing::KUBECTL;
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

use crate::process::{LIMIT, Process};

const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/session.svg");

/// What is typed. The first starts what the others ask.
const SANDBOX: &str = "cargo run -- sandbox";
const SESSION: [&str; 8] = [
    "export KUBECONFIG=$PWD/.sandbox/kubeconfig",
    "kubectl get apitokens -n shop",
    "TOKEN=$(kubectl get secret forever -n shop -o jsonpath='{.data.token}' | base64 --decode)",
    "curl -i -H \"Authorization: Bearer $TOKEN\" 'http://127.0.0.1:9000/forward-auth?organisation=acme'",
    "kubectl delete apitoken forever -n shop",
    "curl -i -H \"Authorization: Bearer $TOKEN\" 'http://127.0.0.1:9000/forward-auth?organisation=acme'",
    "kubectl apply -f examples/refused.yaml",
    "kubectl describe apitoken refused -n shop | tail -n 4",
];

const PROMPT: &str = "\x1b[1;32m$\x1b[0m ";

#[tokio::test]
async fn the_picture_is_drawn_anew_when_it_is_asked_for() {
    if std::env::var_os("WRITE_PICTURE").is_none() {
        return;
    }
    let home = TempDir::new().unwrap();
    let mut sandbox = Process::start(&["sandbox"]);
    sandbox.until("The verifier answers on http://127.0.0.1:9000").await;
    sandbox.until("Ctrl-C ends it").await;

    // One shell, as a person has it; what it types is told apart by a line that no command says.
    const END: &str = "end of what was said";
    let mut script = String::from("exec 2>&1\n");
    for command in SESSION {
        // What is described is the Event, and that is not always there yet.
        let told = "until kubectl events --for apitoken/refused -n shop | grep -q RoleNotFound; do :; done";
        let wait = if command.contains("describe") { told } else { ":" };
        writeln!(script, "{wait}\n{command}\necho; echo '{END}'").unwrap();
    }
    let kubectl = KUBECTL.locate().unwrap();
    let path = format!(
        "{}:{}",
        kubectl.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let playing = Command::new("sh")
        .args(["-c", &script])
        .env("PATH", path)
        .env("HOME", home.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let said = timeout(LIMIT, playing)
        .await
        .expect("the session does not end")
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let mut session = format!("{PROMPT}\x1b[1m{SANDBOX}\x1b[0m          \x1b[2m# and in another terminal:\x1b[0m\n");
    for (command, answer) in SESSION.iter().zip(said.split(END)) {
        let lines = answer.lines().map(str::trim_end).filter(|line| is_told(line));
        let lines: Vec<&str> = lines.collect();
        write!(session, "{PROMPT}\x1b[1m{command}\x1b[0m\n{}\n", lines.join("\n")).unwrap();
        if !lines.is_empty() {
            session.push('\n');
        }
    }
    fs::write(PICTURE, draw(session.trim_end())).unwrap();
    sandbox.signal("-TERM");
    sandbox.ends_with(0).await;
}

/// Not how far curl is, nor empty lines.
fn is_told(line: &str) -> bool {
    let progress = ["% Total", "Dload", "--:--:--"];
    !line.is_empty() && !progress.iter().any(|part| line.contains(part))
}

/// Dark by itself, so that it can be read on pages of either kind; and as wide as there is room.
fn draw(session: &str) -> String {
    let term = Term::new()
        .fg_color(colour(0xe6, 0xed, 0xf3))
        .bg_color(colour(0x16, 0x1b, 0x22));
    let picture = term.render_svg(session);
    let size = |name: &str| {
        let (_, rest) = picture.split_once(&format!("{name}=\"")).unwrap();
        rest.split_once("px\"").unwrap().0.to_owned()
    };
    let (width, height) = (size("width"), size("height"));
    let fixed = format!("<svg width=\"{width}px\" height=\"{height}px\"");
    picture.replacen(&fixed, &format!("<svg viewBox=\"0 0 {width} {height}\""), 1)
}

fn colour(red: u8, green: u8, blue: u8) -> anstyle::Color {
    anstyle::RgbColor(red, green, blue).into()
}

/// What the picture says, without how it is drawn.
fn text() -> String {
    let picture = fs::read_to_string(PICTURE).unwrap();
    let mut text = String::new();
    let mut rest = picture.split_once("</style>").unwrap().1;
    while let Some((said, tag)) = rest.split_once('<') {
        text.push_str(said);
        rest = tag.split_once('>').unwrap().1;
    }
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&amp;", "&"),
        ("\u{a0}", " "),
    ];
    entities
        .iter()
        .fold(text, |text, (entity, sign)| text.replace(entity, sign))
}

/// Whether a slash begins a word, but for those of a URL.
fn names_an_absolute_path(line: &str) -> bool {
    let line = line.replace("://", " ");
    let mut words = line.split(|sign: char| !matches!(sign, '/' | '.') && !sign.is_ascii_alphanumeric());
    words.any(|word| word.starts_with('/'))
}

#[test]
fn the_picture_shows_what_there_is_and_no_token() {
    assert!(fs::metadata(PICTURE).unwrap().len() < 60_000);
    let text = text();
    for command in SESSION.iter().chain([&SANDBOX]) {
        assert!(
            text.contains(command),
            "'just picture' draws it anew: {command} is not in it:\n{text}"
        );
    }
    let columns: Vec<String> = tokenwright::api::crds()
        .into_iter()
        .filter(|definition| definition.spec.names.plural == "apitokens")
        .flat_map(|definition| definition.spec.versions[0].additional_printer_columns.clone().unwrap())
        .filter(|column| column.priority.unwrap_or_default() == 0)
        .map(|column| column.name.to_uppercase())
        .collect();
    let header = text
        .lines()
        .find(|line| line.trim_start().starts_with("NAME "))
        .unwrap();
    let mut rest = header;
    for column in &columns {
        rest = rest
            .split_once(column.as_str())
            .unwrap_or_else(|| panic!("{column} is not in {header}"))
            .1;
    }
    assert!(text.contains("200 OK") && text.contains("401 Unauthorized") && text.contains("has no role \"Boss\""));
    // A token is longer than any other word of letters and digits after an underscore.
    let longest = text
        .split(|sign: char| !sign.is_ascii_alphanumeric())
        .map(str::len)
        .max();
    assert!(longest < Some(30), "a token or a digest is in the picture");
    // Nothing is told of the machine that drew it: what is named by a path stands in the repository.
    let absolute = text.lines().find(|line| names_an_absolute_path(line));
    assert_eq!(absolute, None, "a path of one machine is in the picture");
    for of_a_machine in ["/a/b", "cat /a", "--file=/a", "'/a'", "read a/b, then /c"] {
        assert!(names_an_absolute_path(of_a_machine), "{of_a_machine}");
    }
}
