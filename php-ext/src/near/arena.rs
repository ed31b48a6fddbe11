//! Memory of near values: one arena for each, outside the request's heap.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ffi::c_void;

use ext_php_rs::ffi as php;

use super::template::{Instance, Node};
use crate::codec::class;
use crate::zend::ffi::{GC_IMMUTABLE, GC_NOT_COLLECTABLE, GC_PERSISTENT};
use crate::zend::limit::Full;
use crate::zend::memory::{Foreign, Memory, Unmade, put};
use crate::zend::{HashTable, Zv};

/// Immutable, in foreign memory, no business of the cycle collector's.
const SHARED: u32 = GC_IMMUTABLE | GC_PERSISTENT | GC_NOT_COLLECTABLE;
const ALIGN: usize = 16;
/// What the allocator adds to each block.
const BLOCK_OVERHEAD: usize = 16;
const SMALLEST_CHUNK: usize = 256;
const LARGEST_CHUNK: usize = 256 * 1024;
/// Heads of tables in a block.
const MOST_HEADS: usize = 64;

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
    /// The most bytes that it may hold.
    most: usize,
    next_chunk: usize,
    /// Room for heads of tables: how many, where, and how many the next block is for.
    heads_left: usize,
    head: *mut HashTable,
    next_heads: usize,
    /// The class name copied last: objects of a class come in a row.
    class: (*const u8, usize),
    /// A node is of a class other than `stdClass`.
    pub(super) classes: bool,
    /// A node is an object.
    pub(super) objects: bool,
}

impl Arena {
    /// For a value of a payload of this many bytes, which may take `most` bytes.
    pub(crate) fn new(payload: usize, most: usize) -> Self {
        Self {
            chunks: Vec::new(),
            at: std::ptr::null_mut(),
            left: 0,
            bytes: 0,
            most,
            next_chunk: (payload * 2 + 32).min(LARGEST_CHUNK),
            heads_left: 0,
            head: std::ptr::null_mut(),
            next_heads: 1,
            class: (std::ptr::NonNull::dangling().as_ptr(), 0),
            classes: false,
            objects: false,
        }
    }

    /// Bytes that the allocator holds for it.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.chunks.capacity() * size_of::<(*mut u8, Layout)>()
    }

    fn class_name(&mut self, name: &[u8]) -> Result<(*const u8, usize), Full> {
        // SAFETY: the name copied last lives in this arena.
        if name != unsafe { std::slice::from_raw_parts(self.class.0, self.class.1) } {
            let copy = self.alloc(name.len())?.cast::<u8>();
            // SAFETY: the copy has room for the name.
            unsafe { std::ptr::copy_nonoverlapping(name.as_ptr(), copy, name.len()) };
            self.class = (copy, name.len());
        }
        Ok(self.class)
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
    fn alloc(&mut self, size: usize) -> Result<*mut c_void, Full> {
        let size = size.next_multiple_of(8);
        if size > self.left {
            let chunk = size.max(self.next_chunk).next_multiple_of(ALIGN);
            if chunk > self.most.saturating_sub(self.bytes) {
                return Err(Full);
            }
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
            return Ok(start.cast());
        }
        let start = self.at;
        self.at = self.at.wrapping_add(size);
        self.left -= size;
        Ok(start.cast())
    }

    /// To free a list of objects reads the head of each one's table, so the heads lie side by side.
    #[inline]
    fn alloc_table(&mut self) -> Result<*mut HashTable, Full> {
        if self.heads_left == 0 {
            self.head = self.alloc(self.next_heads * size_of::<HashTable>())?.cast();
            self.heads_left = self.next_heads;
            self.next_heads = (self.next_heads * 2).min(MOST_HEADS);
        }
        let head = self.head;
        self.head = head.wrapping_add(1);
        self.heads_left -= 1;
        Ok(head)
    }

    fn array(&mut self, table: *mut HashTable, dynamic: bool, out: *mut Zv) {
        if dynamic {
            Node::Array(table).put(out);
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
    ) -> Result<(), Unmade> {
        self.objects = true;
        if !name.is_empty() {
            class::find(name).filter(|class| class::fits(*class, table)).ok_or(Foreign)?;
            self.classes = true;
            let instance = self.alloc(size_of::<Instance>())?.cast::<Instance>();
            let class = self.class_name(name)?;
            // SAFETY: the block has the size and the alignment.
            unsafe { instance.write(Instance { class, table }) };
            Node::Instance(instance).put(out);
        } else if dynamic {
            Node::Record(table).put(out);
        } else {
            Node::Shared(table).put(out);
        }
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

    fn alloc(&mut self, size: usize) -> Result<*mut c_void, Full> {
        let (start, layout) = block(size);
        self.bytes += layout.size() + BLOCK_OVERHEAD;
        Ok(start.cast())
    }

    fn array(&mut self, table: *mut HashTable, _: bool, out: *mut Zv) {
        put(out, php::zend_value { arr: table }, Self::ARRAY_TYPE);
    }

    fn object(&mut self, _: &[u8], _: *mut HashTable, _: bool, _: bool, _: *mut Zv) -> Result<(), Unmade> {
        Err(Unmade::Foreign)
    }

    fn abandon(&mut self, _: *mut HashTable) {}
}
