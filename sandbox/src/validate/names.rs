//! The syntax of names, labels and keys; each check answers what is wrong, in the API server's words.

use std::sync::LazyLock;

use regex::Regex;

use super::NameRule;

type Pattern = LazyLock<Option<Regex>>;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const OLD_LABEL: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const KEY_NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const CONFIG_KEY: &str = "[-._a-zA-Z0-9]+";

static LABEL_PATTERN: Pattern = LazyLock::new(|| whole(LABEL));
static SUBDOMAIN_PATTERN: Pattern = LazyLock::new(|| whole(SUBDOMAIN));
static OLD_LABEL_PATTERN: Pattern = LazyLock::new(|| whole(OLD_LABEL));
static KEY_NAME_PATTERN: Pattern = LazyLock::new(|| whole(KEY_NAME));
static LABEL_VALUE_PATTERN: Pattern = LazyLock::new(|| whole(LABEL_VALUE));
static CONFIG_KEY_PATTERN: Pattern = LazyLock::new(|| whole(CONFIG_KEY));

fn whole(pattern: &str) -> Option<Regex> {
    Regex::new(&format!("^(?:{pattern})$")).ok()
}

fn fits(pattern: &Pattern, text: &str) -> bool {
    pattern.as_ref().is_some_and(|regex| regex.is_match(text))
}

fn syntax(sentence: &str, pattern: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}'")).collect();
    format!(
        "{sentence} (e.g. {}, regex used for validation is '{pattern}')",
        examples.join(",  or ")
    )
}

fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} characters")
}

/// The same, as it is said of the parts of labels.
fn too_long_label(limit: usize) -> String {
    format!("must be no more than {limit} bytes")
}

const ALPHANUMERIC_ENDS: &str = "and must start and end with an alphanumeric character";

/// A DNS label of RFC 1123.
pub(crate) fn label(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 63 {
        wrong.push(too_long(63));
    }
    if !fits(&LABEL_PATTERN, text) {
        if fits(&SUBDOMAIN_PATTERN, text) {
            wrong.push("must not contain dots".to_owned());
        } else {
            let sentence = format!(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', {ALPHANUMERIC_ENDS}"
            );
            wrong.push(syntax(&sentence, LABEL, &["my-name", "123-abc"]));
        }
    }
    wrong
}

/// A DNS subdomain of RFC 1123.
pub(crate) fn subdomain(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 253 {
        wrong.push(too_long(253));
    }
    if !fits(&SUBDOMAIN_PATTERN, text) {
        let sentence = format!(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', {ALPHANUMERIC_ENDS}"
        );
        wrong.push(syntax(&sentence, SUBDOMAIN, &["example.com"]));
    }
    wrong
}

/// A DNS label of RFC 1035.
pub(crate) fn old_label(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 63 {
        wrong.push(too_long(63));
    }
    if !fits(&OLD_LABEL_PATTERN, text) {
        let sentence = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
        wrong.push(syntax(sentence, OLD_LABEL, &["my-name", "abc-123"]));
    }
    wrong
}

/// What can stand in a path.
pub(crate) fn path_segment(text: &str) -> Vec<String> {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"]
        .iter()
        .filter(|part| text.contains(*part))
        .map(|part| format!("may not contain '{part}'"))
        .collect()
}

/// A name by the rule of its kind; a prefix for generated names may end in a dash.
pub(crate) fn by_rule(rule: NameRule, text: &str, is_prefix: bool) -> Vec<String> {
    let masked = match text.strip_suffix('-') {
        Some(rest) if is_prefix && !rest.is_empty() => format!(
            "{}a",
            &rest[..rest.len() - rest.chars().next_back().map_or(0, char::len_utf8)]
        ),
        _ => text.to_owned(),
    };
    match rule {
        NameRule::Subdomain => subdomain(&masked),
        NameRule::Label => label(&masked),
        NameRule::PathSegment => path_segment(text),
    }
}

/// The key of a label or annotation, the name of a finalizer.
pub(crate) fn qualified_name(text: &str) -> Vec<String> {
    let sentence = format!("must consist of alphanumeric characters, '-', '_' or '.', {ALPHANUMERIC_ENDS}");
    let name_syntax = syntax(&sentence, KEY_NAME, &["MyName", "my.name", "123-abc"]);
    let mut wrong = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".to_owned());
            } else {
                wrong.extend(subdomain(prefix).into_iter().map(|what| format!("prefix part {what}")));
            }
            *name
        }
        _ => {
            return vec![format!(
                "a valid label key {name_syntax} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        wrong.push(format!("name part {}", too_long_label(63)));
    }
    if !fits(&KEY_NAME_PATTERN, name) {
        wrong.push(format!("name part {name_syntax}"));
    }
    wrong
}

/// The value of a label.
pub(crate) fn label_value(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 63 {
        wrong.push(too_long_label(63));
    }
    if !fits(&LABEL_VALUE_PATTERN, text) {
        let sentence = format!(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', {ALPHANUMERIC_ENDS}"
        );
        wrong.push(syntax(&sentence, LABEL_VALUE, &["MyValue", "my_value", "12345"]));
    }
    wrong
}

/// A key of a Secret's or ConfigMap's data.
pub(crate) fn config_key(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 253 {
        wrong.push(too_long(253));
    }
    if !fits(&CONFIG_KEY_PATTERN, text) {
        let sentence = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        wrong.push(syntax(sentence, CONFIG_KEY, &["key.name", "KEY_NAME", "key-name"]));
    }
    match text {
        "." => wrong.push("must not be '.'".to_owned()),
        ".." => wrong.push("must not be '..'".to_owned()),
        _ if text.starts_with("..") => wrong.push("must not start with '..'".to_owned()),
        _ => {}
    }
    wrong
}

/// The name of a port.
pub(crate) fn port(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 15 {
        wrong.push(too_long(15));
    }
    let letter = |sign: char| sign.is_ascii_lowercase();
    for (is_wrong, what) in [
        (
            text.is_empty()
                || !text
                    .chars()
                    .all(|sign| letter(sign) || sign.is_ascii_digit() || sign == '-'),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (!text.contains(letter), "must contain at least one letter (a-z)"),
        (text.contains("--"), "must not contain consecutive hyphens"),
        (
            text.starts_with('-') || text.ends_with('-'),
            "must not begin or end with a hyphen",
        ),
    ] {
        wrong.extend(is_wrong.then(|| what.to_owned()));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule_of_their_kind() {
        let none: Vec<String> = Vec::new();
        assert_eq!(by_rule(NameRule::Subdomain, "a.b-c", false), none);
        assert_eq!(by_rule(NameRule::Subdomain, "gen-", true), none);
        assert_eq!(by_rule(NameRule::PathSegment, "system:x", false), none);
        assert_eq!(
            by_rule(NameRule::PathSegment, "a/b%", false),
            ["may not contain '/'", "may not contain '%'"]
        );
        assert_eq!(by_rule(NameRule::Label, "a.b", false), ["must not contain dots"]);
        assert_eq!(
            by_rule(NameRule::Subdomain, "A", false),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(
            by_rule(NameRule::Subdomain, &"a".repeat(254), false),
            ["must be no more than 253 characters"]
        );
    }
}
