//! Methods of the engine and of this extension, called through handlers of ours first.

use std::ffi::CStr;
use std::sync::OnceLock;

use ext_php_rs::ffi as php;
use ext_php_rs::zend::ExecuteData;

#[cfg(php82)]
use super::ffi::zend_add_attribute;
use super::ffi::{Zv, zend_class_entry};

/// What runs when a method of an extension is called.
pub(crate) type Handler = unsafe extern "C" fn(*mut php::zend_execute_data, *mut php::zval);

/// Replaces the handler of a method, if that is not done yet, and leaves the one before it in
/// `before`.
///
/// # Safety
///
/// The class is registered and an extension's, and no script is calling the method. `name` is lower
/// case.
pub(crate) unsafe fn replace(
    class: *const zend_class_entry,
    name: &CStr,
    with: Handler,
    before: &OnceLock<Handler>,
) {
    // SAFETY: all methods of such a class are internal functions, in memory that may be written to.
    unsafe {
        let method =
            php::zend_hash_str_find(&raw const (*class).function_table, name.as_ptr(), name.to_bytes().len());
        if method.is_null() {
            return;
        }
        let handler = &raw mut (*(*method).value.func).internal_function.handler;
        if let Some(found) = *handler
            && !std::ptr::fn_addr_eq(found, with)
        {
            before.get_or_init(|| found);
            *handler = Some(with);
        }
    }
}

/// Keeps the first argument of a method out of backtraces, as `#[\SensitiveParameter]` does for PHP
/// code, if that is not done yet.
///
/// # Safety
///
/// As for [`replace`].
#[cfg(php82)]
pub(crate) unsafe fn hide_argument(class: *const zend_class_entry, name: &CStr) {
    const PERSISTENT: u32 = 1;
    const ATTRIBUTE: &str = "SensitiveParameter";
    // SAFETY: as in `replace`. The engine copies the attribute's name, and frees the attributes
    // with the class.
    unsafe {
        let method =
            php::zend_hash_str_find(&raw const (*class).function_table, name.as_ptr(), name.to_bytes().len());
        if method.is_null() {
            return;
        }
        let attributes = &raw mut (*(*method).value.func).internal_function.attributes;
        if (*attributes).is_null() {
            let attribute =
                php::ext_php_rs_zend_string_init(ATTRIBUTE.as_ptr().cast(), ATTRIBUTE.len(), false);
            // Arguments are counted from 1 here.
            zend_add_attribute(attributes, attribute, 0, PERSISTENT, 1, 0);
            php::ext_php_rs_zend_string_release(attribute);
        }
    }
}

/// PHP knows no such thing before 8.2.
///
/// # Safety
///
/// As for [`replace`].
#[cfg(not(php82))]
pub(crate) unsafe fn hide_argument(_: *const zend_class_entry, _: &CStr) {}

/// An argument of a call, references followed.
///
/// # Safety
///
/// The call is live.
pub(crate) unsafe fn argument<'a>(call: *mut ExecuteData, at: u32) -> Option<&'a mut Zv> {
    // SAFETY: a call's frame keeps the number of its arguments there, and holds so many.
    unsafe {
        let given = (*call).This.u2.num_args > at;
        given.then(|| (*call).zend_call_arg(at as usize))?.map(php::zval::dereference_mut)
    }
}

/// Runs a method of a live object, which stays until the method has returned. PHP itself sees to
/// that for `$cache->set()`, but not for `call_user_func([&$cache, 'set'])`, where user code in the
/// middle of the call may overwrite the only variable that holds the object.
///
/// # Safety
///
/// PHP called a method of an object, and `method` was its handler.
pub(crate) unsafe fn with_object_held(
    method: Handler,
    call: *mut php::zend_execute_data,
    out: *mut php::zval,
) {
    // SAFETY: the frame has the object. After a bailout in the method the count stays one too high,
    // and PHP frees the object with all others when the request ends.
    unsafe {
        let object = (*call).This.value.obj;
        (*object).gc.refcount += 1;
        method(call, out);
        php::ext_php_rs_zend_object_release(object);
    }
}
