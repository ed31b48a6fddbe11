//! Where the values of a decode live: the request's heap, or memory that outlives requests.

use std::alloc::{Layout, alloc, handle_alloc_error};
use std::ffi::c_void;

use ext_php_rs::alloc::emalloc;
use ext_php_rs::ffi as php;

use super::alive::Text;
use super::ffi::{
    GC_IMMUTABLE, GC_NOT_COLLECTABLE, GC_PERSISTENT, HashTable, ZSTR_HEADER, ZStr, zend_empty_string,
    zend_hash_func, zend_one_char_string,
};
use super::limit::{Full, Meter};

/// A kind of memory, and how strings and tables in it look.
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
}

/// What lies outside the request's heap is immutable and no business of the cycle collector's.
pub(crate) const LASTING: u32 = GC_IMMUTABLE | GC_PERSISTENT | GC_NOT_COLLECTABLE;
/// The count of what is not counted.
pub(crate) const LASTING_HOLDERS: u32 = 2;

const ALIGN: usize = 16;
/// What the allocator adds to each block.
pub(crate) const BLOCK_OVERHEAD: usize = 16;

/// A block of the process's memory, aligned for every engine structure; `dealloc()` with its layout
/// frees it.
pub(crate) fn block(size: usize) -> (*mut u8, Layout) {
    let layout = Layout::from_size_align(size.max(1), ALIGN).unwrap_or(Layout::new::<u128>());
    if layout.size() < size {
        handle_alloc_error(layout);
    }
    // SAFETY: the size is not 0.
    let start = unsafe { alloc(layout) };
    if start.is_null() {
        handle_alloc_error(layout);
    }
    (start, layout)
}

/// Writes a string to a block and answers it.
///
/// # Safety
///
/// The block is the caller's, has [`string_size`] bytes, is aligned as [`Memory::alloc`] does it,
/// and is not freed while the string is used.
unsafe fn write_string(block: *mut c_void, bytes: &[u8], hash: u64, holders: u32, type_info: u32) -> Text {
    let text = block.cast::<ZStr>();
    // SAFETY: the caller's promise; header, text and the closing NUL are all written.
    unsafe {
        (*text).gc.refcount = holders;
        (*text).gc.u.type_info = type_info;
        (*text).h = hash;
        (*text).len = bytes.len();
        let start = text.cast::<u8>().add(ZSTR_HEADER);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len());
        start.add(bytes.len()).write(0);
        Text::alive(text)
    }
}

fn string_size(len: usize) -> usize {
    ZSTR_HEADER + len + 1
}

/// A new string of these bytes.
fn new_string<M: Memory>(memory: &mut M, bytes: &[u8]) -> Result<Text, Full> {
    let hash = if M::HASHED { hash(bytes) } else { 0 };
    let block = memory.alloc(string_size(bytes.len()))?;
    // SAFETY: the block is new and of that size. It is freed with the value that the string becomes
    // a part of.
    Ok(unsafe { write_string(block, bytes, hash, M::REFCOUNT, M::STRING_GC) })
}

/// A string that is never freed, and the bytes that it takes.
pub(crate) fn endless_string(bytes: &[u8], hash: u64) -> (Text, usize) {
    let (start, layout) = block(string_size(bytes.len()));
    // SAFETY: the block is new and of that size, and is never freed.
    let text = unsafe { write_string(start.cast(), bytes, hash, LASTING_HOLDERS, php::IS_STRING | LASTING) };
    (text, layout.size() + BLOCK_OVERHEAD)
}

/// A string of these bytes, and the type of a slot that holds it; the engine's own string for none
/// or one.
#[inline]
pub(crate) fn string<M: Memory>(memory: &mut M, bytes: &[u8]) -> Result<(Text, u32), Full> {
    Ok(match *bytes {
        // SAFETY: the engine's short strings live as long as the process.
        [] => (unsafe { Text::alive(zend_empty_string) }, php::IS_INTERNED_STRING_EX),
        [byte] => {
            // SAFETY: there is one for each byte, and they live as long as the process.
            let text = unsafe {
                Text::alive(*(&raw const zend_one_char_string).cast::<*mut ZStr>().add(byte.into()))
            };
            (text, php::IS_INTERNED_STRING_EX)
        }
        _ => (new_string(memory, bytes)?, M::STRING_TYPE),
    })
}

/// The engine's hash of a string.
#[inline]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    // SAFETY: reads the slice.
    unsafe { zend_hash_func(bytes.as_ptr().cast(), bytes.len()) }
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
}
