//! What ext-php-rs's bindings leave out.

use std::ffi::{c_char, c_int, c_uchar, c_uint, c_void};

use ext_php_rs::ffi as php;

pub(crate) use php::{HashTable, zend_class_entry, zend_object};

/// A zend value.
pub(crate) type Zv = php::zval;
/// A zend string.
pub(crate) type ZStr = php::zend_string;

/// Bits of a refcounted header's type information.
pub(crate) const GC_NOT_COLLECTABLE: u32 = 1 << 4;
pub(crate) const GC_IMMUTABLE: u32 = 1 << 6;
pub(crate) const GC_PERSISTENT: u32 = 1 << 7;
/// Bits of a table's flags.
pub(crate) const HASH_PACKED: u32 = 1 << 2;
pub(crate) const HASH_STATIC_KEYS: u32 = 1 << 4;
/// The smallest table.
pub(crate) const HT_MIN_SIZE: u32 = 8;
/// The largest table.
pub(crate) const HT_MAX_SIZE: usize = 0x4000_0000;
/// The hash part of a packed array.
pub(crate) const HT_MIN_MASK: u32 = u32::MAX - 1;
/// Bytes of a string before its text.
pub(crate) const ZSTR_HEADER: usize = std::mem::offset_of!(ZStr, val);

/// Executes the function of a frame.
pub(crate) type Execute = unsafe extern "C" fn(*mut php::zend_execute_data);

#[repr(C)]
pub(crate) struct SmartStr {
    pub(crate) text: *mut ZStr,
    pub(crate) capacity: usize,
}

/// What calls of PHP's serializer share with those around them, as `engine.c` has it.
#[repr(C)]
pub(super) struct Serializing {
    pub(super) written: *mut c_void,
    pub(super) read: *mut c_void,
    pub(super) writers: c_uint,
    pub(super) readers: c_uint,
    pub(super) locks: c_uint,
}

unsafe extern "C" {
    pub(crate) static mut zend_one_char_string: [*mut ZStr; 256];
    pub(crate) static mut zend_empty_string: *mut ZStr;

    pub(crate) static mut zend_execute_ex: Execute;

    pub(crate) static spl_ce_ArrayObject: *mut zend_class_entry;
    pub(crate) static spl_ce_ArrayIterator: *mut zend_class_entry;
    pub(crate) static spl_ce_RecursiveArrayIterator: *mut zend_class_entry;

    pub(crate) fn zend_string_hash_func(text: *mut ZStr) -> u64;
    pub(crate) fn zend_hash_func(text: *const c_char, len: usize) -> u64;
    /// A log line where PHP's own errors go.
    pub(crate) fn php_log_err_with_severity(message: *const c_char, severity: c_int);
    pub(crate) fn zend_atomic_bool_load(flag: *const php::zend_atomic_bool) -> bool;

    /// In `engine.c`.
    pub(super) fn larder_swap_serializing(other: *mut Serializing);
    pub(super) fn larder_limit_is_passed() -> bool;
    pub(super) fn larder_limit_allows(size: usize) -> bool;
    pub(super) fn larder_limit() -> usize;
    pub(super) fn zend_observer_fiber_switch_register(
        handler: unsafe extern "C" fn(from: *mut c_void, to: *mut c_void),
    );
    pub(super) fn zend_observer_fiber_init_register(handler: unsafe extern "C" fn(fiber: *mut c_void));

    #[cfg(php82)]
    pub(crate) fn zend_add_attribute(
        attributes: *mut *mut HashTable,
        name: *mut ZStr,
        argc: u32,
        flags: u32,
        offset: u32,
        line: u32,
    ) -> *mut c_void;

    pub(crate) fn zend_zval_type_name(value: *const Zv) -> *const c_char;
    pub(crate) fn zend_clear_exception();
    pub(crate) fn zend_is_unwind_exit(exception: *const zend_object) -> bool;
    pub(crate) fn zend_is_graceful_exit(exception: *const zend_object) -> bool;

    pub(crate) fn php_var_serialize_init() -> *mut c_void;
    pub(crate) fn php_var_serialize(out: *mut SmartStr, value: *mut Zv, data: *mut *mut c_void);
    pub(crate) fn php_var_serialize_destroy(data: *mut c_void);
    pub(crate) fn php_var_unserialize_init() -> *mut c_void;
    pub(crate) fn php_var_unserialize(
        value: *mut Zv,
        at: *mut *const c_uchar,
        end: *const c_uchar,
        data: *mut *mut c_void,
    ) -> c_int;
    pub(crate) fn php_var_unserialize_destroy(data: *mut c_void);
}
