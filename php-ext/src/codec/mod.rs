//! PHP values to bytes and back.
//!
//! # Re-entrancy and bailouts
//!
//! [`encode`] and [`decode`] may run user code: `__serialize`, `__sleep`, `__unserialize`, `__wakeup`, class loaders,
//! destructors. That code may call the store again, so callers hold no borrow or lock across them.
//! An engine bailout (`memory_limit`, a fatal error) inside them is caught and returned as
//! [`Error::Bailout`]; the caller then drops what it owns and calls [`resume_bailout`] at once.

pub(crate) mod bound;
mod class;
pub(crate) mod decode;
mod encode;
mod error;
mod held;
mod serializer;
mod tables;
mod terminated;

use ext_php_rs::ffi as php;
use ext_php_rs::types::Zval;
use larder::engine::payload::{EXT_PHP, Reader, Token, to_php_serialized};

use crate::zend::alive::Slot;
use crate::zend::guard::guarded;
use crate::zend::memory::RequestHeap;
use decode::{Scratch, Stop};
use encode::Refused;
pub(crate) use error::Error;
pub(crate) use serializer::is_exiting;
pub(crate) use terminated::Terminated;

/// Appends the value's payload to `out`, which is as before on failure.
///
/// Plain values run no user code; what PHP's serializer must carry may (see the module's text).
///
/// # Errors
///
/// [`Error::Thrown`], [`Error::TooDeep`], [`Error::TooLong`], [`Error::Full`], [`Error::Bailout`].
pub(crate) fn encode(value: &Zval, out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    // SAFETY: the value is borrowed for the call.
    let value = unsafe { Slot::alive(value.dereference()) };
    let result = match encode::write_value(value, out) {
        Ok(()) => return Ok(()),
        Err(Refused::TooLong) => Err(Error::TooLong),
        Err(Refused::NoRoom(no_room)) => Err(no_room.into()),
        Err(Refused::Foreign) => {
            out.truncate(start);
            serializer::serialize(value, out)
        }
    };
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Reads a payload into `out` on the request's heap; `out` must hold nothing that needs freeing. On
/// failure it is null.
///
/// Arrays, scalars, `stdClass` and plain objects of loaded classes run no user code. For anything
/// else `unserialize()` decides (class loaders, missing classes, typed properties); its warnings
/// are silenced, and an exception that it or the object's own code throws is cleared and makes the
/// entry broken, so that an entry of an older release never ends a page.
///
/// # Errors
///
/// [`Error::Broken`], [`Error::Thrown`] (only for `exit`), [`Error::Full`], [`Error::Bailout`].
pub(crate) fn decode(payload: Terminated<'_>, out: &mut Zval) -> Result<(), Error> {
    // SAFETY: the place is borrowed for the call.
    let out = unsafe { Slot::of(out) };
    if let Some(text) = serialized(payload) {
        return serializer::unserialize(text, out);
    }
    let mut scratch = Scratch::default();
    let built = guarded(|| decode::build(&mut RequestHeap::new(), &mut scratch, payload.bytes(), out))
        .inspect_err(|_| out.put_null())?;
    match built {
        Ok(()) => Ok(()),
        Err(Stop::Broken) => Err(Error::Broken),
        Err(Stop::Full) => Err(Error::Full),
        Err(Stop::Foreign) if !bound::is_rewritable(payload.bytes()) => Err(Error::Broken),
        Err(Stop::Foreign) => {
            let mut text = to_php_serialized(payload.bytes()).map_err(|_| Error::Broken)?;
            text.push(0);
            serializer::unserialize(Terminated::new(&text).ok_or(Error::Broken)?, out)
        }
    }
}

/// What PHP's serializer wrote, if the payload is that.
fn serialized(payload: Terminated<'_>) -> Option<Terminated<'_>> {
    let mut reader = Reader::new(payload.bytes());
    match (reader.token(), reader.finish()) {
        (Ok(Token::Ext(EXT_PHP, text)), Ok(())) => payload.skip(payload.bytes().len() - text.len()),
        _ => None,
    }
}

/// Goes on with a bailout that was returned as [`Error::Bailout`]. Jumps over all frames up to the
/// engine's, so nothing may be left to drop.
pub(crate) fn resume_bailout() -> ! {
    // SAFETY: the engine's frames are below, and the caller owns nothing any more.
    unsafe { php::ext_php_rs_zend_bailout() }
}
