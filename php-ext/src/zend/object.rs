//! Objects and classes: which are no more than their properties, and how such an object is made
//! without the engine's help.

use std::mem::ManuallyDrop;

use ext_php_rs::ffi as php;
use ext_php_rs::flags::ClassFlags;

use super::alive::{Class, Object, Slot, Table, Text};
use super::ffi::zend_class_entry;
use super::shared::put_std_class;
use super::table::Entries;

/// A class that PHP code declares.
const USER_CLASS: std::ffi::c_char = 2;
/// The longest class name that is looked up without `unserialize()`.
const LONGEST_NAME: usize = 255;

/// Not to be written as a plain object: an enum, an anonymous class, one that forbids it.
const NEVER: u32 = php::ZEND_ACC_ENUM | php::ZEND_ACC_ANON_CLASS | php::ZEND_ACC_NOT_SERIALIZABLE;
/// Not to be made: interfaces, traits, abstract classes.
const NO_OBJECTS: u32 = php::ZEND_ACC_INTERFACE
    | php::ZEND_ACC_TRAIT
    | php::ZEND_ACC_ABSTRACT
    | php::ZEND_ACC_IMPLICIT_ABSTRACT_CLASS;

/// The flags of this extension's own classes: a child's constructor, or a property that nobody
/// declared, is always a mistake.
#[cfg(php82)]
pub(crate) const FINAL: ClassFlags = ClassFlags::Final.union(ClassFlags::NoDynamicProperties);
#[cfg(not(php82))]
pub(crate) const FINAL: ClassFlags = ClassFlags::Final;

/// Only `unserialize()` may make this object: its class must be loaded, has hooks or has changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Foreign;

impl Class {
    /// Whether it is `stdClass`.
    pub(crate) fn is_std(self) -> bool {
        // SAFETY: the engine sets it at start-up.
        std::ptr::eq(self.as_ptr(), unsafe { php::zend_standard_class_def })
    }

    /// Whether `serialize()` would write nothing of it but its properties as they are, and
    /// `unserialize()` would do no more than set them.
    pub(crate) fn is_plain(self) -> bool {
        let class: *const zend_class_entry = self.as_ptr();
        // SAFETY: the class is alive.
        let without_hooks = unsafe {
            (*class).type_ == USER_CLASS
                && (*class).ce_flags & NEVER == 0
                && (*class).__bindgen_anon_2.create_object.is_none()
                && (*class).serialize.is_none()
                && (*class).unserialize.is_none()
                && (*class).__serialize.is_null()
                && (*class).__unserialize.is_null()
        };
        without_hooks
            && !self.has_hooked_properties()
            && std::str::from_utf8(self.name().bytes()).is_ok()
            && !self.has_method("__sleep")
            && !self.has_method("__wakeup")
    }

    /// Whether PHP code declares it, and it is no enum.
    pub(crate) fn is_declared(self) -> bool {
        // SAFETY: the class is alive.
        let (kind, flags) = unsafe { ((*self.as_ptr()).type_, (*self.as_ptr()).ce_flags) };
        kind == USER_CLASS && flags & php::ZEND_ACC_ENUM == 0
    }

    /// `name` is lower case, as the engine's keys are.
    fn has_method(self, name: &str) -> bool {
        // SAFETY: the class is alive, and so is its table of methods.
        unsafe {
            let methods = &raw const (*self.as_ptr()).function_table;
            !php::zend_hash_str_find(methods, name.as_ptr().cast(), name.len()).is_null()
        }
    }

    #[cfg(php84)]
    fn has_hooked_properties(self) -> bool {
        // SAFETY: the class is alive.
        unsafe { (*self.as_ptr()).num_hooked_props != 0 }
    }

    #[cfg(not(php84))]
    #[expect(clippy::unused_self, reason = "newer engines know hooks")]
    fn has_hooked_properties(self) -> bool {
        false
    }

    /// How many properties it declares.
    fn declared_properties(self) -> usize {
        // SAFETY: the class is alive.
        usize::try_from(unsafe { (*self.as_ptr()).default_properties_count }).unwrap_or(0)
    }

    /// What is declared of the property in a slot of its objects, of which there are
    /// [`declared_properties`](Self::declared_properties).
    ///
    /// # Safety
    ///
    /// There is such a slot.
    unsafe fn property(self, slot: usize) -> *const php::zend_property_info {
        // SAFETY: the class is alive, and its table of properties has an entry for each slot.
        unsafe { *(*self.as_ptr()).properties_info_table.add(slot) }
    }

    /// The class of this name, if it is loaded and an object of it may be made from slots alone.
    pub(crate) fn find(name: &[u8]) -> Option<Self> {
        let mut lower = [0_u8; LONGEST_NAME];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        // SAFETY: the class table lives as long as the request, and so do its classes; the slot of
        // a class holds its entry.
        let (class, flags, has_destructor) = unsafe {
            let classes = (*php::ext_php_rs_executor_globals()).class_table;
            let found = php::zend_hash_str_find(classes, lower.as_ptr().cast(), lower.len());
            if found.is_null() {
                return None;
            }
            let class = (*found).value.ce;
            (Self::alive(class), (*class).ce_flags, !(*class).destructor.is_null())
        };
        let wanted = flags & (NO_OBJECTS | php::ZEND_ACC_LINKED) == php::ZEND_ACC_LINKED
            // A destructor must not see an object that was given up half-way.
            && !has_destructor
            // An alias is another name.
            && class.name().bytes() == name
            && class.is_plain();
        wanted.then_some(class)
    }

    /// Whether these properties are exactly the class's, in its order, and each value fits the
    /// property's type.
    pub(crate) fn fits(self, properties: Table) -> bool {
        self.declared_properties() == properties.used()
            && Entries::new(properties).enumerate().all(|(at, (value, _, name))| {
                // SAFETY: there are as many slots as properties, and what is declared of them lives
                // as long as the class.
                let (declared_name, mask, list) = unsafe {
                    let property = self.property(at);
                    if property.is_null() {
                        return false;
                    }
                    (Text::new((*property).name), (*property).type_.type_mask, (*property).type_.ptr)
                };
                let declared = mask != 0 || !list.is_null();
                let kind = value.type_of();
                // Other types are left to the engine, which may have to load classes. Further bits
                // of the mask are no types of values.
                Text::same(declared_name, name)
                    && (!declared || (kind <= php::IS_OBJECT && mask & (1 << kind) != 0))
            })
    }

    /// A new object, its slots still unset: the caller fills them all.
    ///
    /// # Safety
    ///
    /// The class is plain.
    pub(crate) unsafe fn new_object(self) -> Object {
        // SAFETY: a plain class has the standard layout.
        unsafe { Object::alive(php::zend_objects_new(self.as_ptr())) }
    }
}

impl Object {
    /// Whether its properties are not there yet.
    #[cfg(php84)]
    pub(crate) fn is_lazy(self) -> bool {
        // SAFETY: the object is alive. The two high bits mark uninitialized and proxy objects.
        unsafe { (*self.as_ptr()).extra_flags & (3 << 30) != 0 }
    }

    /// No object is lazy before PHP 8.4.
    #[cfg(not(php84))]
    #[expect(clippy::unused_self, reason = "newer engines have lazy objects")]
    pub(crate) fn is_lazy(self) -> bool {
        false
    }

    /// A slot of its declared properties.
    ///
    /// # Safety
    ///
    /// Its class declares so many.
    pub(crate) unsafe fn slot(self, at: usize) -> Slot {
        // SAFETY: the slots lie at the object's end, one for each declared property.
        unsafe { Slot::alive((&raw const (*self.as_ptr()).properties_table).cast::<php::zval>().add(at)) }
    }

    /// The declared properties of an object that has no table of properties: slot and name, in
    /// order.
    pub(crate) fn declared(self) -> impl Iterator<Item = (Slot, Option<Text>)> + Clone {
        let class = self.class();
        (0..class.declared_properties()).filter_map(move |at| {
            // SAFETY: the class declares so many, and their names live as long as it does.
            let (value, name) = unsafe {
                let property = class.property(at);
                if property.is_null() {
                    return None;
                }
                (self.slot(at), Text::new((*property).name))
            };
            (value.type_of() != php::IS_UNDEF).then_some((value, name))
        })
    }

    /// What an object of an internal class keeps besides its properties, such as the elements of an
    /// `ArrayObject`: all that the engine's garbage collector is told of. Copies that are not
    /// counted.
    pub(crate) fn kept(self) -> Vec<ManuallyDrop<php::zval>> {
        if self.is_plain() {
            return Vec::new();
        }
        // SAFETY: the object is alive, and its handler runs no user code. The list may be the
        // engine's own, which the next handler overwrites, so it is copied.
        unsafe {
            let (mut values, mut count) = (std::ptr::null_mut(), 0);
            if let Some(get_gc) = (*self.handlers()).get_gc {
                get_gc(self.as_ptr(), &raw mut values, &raw mut count);
            }
            let count = if values.is_null() { 0 } else { usize::try_from(count).unwrap_or(0) };
            (0..count).map(|at| ManuallyDrop::new(std::ptr::read(values.add(at)))).collect()
        }
    }
}

/// Writes a new object of a class (empty: `stdClass`) with these properties. With `keep_table` the
/// table's keys stay the caller's, who has no use for its values any more; for `stdClass` the
/// object takes the table itself.
///
/// # Errors
///
/// [`Foreign`]; then the table stays the caller's.
///
/// # Safety
///
/// The table is whole, on the request's heap, and nobody's but the caller's.
pub(crate) unsafe fn make(
    name: &[u8],
    properties: Table,
    keep_table: bool,
    out: Slot,
) -> Result<(), Foreign> {
    if name.is_empty() {
        // SAFETY: the caller's promise.
        unsafe { put_std_class(properties, out) };
        return Ok(());
    }
    let class = Class::find(name).filter(|class| class.fits(properties)).ok_or(Foreign)?;
    // SAFETY: only plain classes are found.
    let object = unsafe { class.new_object() };
    for (at, (value, _, _)) in Entries::new(properties).enumerate() {
        // SAFETY: the properties fit the class, so there is a slot for each; the value moves there
        // and leaves nothing to free.
        unsafe {
            let slot = object.slot(at);
            slot.as_ptr().write(std::mem::zeroed());
            slot.put(value.payload(), value.type_info());
        }
        value.put(php::zend_value { lval: 0 }, php::IS_UNDEF);
    }
    out.put_object(object);
    if !keep_table {
        // SAFETY: the table is the caller's only one, and its values are gone.
        unsafe { properties.free() };
    }
    Ok(())
}
