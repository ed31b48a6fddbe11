//! Where the values of a decode live: the request's heap, or an arena that outlives requests.

use std::alloc::Layout;
use std::ffi::c_void;

use ext_php_rs::alloc::emalloc;
use ext_php_rs::ffi as php;

use super::ffi::{
    GC_NOT_COLLECTABLE, HashTable, ZSTR_HEADER, ZStr, Zv, zend_empty_string, zend_one_char_string,
};
use super::limit::{Full, Meter};

/// How a kind of memory makes values. The builder of values is generic over it.
pub(crate) trait Memory {
    /// Reference count of a new string or array.
    const REFCOUNT: u32;
    /// Type information in the header of a string.
    const STRING_GC: u32;
    /// Type information in the header of an array.
    const ARRAY_GC: u32;
    /// Type information of a zval that holds a string.
    const STRING_TYPE: u32;
    /// Type information of a zval that holds an array.
    const ARRAY_TYPE: u32;
    /// Tables are never grown in place, so space for used slots only is enough.
    const TRIMMED: bool;
    /// Strings carry their hash from the start.
    const HASHED: bool;

    /// Memory for `size` bytes, aligned for every engine structure. Never null.
    ///
    /// # Errors
    ///
    /// [`Full`] when the value grows too large.
    fn alloc(&mut self, size: usize) -> Result<*mut c_void, Full>;

    /// Memory for the head of a table.
    #[inline]
    fn alloc_table(&mut self) -> Result<*mut HashTable, Full> {
        self.alloc(size_of::<HashTable>()).map(<*mut c_void>::cast)
    }

    /// Wraps a finished array. `dynamic` is set when an element is not a value yet but a node to be built at each get.
    fn array(&mut self, table: *mut HashTable, dynamic: bool, out: *mut Zv);

    /// Makes an object of a class (empty: `stdClass`) with these properties.
    ///
    /// # Errors
    ///
    /// [`Unmade::Foreign`] when only `unserialize()` may make this object; the table stays the caller's.
    fn object(
        &mut self,
        class: &[u8],
        table: *mut HashTable,
        dynamic: bool,
        keep_table: bool,
        out: *mut Zv,
    ) -> Result<(), Unmade>;

    /// Gives up an unfinished table and what is in it.
    fn abandon(&mut self, table: *mut HashTable);
}

/// Only `unserialize()` may make this object: its class must be loaded, has hooks or has changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Foreign;

/// Why a value was not made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unmade {
    /// See [`Foreign`].
    Foreign,
    /// See [`Full`].
    Full,
}

impl From<Foreign> for Unmade {
    fn from(_: Foreign) -> Self {
        Self::Foreign
    }
}

impl From<Full> for Unmade {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

/// A new string of `len` bytes whose text is not written yet.
pub(crate) fn new_string<M: Memory>(memory: &mut M, len: usize, hash: u64) -> Result<*mut ZStr, Full> {
    let text = memory.alloc(ZSTR_HEADER + len + 1)?.cast::<ZStr>();
    // SAFETY: the block has room for header, text and the closing NUL.
    unsafe {
        (*text).gc.refcount = M::REFCOUNT;
        (*text).gc.u.type_info = M::STRING_GC;
        (*text).h = hash;
        (*text).len = len;
        text_of(text).add(len).write(0);
    }
    Ok(text)
}

/// A string of these bytes; the engine's own for none or one.
#[inline]
pub(crate) fn string<M: Memory>(memory: &mut M, bytes: &[u8], out: *mut Zv) -> Result<*mut ZStr, Full> {
    let (text, type_info) = match *bytes {
        // SAFETY: the engine's tables of short strings live as long as the process.
        [] => (unsafe { zend_empty_string }, php::IS_INTERNED_STRING_EX),
        // SAFETY: as above.
        [byte] => (
            unsafe { *(&raw const zend_one_char_string).cast::<*mut ZStr>().add(byte.into()) },
            php::IS_INTERNED_STRING_EX,
        ),
        _ => {
            let hash = if M::HASHED { hash(bytes) } else { 0 };
            let text = new_string(memory, bytes.len(), hash)?;
            // SAFETY: the string was made with room for these bytes.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), text_of(text), bytes.len()) };
            (text, M::STRING_TYPE)
        }
    };
    put_string(out, text, type_info);
    Ok(text)
}

/// The first byte of a string's text.
#[inline]
pub(crate) fn text_of(text: *mut ZStr) -> *mut u8 {
    text.cast::<u8>().wrapping_add(ZSTR_HEADER)
}

/// The bytes of a string.
///
/// # Safety
///
/// The string lives and is not written to while the slice is used.
#[inline]
pub(crate) unsafe fn bytes_of<'a>(text: *const ZStr) -> &'a [u8] {
    // SAFETY: a zend string holds `len` bytes behind its header.
    unsafe { std::slice::from_raw_parts(text.cast::<u8>().add(ZSTR_HEADER), (*text).len) }
}

/// The engine's hash of a string.
#[inline]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    // SAFETY: reads the slice.
    unsafe { super::ffi::zend_hash_func(bytes.as_ptr().cast(), bytes.len()) }
}

/// Writes a zval's value and type, leaving the chain link that a table keeps in it.
#[inline]
pub(crate) fn put(out: *mut Zv, value: php::zend_value, type_info: u32) {
    // SAFETY: the callers pass a slot they own.
    unsafe {
        (*out).value = value;
        (*out).u1.type_info = type_info;
    }
}

/// Writes a string into a zval.
#[inline]
pub(crate) fn put_string(out: *mut Zv, text: *mut ZStr, type_info: u32) {
    put(out, php::zend_value { str_: text }, type_info);
}

/// The request's heap: PHP frees it at the request's end.
pub(crate) struct RequestHeap {
    meter: Meter,
}

impl RequestHeap {
    /// To be made for each value.
    pub(crate) fn new() -> Self {
        Self { meter: Meter::new() }
    }
}

impl Memory for RequestHeap {
    const REFCOUNT: u32 = 1;
    const STRING_GC: u32 = php::IS_STRING | GC_NOT_COLLECTABLE;
    const ARRAY_GC: u32 = php::IS_ARRAY;
    const STRING_TYPE: u32 = php::IS_STRING_EX;
    const ARRAY_TYPE: u32 = php::IS_ARRAY_EX;
    const TRIMMED: bool = false;
    const HASHED: bool = false;

    #[inline]
    fn alloc(&mut self, size: usize) -> Result<*mut c_void, Full> {
        self.meter.spend(size)?;
        // SAFETY: the size is not 0 and far below isize::MAX: payloads are.
        Ok(emalloc(unsafe { Layout::from_size_align_unchecked(size, 8) }).cast())
    }

    /// Not counted: the slots are, which take more.
    #[inline]
    fn alloc_table(&mut self) -> Result<*mut HashTable, Full> {
        Ok(emalloc(Layout::new::<HashTable>()).cast())
    }

    #[inline]
    fn array(&mut self, table: *mut HashTable, _: bool, out: *mut Zv) {
        put(out, php::zend_value { arr: table }, Self::ARRAY_TYPE);
    }

    fn object(
        &mut self,
        class: &[u8],
        table: *mut HashTable,
        _: bool,
        keep_table: bool,
        out: *mut Zv,
    ) -> Result<(), Unmade> {
        Ok(crate::codec::class::make(class, table, keep_table, out)?)
    }

    fn abandon(&mut self, table: *mut HashTable) {
        // SAFETY: the table and its used slots are whole, and nobody else refers to it.
        unsafe { php::zend_array_destroy(table) };
    }
}
