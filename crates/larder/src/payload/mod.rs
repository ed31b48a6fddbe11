//! The payload: how one value is written inside an entry.
//!
//! A payload is well-formed `MessagePack` with four extension types, so that PHP's arrays and
//! objects keep their types and a list of records names its columns once. `docs/format.md` is the
//! normative description. This module is the Rust side; the PHP extension has its own writer and
//! builder for zend values and shares [`Reader`] and [`mod@write`] with this one.

mod de;
mod encode;
mod error;
mod format;
mod php;
mod read;
mod ser;
mod value;
pub mod write;

pub use error::PayloadError;
pub use format::{
    EXT_OBJECT, EXT_PHP, EXT_SHAPE, EXT_STRING, MAX_DEPTH, MAX_SHAPE_KEYS, MIN_SHAPE_KEYS, is_shape_len,
    is_shared_len, numeric_key,
};
pub use php::to_php_serialized;
pub use read::{Broken, Reader, Token};
pub use value::{Key, Value};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes any serde value as a payload.
///
/// # Errors
///
/// Of kind [`Value`](crate::ErrorKind::Value): an integer that PHP has no room for (beyond `i64`),
/// a map key that is neither string nor integer, nesting deeper than [`MAX_DEPTH`], or an error of
/// the type's own `Serialize`.
pub fn to_payload<T: Serialize + ?Sized>(value: &T) -> crate::error::Result<Vec<u8>> {
    Ok(ser::to_value(value)?.encode()?)
}

/// Reads a payload into any serde type, whether PHP or Rust wrote it.
///
/// Arrays of records become sequences of structs, objects become structs or maps of their
/// properties.
///
/// # Errors
///
/// Of kind [`Value`](crate::ErrorKind::Value): a broken payload, a value that PHP's own serializer
/// carries (only PHP can read that), or a shape that the type does not expect.
pub fn from_payload<T: DeserializeOwned>(payload: &[u8]) -> crate::error::Result<T> {
    Ok(T::deserialize(de::ValueDeserializer(Value::decode(payload)?))?)
}

#[cfg(test)]
mod tests;
