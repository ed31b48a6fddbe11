//! Arrays as the engine lays them out: built slot by slot, without asking for room again and again.
//!
//! A table that is being made counts a slot as soon as it holds null, so an unfinished one is whole
//! and can be given up at any time.

use std::ffi::c_void;

use ext_php_rs::ffi as php;
use php::_Bucket as Bucket;

use super::alive::{Slot, Table, Text};
use super::ffi::{HASH_PACKED, HASH_STATIC_KEYS, HT_MAX_SIZE, HT_MIN_MASK, HT_MIN_SIZE, HashTable, Zv};
use super::limit::Full;
use super::memory::Memory;

/// What the engine has for the next index of an array without integer keys.
#[cfg(php83)]
const NO_INDEX: i64 = i64::MIN;
#[cfg(not(php83))]
const NO_INDEX: i64 = 0;

/// Before PHP 8.2 a packed array holds buckets, too.
#[cfg(php82)]
type PackedSlot = Zv;
#[cfg(not(php82))]
type PackedSlot = Bucket;

const HASH_WORD: usize = size_of::<u32>();

#[inline]
fn data(table: Table) -> *mut Bucket {
    // SAFETY: the table is alive.
    #[cfg(php82)]
    unsafe {
        (*table.as_ptr()).__bindgen_anon_1.arData
    }
    // SAFETY: the table is alive.
    #[cfg(not(php82))]
    unsafe {
        (*table.as_ptr()).arData
    }
}

/// # Safety
///
/// The table is one that the caller is making.
#[inline]
unsafe fn set_data(table: *mut HashTable, data: *mut u8) {
    // SAFETY: the caller's promise.
    #[cfg(php82)]
    unsafe {
        (*table).__bindgen_anon_1.arData = data.cast();
    }
    // SAFETY: the caller's promise.
    #[cfg(not(php82))]
    unsafe {
        (*table).arData = data.cast();
    }
}

/// The engine's size for a table of `len` elements.
#[inline]
fn size_for(len: usize) -> u32 {
    u32::try_from(len.clamp(HT_MIN_SIZE as usize, HT_MAX_SIZE).next_power_of_two()).unwrap_or(HT_MIN_SIZE)
}

/// Bytes of the hash part for a mask.
#[inline]
fn hash_bytes(mask: u32) -> usize {
    mask.wrapping_neg() as usize * HASH_WORD
}

fn new_table<M: Memory>(
    memory: &mut M,
    len: usize,
    mask: u32,
    size: u32,
    slot: usize,
    flags: u32,
) -> Result<Table, Full> {
    let table = memory.alloc_table()?;
    let slots = if M::TRIMMED { len } else { size as usize };
    let hash = hash_bytes(mask);
    let block = memory.alloc(hash + slots * slot)?.cast::<u8>();
    // SAFETY: both blocks are new and of these sizes; every field of the table is written. They are
    // freed together with the value that the table becomes a part of.
    unsafe {
        table.write_bytes(0, 1);
        (*table).gc.refcount = M::REFCOUNT;
        (*table).gc.u.type_info = M::ARRAY_GC;
        (*table).u.flags = flags;
        (*table).nTableMask = mask;
        (*table).nTableSize = size;
        (*table).nNextFreeElement = NO_INDEX;
        (*table).pDestructor = Some(php::zval_ptr_dtor);
        set_data(table, block.add(hash));
        Ok(Table::alive(table))
    }
}

/// An array without keys that is being filled. There is room for what it was made for, and no more.
pub(crate) struct List {
    table: Table,
    left: usize,
}

impl List {
    /// An empty one with room for `len` elements.
    pub(crate) fn new<M: Memory>(memory: &mut M, len: usize) -> Result<Self, Full> {
        let slot = size_of::<PackedSlot>();
        let flags = HASH_PACKED | HASH_STATIC_KEYS;
        let table = new_table(memory, len, HT_MIN_MASK, size_for(len), slot, flags)?;
        // SAFETY: the hash part of a packed table is two words before the data.
        unsafe { data(table).cast::<u32>().sub(2).cast::<[u32; 2]>().write([u32::MAX; 2]) };
        Ok(Self { table, left: len })
    }

    /// The table so far.
    pub(crate) fn table(&self) -> Table {
        self.table
    }

    /// Adds a null; `None` if it is full.
    #[inline]
    pub(crate) fn add(&mut self) -> Option<Slot> {
        self.left = self.left.checked_sub(1)?;
        let table = self.table.as_ptr();
        // SAFETY: the table is ours and has room for one element more, whose place is part of it.
        unsafe {
            let used = (*table).nNumUsed;
            let slot = data(self.table).cast::<PackedSlot>().add(used as usize);
            #[cfg(not(php82))]
            {
                (*slot).h = used.into();
                (*slot).key = std::ptr::null_mut();
            }
            let slot = slot.cast::<Zv>();
            (*slot).u1.type_info = php::IS_NULL;
            (*table).nNumUsed = used + 1;
            (*table).nNumOfElements = used + 1;
            (*table).nNextFreeElement = i64::from(used + 1);
            Some(Slot::alive(slot))
        }
    }
}

/// A key of a table.
#[derive(Clone, Copy)]
pub(crate) enum TableKey {
    Int(i64),
    Text(Text),
}

/// Why a key found no place in a [`Map`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken;

/// An array with keys that is being filled. There is room for what it was made for, and no more.
pub(crate) struct Map {
    table: Table,
    left: usize,
}

impl Map {
    /// An empty one with room for `len` elements.
    pub(crate) fn new<M: Memory>(memory: &mut M, len: usize) -> Result<Self, Full> {
        let size = size_for(len);
        let mask = size.wrapping_mul(2).wrapping_neg();
        let table = new_table(memory, len, mask, size, size_of::<Bucket>(), HASH_STATIC_KEYS)?;
        // SAFETY: the hash part lies right before the data.
        unsafe { data(table).cast::<u8>().sub(hash_bytes(mask)).write_bytes(0xff, hash_bytes(mask)) };
        Ok(Self { table, left: len })
    }

    /// The table so far.
    pub(crate) fn table(&self) -> Table {
        self.table
    }

    /// Adds a key with a null. The table takes over a count of a string key, which has its hash,
    /// unless the key is refused: it is there already, or the table is full.
    #[inline]
    pub(crate) fn add(&mut self, key: TableKey) -> Result<Slot, Taken> {
        let (hash, text) = match key {
            TableKey::Int(number) => (number.cast_unsigned(), None),
            TableKey::Text(text) => (text.known_hash(), Some(text)),
        };
        let left = self.left.checked_sub(1).ok_or(Taken)?;
        let table = self.table.as_ptr();
        // SAFETY: the table is ours and has room for one key more; chain links stay below
        // `nNumUsed`, and the keys so far are alive.
        unsafe {
            let buckets = data(self.table);
            #[expect(clippy::cast_possible_truncation, reason = "the engine masks the low half of the hash")]
            let word =
                buckets.cast::<u32>().offset(((hash as u32) | (*table).nTableMask).cast_signed() as isize);
            let first = *word;
            let mut at = first;
            while at != u32::MAX {
                let bucket = buckets.add(at as usize);
                if (*bucket).h == hash && Text::same(Text::new((*bucket).key), text) {
                    return Err(Taken);
                }
                at = (*bucket).val.u2.next;
            }
            let used = (*table).nNumUsed;
            let bucket = buckets.add(used as usize);
            (*bucket).h = hash;
            (*bucket).key = text.map_or(std::ptr::null_mut(), Text::as_ptr);
            (*bucket).val.u1.type_info = php::IS_NULL;
            (*bucket).val.u2.next = first;
            *word = used;
            (*table).nNumUsed = used + 1;
            (*table).nNumOfElements = used + 1;
            match key {
                TableKey::Int(number) if number >= (*table).nNextFreeElement => {
                    (*table).nNextFreeElement = number.saturating_add(1);
                }
                TableKey::Int(_) => {}
                TableKey::Text(text) => {
                    if !text.is_interned() {
                        (*table).u.flags &= !HASH_STATIC_KEYS;
                    }
                }
            }
            self.left = left;
            Ok(Slot::alive(&raw const (*bucket).val))
        }
    }
}

/// An array that is being filled and has all its keys from another.
pub(crate) struct Instance {
    table: Table,
    left: usize,
}

impl Instance {
    /// An empty one with the keys of `template`.
    ///
    /// # Safety
    ///
    /// The template is one of [`Map`]s, with as many elements as it was made for.
    pub(crate) unsafe fn new<M: Memory>(memory: &mut M, template: Table) -> Result<Self, Full> {
        let len = template.used();
        // SAFETY: the template is alive, and a `Map` has the size that its length asks for; all of
        // it is copied.
        unsafe {
            let from = template.as_ptr();
            let (mask, size) = ((*from).nTableMask, (*from).nTableSize);
            let flags = (*from).u.flags & (HASH_STATIC_KEYS | HASH_PACKED);
            let table = new_table(memory, len, mask, size, size_of::<Bucket>(), flags)?;
            let bytes = hash_bytes(mask) + len * size_of::<Bucket>();
            std::ptr::copy_nonoverlapping(start(template, mask), start(table, mask), bytes);
            Ok(Self { table, left: len })
        }
    }

    /// The table so far.
    pub(crate) fn table(&self) -> Table {
        self.table
    }

    /// Opens the next slot: its key is there, its value is null. `None` if all are open.
    #[inline]
    pub(crate) fn open(&mut self) -> Option<Slot> {
        self.left = self.left.checked_sub(1)?;
        let table = self.table.as_ptr();
        // SAFETY: the table is ours and has the keys of slots that are not open yet; the strings
        // among them are the template's.
        unsafe {
            let used = (*table).nNumUsed;
            let bucket = data(self.table).add(used as usize);
            if (*table).u.flags & HASH_STATIC_KEYS == 0
                && let Some(key) = Text::new((*bucket).key)
            {
                key.hold();
            }
            (*bucket).val.u1.type_info = php::IS_NULL;
            (*table).nNumUsed = used + 1;
            (*table).nNumOfElements = used + 1;
            Some(Slot::alive(&raw const (*bucket).val))
        }
    }
}

/// Where the block of a table begins: its hash part lies before its data.
///
/// # Safety
///
/// The mask is the table's.
unsafe fn start(table: Table, mask: u32) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { data(table).cast::<u8>().sub(hash_bytes(mask)) }
}

/// The elements of an array in order, with deleted ones left out and indirect ones followed: value,
/// hash and key.
#[derive(Clone)]
pub(crate) struct Entries {
    at: *const c_void,
    left: u32,
    packed: bool,
    index: u64,
}

impl Entries {
    /// Over a table that is alive and not changed meanwhile.
    #[inline]
    pub(crate) fn new(table: Table) -> Self {
        // SAFETY: the table is alive.
        let left = unsafe { (*table.as_ptr()).nNumUsed };
        let packed = cfg!(php82) && table.is_packed();
        Self { at: data(table).cast(), left, packed, index: 0 }
    }
}

impl Iterator for Entries {
    type Item = (Slot, u64, Option<Text>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: the table is alive, and as many slots are left as are counted.
        unsafe {
            while self.left > 0 {
                let bucket = self.at.cast::<Bucket>();
                let mut value = bucket.cast::<Zv>().cast_mut();
                let (hash, key, size) = if self.packed {
                    (self.index, None, size_of::<Zv>())
                } else {
                    ((*bucket).h, Text::new((*bucket).key), size_of::<Bucket>())
                };
                self.at = self.at.byte_add(size);
                self.left -= 1;
                self.index += 1;
                if u32::from((*value).u1.v.type_) == php::IS_INDIRECT {
                    value = (*value).value.zv;
                }
                if u32::from((*value).u1.v.type_) != php::IS_UNDEF {
                    return Some((Slot::alive(value), hash, key));
                }
            }
            None
        }
    }
}

/// A copy of an immutable table, its elements as they are: none of them is counted.
pub(crate) fn copy<M: Memory>(memory: &mut M, from: Table) -> Result<Table, Full> {
    // SAFETY: the source is alive; its used slots and hash part are copied to a block of at least
    // that size.
    unsafe {
        let head = from.as_ptr();
        let len = from.used();
        let (mask, size, flags) =
            ((*head).nTableMask, (*head).nTableSize, (*head).u.flags & (HASH_PACKED | HASH_STATIC_KEYS));
        let slot = if from.is_packed() { size_of::<PackedSlot>() } else { size_of::<Bucket>() };
        let table = new_table(memory, len, mask, size, slot, flags)?;
        std::ptr::copy_nonoverlapping(start(from, mask), start(table, mask), hash_bytes(mask) + len * slot);
        let copy = table.as_ptr();
        (*copy).nNumUsed = (*head).nNumUsed;
        (*copy).nNumOfElements = (*head).nNumOfElements;
        (*copy).nNextFreeElement = (*head).nNextFreeElement;
        Ok(table)
    }
}
