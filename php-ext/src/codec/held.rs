//! Keeps alive what user code overwrites while PHP's serializer is in the middle of it.

use std::mem::ManuallyDrop;

use ext_php_rs::ffi as php;

use super::class::{self, PlainClasses};
use super::tables::Seen;
use crate::zend::Zv;
use crate::zend::guard::{Stopped, guarded};
use crate::zend::table::Entries;

/// The arrays, objects and references of a value, counted once more each.
///
/// PHP's serializer walks through an array without holding it. A hook of an object in there may overwrite the reference or the
/// property that the array, or the object itself, hangs on.
pub(super) struct Held {
    /// Not dropped but released, for that runs destructors.
    values: Vec<ManuallyDrop<Zv>>,
    seen: Seen,
    classes: PlainClasses,
    /// Whether a class was met that may run user code.
    hooks: bool,
}

impl Held {
    /// Holds a value that is not nested too deep, if user code may run while it is written.
    pub(super) fn of(value: *const Zv) -> Self {
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
    fn find(&mut self, value: *const Zv) {
        // SAFETY: the value is live and of the type its tag says; nothing runs that could change it. The copy is not dropped.
        unsafe {
            if (*value).u1.v.type_flags == 0 || u32::from((*value).u1.v.type_) == php::IS_STRING {
                return;
            }
            if self.seen.again((*value).value.counted.cast()) {
                return;
            }
            let lone = (*(*value).value.counted).gc.refcount == 1;
            // A reference that has one holder is none for `serialize()`, and must not get a second.
            if !(lone && u32::from((*value).u1.v.type_) == php::IS_REFERENCE) {
                self.values.push(ManuallyDrop::new(std::ptr::read(value)));
            }
            match u32::from((*value).u1.v.type_) {
                php::IS_ARRAY => {
                    Entries::new((*value).value.arr).for_each(|(item, _, _)| self.find(item));
                }
                php::IS_REFERENCE => self.find(&raw const (*(*value).value.ref_).val),
                php::IS_OBJECT => {
                    let object = (*value).value.obj;
                    self.hooks |= self.classes.has_hooks(object);
                    for item in &class::kept(object) {
                        self.find(&raw const **item);
                    }
                    if (*object).properties.is_null() {
                        class::declared(object).for_each(|(item, _)| self.find(item));
                    } else {
                        Entries::new((*object).properties).for_each(|(item, _, _)| self.find(item));
                    }
                }
                _ => {}
            }
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
