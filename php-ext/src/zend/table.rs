//! Builds and reads the engine's arrays.
//!
//! A table is made for a known number of elements and never grows here, which saves the engine's checks at each
//! insertion. `nNumUsed` counts up as slots are filled, so an unfinished table can be given up at any time.

use std::ffi::c_void;

use ext_php_rs::ffi as php;
use php::_Bucket as Bucket;

use super::ffi::{
    GC_IMMUTABLE, HASH_PACKED, HASH_STATIC_KEYS, HT_MAX_SIZE, HT_MIN_MASK, HT_MIN_SIZE, HashTable, ZStr, Zv,
};
use super::limit::Full;
use super::memory::{Memory, bytes_of};

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
fn data(table: *const HashTable) -> *mut Bucket {
    // SAFETY: callers pass a live table.
    #[cfg(php82)]
    unsafe {
        (*table).__bindgen_anon_1.arData
    }
    // SAFETY: as above.
    #[cfg(not(php82))]
    unsafe {
        (*table).arData
    }
}

#[inline]
fn set_data(table: *mut HashTable, data: *mut u8) {
    // SAFETY: callers pass a table they are making.
    #[cfg(php82)]
    unsafe {
        (*table).__bindgen_anon_1.arData = data.cast();
    }
    // SAFETY: as above.
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
) -> Result<*mut HashTable, Full> {
    let table = memory.alloc_table()?;
    let slots = if M::TRIMMED { len } else { size as usize };
    let hash = hash_bytes(mask);
    let block = memory.alloc(hash + slots * slot)?.cast::<u8>();
    // SAFETY: both blocks are ours and of these sizes; every field of the table is written.
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
    }
    Ok(table)
}

/// An empty packed table with room for `len` elements.
pub(crate) fn new_packed<M: Memory>(memory: &mut M, len: usize) -> Result<*mut HashTable, Full> {
    let table = new_table(
        memory,
        len,
        HT_MIN_MASK,
        size_for(len),
        size_of::<PackedSlot>(),
        HASH_PACKED | HASH_STATIC_KEYS,
    )?;
    // SAFETY: the hash part of a packed table is two words.
    unsafe { data(table).cast::<u32>().sub(2).cast::<[u32; 2]>().write([u32::MAX; 2]) };
    Ok(table)
}

/// An empty hash table with room for `len` elements.
pub(crate) fn new_hash<M: Memory>(memory: &mut M, len: usize) -> Result<*mut HashTable, Full> {
    let size = size_for(len);
    let mask = size.wrapping_mul(2).wrapping_neg();
    let table = new_table(memory, len, mask, size, size_of::<Bucket>(), HASH_STATIC_KEYS)?;
    // SAFETY: the hash part lies right before the data.
    unsafe { data(table).cast::<u8>().sub(hash_bytes(mask)).write_bytes(0xff, hash_bytes(mask)) };
    Ok(table)
}

/// The slot that the next packed element is to be written to. [`packed_done`] counts it.
#[inline]
pub(crate) fn packed_slot(table: *mut HashTable) -> *mut Zv {
    // SAFETY: the table was made with room for it.
    unsafe {
        let used = (*table).nNumUsed;
        let slot = data(table).cast::<PackedSlot>().add(used as usize);
        #[cfg(not(php82))]
        {
            (*slot).h = used.into();
            (*slot).key = std::ptr::null_mut();
        }
        slot.cast::<Zv>()
    }
}

/// Counts the element just written to [`packed_slot`].
#[inline]
pub(crate) fn packed_done(table: *mut HashTable) {
    // SAFETY: the slot was written.
    unsafe {
        (*table).nNumUsed += 1;
        (*table).nNumOfElements += 1;
        (*table).nNextFreeElement = i64::from((*table).nNumUsed);
    }
}

/// A key of a table.
#[derive(Clone, Copy)]
pub(crate) enum TableKey {
    Int(i64),
    Str(*mut ZStr),
}

/// Adds a key with a null value and returns the slot of the value, or nothing when the key is there already.
/// A string key has its hash; the table takes over its reference, also when it is refused.
#[inline]
pub(crate) fn add_key(table: *mut HashTable, key: TableKey) -> Option<*mut Zv> {
    let (hash, text) = match key {
        TableKey::Int(number) => (number.cast_unsigned(), std::ptr::null_mut()),
        // SAFETY: callers pass a live string.
        TableKey::Str(text) => (unsafe { (*text).h }, text),
    };
    // SAFETY: the table was made with room for the key; chain links stay below `nNumUsed`.
    unsafe {
        let buckets = data(table);
        #[expect(clippy::cast_possible_truncation, reason = "the engine masks the low half of the hash")]
        let word = buckets.cast::<u32>().offset(((hash as u32) | (*table).nTableMask).cast_signed() as isize);
        let first = *word;
        let mut at = first;
        while at != u32::MAX {
            let bucket = buckets.add(at as usize);
            if (*bucket).h == hash && same_key((*bucket).key, text) {
                return None;
            }
            at = (*bucket).val.u2.next;
        }
        let used = (*table).nNumUsed;
        let bucket = buckets.add(used as usize);
        (*bucket).h = hash;
        (*bucket).key = text;
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
            TableKey::Str(text) => {
                if (*text).gc.u.type_info & GC_IMMUTABLE == 0 {
                    (*table).u.flags &= !HASH_STATIC_KEYS;
                }
            }
        }
        Some(&raw mut (*bucket).val)
    }
}

/// True when two keys of the same hash are the same; null stands for an integer key.
#[inline]
pub(crate) fn same_key(a: *const ZStr, b: *const ZStr) -> bool {
    // SAFETY: both are live strings once neither is null.
    a == b || (!a.is_null() && !b.is_null() && unsafe { bytes_of(a) == bytes_of(b) })
}

/// A table with the keys of `template`; its slots are filled with [`instance_slot`].
pub(crate) fn instance<M: Memory>(
    memory: &mut M,
    template: *const HashTable,
) -> Result<*mut HashTable, Full> {
    // SAFETY: the template is a finished hash table made by `new_hash`, so it has the size that its length asks for.
    unsafe {
        let len = (*template).nNumUsed as usize;
        let (mask, size) = ((*template).nTableMask, (*template).nTableSize);
        let table = new_table(
            memory,
            len,
            mask,
            size,
            size_of::<Bucket>(),
            (*template).u.flags & (HASH_STATIC_KEYS | HASH_PACKED),
        )?;
        let bytes = hash_bytes(mask) + len * size_of::<Bucket>();
        let from = data(template).cast::<u8>().sub(hash_bytes(mask));
        std::ptr::copy_nonoverlapping(from, data(table).cast::<u8>().sub(hash_bytes(mask)), bytes);
        Ok(table)
    }
}

/// Opens the next slot of an [`instance`]: its key is there, its value is null until written.
#[inline]
pub(crate) fn instance_slot(table: *mut HashTable) -> *mut Zv {
    // SAFETY: callers open as many slots as the template has.
    unsafe {
        let used = (*table).nNumUsed;
        let bucket = data(table).add(used as usize);
        if (*table).u.flags & HASH_STATIC_KEYS == 0 {
            add_ref((*bucket).key);
        }
        (*bucket).val.u1.type_info = php::IS_NULL;
        (*table).nNumUsed = used + 1;
        (*table).nNumOfElements = used + 1;
        &raw mut (*bucket).val
    }
}

/// Takes a reference to a string.
#[inline]
pub(crate) fn add_ref(text: *mut ZStr) {
    // SAFETY: callers pass a live string; interned ones are not counted.
    unsafe {
        if (*text).gc.u.type_info & GC_IMMUTABLE == 0 {
            (*text).gc.refcount += 1;
        }
    }
}

/// The elements of an array in order, with deleted ones left out and indirect ones followed.
#[derive(Clone)]
pub(crate) struct Entries {
    at: *const c_void,
    left: u32,
    packed: bool,
    index: u64,
}

impl Entries {
    /// Over a live table that is not changed meanwhile.
    #[inline]
    pub(crate) fn new(table: *const HashTable) -> Self {
        // SAFETY: callers pass a live table.
        let left = unsafe { (*table).nNumUsed };
        Self { at: data(table).cast(), left, packed: cfg!(php82) && is_packed(table), index: 0 }
    }
}

/// True for an array whose slots carry no keys.
#[inline]
pub(crate) fn is_packed(table: *const HashTable) -> bool {
    // SAFETY: callers pass a live table.
    unsafe { (*table).u.flags & HASH_PACKED != 0 }
}

/// How many elements a table has, counting those that are indirect and unset.
#[inline]
pub(crate) fn len(table: *const HashTable) -> usize {
    // SAFETY: callers pass a live table.
    unsafe { (*table).nNumOfElements as usize }
}

impl Iterator for Entries {
    type Item = (*mut Zv, u64, *mut ZStr);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: the table lives, and as many slots are left as are counted.
        unsafe {
            while self.left > 0 {
                let bucket = self.at.cast::<Bucket>();
                let mut value = bucket.cast::<Zv>().cast_mut();
                let (hash, key, size) = if self.packed {
                    (self.index, std::ptr::null_mut(), size_of::<Zv>())
                } else {
                    ((*bucket).h, (*bucket).key, size_of::<Bucket>())
                };
                self.at = self.at.byte_add(size);
                self.left -= 1;
                self.index += 1;
                if u32::from((*value).u1.v.type_) == php::IS_INDIRECT {
                    value = (*value).value.zv;
                }
                if u32::from((*value).u1.v.type_) != php::IS_UNDEF {
                    return Some((value, hash, key));
                }
            }
            None
        }
    }
}

/// How many slots of a table are in use.
#[inline]
pub(crate) fn used(table: *const HashTable) -> usize {
    // SAFETY: callers pass a live table.
    unsafe { (*table).nNumUsed as usize }
}

/// A copy of an immutable table, its elements as they are: none of them is counted.
pub(crate) fn copy<M: Memory>(memory: &mut M, from: *const HashTable) -> Result<*mut HashTable, Full> {
    // SAFETY: the source is a finished table; its used slots and hash part are copied to a block of at least that size.
    unsafe {
        let len = (*from).nNumUsed as usize;
        let (mask, size, flags) =
            ((*from).nTableMask, (*from).nTableSize, (*from).u.flags & (HASH_PACKED | HASH_STATIC_KEYS));
        let slot = if is_packed(from) { size_of::<PackedSlot>() } else { size_of::<Bucket>() };
        let table = new_table(memory, len, mask, size, slot, flags)?;
        let hash = hash_bytes(mask);
        std::ptr::copy_nonoverlapping(
            data(from).cast::<u8>().sub(hash),
            data(table).cast::<u8>().sub(hash),
            hash + len * slot,
        );
        (*table).nNumUsed = (*from).nNumUsed;
        (*table).nNumOfElements = (*from).nNumOfElements;
        (*table).nNextFreeElement = (*from).nNextFreeElement;
        Ok(table)
    }
}
