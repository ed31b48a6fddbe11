//! Keeps alive what user code overwrites while PHP's serializer is in the middle of it.

use std::mem::ManuallyDrop;

use ext_php_rs::ffi as php;

use super::class::PlainClasses;
use super::tables::Seen;
use crate::zend::alive::{Kind, Slot};
use crate::zend::guard::{Stopped, guarded};
use crate::zend::table::Entries;

/// The arrays, objects and references of a value, counted once more each.
///
/// PHP's serializer walks through an array without holding it. A hook of an object in there may
/// overwrite the reference or the property that the array, or the object itself, hangs on.
pub(super) struct Held {
    /// Not dropped but released, for that runs destructors.
    values: Vec<ManuallyDrop<php::zval>>,
    seen: Seen,
    classes: PlainClasses,
    /// Whether a class was met that may run user code.
    hooks: bool,
}

impl Held {
    /// Holds a value that is not nested too deep, if user code may run while it is written.
    pub(super) fn of(value: Slot) -> Self {
        let mut held =
            Self { values: Vec::new(), seen: Seen::default(), classes: PlainClasses::new(), hooks: false };
        held.find(value);
        if !held.hooks {
            held.values.clear();
        }
        for value in &held.values {
            // SAFETY: only what is counted was found, and it is alive: nothing ran since.
            unsafe {
                let counted = value.value.counted;
                (*counted).gc.refcount += 1;
            }
        }
        held
    }

    /// Notes what is counted in a value.
    fn find(&mut self, value: Slot) {
        let kind = value.kind();
        if !value.is_counted() || matches!(kind, Kind::Text(_)) {
            return;
        }
        // SAFETY: the value is counted, so it points to a header with a count.
        let (address, lone) = unsafe {
            let counted = value.payload().counted;
            (counted.addr(), (*counted).gc.refcount == 1)
        };
        if self.seen.again(address) {
            return;
        }
        // A reference that has one holder is none for `serialize()`, and must not get a second.
        if !(lone && matches!(kind, Kind::Reference(_))) {
            // SAFETY: the value is alive. The copy is not counted, and so not dropped.
            self.values.push(ManuallyDrop::new(unsafe { std::ptr::read(value.as_ptr()) }));
        }
        match kind {
            Kind::Array(table) => Entries::new(table).for_each(|(item, _, _)| self.find(item)),
            Kind::Reference(reference) => self.find(reference.inner),
            Kind::Object(object) => {
                self.hooks |= self.classes.has_hooks(object);
                for item in &object.kept() {
                    // SAFETY: what an object keeps is alive while nothing runs; the copy is there
                    // until the end of the loop.
                    self.find(unsafe { Slot::alive(&raw const **item) });
                }
                match object.properties() {
                    None => object.declared().for_each(|(item, _)| self.find(item)),
                    Some(table) => Entries::new(table).for_each(|(item, _, _)| self.find(item)),
                }
            }
            _ => {}
        }
    }

    /// Releases all. Runs the destructors of what nobody else holds any more.
    pub(super) fn release(&mut self) -> Result<(), Stopped> {
        let values = std::mem::take(&mut self.values);
        guarded(|| {
            for value in &values {
                // SAFETY: the value was counted for this; it is not used again.
                unsafe { php::zval_ptr_dtor(std::ptr::from_ref(&**value).cast_mut()) };
            }
        })
    }
}
