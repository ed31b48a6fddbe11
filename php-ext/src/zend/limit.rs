//! PHP's `memory_limit`.
//!
//! Newer engines do not end a function that passes the limit: they let it allocate up to twice as
//! much, end the process there, and report the ordinary error once the function has returned. So
//! loops that allocate ask now and then whether to go on. Asking for each block would cost more
//! than the block.

use super::ffi;
use super::guard::guarded;

/// So many bytes are allocated between two questions.
const STEP: usize = 64 << 10;

/// There is no room left. On the request's heap the limit is passed: the method returns without a
/// value, and the engine reports the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// Whether the limit was passed and the engine is yet to report it.
pub(crate) fn is_passed() -> bool {
    // SAFETY: reads the engine's globals.
    unsafe { ffi::larder_limit_is_passed() }
}

/// Asks for room for a block of `size` bytes on the request's heap, without taking it. Where the
/// engine ends functions at once, that leaves by `longjmp`.
pub(crate) fn allows(size: usize) -> Result<(), Full> {
    // SAFETY: the request's heap is there while a method runs.
    if unsafe { ffi::larder_limit_allows(size) } { Ok(()) } else { Err(Full) }
}

/// The limit in bytes; the largest number if there is none.
pub(crate) fn bytes() -> usize {
    // SAFETY: reads the engine's globals.
    unsafe { ffi::larder_limit() }
}

/// Counts what a call allocates on the request's heap, and asks at each [`STEP`].
pub(crate) struct Meter {
    left: usize,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self { left: STEP }
    }

    /// Counts a block that is about to be allocated.
    #[inline]
    pub(crate) fn spend(&mut self, size: usize) -> Result<(), Full> {
        match self.left.checked_sub(size) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => self.ask(size),
        }
    }

    #[cold]
    fn ask(&mut self, size: usize) -> Result<(), Full> {
        self.left = STEP;
        if size > STEP {
            // One block could pass the hard limit, too.
            return allows(size);
        }
        if is_passed() { Err(Full) } else { Ok(()) }
    }
}

/// Why there is no room for what grows outside the request's heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// See [`Full`].
    Full,
    /// The engine bailed out: the caller drops what it owns and goes on with the bailout.
    Bailout,
}

/// Bounds what a call makes outside the request's heap by what would still fit there.
pub(crate) struct Room {
    /// Nothing is asked up to this size.
    asked: usize,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self { asked: 1 << 20 }
    }

    /// Whether what grows may have `size` bytes.
    #[inline]
    pub(crate) fn allows(&mut self, size: usize) -> Result<(), NoRoom> {
        if size > self.asked { self.ask(size) } else { Ok(()) }
    }

    #[cold]
    fn ask(&mut self, size: usize) -> Result<(), NoRoom> {
        self.asked = size + size / 4;
        match guarded(|| allows(size)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Full)) => Err(NoRoom::Full),
            Err(_) => Err(NoRoom::Bailout),
        }
    }
}
