//! Keeps a bailout of the engine from jumping over Rust's destructors.

use std::panic::AssertUnwindSafe;

use ext_php_rs::zend::try_catch;

/// Why a guarded call did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The engine bailed out: `memory_limit`, a fatal error, a time limit.
    Bailout,
    /// Rust panicked, which is a bug here.
    Panic,
}

/// Runs `call` so that a bailout inside it (the engine's `longjmp`) ends here.
///
/// The frames *inside* `call` are jumped over without running their destructors, so they own
/// nothing: what they need to own is borrowed from outside. A setjmp is paid for each call.
pub(crate) fn guarded<R>(call: impl FnOnce() -> R) -> Result<R, Stopped> {
    try_catch(AssertUnwindSafe(call)).map_err(|error| match error {
        ext_php_rs::zend::CatchError::Panic(_) => Stopped::Panic,
        _ => Stopped::Bailout,
    })
}
