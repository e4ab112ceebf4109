//! The JSONPath of printer columns, scale and selectable fields.

use serde_json::Value;

/// A path into an object: `.spec.x`, `.status.conditions[?(@.type=="Ready")].status`, `[0]`, `[*]`, `['a.b']`.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    All,
    Everywhere(String),
    Where(Condition),
}

#[derive(Clone, Debug, PartialEq)]
struct Condition {
    path: JsonPath,
    /// Without an operator the path only has to lead somewhere.
    test: Option<(Operator, Value)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    LessOrEqual,
    GreaterOrEqual,
    Less,
    Greater,
}

impl JsonPath {
    /// Reads a path, with or without the braces around it.
    ///
    /// # Errors
    /// What of it is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let inner = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
            .unwrap_or(text);
        let mut rest = inner.strip_prefix(['$', '@']).unwrap_or(inner);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("..") {
                let (name, after) = field_name(after);
                steps.push(Step::Everywhere(name));
                rest = after;
            } else if let Some(after) = rest.strip_prefix('.') {
                if after.is_empty() {
                    break;
                }
                let (name, after) = if after.starts_with('[') {
                    (String::new(), after)
                } else {
                    field_name(after)
                };
                match name.as_str() {
                    "" => {}
                    "*" => steps.push(Step::All),
                    _ => steps.push(Step::Field(name)),
                }
                rest = after;
            } else if let Some(after) = rest.strip_prefix('[') {
                let end = closing_bracket(after).ok_or_else(|| format!("unterminated array in {text}"))?;
                steps.push(bracket(&after[..end])?);
                rest = &after[end + 1..];
            } else if steps.is_empty() {
                let (name, after) = field_name(rest);
                steps.push(Step::Field(name));
                rest = after;
            } else {
                return Err(format!("unrecognized character in {text}: {rest}"));
            }
        }
        Ok(Self { steps })
    }

    /// Everything the path leads to.
    pub fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        self.steps.iter().fold(vec![value], |found, step| {
            found.into_iter().flat_map(|value| step.apply(value)).collect()
        })
    }

    /// The first thing the path leads to.
    pub fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.find(value).into_iter().next()
    }
}

fn field_name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return (name, &text[at..]),
            other => name.push(other),
        }
    }
    (name, "")
}

fn closing_bracket(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut quote = None;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn unquoted(text: &str) -> Option<&str> {
    ['\'', '"']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

fn bracket(inner: &str) -> Result<Step, String> {
    let inner = inner.trim();
    let number = |text: &str| {
        text.trim()
            .parse::<i64>()
            .map_err(|_| format!("invalid array index {text}"))
    };
    if inner == "*" {
        return Ok(Step::All);
    }
    if let Some(name) = unquoted(inner) {
        return Ok(Step::Field(name.to_owned()));
    }
    if let Some(condition) = inner.strip_prefix("?(").and_then(|text| text.strip_suffix(')')) {
        return Ok(Step::Where(parse_condition(condition)?));
    }
    if let Some((from, to)) = inner.split_once(':') {
        let bound = |text: &str| {
            if text.trim().is_empty() {
                Ok(None)
            } else {
                number(text).map(Some)
            }
        };
        return Ok(Step::Slice(bound(from)?, bound(to)?));
    }
    number(inner).map(Step::Index)
}

fn parse_condition(text: &str) -> Result<Condition, String> {
    let operators = [
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];
    let found = operators
        .into_iter()
        .find_map(|(sign, operator)| Some((text.split_once(sign)?, operator)));
    let Some(((path, operand), operator)) = found else {
        return Ok(Condition {
            path: JsonPath::parse(text)?,
            test: None,
        });
    };
    let operand = operand.trim();
    let operand = match unquoted(operand) {
        Some(text) => Value::from(text),
        None => serde_json::from_str(operand).map_err(|_| format!("unrecognized operand {operand}"))?,
    };
    Ok(Condition {
        path: JsonPath::parse(path)?,
        test: Some((operator, operand)),
    })
}

impl Step {
    fn apply<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Field(name) => value.get(name.as_str()).into_iter().collect(),
            Self::Index(index) => {
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                position(*index, items.len())
                    .and_then(|index| items.get(index))
                    .into_iter()
                    .collect()
            }
            Self::Slice(from, to) => {
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                let from = from.and_then(|from| position(from, items.len())).unwrap_or(0);
                let to = to
                    .and_then(|to| position(to, items.len()))
                    .unwrap_or(items.len())
                    .min(items.len());
                items.get(from..to).unwrap_or_default().iter().collect()
            }
            Self::All => children(value),
            Self::Everywhere(name) => {
                let mut found: Vec<&Value> = value.get(name.as_str()).into_iter().collect();
                found.extend(children(value).into_iter().flat_map(|child| self.apply(child)));
                found
            }
            Self::Where(condition) => children(value)
                .into_iter()
                .filter(|item| condition.holds(item))
                .collect(),
        }
    }
}

fn position(index: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    usize::try_from(if index < 0 { index + length } else { index }).ok()
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

impl Condition {
    fn holds(&self, item: &Value) -> bool {
        let Some(actual) = self.path.first(item) else {
            return false;
        };
        let Some((operator, expected)) = &self.test else {
            return true;
        };
        let order = match (actual, expected) {
            (Value::String(actual), Value::String(expected)) => Some(actual.cmp(expected)),
            _ => actual
                .as_f64()
                .zip(expected.as_f64())
                .and_then(|(actual, expected)| actual.partial_cmp(&expected)),
        };
        match operator {
            Operator::Equal => actual == expected,
            Operator::NotEqual => actual != expected,
            Operator::LessOrEqual => order.is_some_and(|order| order.is_le()),
            Operator::GreaterOrEqual => order.is_some_and(|order| order.is_ge()),
            Operator::Less => order.is_some_and(|order| order.is_lt()),
            Operator::Greater => order.is_some_and(|order| order.is_gt()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_find_what_they_name() {
        let object = json!({
            "metadata": {"annotations": {"a.b/c": "x"}},
            "spec": {"list": [1, 2, 3], "items": [{"name": "a", "n": 1}, {"name": "b", "n": 2}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
        });
        let cases = [
            (".spec.list", json!([[1, 2, 3]])),
            ("{.spec.list[0]}", json!([1])),
            ("$.spec.list[-1]", json!([3])),
            (".spec.list[*]", json!([1, 2, 3])),
            (".spec.list[0:2]", json!([1, 2])),
            (".spec.items[*].name", json!(["a", "b"])),
            (".metadata.annotations.a\\.b/c", json!(["x"])),
            (".metadata.annotations['a.b/c']", json!(["x"])),
            (".status.conditions[?(@.type==\"Ready\")].status", json!(["True"])),
            (".status.conditions[?(@.type=='Other')].status", json!(["False"])),
            (".spec.items[?(@.n>1)].name", json!(["b"])),
            (".spec.items[?(@.n)].name", json!(["a", "b"])),
            ("..name", json!(["a", "b"])),
            (".nowhere.at.all", json!([])),
            (".spec.list[7]", json!([])),
        ];
        for (path, expected) in cases {
            assert_eq!(json!(JsonPath::parse(path).unwrap().find(&object)), expected, "{path}");
        }
    }

    #[test]
    fn broken_paths_are_refused() {
        assert_eq!(JsonPath::parse(".a[0"), Err("unterminated array in .a[0".to_owned()));
        assert_eq!(JsonPath::parse(".a[x]"), Err("invalid array index x".to_owned()));
    }
}
