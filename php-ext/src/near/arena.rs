//! Memory of near values: one arena for each, outside the request's heap.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ffi::c_void;

use ext_php_rs::ffi as php;

use super::template::Node;
use crate::codec::class;
use crate::zend::ffi::{GC_IMMUTABLE, GC_NOT_COLLECTABLE, GC_PERSISTENT};
use crate::zend::memory::{Foreign, Memory, put};
use crate::zend::table;
use crate::zend::{HashTable, Zv};

/// Immutable, in foreign memory, no business of the cycle collector's.
const SHARED: u32 = GC_IMMUTABLE | GC_PERSISTENT | GC_NOT_COLLECTABLE;
const ALIGN: usize = 16;
/// What the allocator adds to each block.
const BLOCK_OVERHEAD: usize = 16;
const SMALLEST_CHUNK: usize = 256;
const LARGEST_CHUNK: usize = 256 * 1024;

fn block(size: usize) -> (*mut u8, Layout) {
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

/// Blocks that are freed together.
pub(crate) struct Arena {
    chunks: Vec<(*mut u8, Layout)>,
    at: *mut u8,
    left: usize,
    bytes: usize,
    next_chunk: usize,
    /// The class name copied last: objects of a class come in a row.
    class: (*const u8, usize),
    /// A node is of a class other than `stdClass`.
    pub(super) classes: bool,
}

impl Arena {
    /// For a value of a payload of this many bytes.
    pub(crate) fn new(payload: usize) -> Self {
        Self {
            chunks: Vec::new(),
            at: std::ptr::null_mut(),
            left: 0,
            bytes: 0,
            next_chunk: (payload * 2 + 32).min(LARGEST_CHUNK),
            class: (std::ptr::NonNull::dangling().as_ptr(), 0),
            classes: false,
        }
    }

    /// Bytes that the allocator holds for it.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.chunks.capacity() * size_of::<(*mut u8, Layout)>()
    }

    fn node(&mut self, node: Node, out: *mut Zv) {
        let place = self.alloc(size_of::<Node>()).cast::<Node>();
        // SAFETY: the block has the node's size and alignment.
        unsafe { place.write(node) };
        put(out, php::zend_value { ptr: place.cast() }, php::IS_PTR);
    }

    /// The slots of a table that hold nodes.
    fn node_slots(&mut self, table: *const HashTable) -> (*const u32, usize) {
        let is_node = |at: &u32| {
            let (value, _, _) = table::slot(table, *at);
            // SAFETY: the slot is in use.
            unsafe { u32::from((*value).u1.v.type_) == php::IS_PTR }
        };
        let used = u32::try_from(table::used(table)).unwrap_or(u32::MAX);
        let count = (0..used).filter(is_node).count();
        let slots = self.alloc(count * size_of::<u32>()).cast::<u32>();
        for (place, at) in (0..used).filter(is_node).enumerate() {
            // SAFETY: there is room for as many as were counted.
            unsafe { slots.add(place).write(at) };
        }
        (slots, count)
    }

    fn class_name(&mut self, name: &[u8]) -> (*const u8, usize) {
        // SAFETY: the name copied last lives in this arena.
        if name != unsafe { std::slice::from_raw_parts(self.class.0, self.class.1) } {
            let copy = self.alloc(name.len()).cast::<u8>();
            // SAFETY: the copy has room for the name.
            unsafe { std::ptr::copy_nonoverlapping(name.as_ptr(), copy, name.len()) };
            self.class = (copy, name.len());
        }
        self.class
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for (start, layout) in self.chunks.drain(..) {
            // SAFETY: the chunk came from `alloc` with this layout.
            unsafe { dealloc(start, layout) };
        }
    }
}

impl Memory for Arena {
    const REFCOUNT: u32 = 2;
    const STRING_GC: u32 = php::IS_STRING | SHARED;
    const ARRAY_GC: u32 = php::IS_ARRAY | SHARED;
    const STRING_TYPE: u32 = php::IS_INTERNED_STRING_EX;
    const ARRAY_TYPE: u32 = php::IS_ARRAY;
    const TRIMMED: bool = true;
    const HASHED: bool = true;

    #[inline]
    fn alloc(&mut self, size: usize) -> *mut c_void {
        let size = size.next_multiple_of(8);
        if size > self.left {
            let chunk = size.max(self.next_chunk).next_multiple_of(ALIGN);
            let (start, layout) = block(chunk);
            if self.chunks.is_empty() {
                self.chunks.reserve_exact(1);
            }
            self.chunks.push((start, layout));
            self.bytes += layout.size() + BLOCK_OVERHEAD;
            self.next_chunk = (self.bytes / 4).clamp(SMALLEST_CHUNK, LARGEST_CHUNK);
            // What is left of the chunk before is lost; keep the larger rest.
            if layout.size() - size >= self.left {
                (self.at, self.left) = (start.wrapping_add(size), layout.size() - size);
            }
            return start.cast();
        }
        let start = self.at;
        self.at = self.at.wrapping_add(size);
        self.left -= size;
        start.cast()
    }

    fn array(&mut self, table: *mut HashTable, dynamic: bool, out: *mut Zv) {
        if dynamic {
            let (slots, count) = self.node_slots(table);
            self.node(Node { class: None, table, slots, count, request: Cell::new(0) }, out);
        } else {
            put(out, php::zend_value { arr: table }, Self::ARRAY_TYPE);
        }
    }

    fn object(
        &mut self,
        name: &[u8],
        table: *mut HashTable,
        dynamic: bool,
        _: bool,
        out: *mut Zv,
    ) -> Result<(), Foreign> {
        let name = if name.is_empty() {
            (std::ptr::NonNull::<u8>::dangling().as_ptr().cast_const(), 0)
        } else {
            class::find(name).filter(|class| class::fits(*class, table)).ok_or(Foreign)?;
            self.classes = true;
            self.class_name(name)
        };
        let (slots, count) = if dynamic { self.node_slots(table) } else { (std::ptr::null(), 0) };
        if name.1 == 0 && !dynamic {
            // SAFETY: the table is the arena's. Objects will share it, counted.
            unsafe {
                (*table).gc.refcount = 1;
                (*table).gc.u.type_info = php::IS_ARRAY | GC_PERSISTENT | GC_NOT_COLLECTABLE;
            }
        }
        self.node(Node { class: Some(name), table, slots, count, request: Cell::new(0) }, out);
        Ok(())
    }

    /// The arena goes as a whole.
    fn abandon(&mut self, _: *mut HashTable) {}
}

/// Memory for strings that are never freed.
#[derive(Default)]
pub(super) struct Forever {
    pub(super) bytes: usize,
}

impl Memory for Forever {
    const REFCOUNT: u32 = Arena::REFCOUNT;
    const STRING_GC: u32 = Arena::STRING_GC;
    const ARRAY_GC: u32 = Arena::ARRAY_GC;
    const STRING_TYPE: u32 = Arena::STRING_TYPE;
    const ARRAY_TYPE: u32 = Arena::ARRAY_TYPE;
    const TRIMMED: bool = true;
    const HASHED: bool = true;

    fn alloc(&mut self, size: usize) -> *mut c_void {
        let (start, layout) = block(size);
        self.bytes += layout.size() + BLOCK_OVERHEAD;
        start.cast()
    }

    fn array(&mut self, table: *mut HashTable, _: bool, out: *mut Zv) {
        put(out, php::zend_value { arr: table }, Self::ARRAY_TYPE);
    }

    fn object(&mut self, _: &[u8], _: *mut HashTable, _: bool, _: bool, _: *mut Zv) -> Result<(), Foreign> {
        Err(Foreign)
    }

    fn abandon(&mut self, _: *mut HashTable) {}
}
