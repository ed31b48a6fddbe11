//! Keys and arrays of keys between PHP and the core.

use std::borrow::Cow;
use std::ffi::CStr;

use ext_php_rs::prelude::*;
use ext_php_rs::types::{ArrayKey, ZendHashTable, Zval};

use crate::exceptions::bad_value;
use crate::zend::ffi::zend_zval_type_name;

/// The bytes of a key. PHP turns numeric strings into integers where they are array keys, so both are taken.
pub(crate) fn key_bytes(key: &Zval) -> PhpResult<Cow<'_, [u8]>> {
    let key = key.dereference();
    if let Some(text) = key.zend_str() {
        return Ok(Cow::Borrowed(text.as_bytes()));
    }
    if let Some(number) = key.long() {
        return Ok(Cow::Owned(number.to_string().into_bytes()));
    }
    Err(bad_value(format!("a key must be a string, not {}", type_name(key))))
}

/// What PHP calls the type of a value.
fn type_name(value: &Zval) -> Cow<'static, str> {
    // SAFETY: the answer is a text of the engine's that lives as long as the process.
    unsafe { CStr::from_ptr(zend_zval_type_name(value)) }.to_string_lossy()
}

/// The keys that an array lists as its values.
pub(crate) fn listed(keys: &ZendHashTable) -> PhpResult<Vec<Cow<'_, [u8]>>> {
    keys.values().map(key_bytes).collect()
}

/// Puts `value` where PHP itself would put `$array[$key]`.
pub(crate) fn insert(array: &mut ZendHashTable, key: &[u8], value: Zval) -> PhpResult<()> {
    let inserted = if let Ok(ArrayKey::Long(index)) = std::str::from_utf8(key).map(ArrayKey::from) {
        array.insert_at_index(index, value)
    } else {
        let key = ext_php_rs::types::ZendStr::new(key, false);
        array.insert(ArrayKey::ZendString(&key), value)
    };
    inserted.map_err(|error| bad_value(error.to_string()))
}
