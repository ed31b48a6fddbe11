//! Any value as JSON, without losing what JSON cannot say. `larder --help` describes it to users.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use larder::engine::payload::{Key, Value};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Serializes as the JSON of a value.
pub(crate) struct Json<'a>(pub(crate) &'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i64(*value),
            Value::Float(value) if value.is_nan() => single(serializer, "$float", "NAN"),
            Value::Float(value) if value.is_infinite() => {
                single(serializer, "$float", if *value > 0.0 { "INF" } else { "-INF" })
            }
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::Str(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => text_or_bytes(serializer, bytes),
            Value::Array(items) if self.0.is_list() => {
                serializer.collect_seq(items.iter().map(|(_, value)| Json(value)))
            }
            Value::Array(items) => entries(serializer, None, items),
            Value::Object { class, props } => entries(serializer, Some(class), props),
            Value::Php(bytes) => single(serializer, "$php", &Text(bytes)),
            other => single(serializer, "$unknown", &format!("{other:?}")),
        }
    }
}

/// A text, or bytes where it is none.
struct Text<'a>(&'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        text_or_bytes(serializer, self.0)
    }
}

fn text_or_bytes<S: Serializer>(serializer: S, bytes: &[u8]) -> Result<S::Ok, S::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => serializer.serialize_str(text),
        Err(_) => single(serializer, "$bytes", &BASE64_STANDARD.encode(bytes)),
    }
}

fn single<S: Serializer, T: Serialize + ?Sized>(
    serializer: S,
    name: &str,
    value: &T,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(name, value)?;
    map.end()
}

fn entries<S: Serializer>(
    serializer: S,
    class: Option<&str>,
    items: &[(Key, Value)],
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(items.len() + usize::from(class.is_some())))?;
    if let Some(class) = class {
        map.serialize_entry("$class", class)?;
    }
    for (key, value) in items {
        map.serialize_entry(name(key).as_ref(), &Json(value))?;
    }
    map.end()
}

fn name(key: &Key) -> Cow<'_, str> {
    match key {
        Key::Int(number) => number.to_string().into(),
        Key::Str(text) if text.starts_with('$') => format!("${text}").into(),
        Key::Str(text) => Cow::Borrowed(text),
        Key::Bytes(bytes) => format!("$bytes:{}", BASE64_STANDARD.encode(bytes)).into(),
        other => format!("$unknown:{other:?}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: &Value) -> String {
        serde_json::to_string(&Json(value)).unwrap()
    }

    #[test]
    fn plain_values_are_plain_json() {
        let list = Value::Array(vec![(Key::Int(0), Value::Null), (Key::Int(1), Value::Bool(true))]);
        let map = Value::Array(vec![("b".into(), Value::Int(i64::MIN)), (Key::Int(7), Value::Float(-0.0))]);
        assert_eq!(json(&list), "[null,true]");
        assert_eq!(json(&map), r#"{"b":-9223372036854775808,"7":-0.0}"#);
        assert_eq!(json(&Value::Array(Vec::new())), "[]");
        assert_eq!(json(&"a\0\u{1}".into()), r#""a\u0000\u0001""#);
    }

    #[test]
    fn what_json_cannot_say_is_marked() {
        let bytes: &[u8] = b"\xff\0";
        assert_eq!(json(&Value::Bytes(bytes.into())), r#"{"$bytes":"/wA="}"#);
        assert_eq!(json(&Value::Float(f64::NEG_INFINITY)), r#"{"$float":"-INF"}"#);
        assert_eq!(json(&Value::Float(f64::NAN)), r#"{"$float":"NAN"}"#);
        let serialized: &[u8] = b"O:1:\"X\":0:{}";
        assert_eq!(json(&Value::Php(serialized.into())), r#"{"$php":"O:1:\"X\":0:{}"}"#);
        let object = Value::Object {
            class: "A\\B".into(),
            props: vec![("\0*\0p".into(), Value::Int(1)), (Key::Bytes(bytes.into()), Value::Null)],
        };
        assert_eq!(json(&object), r#"{"$class":"A\\B","\u0000*\u0000p":1,"$bytes:/wA=":null}"#);
    }

    #[test]
    fn a_key_cannot_pass_for_a_mark() {
        let map = Value::Array(vec![("$class".into(), Value::Null), ("$$".into(), Value::Null)]);
        assert_eq!(json(&map), r#"{"$$class":null,"$$$":null}"#);
    }
}
