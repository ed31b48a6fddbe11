//! Memory of near values: one arena for each, outside the request's heap.

use std::alloc::{Layout, dealloc};
use std::ffi::c_void;

use ext_php_rs::ffi as php;

use super::template::{Instance, Node};
use crate::codec::decode::{Unmade, Values};
use crate::zend::alive::{Class, Slot, Table};
use crate::zend::ffi::HashTable;
use crate::zend::limit::Full;
use crate::zend::memory::{BLOCK_OVERHEAD, LASTING, LASTING_HOLDERS, Memory, block};
use crate::zend::object::Foreign;

const ALIGN: usize = 16;
const SMALLEST_CHUNK: usize = 256;
const LARGEST_CHUNK: usize = 256 * 1024;
/// Heads of tables in a block.
const MOST_HEADS: usize = 64;

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
    const REFCOUNT: u32 = LASTING_HOLDERS;
    const STRING_GC: u32 = php::IS_STRING | LASTING;
    const ARRAY_GC: u32 = php::IS_ARRAY | LASTING;
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
}

impl Values for Arena {
    unsafe fn array(&mut self, table: Table, dynamic: bool, out: Slot) {
        if dynamic {
            Node::Array(table).put(out);
        } else {
            out.put_array(table, Self::ARRAY_TYPE);
        }
    }

    unsafe fn object(
        &mut self,
        name: &[u8],
        table: Table,
        dynamic: bool,
        _: bool,
        out: Slot,
    ) -> Result<(), Unmade> {
        if !name.is_empty() {
            Class::find(name).filter(|class| class.fits(table)).ok_or(Foreign)?;
            self.classes = true;
            let instance = self.alloc(size_of::<Instance>())?.cast::<Instance>();
            let class = self.class_name(name)?;
            // SAFETY: the block has the size and the alignment.
            let instance = unsafe {
                instance.write(Instance { class, table });
                &*instance
            };
            Node::Instance(instance).put(out);
        } else if dynamic {
            Node::Record(table).put(out);
        } else {
            Node::Shared(table).put(out);
        }
        Ok(())
    }

    /// The arena goes as a whole.
    unsafe fn abandon(&mut self, _: Table) {}
}
