//! Values with objects: built fresh at each get, around shared immutable tables.
//!
//! A caller may change an object, so each get makes new ones. What they hold is shared until someone writes to it.
//! A new `stdClass` points at the template's table of properties, which is immutable, so that the engine copies it before it
//! writes a property. What else could write to the table is `shared`'s business.

use std::ffi::c_void;

use ext_php_rs::ffi as php;

use super::shared::put_sharer;
use crate::codec::class;
use crate::zend::ffi::zend_class_entry;
use crate::zend::limit;
use crate::zend::memory::{Foreign, RequestHeap, Unmade, put};
use crate::zend::table::{self, Entries};
use crate::zend::{HashTable, ZStr, Zv};

/// What a template has in place of a value that is built at each get.
#[derive(Clone, Copy)]
pub(super) enum Node {
    /// An array, some of whose elements are nodes.
    Array(*mut HashTable),
    /// A `stdClass` whose properties are values.
    Shared(*mut HashTable),
    /// A `stdClass`, some of whose properties are nodes.
    Record(*mut HashTable),
    /// An object of another class.
    Instance(*mut Instance),
}

/// An object of a declared class. It lies in the same arena as its name and its properties.
#[repr(align(8))]
pub(super) struct Instance {
    pub(super) class: (*const u8, usize),
    /// The properties in the order of the class's slots.
    pub(super) table: *mut HashTable,
}

/// The lowest bits of a pointer to something aligned to 8 bytes tell which kind of node it is.
const KIND: usize = 3;

impl Node {
    /// Writes the node to a slot, as a type that no PHP value has. A node costs no memory of its own, so that to build a
    /// list of a thousand objects does not read a thousand cache lines more.
    pub(super) fn put(self, out: *mut Zv) {
        let (place, kind): (*mut c_void, usize) = match self {
            Self::Array(table) => (table.cast(), 0),
            Self::Shared(table) => (table.cast(), 1),
            Self::Record(table) => (table.cast(), 2),
            Self::Instance(instance) => (instance.cast(), 3),
        };
        put(out, php::zend_value { ptr: place.map_addr(|at| at | kind) }, php::IS_PTR);
    }

    /// The node in a slot, or nothing where a value stands.
    pub(super) fn at(slot: *const Zv) -> Option<Self> {
        // SAFETY: callers pass a slot in use; both views of its type are plain integers.
        unsafe { Self::of((*slot).value, (*slot).u1.type_info) }
    }

    /// The node that value and type of a slot stand for.
    #[inline]
    pub(super) fn of(value: php::zend_value, type_info: u32) -> Option<Self> {
        if type_info != php::IS_PTR {
            return None;
        }
        // SAFETY: values of this type are written by `put` only.
        let tagged = unsafe { value.ptr };
        let place = tagged.map_addr(|at| at & !KIND);
        Some(match tagged.addr() & KIND {
            0 => Self::Array(place.cast()),
            1 => Self::Shared(place.cast()),
            2 => Self::Record(place.cast()),
            _ => Self::Instance(place.cast()),
        })
    }
}

/// So many slots of a table are filled between two looks at `memory_limit`.
const STEP: usize = 1024;

/// Builds the value of one get.
pub(super) struct Build {
    heap: RequestHeap,
    /// The class found last, by the address of its name.
    class: (*const u8, *mut zend_class_entry),
}

impl Build {
    pub(super) fn new() -> Self {
        Self { heap: RequestHeap::new(), class: (std::ptr::null(), std::ptr::null_mut()) }
    }

    /// Writes the value of a node to `out`, which is null on failure.
    pub(super) fn value(&mut self, node: Node, out: *mut Zv) -> Result<(), Unmade> {
        put(out, php::zend_value { lval: 0 }, php::IS_NULL);
        match node {
            Node::Array(table) => {
                put(out, php::zend_value { arr: self.table(table)? }, php::IS_ARRAY_EX);
                Ok(())
            }
            Node::Shared(table) => {
                put_sharer(table, out);
                Ok(())
            }
            Node::Record(table) => {
                class::put_std_class(self.table(table)?, out);
                Ok(())
            }
            // SAFETY: the arena lives as long as the near value.
            Node::Instance(instance) => self.object(unsafe { &*instance }, out),
        }
    }

    /// A copy of a table on the request's heap, its nodes built.
    fn table(&mut self, template: *mut HashTable) -> Result<*mut HashTable, Unmade> {
        let copy = table::copy(&mut self.heap, template)?;
        let (mut slots, mut left) = (Entries::new(copy), table::used(copy));
        let filled = loop {
            if left <= STEP {
                break self.fill(slots);
            }
            left -= STEP;
            if let Err(unmade) = self.fill(slots.by_ref().take(STEP)) {
                break Err(unmade);
            }
            if limit::is_passed() {
                break Err(Unmade::Full);
            }
        };
        if let Err(unmade) = filled {
            give_up(copy);
            return Err(unmade);
        }
        Ok(copy)
    }

    /// Builds the nodes in the slots of a table.
    #[inline]
    fn fill(&mut self, slots: impl Iterator<Item = (*mut Zv, u64, *mut ZStr)>) -> Result<(), Unmade> {
        for (slot, _, _) in slots {
            match Node::at(slot) {
                None => {}
                Some(Node::Shared(table)) => put_sharer(table, slot),
                Some(inner) => self.value(inner, slot)?,
            }
        }
        Ok(())
    }

    fn object(&mut self, instance: &Instance, out: *mut Zv) -> Result<(), Unmade> {
        let (name, len) = instance.class;
        if !std::ptr::eq(self.class.0, name) {
            // SAFETY: the arena keeps the name.
            let class = class::find(unsafe { std::slice::from_raw_parts(name, len) }).ok_or(Foreign)?;
            self.class = (name, class);
        }
        let class = self.class.1;
        if !class::fits(class, instance.table) {
            return Err(Unmade::Foreign);
        }
        let object = class::new_object(class);
        put(out, php::zend_value { obj: object }, php::IS_OBJECT_EX);
        let properties = || {
            let slot_of = |at| {
                // SAFETY: the class has a slot for each property.
                unsafe { class::slots(object).add(at) }
            };
            Entries::new(instance.table).enumerate().map(move |(at, (value, _, _))| (slot_of(at), value))
        };
        // All slots, before the first is built: that may leave by `longjmp`, and the engine knows the object already.
        for (slot, value) in properties() {
            // SAFETY: the slot is the new object's.
            unsafe {
                slot.write(std::mem::zeroed());
                match Node::at(value) {
                    Some(_) => put(slot, php::zend_value { lval: 0 }, php::IS_NULL),
                    None => put(slot, (*value).value, (*value).u1.type_info),
                }
            }
        }
        for (slot, value) in properties() {
            if let Some(node) = Node::at(value)
                && let Err(unmade) = self.value(node, slot)
            {
                // SAFETY: the object is whole and ours.
                unsafe { php::zval_ptr_dtor(out) };
                put(out, php::zend_value { lval: 0 }, php::IS_NULL);
                return Err(unmade);
            }
        }
        Ok(())
    }
}

/// Frees an unfinished copy. The nodes not built yet are no values.
fn give_up(copy: *mut HashTable) {
    for (slot, _, _) in Entries::new(copy) {
        if Node::at(slot).is_some() {
            put(slot, php::zend_value { lval: 0 }, php::IS_NULL);
        }
    }
    // SAFETY: the copy is whole and ours.
    unsafe { php::zend_array_destroy(copy) };
}
