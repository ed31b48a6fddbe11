//! PHP's own serializer, for the values that only it can carry.
//!
//! Both directions run user code. It may throw, exit, run out of memory or come back into the store, so nothing
//! of Rust's is borrowed or owned inside the guarded calls.

use ext_php_rs::ffi as php;
use larder::payload::{EXT_PHP, write};

use super::Error;
use super::class;
use super::held::Held;
use super::tables::Seen;
use super::terminated::Terminated;
use crate::zend::apart::apart;
use crate::zend::ffi::{self, SmartStr};
use crate::zend::guard::{Stopped, guarded};
use crate::zend::limit::{self, Room};
use crate::zend::memory::{bytes_of, put};
use crate::zend::table::{self, Entries};
use crate::zend::{HashTable, Zv, quiet};

/// How deep `unserialize()` follows by default; what is deeper could be written and not read.
const MAX_SERIALIZE_DEPTH: u32 = 4096;

/// Bytes of the shortest element that `serialize()` writes, `i:0;N;`.
const SHORTEST_ELEMENT: usize = 6;

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Bailout => Self::Bailout,
            Stopped::Panic => Self::Broken,
        }
    }
}

fn exception() -> *mut php::zend_object {
    // SAFETY: the engine's globals live as long as the process.
    unsafe { (*php::ext_php_rs_executor_globals()).exception }
}

/// True when the pending exception is the one by which `exit` or the end of a fiber unwinds: nothing may be asked of it.
pub(crate) fn is_exiting() -> bool {
    let thrown = exception();
    // SAFETY: a pending exception is live.
    !thrown.is_null() && unsafe { ffi::zend_is_unwind_exit(thrown) || ffi::zend_is_graceful_exit(thrown) }
}

/// Appends the value as `serialize()` writes it.
pub(super) fn serialize(value: *mut Zv, out: &mut Vec<u8>) -> Result<(), Error> {
    Depth { seen: Seen::default(), size: 0, room: Room::new() }.check(value, 0)?;
    let mut held = Held::of(value);
    let text = apart(|| {
        let mut text = SmartStr { text: std::ptr::null_mut(), capacity: 0 };
        // SAFETY: the value is live; the serializer keeps its own state in `data`.
        unsafe {
            let mut data = ffi::php_var_serialize_init();
            ffi::php_var_serialize(&raw mut text, value, &raw mut data);
            ffi::php_var_serialize_destroy(data);
        }
        text.text
    })?;
    held.release()?;
    let thrown = !exception().is_null();
    // The text may be only a part then.
    let full = limit::is_passed();
    if text.is_null() {
        return Err(match (thrown, full) {
            (true, _) => Error::Thrown,
            (_, true) => Error::Full,
            _ => Error::TooLong,
        });
    }
    // SAFETY: the serializer hands over its text, whose length it keeps.
    let result = unsafe {
        let bytes = bytes_of(text);
        if thrown {
            Err(Error::Thrown)
        } else if full {
            Err(Error::Full)
        } else if u32::try_from(bytes.len()).is_err() {
            Err(Error::TooLong)
        } else {
            write::ext(out, EXT_PHP, bytes);
            Ok(())
        }
    };
    // SAFETY: the text is ours.
    unsafe { php::ext_php_rs_zend_string_release(text) };
    result
}

/// Refuses what nests so deep that PHP's recursive serializer could not read it again, or would overflow the stack.
struct Depth {
    seen: Seen,
    /// Bytes that the elements met so far take at least.
    size: usize,
    room: Room,
}

impl Depth {
    fn check(&mut self, value: *const Zv, depth: u32) -> Result<(), Error> {
        // SAFETY: the value is live and of the type its tag says; nothing runs that could change it.
        unsafe {
            match u32::from((*value).u1.v.type_) {
                php::IS_ARRAY | php::IS_OBJECT if depth >= MAX_SERIALIZE_DEPTH => Err(Error::TooDeep),
                php::IS_ARRAY => self.check_table((*value).value.arr, depth),
                php::IS_REFERENCE if self.seen.again((*value).value.ref_.cast()) => Ok(()),
                php::IS_REFERENCE => self.check(&raw const (*(*value).value.ref_).val, depth),
                php::IS_OBJECT if self.seen.again((*value).value.obj.cast()) => Ok(()),
                php::IS_OBJECT => {
                    let object = (*value).value.obj;
                    class::kept(object)
                        .iter()
                        .try_for_each(|item| self.check(&raw const **item, depth + 1))?;
                    if !(*object).properties.is_null() {
                        return self.check_table((*object).properties, depth);
                    }
                    class::declared(object).try_for_each(|(item, _)| self.check(item, depth + 1))
                }
                _ => Ok(()),
            }
        }
    }

    /// A table that is shared is met as often as it is written.
    fn check_table(&mut self, table: *const HashTable, depth: u32) -> Result<(), Error> {
        self.size += table::len(table) * SHORTEST_ELEMENT;
        self.room.allows(self.size)?;
        Entries::new(table).try_for_each(|(item, _, _)| self.check(item, depth + 1))
    }
}

/// Reads what `serialize()` wrote into `out`, which is null on failure.
///
/// Warnings of the parser are silenced; the settings that user code sees are its own.
pub(super) fn unserialize(text: Terminated<'_>, out: *mut Zv) -> Result<(), Error> {
    put(out, php::zend_value { lval: 0 }, php::IS_NULL);
    let std::ops::Range { start, end } = text.bytes().as_ptr_range();
    let read = apart(|| {
        let mut at = start;
        // SAFETY: the caller keeps the text, which has a NUL behind it; the reader keeps its own state in `data`.
        unsafe {
            let mut data = ffi::php_var_unserialize_init();
            quiet::begin();
            let read = ffi::php_var_unserialize(out, &raw mut at, end, &raw mut data) != 0;
            quiet::end();
            // Runs the delayed calls of __wakeup and __unserialize.
            ffi::php_var_unserialize_destroy(data);
            read && std::ptr::eq(at, end)
        }
    });
    // A bailout may have come while it was quiet.
    quiet::end();
    let whole = read.inspect_err(|_| put(out, php::zend_value { lval: 0 }, php::IS_NULL))?;
    // The value may be only a part then.
    let full = limit::is_passed();
    if whole && !full && exception().is_null() {
        unwrap_reference(out);
        return Ok(());
    }
    let exits = is_exiting();
    // SAFETY: what was read so far is a whole value.
    unsafe {
        guarded(|| php::zval_ptr_dtor(out))?;
        put(out, php::zend_value { lval: 0 }, php::IS_NULL);
        if exits {
            return Err(Error::Thrown);
        }
        if !exception().is_null() {
            guarded(|| ffi::zend_clear_exception())?;
        }
    }
    Err(if full { Error::Full } else { Error::Broken })
}

/// A value at the top is no reference.
fn unwrap_reference(out: *mut Zv) {
    // SAFETY: `out` is live; the value inside is copied with its own count before the reference goes.
    unsafe {
        if u32::from((*out).u1.v.type_) == php::IS_REFERENCE {
            let mut reference = std::mem::MaybeUninit::<Zv>::zeroed();
            let (value, inner) = ((*out).value, &raw const (*(*out).value.ref_).val);
            put(reference.as_mut_ptr(), value, (*out).u1.type_info);
            put(out, (*inner).value, (*inner).u1.type_info);
            if (*out).u1.v.type_flags != 0 {
                (*(*out).value.counted).gc.refcount += 1;
            }
            php::zval_ptr_dtor(reference.as_mut_ptr());
        }
    }
}
