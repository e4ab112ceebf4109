//! Whether a rule compares what can be compared and answers what it must, as far as that can be told without following
//! what functions answer.

use kube_cel::cel::Program;
use kube_cel::cel::common::ast::{Expr, IdedExpr, LiteralValue};

use super::node::{Node, Type};
use super::rule_types;
use super::value::escape;

/// Checks a compiled rule (`source` is for showing where): its names, its comparisons, and that it answers a boolean or,
/// for a messageExpression, a string.
pub(crate) fn check(
    program: &Program,
    source: &str,
    node: &Node,
    is_resource: bool,
    wanted: Type,
) -> Result<(), String> {
    rule_types::check(program, source, node, is_resource).map_err(|error| format!("compilation failed: {error}"))?;
    let expression = program.expression();
    comparisons(expression, source, node)?;
    let is_other = match &expression.expr {
        Expr::List(_) | Expr::Map(_) => true,
        _ => field(expression, node)
            .map(|node| node.kind.is_some_and(|kind| kind != wanted) && !node.int_or_string)
            .unwrap_or_else(|| literal(&expression.expr).is_some_and(|name| Some(name) != scalar_name(wanted))),
    };
    match wanted {
        _ if !is_other => Ok(()),
        Type::Boolean => Err("cel expression must evaluate to a bool".to_owned()),
        _ => Err("messageExpression must evaluate to a string".to_owned()),
    }
}

/// The schema of a chain of fields from `self`.
fn field<'n>(expression: &IdedExpr, node: &'n Node) -> Option<&'n Node> {
    match &expression.expr {
        Expr::Ident(name) if name == "self" => Some(node),
        Expr::Select(select) if !select.test => {
            let parent = field(&select.operand, node)?;
            let found = parent
                .properties
                .iter()
                .find(|(name, _)| escape(name).as_deref() == Some(&select.field));
            found.map(|(_, child)| child)
        }
        _ => None,
    }
}

fn scalar_name(kind: Type) -> Option<&'static str> {
    match kind {
        Type::String => Some("string"),
        Type::Integer => Some("int"),
        Type::Number => Some("double"),
        Type::Boolean => Some("bool"),
        Type::Object | Type::Array => None,
    }
}

fn literal(expression: &Expr) -> Option<&'static str> {
    match expression {
        Expr::Literal(LiteralValue::Boolean(_)) => Some("bool"),
        Expr::Literal(LiteralValue::Double(_)) => Some("double"),
        Expr::Literal(LiteralValue::Int(_)) => Some("int"),
        Expr::Literal(LiteralValue::String(_)) => Some("string"),
        Expr::Literal(LiteralValue::UInt(_)) => Some("uint"),
        _ => None,
    }
}

/// The name of the type of an expression, where it is certain to be a scalar.
fn scalar(expression: &IdedExpr, node: &Node) -> Option<&'static str> {
    match field(expression, node) {
        Some(node) if node.string_format.is_none() && !node.int_or_string && !node.nullable => scalar_name(node.kind?),
        Some(_) => None,
        None => literal(&expression.expr),
    }
}

/// Values of different types are never equal, so that asking is a mistake.
fn comparisons(expression: &IdedExpr, source: &str, node: &Node) -> Result<(), String> {
    match &expression.expr {
        Expr::Call(call) => {
            for part in call.target.as_deref().into_iter().chain(&call.args) {
                comparisons(part, source, node)?;
            }
            let ("_==_" | "_!=_", [left, right]) = (call.func_name.as_str(), call.args.as_slice()) else {
                return Ok(());
            };
            match (scalar(left, node), scalar(right, node)) {
                (Some(left), Some(right)) if left != right => {
                    let what = format!(
                        "found no matching overload for '{}' applied to '({left}, {right})'",
                        call.func_name
                    );
                    Err(shown(source, call.func_name.trim_matches('_'), &what))
                }
                _ => Ok(()),
            }
        }
        Expr::Comprehension(inner) => {
            let parts = [
                &inner.iter_range,
                &inner.accu_init,
                &inner.loop_cond,
                &inner.loop_step,
                &inner.result,
            ];
            parts.into_iter().try_for_each(|part| comparisons(part, source, node))
        }
        Expr::List(list) => list
            .elements
            .iter()
            .try_for_each(|part| comparisons(part, source, node)),
        Expr::Select(select) => comparisons(&select.operand, source, node),
        _ => Ok(()),
    }
}

/// A complaint with the place of the first such operator.
fn shown(source: &str, operator: &str, what: &str) -> String {
    let at = source.find(operator).unwrap_or_default();
    let line_start = source[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line_number = source[..line_start].matches('\n').count() + 1;
    let line = source[line_start..].lines().next().unwrap_or_default();
    let column = source[line_start..at].chars().count();
    let dots = ".".repeat(column);
    format!(
        "compilation failed: ERROR: <input>:{line_number}:{}: {what}\n | {line}\n | {dots}^",
        column + 1
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(rule: &str, wanted: Type) -> Result<(), String> {
        let node = Node::read(&json!({"type": "object", "properties": {
            "a": {"type": "string"}, "flag": {"type": "boolean"}, "count": {"type": "integer"},
            "port": {"x-kubernetes-int-or-string": true}, "when": {"type": "string", "format": "date-time"},
            "list": {"type": "array", "items": {"type": "string"}},
        }}));
        check(&Program::compile(rule).unwrap(), rule, &node, false, wanted)
    }

    #[test]
    fn what_can_be_compared_passes() {
        for rule in [
            "self.a == 'x'",
            "self.flag",
            "self.port == 1",
            "self.list.all(i, i == 'x')",
            "has(self.a) || self.count > 1",
        ] {
            assert_eq!(verdict(rule, Type::Boolean), Ok(()), "{rule}");
        }
        assert_eq!(verdict("'a' + self.a", Type::String), Ok(()));
        assert_eq!(verdict("self.a", Type::String), Ok(()));
    }

    #[test]
    fn what_cannot_is_shown() {
        assert_eq!(
            verdict("self.flag && self.a == 1", Type::Boolean),
            Err("compilation failed: ERROR: <input>:1:21: found no matching overload for '_==_' applied to '(string, int)'\n | self.flag && self.a == 1\n | ....................^".to_owned())
        );
        assert_eq!(
            verdict("self.a", Type::Boolean),
            Err("cel expression must evaluate to a bool".to_owned())
        );
        assert_eq!(
            verdict("1", Type::String),
            Err("messageExpression must evaluate to a string".to_owned())
        );
        assert!(
            verdict("self.b", Type::Boolean)
                .unwrap_err()
                .starts_with("compilation failed: ERROR: <input>:1:5: undefined field 'b'")
        );
    }
}
