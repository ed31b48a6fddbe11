//! Keeps warnings of PHP's parser from the application, as `@` does, but not those of its own code
//! that the parser calls.
//!
//! The parser calls class loaders, `Serializable::unserialize()` and error callbacks. Each begins
//! where the engine executes a function of PHP code: there the application's settings are put back
//! until that function returns.

use std::cell::Cell;

use ext_php_rs::ffi as php;

use super::ffi;

/// The errors that `@` leaves on: those that end the request.
const FATAL: i32 = 4437;

/// What the application has set.
#[derive(Clone, Copy)]
struct Settings {
    reporting: i32,
    handled: i32,
    execute: ffi::Execute,
}

thread_local! {
    /// While it is quiet, what is put back.
    static SETTINGS: Cell<Option<Settings>> = const { Cell::new(None) };
}

/// Begins to be quiet. No code of the application may run until [`end`], but what the engine
/// executes.
pub(crate) fn begin() {
    // SAFETY: the engine's globals live as long as the process.
    unsafe {
        let globals = php::ext_php_rs_executor_globals();
        SETTINGS.set(Some(Settings {
            reporting: (*globals).error_reporting,
            handled: (*globals).user_error_handler_error_reporting,
            execute: ffi::zend_execute_ex,
        }));
        (*globals).error_reporting &= FATAL;
        (*globals).user_error_handler_error_reporting = 0;
        ffi::zend_execute_ex = aloud;
    }
}

/// Ends it; whether it was quiet.
pub(crate) fn end() -> bool {
    let Some(settings) = SETTINGS.take() else { return false };
    // SAFETY: the engine's globals live as long as the process.
    unsafe {
        let globals = php::ext_php_rs_executor_globals();
        (*globals).error_reporting = settings.reporting;
        (*globals).user_error_handler_error_reporting = settings.handled;
        ffi::zend_execute_ex = settings.execute;
    }
    true
}

/// Executes a function with the application's settings. It may leave by `longjmp`: then they stay,
/// and nothing is to be dropped.
unsafe extern "C" fn aloud(frame: *mut php::zend_execute_data) {
    let was_quiet = end();
    // SAFETY: the engine passes a frame to execute; its own function is back in place.
    unsafe { ffi::zend_execute_ex(frame) };
    if was_quiet {
        begin();
    }
}
