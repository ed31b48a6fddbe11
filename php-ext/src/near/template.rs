//! Values with objects: built fresh at each get, around shared immutable tables.
//!
//! A caller may change an object, so each get makes new ones. What they hold is shared until
//! someone writes to it. A new `stdClass` points at the template's table of properties, which is
//! immutable, so that the engine copies it before it writes a property. What else could write to
//! the table is `shared`'s business.

use std::ffi::c_void;

use ext_php_rs::ffi as php;

use crate::codec::decode::Unmade;
use crate::zend::alive::{Class, Slot, Table, Text};
use crate::zend::limit;
use crate::zend::memory::RequestHeap;
use crate::zend::object::Foreign;
use crate::zend::shared::{put_sharer, put_std_class};
use crate::zend::table::{self, Entries};

/// What a template has in place of a value that is built at each get.
#[derive(Clone, Copy)]
pub(super) enum Node<'a> {
    /// An array, some of whose elements are nodes.
    Array(Table),
    /// A `stdClass` whose properties are values.
    Shared(Table),
    /// A `stdClass`, some of whose properties are nodes.
    Record(Table),
    /// An object of another class.
    Instance(&'a Instance),
}

/// An object of a declared class. It lies in the same arena as its name and its properties.
#[repr(align(8))]
pub(super) struct Instance {
    pub(super) class: (*const u8, usize),
    /// The properties in the order of the class's slots.
    pub(super) table: Table,
}

/// The lowest bits of a pointer to something aligned to 8 bytes tell which kind of node it is.
const KIND: usize = 3;

impl Node<'_> {
    /// Writes the node to a slot, as a type that no PHP value has. A node costs no memory of its
    /// own, so that to build a list of a thousand objects does not read a thousand cache lines
    /// more.
    pub(super) fn put(self, out: Slot) {
        let (place, kind): (*mut c_void, usize) = match self {
            Self::Array(table) => (table.as_ptr().cast(), 0),
            Self::Shared(table) => (table.as_ptr().cast(), 1),
            Self::Record(table) => (table.as_ptr().cast(), 2),
            Self::Instance(instance) => (std::ptr::from_ref(instance).cast_mut().cast(), 3),
        };
        out.put(php::zend_value { ptr: place.map_addr(|at| at | kind) }, php::IS_PTR);
    }

    /// The node in a slot, or nothing where a value stands.
    pub(super) fn at(slot: Slot) -> Option<Self> {
        Self::of(slot.payload(), slot.type_info())
    }

    /// The node that value and type of a slot stand for.
    #[inline]
    pub(super) fn of(value: php::zend_value, type_info: u32) -> Option<Self> {
        if type_info != php::IS_PTR {
            return None;
        }
        // SAFETY: values of this type are written by `put` only, and are seen only as part of the
        // template, in whose arena lies what they point to. Templates are not handed out as they
        // are.
        unsafe {
            let tagged = value.ptr;
            let place = tagged.map_addr(|at| at & !KIND);
            Some(match tagged.addr() & KIND {
                0 => Self::Array(Table::alive(place.cast())),
                1 => Self::Shared(Table::alive(place.cast())),
                2 => Self::Record(Table::alive(place.cast())),
                _ => Self::Instance(&*place.cast::<Instance>()),
            })
        }
    }
}

/// So many slots of a table are filled between two looks at `memory_limit`.
const STEP: usize = 1024;

/// Builds the value of one get.
pub(super) struct Build {
    heap: RequestHeap,
    /// The class found last, by the address of its name.
    class: Option<(*const u8, Class)>,
}

impl Build {
    pub(super) fn new() -> Self {
        Self { heap: RequestHeap::new(), class: None }
    }

    /// Writes the value of a node to `out`, which is null on failure.
    pub(super) fn value(&mut self, node: Node<'_>, out: Slot) -> Result<(), Unmade> {
        out.put_null();
        match node {
            Node::Array(table) => {
                out.put_array(self.table(table)?, php::IS_ARRAY_EX);
                Ok(())
            }
            Node::Shared(table) => {
                share(table, out);
                Ok(())
            }
            Node::Record(table) => {
                let table = self.table(table)?;
                // SAFETY: the copy is whole and goes to the object.
                unsafe { put_std_class(table, out) };
                Ok(())
            }
            Node::Instance(instance) => self.object(instance, out),
        }
    }

    /// A copy of a table on the request's heap, its nodes built.
    fn table(&mut self, template: Table) -> Result<Table, Unmade> {
        let copy = table::copy(&mut self.heap, template)?;
        let (mut slots, mut left) = (Entries::new(copy), copy.used());
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
    fn fill(&mut self, slots: impl Iterator<Item = (Slot, u64, Option<Text>)>) -> Result<(), Unmade> {
        for (slot, _, _) in slots {
            match Node::at(slot) {
                None => {}
                Some(Node::Shared(table)) => share(table, slot),
                Some(inner) => self.value(inner, slot)?,
            }
        }
        Ok(())
    }

    fn object(&mut self, instance: &Instance, out: Slot) -> Result<(), Unmade> {
        let (name, len) = instance.class;
        let class = match self.class {
            Some((last, class)) if std::ptr::eq(last, name) => class,
            // SAFETY: the arena keeps the name.
            _ => Class::find(unsafe { std::slice::from_raw_parts(name, len) }).ok_or(Foreign)?,
        };
        self.class = Some((name, class));
        if !class.fits(instance.table) {
            return Err(Unmade::Foreign);
        }
        // SAFETY: only plain classes are found.
        let object = unsafe { class.new_object() };
        out.put_object(object);
        let properties = || {
            // SAFETY: the properties fit the class, so it has a slot for each.
            let slot_of = move |at| unsafe { object.slot(at) };
            Entries::new(instance.table).enumerate().map(move |(at, (value, _, _))| (slot_of(at), value))
        };
        // All slots, before the first is built: that may leave by `longjmp`, and the engine knows
        // the object already.
        for (slot, value) in properties() {
            // SAFETY: the slot is the new object's, which nobody looks at meanwhile.
            unsafe { slot.as_ptr().write(std::mem::zeroed()) };
            match Node::at(value) {
                Some(_) => slot.put_null(),
                None => slot.put(value.payload(), value.type_info()),
            }
        }
        for (slot, value) in properties() {
            if let Some(node) = Node::at(value)
                && let Err(unmade) = self.value(node, slot)
            {
                // SAFETY: the object is whole and ours.
                unsafe { out.free() };
                return Err(unmade);
            }
        }
        Ok(())
    }
}

/// Writes an object that shares the table of a node.
#[inline]
fn share(table: Table, out: Slot) {
    // SAFETY: the table of such a node lies in an arena, which what is given to a request outlives
    // no sooner than the request's end, and has no nodes in it.
    unsafe { put_sharer(table, out) };
}

/// Frees an unfinished copy. The nodes not built yet are no values.
fn give_up(copy: Table) {
    for (slot, _, _) in Entries::new(copy) {
        if Node::at(slot).is_some() {
            slot.put_null();
        }
    }
    // SAFETY: the copy is whole and ours.
    unsafe { copy.free() };
}
