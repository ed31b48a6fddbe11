//! Rewrites a payload into PHP's own serialization format.
//!
//! The extension does this when an object's class must be loaded or has changed: `unserialize()`
//! then decides, and so behaves exactly as it always does (autoloading, missing classes, typed
//! properties).

use super::error::PayloadError;
use super::value::{Key, Value};

/// The bytes that `unserialize()` reads as the value of this payload.
///
/// # Errors
///
/// [`PayloadError::is_broken`] when the bytes are no payload.
pub fn to_php_serialized(payload: &[u8]) -> Result<Vec<u8>, PayloadError> {
    let mut out = Vec::with_capacity(payload.len() * 2);
    value(&mut out, &Value::decode(payload)?);
    Ok(out)
}

fn value(out: &mut Vec<u8>, item: &Value) {
    match item {
        Value::Null => out.extend_from_slice(b"N;"),
        Value::Bool(flag) => out.extend_from_slice(if *flag { b"b:1;" } else { b"b:0;" }),
        Value::Int(number) => text(out, &format!("i:{number};")),
        Value::Float(number) => float(out, *number),
        Value::Str(string) => bytes(out, string.as_bytes()),
        Value::Bytes(string) => bytes(out, string),
        Value::Array(items) => {
            text(out, &format!("a:{}:{{", items.len()));
            entries(out, items);
        }
        Value::Object { class, props } => {
            text(out, &format!("O:{}:\"{class}\":{}:{{", class.len(), props.len()));
            entries(out, props);
        }
        Value::Php(serialized) => out.extend_from_slice(serialized),
    }
}

fn entries(out: &mut Vec<u8>, items: &[(Key, Value)]) {
    for (key, item) in items {
        match key.as_bytes() {
            Some(name) => bytes(out, name),
            None => value(
                out,
                &match key {
                    Key::Int(number) => Value::Int(*number),
                    _ => Value::Null,
                },
            ),
        }
        value(out, item);
    }
    out.push(b'}');
}

fn bytes(out: &mut Vec<u8>, string: &[u8]) {
    text(out, &format!("s:{}:\"", string.len()));
    out.extend_from_slice(string);
    out.extend_from_slice(b"\";");
}

fn float(out: &mut Vec<u8>, number: f64) {
    if number.is_nan() {
        out.extend_from_slice(b"d:NAN;");
    } else if number.is_infinite() {
        out.extend_from_slice(if number > 0.0 { b"d:INF;" } else { b"d:-INF;" });
    } else if number == 0.0 || (1e-5..1e15).contains(&number.abs()) {
        // Rust prints the shortest digits that read back as the same float.
        text(out, &format!("d:{number};"));
    } else {
        text(out, &format!("d:{number:e};"));
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}
