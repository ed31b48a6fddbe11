//! Which classes the payload's object extension may carry, and objects made without the engine's help.

use std::mem::ManuallyDrop;

use ext_php_rs::ffi as php;

use super::tables::Owner;
use crate::near::shared;
use crate::zend::ffi::{zend_class_entry, zend_object};
use crate::zend::memory::{Foreign, bytes_of, put};
use crate::zend::table::{self, Entries, same_key};
use crate::zend::{HashTable, ZStr, Zv};

/// A class that PHP code declares.
const USER_CLASS: i8 = 2;
/// The longest class name that is looked up without `unserialize()`.
const LONGEST_NAME: usize = 255;

/// Not to be written as a plain object: an enum, an anonymous class, one that forbids it.
const NEVER: u32 = php::ZEND_ACC_ENUM | php::ZEND_ACC_ANON_CLASS | php::ZEND_ACC_NOT_SERIALIZABLE;
/// Not to be made: interfaces, traits, abstract classes.
const NO_OBJECTS: u32 = php::ZEND_ACC_INTERFACE
    | php::ZEND_ACC_TRAIT
    | php::ZEND_ACC_ABSTRACT
    | php::ZEND_ACC_IMPLICIT_ABSTRACT_CLASS;

fn is_std_class(class: *const zend_class_entry) -> bool {
    // SAFETY: the engine sets it at start-up.
    std::ptr::eq(class, unsafe { php::zend_standard_class_def })
}

fn has_method(class: *const zend_class_entry, name: &str) -> bool {
    // SAFETY: the class is live; the name is lower case as the table's keys are.
    unsafe {
        !php::zend_hash_str_find(&raw const (*class).function_table, name.as_ptr().cast(), name.len())
            .is_null()
    }
}

/// True when `serialize()` would write nothing of the class but its properties as they are, and `unserialize()`
/// would do no more than set them.
fn is_plain_class(class: *const zend_class_entry) -> bool {
    // SAFETY: the class is live.
    unsafe {
        (*class).type_ == USER_CLASS
            && (*class).ce_flags & NEVER == 0
            && (*class).__bindgen_anon_2.create_object.is_none()
            && (*class).serialize.is_none()
            && (*class).unserialize.is_none()
            && (*class).__serialize.is_null()
            && (*class).__unserialize.is_null()
            && !has_hooked_properties(class)
            && std::str::from_utf8(bytes_of((*class).name)).is_ok()
            && !has_method(class, "__sleep")
            && !has_method(class, "__wakeup")
    }
}

#[cfg(php84)]
fn has_hooked_properties(class: *const zend_class_entry) -> bool {
    // SAFETY: the class is live.
    unsafe { (*class).num_hooked_props != 0 }
}

#[cfg(not(php84))]
fn has_hooked_properties(_: *const zend_class_entry) -> bool {
    false
}

/// A lazy object's properties are not there yet.
#[cfg(php84)]
fn is_lazy(object: *const zend_object) -> bool {
    // SAFETY: the object is live. The two high bits mark uninitialized and proxy objects.
    unsafe { (*object).extra_flags & (3 << 30) != 0 }
}

#[cfg(not(php84))]
fn is_lazy(_: *const zend_object) -> bool {
    false
}

/// The plain classes met in one encode; objects of a class mostly come in a row.
pub(super) struct PlainClasses {
    last: (*const zend_class_entry, bool),
}

impl PlainClasses {
    pub(super) fn new() -> Self {
        Self { last: (std::ptr::null(), false) }
    }

    /// The class of an object that may be written as a plain one.
    pub(super) fn owner(&mut self, object: *const zend_object) -> Option<Owner> {
        // SAFETY: the object is live.
        unsafe {
            let class = (*object).ce.cast_const();
            if !shared::is_plain(object) || is_lazy(object) {
                return None;
            }
            if is_std_class(class) {
                return Some(Owner::StdClass);
            }
            if !std::ptr::eq(self.last.0, class) {
                self.last = (class, is_plain_class(class));
            }
            self.last.1.then_some(Owner::Class((*class).name))
        }
    }

    /// Whether to write an object may run a script's code.
    pub(super) fn has_hooks(&mut self, object: *const zend_object) -> bool {
        // SAFETY: the object is live.
        let (kind, flags) = unsafe { ((*(*object).ce).type_, (*(*object).ce).ce_flags) };
        kind == USER_CLASS && flags & php::ZEND_ACC_ENUM == 0 && self.owner(object).is_none()
    }
}

/// The class of this name, if it is loaded and an object of it may be made from slots alone.
pub(crate) fn find(name: &[u8]) -> Option<*mut zend_class_entry> {
    let mut lower = [0_u8; LONGEST_NAME];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    // SAFETY: the class table lives as long as the request; a class's zval holds its entry.
    unsafe {
        let classes = (*php::ext_php_rs_executor_globals()).class_table;
        let found = php::zend_hash_str_find(classes, lower.as_ptr().cast(), lower.len());
        if found.is_null() {
            return None;
        }
        let class = (*found).value.ce;
        let wanted = (*class).ce_flags & (NO_OBJECTS | php::ZEND_ACC_LINKED) == php::ZEND_ACC_LINKED
            // A destructor must not see an object that was given up half-way.
            && (*class).destructor.is_null()
            // An alias is another name.
            && bytes_of((*class).name) == name
            && is_plain_class(class);
        wanted.then_some(class)
    }
}

/// True when these properties are exactly the class's, in its order, and each value fits the property's type.
pub(crate) fn fits(class: *const zend_class_entry, properties: *const HashTable) -> bool {
    // SAFETY: class and table are live; the class's table of properties has that many entries.
    unsafe {
        let count = usize::try_from((*class).default_properties_count).unwrap_or(0);
        count == table::used(properties)
            && Entries::new(properties).enumerate().all(|(at, (value, _, name))| {
                let property = *(*class).properties_info_table.add(at);
                if property.is_null() || !same_key((*property).name, name) {
                    return false;
                }
                let mask = (*property).type_.type_mask;
                let declared = mask != 0 || !(*property).type_.ptr.is_null();
                let kind = u32::from((*value).u1.v.type_);
                // Other types are left to the engine, which may have to load classes. Further bits of the mask are no types of values.
                !declared || (kind <= php::IS_OBJECT && mask & (1 << kind) != 0)
            })
    }
}

/// An object of a class that [`fits`], its slots still unset. The caller fills them all.
pub(crate) fn new_object(class: *mut zend_class_entry) -> *mut zend_object {
    // SAFETY: a plain class has the standard layout.
    unsafe { php::zend_objects_new(class) }
}

/// The first of an object's property slots.
pub(crate) fn slots(object: *mut zend_object) -> *mut Zv {
    // SAFETY: the slots lie at the object's end.
    unsafe { (&raw mut (*object).properties_table).cast() }
}

/// Writes a new `stdClass`, which takes the caller's reference to the table of its properties.
#[inline]
pub(crate) fn put_std_class(properties: *mut HashTable, out: *mut Zv) -> *mut zend_object {
    // SAFETY: stdClass is there.
    unsafe {
        let object = php::zend_objects_new(php::zend_standard_class_def);
        (*object).properties = properties;
        put(out, php::zend_value { obj: object }, php::IS_OBJECT_EX);
        object
    }
}

/// Makes an object on the request's heap of a finished table of properties. With `keep_table` the table's keys
/// stay the caller's, who has no use for its values any more; for `stdClass` the object takes the table itself.
pub(crate) fn make(
    name: &[u8],
    properties: *mut HashTable,
    keep_table: bool,
    out: *mut Zv,
) -> Result<(), Foreign> {
    if name.is_empty() {
        put_std_class(properties, out);
        return Ok(());
    }
    let class = find(name).filter(|class| fits(*class, properties)).ok_or(Foreign)?;
    let object = new_object(class);
    for (at, (value, _, _)) in Entries::new(properties).enumerate() {
        // SAFETY: the class has a slot for each property; the value moves there and leaves nothing to free.
        unsafe {
            let slot = slots(object).add(at);
            slot.write(std::mem::zeroed());
            put(slot, (*value).value, (*value).u1.type_info);
            (*value).u1.type_info = php::IS_UNDEF;
        }
    }
    put(out, php::zend_value { obj: object }, php::IS_OBJECT_EX);
    if !keep_table {
        // SAFETY: the table is the caller's only one, and its values are gone.
        unsafe { php::zend_array_destroy(properties) };
    }
    Ok(())
}

/// What an object of an internal class keeps besides its properties, such as the elements of an `ArrayObject`: all that the
/// engine's garbage collector is told of. Copies that are not counted.
pub(super) fn kept(object: *mut zend_object) -> Vec<ManuallyDrop<Zv>> {
    if shared::is_plain(object) {
        return Vec::new();
    }
    // SAFETY: the object is live, and its handler runs no user code. The list may be the engine's own, which the next handler
    // overwrites.
    unsafe {
        let (mut values, mut count) = (std::ptr::null_mut(), 0);
        if let Some(get_gc) = (*(*object).handlers).get_gc {
            get_gc(object, &raw mut values, &raw mut count);
        }
        let count = if values.is_null() { 0 } else { usize::try_from(count).unwrap_or(0) };
        (0..count).map(|at| ManuallyDrop::new(std::ptr::read(values.add(at)))).collect()
    }
}

/// The declared properties of an object that has no table of properties: name and slot, in order.
pub(super) fn declared(object: *mut zend_object) -> impl Iterator<Item = (*mut Zv, *mut ZStr)> + Clone {
    // SAFETY: the object is live and has as many slots as its class declares.
    unsafe {
        let class = (*object).ce;
        let count = usize::try_from((*class).default_properties_count).unwrap_or(0);
        (0..count).filter_map(move |at| {
            let property = *(*class).properties_info_table.add(at);
            let value = slots(object).add(at);
            (!property.is_null() && u32::from((*value).u1.v.type_) != php::IS_UNDEF)
                .then(|| (value, (*property).name))
        })
    }
}
