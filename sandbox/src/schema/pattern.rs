//! Regular expressions in the dialect of schemas (RE2), read by the `regex` crate.

use regex::Regex;

/// Compiles a pattern of a schema.
///
/// The two dialects differ in what `\d`, `\w`, `\s` and `\b` mean outside of ASCII and in what may stand in brackets;
/// a pattern is rewritten so that it means here what it means there.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    Regex::new(&rewrite(pattern)).map_err(|error| {
        let reason = match &error {
            regex::Error::Syntax(text) => text
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned(),
            other => other.to_string(),
        };
        // The names that RE2 has for the commonest mistakes.
        let reason = match reason.as_str() {
            "unclosed group" => "missing closing )",
            "unclosed character class" => "missing closing ]",
            "unopened group" => "unexpected )",
            "repetition operator missing expression" => "missing argument to repetition operator",
            other => other,
        };
        format!("error parsing regexp: {reason}: `{pattern}`")
    })
}

fn rewrite(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut characters = pattern.chars().peekable();
    let mut in_brackets = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('d') => out.push_str("[0-9]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('w') => out.push_str("[0-9A-Za-z_]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('s') => out.push_str("[\\t\\n\\f\\r ]"),
                Some('S') => out.push_str("[^\\t\\n\\f\\r ]"),
                Some('b') if !in_brackets => out.push_str("(?-u:\\b)"),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '[' if !in_brackets => {
                in_brackets = true;
                out.push('[');
                if characters.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if characters.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            '[' if characters.peek() == Some(&':') => {
                out.push('[');
                while let Some(inner) = characters.next() {
                    out.push(inner);
                    if inner == ':' && characters.next_if_eq(&']').is_some() {
                        out.push(']');
                        break;
                    }
                }
            }
            ']' if in_brackets => {
                in_brackets = false;
                out.push(']');
            }
            '[' | '&' | '~' if in_brackets => out.extend(['\\', character]),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        compile(pattern).unwrap().is_match(text)
    }

    #[test]
    fn classes_are_ascii() {
        assert!(matches(r"^\d+$", "123"));
        assert!(!matches(r"^\d+$", "٣"));
        assert!(matches(r"^[\w-]+$", "a_b-c"));
        assert!(!matches(r"^\w+$", "é"));
        assert!(matches(r"^[^\s]+$", "a\u{a0}b"));
    }

    #[test]
    fn brackets_hold_what_they_hold_there() {
        assert!(matches(r"^[[]$", "["));
        assert!(matches(r"^[]a]+$", "]a"));
        assert!(matches(r"^[a&&b]+$", "a&b"));
        assert!(matches(r"^[[:alpha:]]+$", "abc"));
        assert!(matches(r"^([0-9]+(d|h|m|s))+$", "1d12h"));
    }

    #[test]
    fn a_broken_pattern_says_so() {
        let message = compile("a(b").unwrap_err();
        assert_eq!(message, "error parsing regexp: missing closing ): `a(b`");
    }
}
