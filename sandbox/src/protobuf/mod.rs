//! `application/vnd.kubernetes.protobuf` bodies, as kubectl sends them for builtin kinds, turned into JSON.

mod messages;
mod wire;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use messages::{MESSAGES, Type};
use wire::{Fields, Raw};

const MAGIC: &[u8] = b"k8s\0";
const DEEPEST: usize = 32;

/// Why a protobuf body could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body does not begin with `k8s\0`.
    #[error("the body is not Kubernetes protobuf: it does not begin with the magic number of four bytes")]
    NoMagic,
    /// The kind has no description here (answer 415).
    #[error("{api_version} {kind} is not understood as protobuf here: send it as JSON")]
    UnknownKind {
        /// The apiVersion in the envelope.
        api_version: String,
        /// The kind in the envelope.
        kind: String,
    },
    /// The bytes are not what the kind's description expects (answer 400).
    #[error("the protobuf body is damaged: {0}")]
    Damaged(String),
}

/// Reads a body: the envelope and the object in it, as JSON with its apiVersion and kind.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(bytes: &[u8]) -> Result<Value, DecodeError> {
    let envelope = bytes.strip_prefix(MAGIC).ok_or(DecodeError::NoMagic)?;
    let (mut api_version, mut kind, mut object): (String, String, &[u8]) = Default::default();
    for field in Fields::of(envelope) {
        match field? {
            (1, Raw::Bytes(type_meta)) => {
                for field in Fields::of(type_meta) {
                    match field? {
                        (1, Raw::Bytes(text)) => api_version = utf8(text)?,
                        (2, Raw::Bytes(text)) => kind = utf8(text)?,
                        _ => {}
                    }
                }
            }
            (2, Raw::Bytes(raw)) => object = raw,
            (3, Raw::Bytes(encoding)) if !encoding.is_empty() => {
                return Err(DecodeError::Damaged("its content is encoded once more".to_owned()));
            }
            _ => {}
        }
    }
    // Options of a deletion are sent with the apiVersion of what is deleted.
    let described_as = if kind == "DeleteOptions" {
        "v1"
    } else {
        api_version.as_str()
    };
    let message = MESSAGES
        .message_of(described_as, &kind)
        .ok_or_else(|| DecodeError::UnknownKind {
            api_version: api_version.clone(),
            kind: kind.clone(),
        })?;
    let mut fields = read_message(message, object, 0)?;
    fields.insert("apiVersion".to_owned(), api_version.into());
    fields.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(fields))
}

fn utf8(bytes: &[u8]) -> Result<String, DecodeError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::Damaged("a text is not UTF-8".to_owned()))
}

fn read_message(message: &str, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, DecodeError> {
    if depth > DEEPEST {
        return Err(DecodeError::Damaged("it is nested too deeply".to_owned()));
    }
    let mut fields = Map::new();
    for field in Fields::of(bytes) {
        let (number, raw) = field?;
        // Fields of newer versions are unknown, as any unknown field is.
        let Some(field) = MESSAGES.field(message, number) else {
            continue;
        };
        match (&field.kind, raw) {
            (Type::Message(inner), Raw::Bytes(bytes)) if field.name == "*" => {
                fields.extend(read_message(inner, bytes, depth + 1)?);
            }
            (Type::List(item), raw) => {
                let list = fields.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
                let item = read_value(item, raw, depth)?;
                list.as_array_mut().into_iter().for_each(|list| list.push(item.clone()));
            }
            (Type::Map(value), Raw::Bytes(entry)) => {
                let (key, value) = read_entry(value, entry, depth)?;
                let map = fields.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
                map[key] = value;
            }
            (kind, raw) => {
                let value = read_value(kind, raw, depth)?;
                if field.keep_zero || !is_zero(&value) {
                    fields.insert(field.name.to_owned(), value);
                }
            }
        }
    }
    Ok(fields)
}

/// Zero is written for what was left out, too.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

fn read_entry(kind: &Type, bytes: &[u8], depth: usize) -> Result<(String, Value), DecodeError> {
    let mut key = String::new();
    let mut value = match kind {
        Type::Text | Type::Bytes => Value::from(""),
        _ => Value::Null,
    };
    for field in Fields::of(bytes) {
        match field? {
            (1, Raw::Bytes(text)) => key = utf8(text)?,
            (2, raw) => value = read_value(kind, raw, depth)?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn read_value(kind: &Type, raw: Raw<'_>, depth: usize) -> Result<Value, DecodeError> {
    let value = match (kind, raw) {
        (Type::Text, Raw::Bytes(text)) => utf8(text)?.into(),
        (Type::Bytes, Raw::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (Type::Bool, Raw::Varint(number)) => (number != 0).into(),
        (Type::Int, Raw::Varint(number)) => number.cast_signed().into(),
        (Type::Float, Raw::Fixed64(bits)) => f64::from_bits(bits).into(),
        (Type::Message(message), Raw::Bytes(bytes)) => Value::Object(read_message(message, bytes, depth + 1)?),
        (Type::Time, Raw::Bytes(bytes)) => read_time(bytes, false)?,
        (Type::MicroTime, Raw::Bytes(bytes)) => read_time(bytes, true)?,
        (Type::Quantity, Raw::Bytes(bytes)) => text_in(bytes, 1)?.into(),
        (Type::Duration, Raw::Bytes(bytes)) => {
            let nanoseconds = Numbers::of(bytes)?.get(1);
            format!("{}s", nanoseconds as f64 / 1e9).into()
        }
        (Type::IntOrString, Raw::Bytes(bytes)) => {
            let numbers = Numbers::of(bytes)?;
            if numbers.get(1) == 0 {
                numbers.get(2).into()
            } else {
                text_in(bytes, 3)?.into()
            }
        }
        (Type::Json, Raw::Bytes(bytes)) => {
            let json = Fields::of(bytes).find_map(|field| match field {
                Ok((1, Raw::Bytes(json))) => Some(json),
                _ => None,
            });
            match json {
                Some(json) => serde_json::from_slice(json)
                    .map_err(|error| DecodeError::Damaged(format!("JSON in it does not parse: {error}")))?,
                None => Value::Null,
            }
        }
        (Type::Strings, Raw::Bytes(bytes)) => {
            let mut items = Vec::new();
            for field in Fields::of(bytes) {
                if let (1, Raw::Bytes(text)) = field? {
                    items.push(utf8(text)?);
                }
            }
            items.into()
        }
        (kind, raw) => return Err(DecodeError::Damaged(format!("a field of type {kind:?} holds {raw:?}"))),
    };
    Ok(value)
}

/// The whole numbers of a message, by the numbers of their fields.
struct Numbers(Vec<(u32, i64)>);

impl Numbers {
    fn of(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut numbers = Vec::new();
        for field in Fields::of(bytes) {
            if let (number, Raw::Varint(value)) = field? {
                numbers.push((number, value.cast_signed()));
            }
        }
        Ok(Self(numbers))
    }

    /// The number of this field; zeros are not written.
    fn get(&self, wanted: u32) -> i64 {
        let found = self.0.iter().find(|(number, _)| *number == wanted);
        found.map_or(0, |(_, value)| *value)
    }
}

fn text_in(bytes: &[u8], wanted: u32) -> Result<String, DecodeError> {
    for field in Fields::of(bytes) {
        match field? {
            (number, Raw::Bytes(text)) if number == wanted => return utf8(text),
            _ => {}
        }
    }
    Ok(String::new())
}

/// A time; none at all is written as an empty message.
fn read_time(bytes: &[u8], with_microseconds: bool) -> Result<Value, DecodeError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let numbers = Numbers::of(bytes)?;
    let nanoseconds = i32::try_from(numbers.get(2)).unwrap_or_default();
    let time = Timestamp::new(numbers.get(1), nanoseconds)
        .map_err(|error| DecodeError::Damaged(format!("a time that is none: {error}")))?;
    Ok(if with_microseconds {
        format!("{time:.6}")
    } else {
        time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
    .into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Writes a field of bytes.
    fn bytes_field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length > 0x7f {
            out.push(length as u8 & 0x7f | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend(bytes);
        out
    }

    fn body(api_version: &str, kind: &str, object: &[u8]) -> Vec<u8> {
        let type_meta = [bytes_field(1, api_version.as_bytes()), bytes_field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), bytes_field(1, &type_meta), bytes_field(2, object)].concat()
    }

    #[test]
    fn a_secret_as_kubectl_sends_it() {
        let metadata = [
            bytes_field(1, b"s"),
            bytes_field(2, b""),
            bytes_field(3, b"default"),
            bytes_field(8, b""),
            vec![7 << 3, 0],
        ];
        let entry = [bytes_field(1, b"k"), bytes_field(2, b"\x00\xffv")].concat();
        let object = [
            bytes_field(1, &metadata.concat()),
            bytes_field(2, &entry),
            bytes_field(3, b"Opaque"),
        ]
        .concat();
        assert_eq!(
            decode(&body("v1", "Secret", &object)),
            Ok(json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"},
                "data": {"k": "AP92"}, "type": "Opaque",
            }))
        );
    }

    #[test]
    fn zero_is_kept_where_it_means_something() {
        let spec = [vec![1 << 3, 0], vec![5 << 3, 0]].concat();
        let object = bytes_field(2, &spec);
        assert_eq!(
            decode(&body("apps/v1", "Deployment", &object)),
            Ok(json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 0}}))
        );
    }

    #[test]
    fn times_lists_and_unions() {
        let time = [vec![1 << 3], vec![0x80, 0xd8, 0xfc, 0xc8, 0x06]].concat();
        let spec = [
            bytes_field(1, b"me"),
            bytes_field(3, &time),
            bytes_field(4, &[time.clone(), vec![2 << 3, 0xe8, 0x07]].concat()),
        ];
        let lease = decode(&body(
            "coordination.k8s.io/v1",
            "Lease",
            &bytes_field(2, &spec.concat()),
        ))
        .unwrap();
        assert_eq!(
            lease["spec"],
            json!({"holderIdentity": "me", "acquireTime": "2025-11-20T14:56:00.000000Z", "renewTime": "2025-11-20T14:56:00.000001Z"})
        );
        let port = |union: Vec<u8>| bytes_field(1, &[vec![3 << 3, 80], bytes_field(4, &union)].concat());
        let spec = [
            port([vec![1 << 3, 1], bytes_field(3, b"http")].concat()),
            port(vec![2 << 3, 90]),
        ]
        .concat();
        let service = decode(&body("v1", "Service", &bytes_field(2, &spec))).unwrap();
        assert_eq!(
            service["spec"]["ports"],
            json!([{"port": 80, "targetPort": "http"}, {"port": 80, "targetPort": 90}])
        );
    }

    #[test]
    fn options_of_a_deletion_have_any_version() {
        let options = [bytes_field(4, b"Foreground"), vec![1 << 3, 0]].concat();
        assert_eq!(
            decode(&body("apps/v1", "DeleteOptions", &options)),
            Ok(json!({
                "apiVersion": "apps/v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground", "gracePeriodSeconds": 0,
            }))
        );
    }

    #[test]
    fn what_is_not_understood_says_so() {
        assert_eq!(decode(b"{}"), Err(DecodeError::NoMagic));
        assert_eq!(
            decode(&body("x/v1", "Foo", b"")).map_err(|error| error.to_string()),
            Err("x/v1 Foo is not understood as protobuf here: send it as JSON".to_owned())
        );
        assert_eq!(
            decode(&body("v1", "Secret", &[1 << 3 | 2, 9, 1])).map_err(|error| error.to_string()),
            Err("the protobuf body is damaged: it ends in the middle of a field".to_owned())
        );
        assert!(matches!(
            decode(&body("v1", "Secret", &[1 << 3, 1])),
            Err(DecodeError::Damaged(_))
        ));
    }
}
