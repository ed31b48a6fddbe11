//! Functions for the tests of codec and near values, compiled only with the feature `probe`.

use std::cell::RefCell;

use ext_php_rs::exception::PhpResult;
use ext_php_rs::prelude::*;
use ext_php_rs::types::Zval;
use larder::engine::payload::{Value, to_php_serialized};

use crate::codec::{self, Error, Terminated};
use crate::near::{NearValue, graveyard};
use crate::registry;
use crate::zend::keys;

thread_local! {
    static VALUES: RefCell<Vec<Option<NearValue>>> = const { RefCell::new(Vec::new()) };
}

fn outcome(result: Result<(), Error>) -> PhpResult<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(Error::Thrown | Error::Full) => Ok(false),
        Err(Error::Bailout) => codec::resume_bailout(),
        Err(error) => Err(error.to_string().into()),
    }
}

/// Ends the request for all stores and begins the next one, so that one script can play many.
#[php_function]
pub(crate) fn larder_probe_next_request() {
    registry::end_request();
    registry::begin_request();
}

/// The payload of a value.
#[php_function]
pub(crate) fn larder_probe_encode(value: &Zval) -> PhpResult<Zval> {
    let mut bytes = Vec::new();
    let done = codec::encode(value, &mut bytes);
    let mut result = Zval::new();
    if done.is_ok() {
        result.set_binary(bytes);
    } else {
        drop(bytes);
        outcome(done)?;
    }
    Ok(result)
}

/// The value of a payload.
#[php_function]
pub(crate) fn larder_probe_decode(payload: &Zval) -> PhpResult<Zval> {
    let mut result = Zval::new();
    let Some(text) = payload.zend_str() else { return Err("a payload is a string".into()) };
    // SAFETY: the caller's argument lives as long as the call, and the engine keeps a NUL behind
    // each text.
    let with_nul = unsafe { std::slice::from_raw_parts(text.as_bytes().as_ptr(), text.len() + 1) };
    let bytes = Terminated::new(with_nul).ok_or("a string ends with a NUL")?;
    outcome(codec::decode(bytes, &mut result))?;
    Ok(result)
}

/// What the Rust side reads of a payload, as `serialize()` writes it; null if it is broken.
#[php_function]
pub(crate) fn larder_probe_rust_serialized(payload: &Zval) -> Zval {
    binary(to_php_serialized(text(payload)).ok())
}

/// What the Rust side writes for the value that it reads of a payload; null if it cannot.
#[php_function]
pub(crate) fn larder_probe_rust_written(payload: &Zval) -> Zval {
    binary(Value::decode(text(payload)).and_then(|value| value.encode()).ok())
}

fn text(payload: &Zval) -> &[u8] {
    payload.zend_str().map_or(&[], |text| text.as_bytes())
}

fn binary(bytes: Option<Vec<u8>>) -> Zval {
    let mut result = Zval::new();
    if let Some(bytes) = bytes {
        result.set_binary(bytes);
    }
    result
}

/// Keeps the near value of a payload and returns its number.
#[php_function]
pub(crate) fn larder_probe_near(payload: &Zval) -> PhpResult<i64> {
    let value = NearValue::from_payload(text(payload), usize::MAX).map_err(|error| error.to_string())?;
    Ok(VALUES.with_borrow_mut(|values| {
        values.push(Some(value));
        i64::try_from(values.len()).unwrap_or(0) - 1
    }))
}

fn kept(number: i64) -> PhpResult<NearValue> {
    VALUES
        .with_borrow(|values| usize::try_from(number).ok().and_then(|at| values.get(at)).cloned().flatten())
        .ok_or_else(|| "no such near value".into())
}

/// A near value, as a get would give it.
#[php_function]
pub(crate) fn larder_probe_near_get(number: i64) -> PhpResult<Zval> {
    let value = kept(number)?;
    let mut result = Zval::new();
    let done = value.copy_to(&mut result);
    drop(value);
    outcome(done)?;
    Ok(result)
}

/// Bytes that a near value holds.
#[php_function]
pub(crate) fn larder_probe_near_weight(number: i64) -> PhpResult<usize> {
    Ok(kept(number)?.weight())
}

/// Drops a near value.
#[php_function]
pub(crate) fn larder_probe_near_drop(number: i64) {
    let value = VALUES.with_borrow_mut(|values| {
        usize::try_from(number).ok().and_then(|at| values.get_mut(at)).and_then(Option::take)
    });
    drop(value);
}

/// Bytes of the graveyard and of the common keys.
#[php_function]
pub(crate) fn larder_probe_near_bytes() -> Vec<usize> {
    vec![graveyard::bytes(), keys::bytes()]
}

/// Frees the graveyard as a new request does. Only where nothing dropped is in use.
#[php_function]
pub(crate) fn larder_probe_new_request() {
    graveyard::clear();
}

/// Registers the functions.
pub(crate) fn functions(module: ModuleBuilder<'_>) -> ModuleBuilder<'_> {
    module
        .function(wrap_function!(larder_probe_next_request))
        .function(wrap_function!(larder_probe_encode))
        .function(wrap_function!(larder_probe_decode))
        .function(wrap_function!(larder_probe_rust_serialized))
        .function(wrap_function!(larder_probe_rust_written))
        .function(wrap_function!(larder_probe_near))
        .function(wrap_function!(larder_probe_near_get))
        .function(wrap_function!(larder_probe_near_weight))
        .function(wrap_function!(larder_probe_near_drop))
        .function(wrap_function!(larder_probe_near_bytes))
        .function(wrap_function!(larder_probe_new_request))
}
