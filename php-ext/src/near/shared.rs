//! Objects that share a table of properties with a template.
//!
//! The engine copies an immutable table before it writes a property. But who asks an object for its whole table may write to
//! it, and `array_walk()` and `mb_convert_variables()` do, without a look at what it is. So these objects have handlers of
//! their own: asked for its table, an object first gets one for itself. Nobody outside the engine's own property look-ups ever
//! sees the template's.
//!
//! Two classes refuse objects with handlers that are not the engine's: what is given to `ArrayObject` and `ArrayIterator`
//! becomes an ordinary object first.

use std::ffi::c_int;
use std::sync::OnceLock;

use ext_php_rs::ffi as php;

use crate::codec::class;
use crate::zend::ffi::{
    GC_IMMUTABLE, spl_ce_ArrayIterator, spl_ce_ArrayObject, spl_ce_RecursiveArrayIterator, zend_object,
};
use crate::zend::method::{Handler, argument, replace};
use crate::zend::{HashTable, Zv};

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

/// Whether an object has the engine's handlers, or these, which make no difference to what it is.
pub(crate) fn is_plain(object: *const zend_object) -> bool {
    // SAFETY: callers pass a live object.
    let its = unsafe { (*object).handlers };
    std::ptr::eq(its, &raw const php::std_object_handlers) || std::ptr::eq(its, handlers())
}

/// Writes a new `stdClass` that shares a template's table.
#[inline]
pub(super) fn put_sharer(table: *mut HashTable, out: *mut Zv) {
    let object = class::put_std_class(table, out);
    // SAFETY: the object is new. The engine neither counts nor frees an immutable table.
    unsafe { (*object).handlers = handlers() };
}

/// Whether an object's table is a template's.
fn shares(object: *const zend_object) -> bool {
    // SAFETY: callers pass a live object.
    unsafe {
        let table = (*object).properties;
        !table.is_null() && (*table).gc.u.type_info & GC_IMMUTABLE != 0
    }
}

/// The object's table, which is nobody else's.
unsafe extern "C" fn own_properties(object: *mut zend_object) -> *mut HashTable {
    // SAFETY: the engine passes a live object with these handlers. Copying may leave by `longjmp`; nothing is changed then.
    unsafe {
        if shares(object) {
            (*object).properties = php::zend_array_dup((*object).properties);
        }
        php::zend_std_get_properties(object)
    }
}

/// What the cycle collector follows, and writes to: an own table. A template's holds nothing that is counted.
unsafe extern "C" fn held(
    object: *mut zend_object,
    slots: *mut *mut php::zval,
    count: *mut c_int,
) -> *mut HashTable {
    // SAFETY: the engine passes a live object and where the answer goes. A `stdClass` has no slots.
    unsafe {
        *slots = std::ptr::null_mut();
        *count = 0;
        if shares(object) { std::ptr::null_mut() } else { (*object).properties }
    }
}

/// Takes these handlers off an object.
fn make_ordinary(value: *mut Zv) {
    // SAFETY: callers pass a live value.
    unsafe {
        if u32::from((*value).u1.v.type_) == php::IS_OBJECT {
            let object = (*value).value.obj;
            if std::ptr::eq((*object).handlers, handlers()) {
                own_properties(object);
                (*object).handlers = &raw const php::std_object_handlers;
            }
        }
    }
}

/// The methods that want ordinary objects.
static METHODS: [OnceLock<Handler>; 4] = [const { OnceLock::new() }; 4];

unsafe extern "C" fn with_ordinary<const METHOD: usize>(
    call: *mut php::zend_execute_data,
    out: *mut php::zval,
) {
    // SAFETY: PHP calls with a live frame.
    if let Some(value) = unsafe { argument(call, 0) } {
        make_ordinary(value);
    }
    if let Some(method) = METHODS.get(METHOD).and_then(OnceLock::get) {
        // SAFETY: the handler was the method's own.
        unsafe { method(call, out) };
    }
}

/// To be called when a module starts that stays: the methods would outlive another one's handlers.
pub(crate) fn install() {
    let [construct, exchange, iterator, recursive] = &METHODS;
    // SAFETY: SPL is a part of PHP that starts before any extension which is loaded; no script runs yet.
    unsafe {
        replace(spl_ce_ArrayObject, c"__construct", with_ordinary::<0>, construct);
        replace(spl_ce_ArrayObject, c"exchangearray", with_ordinary::<1>, exchange);
        replace(spl_ce_ArrayIterator, c"__construct", with_ordinary::<2>, iterator);
        replace(spl_ce_RecursiveArrayIterator, c"__construct", with_ordinary::<3>, recursive);
    }
}
