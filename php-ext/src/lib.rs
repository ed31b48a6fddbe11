//! The PHP extension.
//!
//! - [`codec`]: PHP values to payloads and back.
//! - [`near`]: decoded values that are handed out without copying.

pub mod codec;
pub mod near;
#[cfg(feature = "probe")]
mod probe;
mod zend;

use ext_php_rs::prelude::*;

/// RINIT: no value of an earlier request is left.
extern "C" fn request_startup(_: i32, _: i32) -> i32 {
    near::graveyard::clear();
    0
}

/// What PHP loads.
#[php_module]
pub fn get_module(module: ModuleBuilder<'_>) -> ModuleBuilder<'_> {
    let module = module.name("larder").request_startup_function(request_startup);
    #[cfg(feature = "probe")]
    let module = probe::functions(module);
    module
}
