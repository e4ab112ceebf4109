//! One rule of `x-kubernetes-validations`, compiled.

use std::sync::Arc;

use kube_cel::cel::Program;
use serde_json::Value;

/// A rule; what does not compile keeps the reason.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) source: String,
    pub(crate) program: Result<Arc<Program>, String>,
    pub(crate) message: String,
    pub(crate) message_expression: Option<Result<Arc<Program>, String>>,
    pub(crate) reason: Option<String>,
    /// Where the failure is reported, relative to the rule's place: `.a.b`, normalised to `a.b`.
    pub(crate) field_path: String,
    pub(crate) optional_old: bool,
    pub(crate) uses_old: bool,
    /// Whether it, or what is said when it is broken, refers to `oldSelf`.
    pub(crate) reads_old: bool,
}

impl Rule {
    pub(crate) fn read(rule: &Value) -> Self {
        let text = |name: &str| rule[name].as_str().unwrap_or_default();
        let program = compile(text("rule"));
        let message_expression = Some(text("messageExpression"))
            .filter(|text| !text.trim().is_empty())
            .map(compile);
        let reads_old = |program: &Result<Arc<Program>, String>| {
            program
                .as_ref()
                .is_ok_and(|program| program.references().has_variable("oldSelf"))
        };
        let uses_old = reads_old(&program);
        let reads_old = uses_old || message_expression.as_ref().is_some_and(reads_old);
        Self {
            source: text("rule").trim().to_owned(),
            program,
            message: text("message").trim().to_owned(),
            message_expression,
            reason: rule["reason"].as_str().map(str::to_owned),
            field_path: normalise_path(text("fieldPath")),
            optional_old: rule["optionalOldSelf"].as_bool().unwrap_or(false),
            uses_old,
            reads_old,
        }
    }

    /// What names the rule in an error of its evaluation.
    pub(crate) fn title(&self) -> &str {
        if self.message.is_empty() {
            &self.source
        } else {
            &self.message
        }
    }

    /// What is said when the rule is broken.
    pub(crate) fn failure(&self) -> String {
        if self.message.is_empty() {
            format!("failed rule: {}", self.source)
        } else {
            self.message.clone()
        }
    }
}

fn compile(source: &str) -> Result<Arc<Program>, String> {
    Program::compile(source).map(Arc::new).map_err(|errors| {
        let errors: Vec<String> = errors
            .errors
            .iter()
            .map(|error| {
                let (line, column) = error.pos;
                let shown = usize::try_from(line - 1)
                    .ok()
                    .and_then(|line| source.lines().nth(line))
                    .unwrap_or_default();
                let dots = ".".repeat(usize::try_from(column - 1).unwrap_or_default());
                format!("ERROR: <input>:{line}:{column}: {}\n | {shown}\n | {dots}^", error.msg)
            })
            .collect();
        format!("compilation failed: {}", errors.join("\n"))
    })
}

/// `.a['b.c'].d` as paths of errors write it: `a[b.c].d` for a key, `a.b` for a field.
fn normalise_path(path: &str) -> String {
    path.trim().trim_start_matches('.').replace("['", ".").replace("']", "")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_knows_what_it_uses() {
        let rule = Rule::read(&json!({"rule": " self.x == oldSelf.x ", "fieldPath": ".x.y"}));
        assert_eq!(
            (rule.source.as_str(), rule.uses_old, rule.field_path.as_str()),
            ("self.x == oldSelf.x", true, "x.y")
        );
        assert_eq!(rule.failure(), "failed rule: self.x == oldSelf.x");
        assert_eq!(Rule::read(&json!({"rule": "true", "message": " no "})).failure(), "no");
    }

    #[test]
    fn what_does_not_parse_says_where() {
        let rule = Rule::read(&json!({"rule": "self.x =="}));
        assert!(
            rule.program
                .unwrap_err()
                .starts_with("compilation failed: ERROR: <input>:1:")
        );
    }
}
