//! Values in messages, written as the real API server writes them.

use serde_json::Value;

/// A string in double quotes, with escapes for what is not printable.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}' | '\u{a0}') =>
            {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A value as it stands in an error: strings quoted, numbers and booleans plain, the rest as JSON.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Number(number) => self::number(number),
        other => json(other),
    }
}

/// A number without the `.0` of a whole float.
pub(crate) fn number(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => self::float(float),
        _ => number.to_string(),
    }
}

/// The shortest form of a float; an exponent for the very large and the very small.
pub(crate) fn float(float: f64) -> String {
    let magnitude = float.abs();
    if magnitude != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        let text = format!("{float:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{float}")
}

/// Compact JSON that escapes what HTML would read as markup.
pub(crate) fn json(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => self::number(number),
        Value::String(text) => json_string(text),
        Value::Array(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort();
            let fields: Vec<String> = keys
                .into_iter()
                .map(|key| format!("{}:{}", json_string(key), json(&fields[key])))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

/// An object as JSON with its fields in a given order; fields that are not named are left out.
pub(crate) fn ordered_json(object: &Value, names: &[&str]) -> String {
    let fields: Vec<String> = names
        .iter()
        .filter_map(|name| Some(format!("{}:{}", json_string(name), json(object.get(name)?))))
        .collect();
    format!("{{{}}}", fields.join(","))
}

fn json_string(text: &str) -> String {
    Value::from(text)
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn strings_are_quoted_and_escaped() {
        assert_eq!(quote("a\"b\\c\n\u{1}é\u{200b}"), r#""a\"b\\c\n\x01é\u200b""#);
    }

    #[test]
    fn numbers_are_short() {
        let words: Vec<String> = [json!(5), json!(5.0), json!(-0.25), json!(1e21), json!(1e-7)]
            .iter()
            .map(value)
            .collect();
        assert_eq!(words, ["5", "5", "-0.25", "1e+21", "1e-07"]);
    }

    #[test]
    fn compounds_are_json() {
        assert_eq!(
            value(&json!({"b": [true, null], "a": "<x>"})),
            r#"{"a":"\u003cx\u003e","b":[true,null]}"#
        );
    }
}
