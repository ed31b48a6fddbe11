//! Keys and arrays of keys between PHP and the core.

use std::borrow::Cow;
use std::ffi::CStr;

use ext_php_rs::prelude::*;
use ext_php_rs::types::{ArrayKey, ZendHashTable, Zval};

use crate::exceptions::bad_value;
use crate::zend::ffi::zend_zval_type_name;

/// The bytes of a key. PHP turns numeric strings into integers where they are array keys, so both
/// are taken.
pub(crate) fn key_bytes(key: &Zval) -> PhpResult<Cow<'_, [u8]>> {
    let key = key.dereference();
    if let Some(text) = key.zend_str() {
        return Ok(Cow::Borrowed(text.as_bytes()));
    }
    if let Some(number) = key.long() {
        return Ok(Cow::Owned(number.to_string().into_bytes()));
    }
    Err(no_key(key))
}

fn no_key(key: &Zval) -> PhpException {
    bad_value(format!("a key must be a string, not {}", type_name(key)))
}

/// What PHP calls the type of a value.
fn type_name(value: &Zval) -> Cow<'static, str> {
    // SAFETY: the answer is a text of the engine's that lives as long as the process.
    unsafe { CStr::from_ptr(zend_zval_type_name(value)) }.to_string_lossy()
}

/// A key of an array of keys, held by the call: what user code overwrites in the array is freed
/// under who only borrows it.
pub(crate) enum Key {
    /// A string, counted once more.
    Text(Zval),
    /// The digits of an integer.
    Digits(String),
}

impl Key {
    fn of(key: &Zval) -> PhpResult<Self> {
        let key = key.dereference();
        if key.is_string() {
            return Ok(Self::Text(key.shallow_clone()));
        }
        key.long().map(|number| Self::Digits(number.to_string())).ok_or_else(|| no_key(key))
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.zend_str().map_or(&[], |text| text.as_bytes()),
            Self::Digits(digits) => digits.as_bytes(),
        }
    }

    fn in_array(&self) -> ArrayKey<'_> {
        match self {
            Self::Text(text) => text.zend_str().map_or(ArrayKey::Str(""), ArrayKey::from),
            Self::Digits(digits) => ArrayKey::from(digits.as_str()),
        }
    }
}

/// The keys that an array lists as its values.
pub(crate) fn listed(keys: &ZendHashTable) -> PhpResult<Vec<Key>> {
    keys.values().map(Key::of).collect()
}

/// Puts `value` where PHP itself would put `$array[$key]`.
pub(crate) fn insert(array: &mut ZendHashTable, key: &Key, value: Zval) -> PhpResult<()> {
    array.insert(key.in_array(), value).map_err(|error| bad_value(error.to_string()))
}
