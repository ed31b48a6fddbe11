//! Values with objects: built fresh at each get, around shared immutable tables.
//!
//! A caller may change an object, so each get makes new ones. What they hold is shared until someone writes to it.
//! A new `stdClass` points at the template's table of properties, just as a clone shares its original's: the table is
//! counted, and the engine copies it before a write while it has other holders. The arena is always one, so the
//! template's table is neither written nor freed. It is not marked immutable: `(array)$object` hands the table out as an
//! array that is counted.

use std::cell::Cell;

use ext_php_rs::ffi as php;

use super::graveyard;
use crate::codec::class;
use crate::zend::ffi::zend_class_entry;
use crate::zend::memory::{Foreign, RequestHeap, put};
use crate::zend::table::{self, Entries};
use crate::zend::{HashTable, Zv};

/// An array or object that holds objects, or is one.
pub(super) struct Node {
    /// The class name of an object (empty: `stdClass`), nothing for an array. It lies in the same arena.
    pub(super) class: Option<(*const u8, usize)>,
    /// The elements or properties; where a node stands for a value, the type is `IS_PTR`.
    pub(super) table: *mut HashTable,
    /// The slots of the table that hold nodes.
    pub(super) slots: *const u32,
    pub(super) count: usize,
    /// The request that was given the table last.
    pub(super) request: Cell<u64>,
}

impl Node {
    /// The table of properties for one more object.
    fn share(&self) -> *mut HashTable {
        // SAFETY: the arena keeps the table; it is counted as this module's text says.
        unsafe {
            // A request that ended without freeing its objects leaves its counts behind.
            if self.request.replace(graveyard::request()) != graveyard::request() {
                (*self.table).gc.refcount = 1;
                (*self.table).u.v.nIteratorsCount = 0;
            }
            (*self.table).gc.refcount += 1;
        }
        self.table
    }
}

/// Builds values of one get.
pub(super) struct Build {
    /// The class found last, by the address of its name.
    class: (*const u8, *mut zend_class_entry),
}

impl Build {
    pub(super) fn new() -> Self {
        Self { class: (std::ptr::null(), std::ptr::null_mut()) }
    }

    /// Writes the value of a node to `out`, which is null on failure.
    pub(super) fn value(&mut self, node: &Node, out: *mut Zv) -> Result<(), Foreign> {
        put(out, php::zend_value { lval: 0 }, php::IS_NULL);
        match node.class {
            None => {
                let table = self.table(node)?;
                put(out, php::zend_value { arr: table }, php::IS_ARRAY_EX);
                Ok(())
            }
            Some((_, 0)) => {
                let table = if node.count == 0 { node.share() } else { self.table(node)? };
                // SAFETY: stdClass is there.
                unsafe {
                    let object = php::zend_objects_new(php::zend_standard_class_def);
                    (*object).properties = table;
                    put(out, php::zend_value { obj: object }, php::IS_OBJECT_EX);
                }
                Ok(())
            }
            Some(name) => self.object(name, node, out),
        }
    }

    /// A copy of the node's table on the request's heap, its nodes built.
    fn table(&mut self, node: &Node) -> Result<*mut HashTable, Foreign> {
        let copy = table::copy(&mut RequestHeap, node.table);
        // SAFETY: the arena keeps the slots.
        let slots = unsafe { std::slice::from_raw_parts(node.slots, node.count) };
        for at in slots {
            let (slot, _, _) = table::slot(copy, *at);
            // SAFETY: the slot holds a node of the same arena.
            let inner = unsafe { &*(*slot).value.ptr.cast::<Node>() };
            if let Err(foreign) = self.value(inner, slot) {
                give_up(copy, slots);
                return Err(foreign);
            }
        }
        Ok(copy)
    }

    fn object(&mut self, (name, len): (*const u8, usize), node: &Node, out: *mut Zv) -> Result<(), Foreign> {
        if !std::ptr::eq(self.class.0, name) {
            // SAFETY: the arena keeps the name.
            let class = class::find(unsafe { std::slice::from_raw_parts(name, len) }).ok_or(Foreign)?;
            self.class = (name, class);
        }
        let class = self.class.1;
        if !class::fits(class, node.table) {
            return Err(Foreign);
        }
        let object = class::new_object(class);
        for (at, (value, _, _)) in Entries::new(node.table).enumerate() {
            // SAFETY: the class has a slot for each property.
            unsafe {
                let slot = class::slots(object).add(at);
                slot.write(std::mem::zeroed());
                put(slot, (*value).value, (*value).u1.type_info);
            }
        }
        put(out, php::zend_value { obj: object }, php::IS_OBJECT_EX);
        // SAFETY: the arena keeps the slots; each holds a node of the same arena.
        unsafe {
            let slots = std::slice::from_raw_parts(
                if node.count == 0 { std::ptr::NonNull::dangling().as_ptr() } else { node.slots },
                node.count,
            );
            for (done, at) in slots.iter().enumerate() {
                let slot = class::slots(object).add(*at as usize);
                let inner = &*(*slot).value.ptr.cast::<Node>();
                if let Err(foreign) = self.value(inner, slot) {
                    for rest in slots.iter().skip(done) {
                        put(
                            class::slots(object).add(*rest as usize),
                            php::zend_value { lval: 0 },
                            php::IS_NULL,
                        );
                    }
                    php::zval_ptr_dtor(out);
                    put(out, php::zend_value { lval: 0 }, php::IS_NULL);
                    return Err(foreign);
                }
            }
        }
        Ok(())
    }
}

/// Frees an unfinished copy. The nodes not built yet are no values.
fn give_up(copy: *mut HashTable, slots: &[u32]) {
    for at in slots {
        let (slot, _, _) = table::slot(copy, *at);
        // SAFETY: the slot is in use.
        unsafe {
            if u32::from((*slot).u1.v.type_) == php::IS_PTR {
                put(slot, php::zend_value { lval: 0 }, php::IS_NULL);
            }
        }
    }
    // SAFETY: the copy is whole and ours.
    unsafe { php::zend_array_destroy(copy) };
}
