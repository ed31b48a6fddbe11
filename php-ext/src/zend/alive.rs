//! Pointers to the engine's data that say what they promise.
//!
//! What one of them points to is *alive*: whole, and not freed as long as a copy of the pointer is
//! used. Each type has one `unsafe` constructor, whose caller keeps that promise: by holding a
//! count, by a borrow, or because the memory is an arena's or the process's own. What hangs on
//! something alive is alive, too, so that the parts are reached without further ado.
//!
//! User code may free whatever it can reach. Who lets it run uses no pointer from before but to
//! what it holds a count of.

use std::ptr::NonNull;

use ext_php_rs::ffi as php;

use super::ffi::{GC_IMMUTABLE, HashTable, ZSTR_HEADER, ZStr, Zv, zend_class_entry, zend_object};

macro_rules! pointer {
    ($(#[$doc:meta])* $name:ident, $to:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[repr(transparent)]
        pub(crate) struct $name(NonNull<$to>);

        impl $name {
            /// The pointer with its promise.
            ///
            /// # Safety
            ///
            /// It points to what is alive as long as a copy of the result is used.
            #[inline]
            pub(crate) unsafe fn alive(pointer: *const $to) -> Self {
                // SAFETY: the caller's promise.
                Self(unsafe { NonNull::new_unchecked(pointer.cast_mut()) })
            }

            /// For the engine's functions.
            #[inline]
            pub(crate) fn as_ptr(self) -> *mut $to {
                self.0.as_ptr()
            }
        }
    };
}

macro_rules! nullable {
    ($name:ident, $to:ty) => {
        impl $name {
            /// `None` for null.
            ///
            /// # Safety
            ///
            /// It is null, or points to what is alive as long as a copy of the result is used.
            #[inline]
            pub(crate) unsafe fn new(pointer: *const $to) -> Option<Self> {
                NonNull::new(pointer.cast_mut()).map(Self)
            }
        }
    };
}

nullable!(Text, ZStr);
nullable!(Table, HashTable);

pointer!(
    /// The place of a value: a variable, or an element of a table. To be written to only where
    /// nobody else reads it.
    Slot,
    Zv
);
pointer!(
    /// A string.
    Text,
    ZStr
);
pointer!(
    /// The table of an array or of an object's properties.
    Table,
    HashTable
);
pointer!(
    /// An object.
    Object,
    zend_object
);
pointer!(
    /// A class.
    Class,
    zend_class_entry
);

/// A reference: a value that several variables share.
#[derive(Clone, Copy)]
pub(crate) struct Reference {
    /// What is shared.
    pub(crate) inner: Slot,
    /// Of how many variables.
    pub(crate) holders: u32,
}

/// What a slot has.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Null, or nothing yet.
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Text),
    Array(Table),
    Object(Object),
    Reference(Reference),
    /// Resources, and what is no value of PHP.
    Other,
}

impl Slot {
    /// The place that a caller wants its result in, whose borrow lasts as long as the call.
    ///
    /// # Safety
    ///
    /// As for [`alive`](Self::alive): it is not used after the borrow.
    #[inline]
    pub(crate) unsafe fn of(value: &mut Zv) -> Self {
        Self(NonNull::from(value))
    }

    /// The value without its type.
    #[inline]
    pub(crate) fn payload(self) -> php::zend_value {
        // SAFETY: a slot is alive.
        unsafe { (*self.as_ptr()).value }
    }

    /// The type with its flags.
    #[inline]
    pub(crate) fn type_info(self) -> u32 {
        // SAFETY: a slot is alive; both views of its type are plain integers.
        unsafe { (*self.as_ptr()).u1.type_info }
    }

    /// The type alone.
    #[inline]
    pub(crate) fn type_of(self) -> u32 {
        self.type_info() & 0xff
    }

    /// Whether the value is counted.
    #[inline]
    pub(crate) fn is_counted(self) -> bool {
        self.type_info() & 0xff00 != 0
    }

    /// The value.
    #[inline]
    pub(crate) fn kind(self) -> Kind {
        let payload = self.payload();
        // SAFETY: a value is of the type that its slot says, and what an alive slot holds is alive.
        unsafe {
            match self.type_of() {
                php::IS_NULL | php::IS_UNDEF => Kind::Null,
                php::IS_FALSE => Kind::Bool(false),
                php::IS_TRUE => Kind::Bool(true),
                php::IS_LONG => Kind::Int(payload.lval),
                php::IS_DOUBLE => Kind::Float(payload.dval),
                php::IS_STRING => Kind::Text(Text::alive(payload.str_)),
                php::IS_ARRAY => Kind::Array(Table::alive(payload.arr)),
                php::IS_OBJECT => Kind::Object(Object::alive(payload.obj)),
                php::IS_REFERENCE => {
                    let reference = payload.ref_;
                    Kind::Reference(Reference {
                        inner: Slot::alive(&raw const (*reference).val),
                        holders: (*reference).gc.refcount,
                    })
                }
                _ => Kind::Other,
            }
        }
    }

    /// Writes value and type, leaving the chain link that a table keeps in its slots. What was
    /// there is not freed.
    #[inline]
    pub(crate) fn put(self, value: php::zend_value, type_info: u32) {
        // SAFETY: a slot is alive, and nobody else's where it is written to.
        unsafe {
            (*self.as_ptr()).value = value;
            (*self.as_ptr()).u1.type_info = type_info;
        }
    }

    /// Writes null. What was there is not freed.
    #[inline]
    pub(crate) fn put_null(self) {
        self.put(php::zend_value { lval: 0 }, php::IS_NULL);
    }

    /// Writes a string. What was there is not freed.
    #[inline]
    pub(crate) fn put_text(self, text: Text, type_info: u32) {
        self.put(php::zend_value { str_: text.as_ptr() }, type_info);
    }

    /// Writes an array. What was there is not freed.
    #[inline]
    pub(crate) fn put_array(self, table: Table, type_info: u32) {
        self.put(php::zend_value { arr: table.as_ptr() }, type_info);
    }

    /// Writes an object. What was there is not freed.
    #[inline]
    pub(crate) fn put_object(self, object: Object) {
        self.put(php::zend_value { obj: object.as_ptr() }, php::IS_OBJECT_EX);
    }

    /// Frees the value and writes null. May run destructors, and leave by `longjmp`.
    ///
    /// # Safety
    ///
    /// The value is whole and the caller's own: it has a count of it, or the value is not counted.
    pub(crate) unsafe fn free(self) {
        // SAFETY: the caller's promise.
        unsafe { php::zval_ptr_dtor(self.as_ptr()) };
        self.put_null();
    }
}

impl Text {
    /// Its bytes.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: a string that is alive holds `len` bytes behind its header, and nobody writes to
        // it once it is made.
        unsafe {
            std::slice::from_raw_parts(self.as_ptr().cast::<u8>().add(ZSTR_HEADER), (*self.as_ptr()).len)
        }
    }

    /// The engine's hash of it, or 0 if that was not asked for yet.
    #[inline]
    pub(crate) fn known_hash(self) -> u64 {
        // SAFETY: the string is alive.
        unsafe { (*self.as_ptr()).h }
    }

    /// The engine's hash of it, which is kept in it.
    #[inline]
    pub(crate) fn hash(self) -> u64 {
        match self.known_hash() {
            // SAFETY: the string is alive.
            0 => unsafe { super::ffi::zend_string_hash_func(self.as_ptr()) },
            hash => hash,
        }
    }

    /// Whether its holders are not counted.
    #[inline]
    pub(crate) fn is_interned(self) -> bool {
        // SAFETY: the string is alive.
        unsafe { (*self.as_ptr()).gc.u.type_info & GC_IMMUTABLE != 0 }
    }

    /// Counts one more holder.
    #[inline]
    pub(crate) fn hold(self) {
        if !self.is_interned() {
            // SAFETY: the string is alive and its holders are counted.
            unsafe { (*self.as_ptr()).gc.refcount += 1 };
        }
    }

    /// Counts one holder less, and frees it if that was the last.
    ///
    /// # Safety
    ///
    /// The caller is one of its holders.
    pub(crate) unsafe fn release(self) {
        // SAFETY: the caller's promise.
        unsafe { php::ext_php_rs_zend_string_release(self.as_ptr()) };
    }

    /// Whether two keys of the same hash are the same; nothing stands for an integer.
    #[inline]
    pub(crate) fn same(one: Option<Self>, other: Option<Self>) -> bool {
        match (one, other) {
            (Some(one), Some(other)) => one == other || one.bytes() == other.bytes(),
            (one, other) => one == other,
        }
    }
}

impl Table {
    /// How many elements it has, counting those that are indirect and unset.
    #[inline]
    pub(crate) fn len(self) -> usize {
        // SAFETY: the table is alive.
        unsafe { (*self.as_ptr()).nNumOfElements as usize }
    }

    /// How many of its slots are in use.
    #[inline]
    pub(crate) fn used(self) -> usize {
        // SAFETY: the table is alive.
        unsafe { (*self.as_ptr()).nNumUsed as usize }
    }

    /// Whether its slots carry no keys.
    #[inline]
    pub(crate) fn is_packed(self) -> bool {
        // SAFETY: the table is alive.
        unsafe { (*self.as_ptr()).u.flags & super::ffi::HASH_PACKED != 0 }
    }

    /// Whether the engine copies it before it writes, and neither counts nor frees it.
    #[inline]
    pub(crate) fn is_immutable(self) -> bool {
        // SAFETY: the table is alive.
        unsafe { (*self.as_ptr()).gc.u.type_info & GC_IMMUTABLE != 0 }
    }

    /// How many hold it.
    #[inline]
    pub(crate) fn holders(self) -> u32 {
        // SAFETY: the table is alive.
        unsafe { (*self.as_ptr()).gc.refcount }
    }

    /// Frees it and what is in it. May run destructors.
    ///
    /// # Safety
    ///
    /// It is whole, on the request's heap, and the caller is its only holder.
    pub(crate) unsafe fn free(self) {
        // SAFETY: the caller's promise.
        unsafe { php::zend_array_destroy(self.as_ptr()) };
    }
}

impl Object {
    /// Its class.
    #[inline]
    pub(crate) fn class(self) -> Class {
        // SAFETY: the object is alive, and so is its class.
        unsafe { Class::alive((*self.as_ptr()).ce) }
    }

    /// How many hold it.
    #[inline]
    pub(crate) fn holders(self) -> u32 {
        // SAFETY: the object is alive.
        unsafe { (*self.as_ptr()).gc.refcount }
    }

    /// The table of its properties, if it has one beside its slots, or in place of them.
    #[inline]
    pub(crate) fn properties(self) -> Option<Table> {
        // SAFETY: the object is alive, and so is its table.
        unsafe { Table::new((*self.as_ptr()).properties) }
    }

    /// Its handlers.
    #[inline]
    pub(crate) fn handlers(self) -> *const php::zend_object_handlers {
        // SAFETY: the object is alive.
        unsafe { (*self.as_ptr()).handlers }
    }
}

impl Class {
    /// Its name.
    #[inline]
    pub(crate) fn name(self) -> Text {
        // SAFETY: a class is alive, and so is its name.
        unsafe { Text::alive((*self.as_ptr()).name) }
    }
}
