//! Runs PHP's serializer as if no other call of it were under way.
//!
//! A `serialize()` or `unserialize()` inside a hook of another one joins the tables of the outer
//! one, in which references and objects are numbered. A value of the cache has numbers of its own,
//! so each call of ours begins without an outer one and puts it back at its end. Fibers suspend
//! inside hooks and go on in any order: what belongs to a call goes and comes with its fiber.

use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr::null_mut;

use ext_php_rs::ffi as php;

use super::ffi::{self, Serializing};
use super::guard::{Stopped, guarded};
use super::quiet;

/// A call of ours.
struct Call {
    /// The fiber that it runs in.
    fiber: *const c_void,
    /// While the fiber runs, what was there before the call; while it is suspended, what the call
    /// has.
    other: Serializing,
    /// The fiber was suspended while warnings were off.
    quiet: bool,
}

thread_local! {
    /// The calls under way, in the order in which they began.
    static CALLS: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
}

/// Runs `call`, which uses PHP's serializer, with no other call of it around. A bailout ends here,
/// as in [`guarded`].
pub(crate) fn apart<R>(call: impl FnOnce() -> R) -> Result<R, Stopped> {
    // SAFETY: the engine's globals live as long as the process.
    let fiber = unsafe { (*php::ext_php_rs_executor_globals()).current_fiber_context.cast::<c_void>() };
    let none = Serializing { written: null_mut(), read: null_mut(), writers: 0, readers: 0, locks: 0 };
    let mut call_of_ours = Call { fiber, other: none, quiet: false };
    swap(&mut call_of_ours.other);
    CALLS.with_borrow_mut(|calls| calls.push(call_of_ours));
    let result = guarded(call);
    CALLS.with_borrow_mut(|calls| {
        // Calls of other fibers may have begun since, and stay.
        if let Some(at) = calls.iter().rposition(|call| std::ptr::eq(call.fiber, fiber)) {
            swap(&mut calls.remove(at).other);
        }
    });
    result
}

fn swap(other: &mut Serializing) {
    // SAFETY: the engine's globals live as long as the process; both sides are whole.
    unsafe { ffi::larder_swap_serializing(other) };
}

/// To be called when a module starts that stays: the engine keeps the functions.
pub(crate) fn install() {
    // SAFETY: the functions are of the type that the engine calls, and stay as long as the process.
    unsafe {
        ffi::zend_observer_fiber_switch_register(switched);
        ffi::zend_observer_fiber_init_register(begun);
    }
}

/// To be called when a request begins: fibers that a fatal error ended never come back.
pub(crate) fn clear() {
    CALLS.with_borrow_mut(Vec::clear);
}

unsafe extern "C" fn switched(from: *mut c_void, to: *mut c_void) {
    CALLS.with_borrow_mut(|calls| {
        if calls.is_empty() {
            return;
        }
        // What is around the first call of a fiber is not the fiber's. The others lie between its
        // own.
        if let Some(call) = calls.iter_mut().find(|call| std::ptr::eq(call.fiber, from)) {
            swap(&mut call.other);
            call.quiet = quiet::end();
        }
        if let Some(call) = calls.iter_mut().find(|call| std::ptr::eq(call.fiber, to)) {
            swap(&mut call.other);
            if std::mem::take(&mut call.quiet) {
                quiet::begin();
            }
        }
    });
}

/// A fiber begins where one may have been that never came to its end.
unsafe extern "C" fn begun(fiber: *mut c_void) {
    CALLS.with_borrow_mut(|calls| calls.retain(|call| !std::ptr::eq(call.fiber, fiber)));
}
