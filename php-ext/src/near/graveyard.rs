//! Keeps what a request may still see until the next one starts.
//!
//! Values are handed out by pointer, and PHP code holds them until its variables, statics and
//! objects are destroyed, which is after RSHUTDOWN. So nothing handed out in a request is freed
//! before the next RINIT. A process that serves one endless request (a CLI worker) never gets
//! there: the callers stop making near values when the graveyard is [full](is_full) and decode to
//! the request's heap instead.

use std::cell::{Cell, RefCell};

use super::arena::Arena;

thread_local! {
    static BURIED: RefCell<Vec<Arena>> = const { RefCell::new(Vec::new()) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
    static REQUEST: Cell<u32> = const { Cell::new(1) };
}

/// The number of the request, counted by [`clear`].
pub(super) fn request() -> u32 {
    REQUEST.get()
}

pub(super) fn keep(arena: Arena) {
    BYTES.set(BYTES.get() + arena.bytes());
    BURIED.with_borrow_mut(|buried| buried.push(arena));
}

/// Frees everything. To be called at RINIT, where no PHP value of an earlier request is left.
pub(crate) fn clear() {
    REQUEST.set(REQUEST.get().wrapping_add(1));
    BYTES.set(0);
    drop(BURIED.with_borrow_mut(std::mem::take));
}

/// Bytes held.
pub(crate) fn bytes() -> usize {
    BYTES.get()
}

/// True when more than `limit` bytes are held: make no near value, decode to the request's heap.
pub(crate) fn is_full(limit: usize) -> bool {
    bytes() > limit
}
