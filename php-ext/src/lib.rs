//! The PHP extension `larder`: `Larder\Store` and `Larder\Cache` over the core crate.
//!
//! - `codec`: PHP values to payloads and back.
//! - `near`: decoded values that are handed out without copying.
//! - `store`, `cache`: the classes; `values` and `keys` carry values and keys between them and the
//!   core.
//! - `hit`: the short way to a value in memory.
//! - `statistics`: what the fleet did, as PHP sees it.
//! - `registry`: the stores of this process, kept across requests.

#![cfg_attr(
    any(clippy, doc),
    expect(missing_docs, reason = "`#[php_module]` adds a public function of its own")
)]

mod cache;
mod codec;
mod exceptions;
mod hit;
mod info;
mod interrupts;
mod keys;
mod locks;
mod near;
mod options;
#[cfg(feature = "probe")]
mod probe;
mod registry;
mod statistics;
mod store;
mod values;
mod zend;

use ext_php_rs::prelude::*;

extern "C" fn module_startup(kind: i32, module: i32) -> i32 {
    options::register_ini(module);
    // One that `dl()` loads is gone with the request.
    if u32::try_from(kind) == Ok(ext_php_rs::ffi::MODULE_PERSISTENT) {
        zend::shared::install();
        zend::apart::install();
    }
    if exceptions::register().is_ok() { 0 } else { -1 }
}

/// RINIT: no value of an earlier request is left.
extern "C" fn request_startup(_: i32, _: i32) -> i32 {
    hit::install();
    store::install();
    near::graveyard::clear();
    zend::apart::clear();
    registry::begin_request();
    0
}

extern "C" fn request_shutdown(_: i32, _: i32) -> i32 {
    registry::end_request();
    0
}

/// After all extensions have ended the request, some of which run user code then.
extern "C" fn request_over() -> i32 {
    registry::give_back_locks();
    0
}

/// What PHP loads.
#[php_module]
pub fn get_module(module: ModuleBuilder<'_>) -> ModuleBuilder<'_> {
    let module = module
        .name("larder")
        .startup_function(module_startup)
        .request_startup_function(request_startup)
        .request_shutdown_function(request_shutdown)
        .post_deactivate_function(request_over)
        .info_function(info::print)
        .class::<store::Store>()
        .class::<cache::Cache>();
    #[cfg(feature = "probe")]
    let module = probe::functions(module);
    module
}
