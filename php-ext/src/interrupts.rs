//! Signals that arrive while a method waits: PHP serves them between instructions, and a wait is
//! one long instruction.

use ext_php_rs::ffi::zend_interrupt_function;
use ext_php_rs::zend::ExecutorGlobals;

use crate::exceptions::outage;
use crate::values::{Stop, pending};
use crate::zend::ffi::zend_atomic_bool_load;
use crate::zend::guard::{Stopped, guarded};
use crate::zend::limit;

/// What a wait is to do.
pub(crate) enum Served {
    /// Go on.
    GoOn,
    /// End: PHP's time or memory limit is passed, and PHP ends the request once the method has
    /// returned.
    OverLimit,
}

/// Runs what `pcntl_async_signals()` and others have to run. That is user code, which may throw or
/// end the request: hold no borrow.
pub(crate) fn serve() -> Result<Served, Stop> {
    let frame = {
        let mut globals = ExecutorGlobals::get_mut();
        // SAFETY: the flags are the engine's own, live as long as the process, and are read as
        // signal handlers write them: atomically.
        let (interrupted, timed_out) = unsafe {
            (
                zend_atomic_bool_load(&raw const globals.vm_interrupt),
                zend_atomic_bool_load(&raw const globals.timed_out),
            )
        };
        // The interrupt is also how the engine finds a passed memory limit again.
        if timed_out || limit::is_passed() {
            return Ok(Served::OverLimit);
        }
        if !interrupted {
            return Ok(Served::GoOn);
        }
        globals.cancel_interrupt();
        globals.current_execute_data
    };
    // SAFETY: the pointer is set at startup by extensions such as pcntl and not changed while
    // requests run.
    let handler = unsafe { zend_interrupt_function };
    if let Some(handler) = handler {
        // SAFETY: this is what the engine itself does between two instructions, with the frame that
        // runs; that frame is our method's, which is where a handler called from here belongs. A
        // bailout in it ends in `guarded`, whose closure owns nothing.
        if let Err(Stopped::Bailout) = guarded(|| unsafe { handler(frame) }) {
            return Err(Stop::Bailout);
        }
    }
    if ExecutorGlobals::has_exception() { Err(Stop::Throw(pending())) } else { Ok(Served::GoOn) }
}

/// Reads something that may have to be waited for, while `read` calls what it is given; `None` in
/// an outage.
pub(crate) fn waiting<T>(
    read: impl FnOnce(&mut dyn FnMut() -> bool) -> larder::contract::Result<T>,
) -> Result<Option<T>, Stop> {
    let mut stopped = None;
    let found = read(&mut || match serve() {
        Ok(Served::GoOn) => true,
        Ok(Served::OverLimit) => false,
        Err(stop) => {
            stopped = Some(stop);
            false
        }
    });
    match stopped {
        Some(stop) => Err(stop),
        None => Ok(outage(found)?),
    }
}
