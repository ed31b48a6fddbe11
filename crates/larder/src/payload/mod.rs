//! The payload: how one value is written inside an entry.
//!
//! A payload is well-formed `MessagePack` with four extension types, so that PHP's arrays and objects
//! keep their types and a list of records names its columns once. `docs/format.md` is the normative
//! description. This module is the Rust side; the PHP extension has its own writer and builder for
//! zend values and shares [`Reader`] and [`mod@write`] with this one.

mod de;
mod encode;
mod error;
mod php;
mod read;
mod ser;
mod value;
pub mod write;

pub use error::PayloadError;
pub use php::to_php_serialized;
pub use read::{Broken, Reader, Token};
pub use value::{Key, Value};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Containers nested deeper than this are not written as `MessagePack`, and a payload that nests deeper is
/// broken. It bounds the stack of every reader.
pub const MAX_DEPTH: u32 = 256;

/// Extension type: first element of an array that defines an object. Its data is the class name, empty for `stdClass`.
pub const EXT_OBJECT: i8 = 1;
/// Extension type: first element of an array that repeats an earlier shape. Its data is the shape's index.
pub const EXT_SHAPE: i8 = 2;
/// Extension type: a string that occurred before. Its data is the string's index.
pub const EXT_STRING: i8 = 3;
/// Extension type: the whole value in PHP's own serialization format.
pub const EXT_PHP: i8 = 4;

/// The shortest string, in bytes, that gets an index.
pub const MIN_SHARED_STRING: usize = 4;
/// The longest string, in bytes, that gets an index. It bounds how far a hostile payload can expand.
pub const MAX_SHARED_STRING: usize = 255;
/// The fewest keys of a map that makes a shape; an object makes one from no property on.
pub const MIN_SHAPE_KEYS: usize = 2;
/// The most keys of a shape.
pub const MAX_SHAPE_KEYS: usize = 255;

/// True when a string of `len` bytes takes the next index of the payload's string table.
#[inline]
pub const fn is_shared_len(len: usize) -> bool {
    len >= MIN_SHARED_STRING && len <= MAX_SHARED_STRING
}

/// True when a map of `len` string keys takes the next index of the payload's shape table.
#[inline]
pub const fn is_shape_len(len: usize) -> bool {
    len >= MIN_SHAPE_KEYS && len <= MAX_SHAPE_KEYS
}

/// The integer that PHP would use for this array key, if it would: `"12"` and `"-3"`, but not `"012"`, `"-0"` or `"1.5"`.
#[inline]
pub fn numeric_key(key: &[u8]) -> Option<i64> {
    let first = *key.first()?;
    if !(first.is_ascii_digit() || first == b'-') || key.len() > 20 {
        return None;
    }
    let digits = key.strip_prefix(b"-").unwrap_or(key);
    let canonical = match digits {
        [b'0'] => digits.len() == key.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return None;
    }
    let number = std::str::from_utf8(key).ok()?.parse::<i64>().ok()?;
    // PHP leaves its smallest integer a string.
    (number != i64::MIN).then_some(number)
}

/// Writes any serde value as a payload.
///
/// # Errors
///
/// Of kind [`Value`](crate::ErrorKind::Value): an integer that PHP has no room for (beyond `i64`), a map key that is neither string nor integer, nesting
/// deeper than [`MAX_DEPTH`], or an error of the type's own `Serialize`.
pub fn to_payload<T: Serialize + ?Sized>(value: &T) -> crate::error::Result<Vec<u8>> {
    Ok(ser::to_value(value)?.encode()?)
}

/// Reads a payload into any serde type, whether PHP or Rust wrote it.
///
/// Arrays of records become sequences of structs, objects become structs or maps of their properties.
///
/// # Errors
///
/// Of kind [`Value`](crate::ErrorKind::Value): a broken payload, a value that PHP's own serializer carries (only PHP can read that), or a shape that the
/// type does not expect.
pub fn from_payload<T: DeserializeOwned>(payload: &[u8]) -> crate::error::Result<T> {
    Ok(T::deserialize(de::ValueDeserializer(Value::decode(payload)?))?)
}

#[cfg(test)]
mod tests;
