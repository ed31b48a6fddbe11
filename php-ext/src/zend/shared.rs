//! Objects that share a table of properties with a template.
//!
//! The engine copies an immutable table before it writes a property. But who asks an object for its
//! whole table may write to it, and `array_walk()` and `mb_convert_variables()` do, without a look
//! at what it is. So these objects have handlers of their own: asked for its table, an object first
//! gets one for itself. Nobody outside the engine's own property look-ups ever sees the template's.
//!
//! Two classes refuse objects with handlers that are not the engine's: what is given to
//! `ArrayObject` and `ArrayIterator` becomes an ordinary object first.

use std::ffi::c_int;
use std::sync::OnceLock;

use ext_php_rs::ffi as php;

use super::alive::{Kind, Object, Slot, Table};
use super::ffi::{
    HashTable, spl_ce_ArrayIterator, spl_ce_ArrayObject, spl_ce_RecursiveArrayIterator, zend_object,
};
use super::method::{Handler, argument, replace};

/// The handlers of objects that may share their table.
fn handlers() -> *const php::zend_object_handlers {
    static HANDLERS: OnceLock<php::zend_object_handlers> = OnceLock::new();
    HANDLERS.get_or_init(|| {
        // SAFETY: the engine's table is complete before any extension starts.
        let mut handlers = unsafe { php::std_object_handlers };
        handlers.get_properties = Some(own_properties);
        handlers.get_gc = Some(held);
        handlers
    })
}

impl Object {
    /// Whether it is what its class and its properties say, and no more: it has the engine's
    /// handlers, or these, which make no difference.
    pub(crate) fn is_plain(self) -> bool {
        std::ptr::eq(self.handlers(), &raw const php::std_object_handlers)
            || std::ptr::eq(self.handlers(), handlers())
    }

    /// Whether its table is a template's.
    fn shares(self) -> bool {
        self.properties().is_some_and(Table::is_immutable)
    }

    /// Takes these handlers off it.
    fn make_ordinary(self) {
        if std::ptr::eq(self.handlers(), handlers()) {
            // SAFETY: the object is alive and has these handlers.
            unsafe {
                own_properties(self.as_ptr());
                (*self.as_ptr()).handlers = &raw const php::std_object_handlers;
            }
        }
    }
}

/// Writes a new `stdClass` with this table to `out`.
///
/// # Safety
///
/// The table is whole, and the caller hands over its count, if it is counted.
#[inline]
pub(crate) unsafe fn put_std_class(table: Table, out: Slot) -> Object {
    // SAFETY: the engine's own class, whose objects have no slots; the table is the caller's to
    // give.
    unsafe {
        let object = php::zend_objects_new(php::zend_standard_class_def);
        (*object).properties = table.as_ptr();
        let object = Object::alive(object);
        out.put_object(object);
        object
    }
}

/// Writes a new `stdClass` that shares a template's table.
///
/// # Safety
///
/// The table is immutable, holds values only, and lives to the end of the request.
#[inline]
pub(crate) unsafe fn put_sharer(table: Table, out: Slot) {
    // SAFETY: the object is new. The engine neither counts nor frees an immutable table.
    unsafe {
        let object = put_std_class(table, out);
        (*object.as_ptr()).handlers = handlers();
    }
}

/// The object's table, which is nobody else's.
unsafe extern "C" fn own_properties(object: *mut zend_object) -> *mut HashTable {
    // SAFETY: the engine passes a live object with these handlers. Copying may leave by `longjmp`;
    // nothing is changed then.
    unsafe {
        if Object::alive(object).shares() {
            (*object).properties = php::zend_array_dup((*object).properties);
        }
        php::zend_std_get_properties(object)
    }
}

/// What the cycle collector follows, and writes to: an own table. A template's holds nothing that
/// is counted.
unsafe extern "C" fn held(
    object: *mut zend_object,
    slots: *mut *mut php::zval,
    count: *mut c_int,
) -> *mut HashTable {
    // SAFETY: the engine passes a live object and where the answer goes. A `stdClass` has no slots.
    unsafe {
        *slots = std::ptr::null_mut();
        *count = 0;
        if Object::alive(object).shares() { std::ptr::null_mut() } else { (*object).properties }
    }
}

/// The methods that want ordinary objects.
static METHODS: [OnceLock<Handler>; 4] = [const { OnceLock::new() }; 4];

unsafe extern "C" fn with_ordinary<const METHOD: usize>(
    call: *mut php::zend_execute_data,
    out: *mut php::zval,
) {
    // SAFETY: PHP calls with a live frame.
    let value = unsafe { argument(call, 0).map(|value| Slot::of(value)) };
    if let Some(Kind::Object(object)) = value.map(Slot::kind) {
        object.make_ordinary();
    }
    if let Some(method) = METHODS.get(METHOD).and_then(OnceLock::get) {
        // SAFETY: the handler was the method's own.
        unsafe { method(call, out) };
    }
}

/// To be called when a module starts that stays: the methods would outlive another one's handlers.
pub(crate) fn install() {
    let [construct, exchange, iterator, recursive] = &METHODS;
    // SAFETY: SPL is a part of PHP that starts before any extension which is loaded; no script runs
    // yet.
    unsafe {
        replace(spl_ce_ArrayObject, c"__construct", with_ordinary::<0>, construct);
        replace(spl_ce_ArrayObject, c"exchangearray", with_ordinary::<1>, exchange);
        replace(spl_ce_ArrayIterator, c"__construct", with_ordinary::<2>, iterator);
        replace(spl_ce_RecursiveArrayIterator, c"__construct", with_ordinary::<3>, recursive);
    }
}
