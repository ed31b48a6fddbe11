//! Hits of `Larder\Cache::get` without the binding's frame.
//!
//! The binding enters each method through `setjmp` and lays out its arguments and its result, which
//! takes longer than the hit itself. A look at memory runs no user code, and gives what nobody has
//! to drop, so that the engine may leave by `longjmp` while objects are made of it: a hit needs
//! none of that. The method's handler is therefore replaced by one that looks first, and calls the
//! binding's own for everything else: misses, values of other classes than `stdClass`, keys that
//! are no strings, wrong arguments. There the object is held, as it is by the other methods that
//! may run user code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use ext_php_rs::class::RegisteredClass;
use ext_php_rs::ffi as php;
use ext_php_rs::zend::ExecuteData;

use crate::cache::Cache;
use crate::near::Lent;
use crate::zend::method::{Handler, argument, replace, with_object_held};

/// The binding's handler.
static BINDING: OnceLock<Handler> = OnceLock::new();

/// The binding's handlers of the other methods that may run user code.
static HELD: [OnceLock<Handler>; 7] = [const { OnceLock::new() }; 7];

/// To be called when the classes are there and no script runs.
pub(crate) fn install() {
    let class = Cache::get_metadata().ce();
    let [many, set, set_many, has, any, all, lock] = &HELD;
    // SAFETY: the class is registered, and a request is about to begin.
    unsafe {
        replace(class, c"get", get, &BINDING);
        replace(class, c"getmany", held::<0>, many);
        replace(class, c"set", held::<1>, set);
        replace(class, c"setmany", held::<2>, set_many);
        replace(class, c"has", held::<3>, has);
        replace(class, c"hasany", held::<4>, any);
        replace(class, c"hasall", held::<5>, all);
        replace(class, c"acquirelock", held::<6>, lock);
    }
}

unsafe extern "C" fn held<const METHOD: usize>(call: *mut php::zend_execute_data, out: *mut php::zval) {
    if let Some(method) = HELD.get(METHOD).and_then(OnceLock::get) {
        // SAFETY: PHP calls a method of a `Cache` with a live frame; the handler was the method's
        // own.
        unsafe { with_object_held(*method, call, out) };
    }
}

unsafe extern "C" fn get(call: *mut php::zend_execute_data, out: *mut php::zval) {
    // SAFETY: PHP calls with a live frame.
    let hit = catch_unwind(AssertUnwindSafe(|| look(unsafe { &mut *call })));
    match (hit, BINDING.get()) {
        // SAFETY: PHP wants the result to be written, and nothing else refers to it.
        (Ok(Some(hit)), _) => hit.write(unsafe { &mut *out }),
        // SAFETY: PHP calls with a live frame, and nothing was written. The binding's handler meets
        // a panic again, and reports it.
        (_, Some(binding)) => unsafe { with_object_held(*binding, call, out) },
        (_, None) => {}
    }
}

/// What answers the call if memory has a value for its key.
fn look(call: &mut ExecuteData) -> Option<Lent> {
    // SAFETY: the call is live.
    let (key, too_many) = unsafe { (argument(call, 0)?, argument(call, 2).is_some()) };
    let cache: &Cache = call.get_object::<Cache>().filter(|_| !too_many)?;
    cache.hit(key.zend_str()?.as_bytes())
}
