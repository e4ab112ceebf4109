//! Finds fields that a rule names and its schema does not have.
//!
//! The real API server type-checks rules; `cel` does not. This is the part of it that catches what people get wrong:
//! misspelt fields and variables. What a function answers is not followed, so not everything is caught.

use kube_cel::cel::Program;
use kube_cel::cel::common::ast::{EntryExpr, Expr, IdedExpr};

use super::node::{Additional, Node, Type};
use super::value::{escape, is_readable_as_is};

/// What is known of a value in a rule.
#[derive(Clone, Copy)]
enum Known<'a> {
    Node(&'a Node, bool),
    Metadata,
    Nothing,
}

/// Checks the names in a compiled rule; `source` is for showing where.
pub(crate) fn check(program: &Program, source: &str, node: &Node, is_resource: bool) -> Result<(), String> {
    let mut scope = vec![("self".to_owned(), Known::Node(node, is_resource))];
    // An optional old value is wrapped; what is inside is not followed.
    scope.push(("oldSelf".to_owned(), Known::Nothing));
    Checker { source }.visit(program.expression(), &mut scope).map(|_| ())
}

struct Checker<'a> {
    source: &'a str,
}

impl Checker<'_> {
    fn visit<'n>(&self, expression: &IdedExpr, scope: &mut Vec<(String, Known<'n>)>) -> Result<Known<'n>, String> {
        match &expression.expr {
            Expr::Ident(name) => match scope.iter().rev().find(|(known, _)| known == name) {
                Some((_, known)) => Ok(*known),
                None if is_type_name(name) => Ok(Known::Nothing),
                None => Err(self.complaint(name, &format!("undeclared reference to '{name}' (in container '')"))),
            },
            Expr::Select(select) => {
                if let Some(namespace) = library(&select.operand.expr, scope) {
                    return Err(self.complaint(
                        namespace,
                        &format!("undeclared reference to '{namespace}' (in container '')"),
                    ));
                }
                let operand = self.visit(&select.operand, scope)?;
                self.field(operand, &select.field)
            }
            Expr::Call(call) => {
                if let Some(target) = &call.target
                    && library(&target.expr, scope).is_none()
                {
                    self.visit(target, scope)?;
                }
                let mut known = Vec::with_capacity(call.args.len());
                for argument in &call.args {
                    known.push(self.visit(argument, scope)?);
                }
                match (call.func_name.as_str(), known.first()) {
                    ("_[_]", Some(known)) => Ok(element(*known)),
                    _ => Ok(Known::Nothing),
                }
            }
            Expr::Comprehension(comprehension) => {
                let range = self.visit(&comprehension.iter_range, scope)?;
                let variable = match range {
                    Known::Node(node, _) if node.items.is_some() => element(range),
                    _ => Known::Nothing,
                };
                self.visit(&comprehension.accu_init, scope)?;
                let depth = scope.len();
                scope.push((comprehension.iter_var.clone(), variable));
                if let Some(second) = &comprehension.iter_var2 {
                    scope.push((second.clone(), Known::Nothing));
                }
                scope.push((comprehension.accu_var.clone(), Known::Nothing));
                for part in [
                    &comprehension.loop_cond,
                    &comprehension.loop_step,
                    &comprehension.result,
                ] {
                    self.visit(part, scope)?;
                }
                scope.truncate(depth);
                Ok(Known::Nothing)
            }
            Expr::List(list) => {
                for element in &list.elements {
                    self.visit(element, scope)?;
                }
                Ok(Known::Nothing)
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.visit(&entry.key, scope)?;
                        self.visit(&entry.value, scope)?;
                    }
                }
                Ok(Known::Nothing)
            }
            Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => Ok(Known::Nothing),
        }
    }

    fn field<'n>(&self, operand: Known<'n>, field: &str) -> Result<Known<'n>, String> {
        let undefined = || Err(self.complaint(&format!(".{field}"), &format!("undefined field '{field}'")));
        match operand {
            Known::Metadata if matches!(field, "name" | "generateName") => Ok(Known::Nothing),
            Known::Metadata => undefined(),
            Known::Node(node, is_resource) => {
                if is_resource && field == "metadata" {
                    return Ok(Known::Metadata);
                }
                if let Some((_, child)) = node.properties.iter().find(|(name, _)| {
                    escape(name).as_deref() == Some(field) || (*name == field && is_readable_as_is(name))
                }) {
                    return Ok(Known::Node(child, child.embedded));
                }
                match &node.additional {
                    _ if is_resource && matches!(field, "apiVersion" | "kind") => Ok(Known::Nothing),
                    Some(Additional::Schema(child)) => Ok(Known::Node(child, child.embedded)),
                    Some(Additional::Any) => Ok(Known::Nothing),
                    _ if node.kind == Some(Type::Object) => undefined(),
                    _ => match node.kind {
                        Some(kind @ (Type::String | Type::Boolean | Type::Integer | Type::Number))
                            if node.string_format.is_none() =>
                        {
                            let name = match kind {
                                Type::Boolean => "bool",
                                Type::Integer => "int",
                                Type::Number => "double",
                                _ => "string",
                            };
                            let complaint = format!("type '{name}' does not support field selection");
                            Err(self.complaint(&format!(".{field}"), &complaint))
                        }
                        _ => Ok(Known::Nothing),
                    },
                }
            }
            Known::Nothing => Ok(Known::Nothing),
        }
    }

    /// A complaint with the place of the first `needle`, as CEL's own errors show it.
    fn complaint(&self, needle: &str, what: &str) -> String {
        let at = self.source.find(needle).unwrap_or_default();
        let line_start = self.source[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let line_number = self.source[..line_start].matches('\n').count() + 1;
        let line = self.source[line_start..].lines().next().unwrap_or_default();
        let column = self.source[line_start..at].chars().count();
        format!(
            "ERROR: <input>:{line_number}:{}: {what}\n | {line}\n | {}^",
            column + 1,
            ".".repeat(column)
        )
    }
}

fn element(known: Known<'_>) -> Known<'_> {
    let Known::Node(node, _) = known else {
        return Known::Nothing;
    };
    match (&node.items, &node.additional) {
        (Some(items), _) => Known::Node(items, items.embedded),
        (None, Some(Additional::Schema(values))) => Known::Node(values, values.embedded),
        _ => Known::Nothing,
    }
}

/// The name before a dot that is no variable: a library, as `sets` in `sets.contains(…)`.
fn library<'e>(expression: &'e Expr, scope: &[(String, Known<'_>)]) -> Option<&'e str> {
    match expression {
        Expr::Ident(name) if !scope.iter().any(|(known, _)| known == name) => Some(name),
        _ => None,
    }
}

fn is_type_name(name: &str) -> bool {
    matches!(
        name,
        "bool" | "bytes" | "double" | "int" | "list" | "map" | "null_type" | "string" | "type" | "uint"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(rule: &str) -> Result<(), String> {
        let node = Node::read(&json!({"type": "object", "properties": {
            "a": {"type": "string"}, "b-c": {"type": "integer"},
            "list": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "integer"}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"y": {"type": "string"}}}},
        }}));
        check(&Program::compile(rule).unwrap(), rule, &node, true)
    }

    #[test]
    fn known_fields_pass() {
        for rule in [
            "has(self.a) && self.a.size() > 0",
            "self.b__dash__c > 0",
            "self.list.all(i, i.x > 0) && self.list[0].x == 1",
            "self.map['k'].y == '' && self.map.k.y == ''",
            "self.metadata.name == self.kind",
            "sets.contains([1], [1]) && self.list.map(i, i.x).sum() > 0",
            "oldSelf.a == self.a || type(self.a) == string",
        ] {
            assert_eq!(verdict(rule), Ok(()), "{rule}");
        }
    }

    #[test]
    fn unknown_fields_are_shown() {
        assert_eq!(
            verdict("self.a == '' && self.q == 1"),
            Err(
                "ERROR: <input>:1:21: undefined field 'q'\n | self.a == '' && self.q == 1\n | ....................^"
                    .to_owned()
            )
        );
        let complaints: Vec<String> = [
            "foo == 1",
            "self.list.all(i, i.z > 0)",
            "self.metadata.labels == 1",
            "self.a.b == 1",
        ]
        .into_iter()
        .map(|rule| verdict(rule).unwrap_err().lines().next().unwrap_or_default().to_owned())
        .collect();
        assert_eq!(
            complaints,
            [
                "ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')",
                "ERROR: <input>:1:19: undefined field 'z'",
                "ERROR: <input>:1:14: undefined field 'labels'",
                "ERROR: <input>:1:7: type 'string' does not support field selection",
            ]
        );
    }
}
