//! PHP's own serializer, for the values that only it can carry.
//!
//! Both directions run user code. It may throw, exit, run out of memory or come back into the
//! store, so nothing of Rust's is borrowed or owned inside the guarded calls.

use std::mem::ManuallyDrop;

use ext_php_rs::ffi as php;
use larder::engine::payload::{EXT_PHP, write};

use super::error::Error;
use super::held::Held;
use super::tables::Seen;
use super::terminated::Terminated;
use crate::zend::alive::{Kind, Slot, Table, Text};
use crate::zend::apart::apart;
use crate::zend::ffi::{self, SmartStr};
use crate::zend::guard::guarded;
use crate::zend::limit::{self, Room};
use crate::zend::quiet;
use crate::zend::table::Entries;

/// How deep `unserialize()` follows by default; what is deeper could be written and not read.
const MAX_SERIALIZE_DEPTH: u32 = 4096;

/// Bytes of the shortest element that `serialize()` writes, `i:0;N;`.
const SHORTEST_ELEMENT: usize = 6;

/// Whether an exception is pending.
fn has_exception() -> bool {
    // SAFETY: the engine's globals live as long as the process.
    unsafe { !(*php::ext_php_rs_executor_globals()).exception.is_null() }
}

/// True when the pending exception is the one by which `exit` or the end of a fiber unwinds:
/// nothing may be asked of it.
pub(crate) fn is_exiting() -> bool {
    // SAFETY: the engine's globals live as long as the process, and so does the exception while it
    // is pending.
    unsafe {
        let thrown = (*php::ext_php_rs_executor_globals()).exception;
        !thrown.is_null() && (ffi::zend_is_unwind_exit(thrown) || ffi::zend_is_graceful_exit(thrown))
    }
}

/// Appends the value as `serialize()` writes it.
pub(super) fn serialize(value: Slot, out: &mut Vec<u8>) -> Result<(), Error> {
    Depth { seen: Seen::default(), size: 0, room: Room::new() }.check(value, 0)?;
    let mut held = Held::of(value);
    let text = apart(|| {
        let mut text = SmartStr { text: std::ptr::null_mut(), capacity: 0 };
        // SAFETY: the value is alive, and so is what user code in it overwrites, which `held`
        // holds; the serializer keeps its own state in `data`.
        unsafe {
            let mut data = ffi::php_var_serialize_init();
            ffi::php_var_serialize(&raw mut text, value.as_ptr(), &raw mut data);
            ffi::php_var_serialize_destroy(data);
        }
        text.text
    })?;
    held.release()?;
    let thrown = has_exception();
    // The text may be only a part then.
    let full = limit::is_passed();
    // SAFETY: the serializer hands over its text, or none.
    let Some(text) = (unsafe { Text::new(text) }) else {
        return Err(match (thrown, full) {
            (true, _) => Error::Thrown,
            (_, true) => Error::Full,
            _ => Error::TooLong,
        });
    };
    let result = if thrown {
        Err(Error::Thrown)
    } else if full {
        Err(Error::Full)
    } else if u32::try_from(text.bytes().len()).is_err() {
        Err(Error::TooLong)
    } else {
        write::ext(out, EXT_PHP, text.bytes());
        Ok(())
    };
    // SAFETY: the text was handed over.
    unsafe { text.release() };
    result
}

/// Refuses what nests so deep that PHP's recursive serializer could not read it again, or would
/// overflow the stack.
struct Depth {
    seen: Seen,
    /// Bytes that the elements met so far take at least.
    size: usize,
    room: Room,
}

impl Depth {
    fn check(&mut self, value: Slot, depth: u32) -> Result<(), Error> {
        match value.kind() {
            Kind::Array(_) | Kind::Object(_) if depth >= MAX_SERIALIZE_DEPTH => Err(Error::TooDeep),
            Kind::Array(table) => self.check_table(table, depth),
            Kind::Reference(reference) if self.seen.again(reference.inner.as_ptr().addr()) => Ok(()),
            Kind::Reference(reference) => self.check(reference.inner, depth),
            Kind::Object(object) if self.seen.again(object.as_ptr().addr()) => Ok(()),
            Kind::Object(object) => {
                for item in &object.kept() {
                    // SAFETY: what an object keeps is alive while nothing runs; the copy is there
                    // until the end of the loop.
                    self.check(unsafe { Slot::alive(&raw const **item) }, depth + 1)?;
                }
                match object.properties() {
                    Some(table) => self.check_table(table, depth),
                    None => object.declared().try_for_each(|(item, _)| self.check(item, depth + 1)),
                }
            }
            _ => Ok(()),
        }
    }

    /// A table that is shared is met as often as it is written.
    fn check_table(&mut self, table: Table, depth: u32) -> Result<(), Error> {
        self.size += table.len() * SHORTEST_ELEMENT;
        self.room.allows(self.size)?;
        Entries::new(table).try_for_each(|(item, _, _)| self.check(item, depth + 1))
    }
}

/// Reads what `serialize()` wrote into `out`, which is null on failure.
///
/// Warnings of the parser are silenced; the settings that user code sees are its own.
pub(super) fn unserialize(text: Terminated<'_>, out: Slot) -> Result<(), Error> {
    out.put_null();
    let std::ops::Range { start, end } = text.bytes().as_ptr_range();
    let read = apart(|| {
        let mut at = start;
        // SAFETY: the text is borrowed for the call and has a NUL behind it; the reader keeps its
        // own state in `data`.
        unsafe {
            let mut data = ffi::php_var_unserialize_init();
            quiet::begin();
            let read = ffi::php_var_unserialize(out.as_ptr(), &raw mut at, end, &raw mut data) != 0;
            quiet::end();
            // Runs the delayed calls of __wakeup and __unserialize.
            ffi::php_var_unserialize_destroy(data);
            read && std::ptr::eq(at, end)
        }
    });
    // A bailout may have come while it was quiet.
    quiet::end();
    let whole = read.inspect_err(|_| out.put_null())?;
    // The value may be only a part then.
    let full = limit::is_passed();
    if whole && !full && !has_exception() {
        unwrap_reference(out);
        return Ok(());
    }
    let exits = is_exiting();
    // SAFETY: what was read so far is a whole value, and ours.
    guarded(|| unsafe { out.free() })?;
    if exits {
        return Err(Error::Thrown);
    }
    if has_exception() {
        // SAFETY: an exception is pending that is none of the engine's own.
        guarded(|| unsafe { ffi::zend_clear_exception() })?;
    }
    Err(if full { Error::Full } else { Error::Broken })
}

/// A value at the top is no reference.
fn unwrap_reference(out: Slot) {
    let Kind::Reference(reference) = out.kind() else { return };
    let (value, type_info, inner) = (out.payload(), out.type_info(), reference.inner);
    out.put(inner.payload(), inner.type_info());
    // SAFETY: the value inside gets a count of its own before the reference, which was the
    // variable's, goes.
    unsafe {
        if out.is_counted() {
            (*out.payload().counted).gc.refcount += 1;
        }
        let mut variable = ManuallyDrop::new(php::zval::new());
        let variable = Slot::of(&mut variable);
        variable.put(value, type_info);
        variable.free();
    }
}
