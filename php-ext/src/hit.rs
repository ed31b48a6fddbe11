//! Hits of `Larder\\Cache::get` without the binding's frame.
//!
//! The binding enters each method through `setjmp` and lays out its arguments and its result, which takes longer than the hit
//! itself. A look at memory that hands out a shared value makes nothing, runs no user code and cannot leave by `longjmp`, so it
//! needs none of that. The method's handler is therefore replaced by one that looks first, and calls the binding's own for
//! everything else: misses, values with objects, keys that are no strings, wrong arguments.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use ext_php_rs::class::RegisteredClass;
use ext_php_rs::ffi as php;
use ext_php_rs::types::Zval;
use ext_php_rs::zend::ExecuteData;

use crate::cache::Cache;

type Handler = unsafe extern "C" fn(*mut php::zend_execute_data, *mut php::zval);

/// The binding's handler.
static BINDING: OnceLock<Handler> = OnceLock::new();

/// Replaces the handler, once a process. To be called when the classes are there and no script runs.
pub(crate) fn install() {
    BINDING.get_or_init(|| {
        let class: *const php::zend_class_entry = Cache::get_metadata().ce();
        // SAFETY: the class is registered, it has the method, and a method of an extension is an internal function. Its
        // entry lies in memory that may be written to, and nothing runs that could be calling it.
        unsafe {
            let method = php::zend_hash_str_find(&raw const (*class).function_table, c"get".as_ptr(), 3);
            let function = (*method).value.func;
            let handler = &raw mut (*function).internal_function.handler;
            (*handler).replace(get).unwrap_or(nothing)
        }
    });
}

unsafe extern "C" fn nothing(_: *mut php::zend_execute_data, _: *mut php::zval) {}

unsafe extern "C" fn get(call: *mut php::zend_execute_data, out: *mut php::zval) {
    // SAFETY: PHP calls with a live frame and a result to be written, which nothing else refers to.
    let hit = catch_unwind(AssertUnwindSafe(|| look(unsafe { &mut *call }, unsafe { &mut *out })));
    // The binding's handler meets a panic again, and reports it.
    if !matches!(hit, Ok(Some(())))
        && let Some(binding) = BINDING.get()
    {
        // SAFETY: as above; nothing was written.
        unsafe { binding(call, out) };
    }
}

/// Answers the call if its key has a shared value in memory.
fn look(call: &mut ExecuteData, out: &mut Zval) -> Option<()> {
    // SAFETY: a call's frame keeps the number of its arguments there, and holds so many.
    let key = unsafe { (1..=2).contains(&call.This.u2.num_args).then(|| call.zend_call_arg(0)) }??;
    let cache: &Cache = call.get_object::<Cache>()?;
    cache.hit(key.dereference().zend_str()?.as_bytes(), out)
}
