//! Writes zend values as a payload. Runs no user code and keeps nothing of the engine's memory.

use ext_php_rs::ffi as php;
use larder::payload::{EXT_OBJECT, EXT_SHAPE, EXT_STRING, MAX_DEPTH, MIN_SHAPE_KEYS, is_shared_len, write};

use super::class::{self, PlainClasses};
use super::tables::{KeyList, Owner, Seen, Shapes, Strings};
use crate::zend::ffi::zend_object;
use crate::zend::limit::{NoRoom, Room};
use crate::zend::memory::bytes_of;
use crate::zend::table::{self, Entries};
use crate::zend::{HashTable, ZStr, Zv};

/// Why a value is not written here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// PHP's own serializer must write it.
    Foreign,
    /// A string or container of more than 4 GiB.
    TooLong,
    /// `memory_limit` has no room for the payload.
    NoRoom(NoRoom),
}

impl From<NoRoom> for Refused {
    fn from(no_room: NoRoom) -> Self {
        Self::NoRoom(no_room)
    }
}

type Done = Result<(), Refused>;

/// Appends the value to `out`. On failure `out` holds a part of it.
pub(super) fn write_value(value: *const Zv, out: &mut Vec<u8>) -> Done {
    if type_of(value) == php::IS_STRING {
        // SAFETY: the string is the live value. Alone, it has nothing to be shared with.
        let bytes = unsafe { bytes_of((*value).value.str_) };
        check_len(bytes.len())?;
        write::str(out, bytes);
        return Ok(());
    }
    let mut encoder = Encoder {
        out,
        strings: Strings::default(),
        shapes: Shapes::default(),
        seen: Seen::default(),
        classes: PlainClasses::new(),
        room: Room::new(),
    };
    encoder.value(value.cast_mut(), Place { depth: 0, shared: false, root: true })
}

struct Encoder<'o> {
    out: &'o mut Vec<u8>,
    strings: Strings,
    shapes: Shapes,
    seen: Seen,
    classes: PlainClasses,
    /// Values share tables and strings, the payload does not: a small value may make a payload of any size.
    room: Room,
}

/// Where in the value the writer is.
#[derive(Clone, Copy)]
struct Place {
    depth: u32,
    /// A table around this one has several holders, so what is in it may occur again. Objects share tables, too: with their
    /// clones, and with the arrays that they were cast from or to.
    shared: bool,
    root: bool,
}

fn type_of(value: *const Zv) -> u32 {
    // SAFETY: callers pass a live value.
    u32::from(unsafe { (*value).u1.v.type_ })
}

impl Encoder<'_> {
    #[inline]
    fn value(&mut self, value: *mut Zv, place: Place) -> Done {
        // SAFETY: the value is live and of the type its tag says.
        unsafe {
            match type_of(value) {
                php::IS_NULL | php::IS_UNDEF => write::nil(self.out),
                php::IS_FALSE => write::bool(self.out, false),
                php::IS_TRUE => write::bool(self.out, true),
                php::IS_LONG => write::int(self.out, (*value).value.lval),
                php::IS_DOUBLE => write::float(self.out, (*value).value.dval),
                php::IS_STRING => self.string((*value).value.str_)?,
                php::IS_ARRAY => self.array((*value).value.arr, place)?,
                php::IS_OBJECT => self.object((*value).value.obj, place)?,
                // A reference that nobody shares is none, as for serialize().
                php::IS_REFERENCE if (*(*value).value.ref_).gc.refcount == 1 && !place.shared => {
                    self.value(&raw mut (*(*value).value.ref_).val, place)?;
                }
                _ => return Err(Refused::Foreign),
            }
        }
        Ok(())
    }

    #[inline]
    fn string(&mut self, text: *mut ZStr) -> Done {
        // SAFETY: the string is part of the live value.
        let bytes = unsafe { bytes_of(text) };
        if is_shared_len(bytes.len()) {
            if let Some(index) = self.strings.seen(text) {
                write::index(self.out, EXT_STRING, index);
                return Ok(());
            }
        } else {
            check_len(bytes.len())?;
            self.room.allows(self.out.len() + bytes.len())?;
        }
        write::str(self.out, bytes);
        Ok(())
    }

    fn array(&mut self, table: *mut HashTable, place: Place) -> Done {
        let inside = place.inside(table)?;
        self.room.allows(self.out.len())?;
        let len = table::len(table);
        if is_list(table) {
            write::array(self.out, len);
            for (value, _, _) in Entries::new(table) {
                self.value(value, inside)?;
            }
            return Ok(());
        }
        let keys = Entries::new(table).map(|(_, _, key)| key);
        if let Some((index, len)) = self.shapes.last(Owner::Array, keys.clone()) {
            self.open_instance(index, len);
            for (value, _, _) in Entries::new(table) {
                self.value(value, inside)?;
            }
            return Ok(());
        }
        let list = if table::is_packed(table) {
            None
        } else {
            Shapes::list(Owner::Array, MIN_SHAPE_KEYS, keys.clone())
        };
        if self.instance(list, &keys, len) {
            for (value, _, _) in Entries::new(table) {
                self.value(value, inside)?;
            }
            return Ok(());
        }
        write::map(self.out, len);
        for (value, hash, key) in Entries::new(table) {
            if key.is_null() {
                write::int(self.out, hash.cast_signed());
            } else {
                self.string(key)?;
            }
            self.value(value, inside)?;
        }
        if let Some(list) = list {
            self.shapes.define(list, keys);
        }
        Ok(())
    }

    fn object(&mut self, object: *mut zend_object, place: Place) -> Done {
        let owner = self.classes.owner(object).ok_or(Refused::Foreign)?;
        self.room.allows(self.out.len())?;
        // SAFETY: the object is part of the live value.
        let (holders, table) = unsafe { ((*object).gc.refcount, (*object).properties) };
        let inside = place.inside(table)?;
        if (holders > 1 || place.shared) && self.seen.again(object.cast()) {
            return Err(Refused::Foreign);
        }
        if table.is_null() {
            self.properties(owner, class::declared(object), inside)
        } else {
            self.properties(owner, Entries::new(table).map(|(value, _, name)| (value, name)), inside)
        }
    }

    fn properties(
        &mut self,
        owner: Owner,
        properties: impl Iterator<Item = (*mut Zv, *mut ZStr)> + Clone,
        inside: Place,
    ) -> Done {
        let names = properties.clone().map(|(_, name)| name);
        if let Some((index, len)) = self.shapes.last(owner, names.clone()) {
            self.open_instance(index, len);
            for (value, _) in properties {
                self.value(value, inside)?;
            }
            return Ok(());
        }
        let list = Shapes::list(owner, 0, names.clone());
        let len = match list {
            Some(list) => list.len,
            None if names.clone().any(<*mut ZStr>::is_null) => return Err(Refused::Foreign),
            None => names.clone().count(),
        };
        check_len(len * 2 + 1)?;
        if self.instance(list, &names, len) {
            for (value, _) in properties {
                self.value(value, inside)?;
            }
            return Ok(());
        }
        write::array(self.out, len * 2 + 1);
        let name: &[u8] = match owner {
            // SAFETY: a class's name lives with the class.
            Owner::Class(name) => unsafe { bytes_of(name) },
            Owner::StdClass | Owner::Array => &[],
        };
        write::ext(self.out, EXT_OBJECT, name);
        for (value, name) in properties {
            self.string(name)?;
            self.value(value, inside)?;
        }
        if let Some(list) = list {
            self.shapes.define(list, names);
        }
        Ok(())
    }

    /// Opens an instance if its shape is known.
    #[inline]
    fn instance(
        &mut self,
        list: Option<KeyList>,
        keys: &(impl Iterator<Item = *mut ZStr> + Clone),
        len: usize,
    ) -> bool {
        let index = list.and_then(|list| self.shapes.find(list, keys));
        if let Some(index) = index {
            self.open_instance(index, len);
        }
        index.is_some()
    }

    #[inline]
    fn open_instance(&mut self, index: u32, len: usize) {
        write::array(self.out, len + 1);
        write::index(self.out, EXT_SHAPE, index);
    }
}

impl Place {
    /// The place of what is in a table, or in the slots of an object without one.
    fn inside(self, table: *const HashTable) -> Result<Self, Refused> {
        if self.depth >= MAX_DEPTH {
            return Err(Refused::Foreign);
        }
        // SAFETY: the table is part of the live value. That at the top is entered once, or the value has no end.
        let shared = self.shared || (!self.root && !table.is_null() && unsafe { (*table).gc.refcount } > 1);
        Ok(Self { depth: self.depth + 1, root: false, shared })
    }
}

fn check_len(len: usize) -> Done {
    u32::try_from(len).map(|_| ()).map_err(|_| Refused::TooLong)
}

/// True when the keys are 0, 1, 2… in order.
fn is_list(table: *const HashTable) -> bool {
    if table::is_packed(table) {
        return table::used(table) == table::len(table);
    }
    (0..).zip(Entries::new(table)).all(|(index, (_, hash, key))| key.is_null() && hash == index)
}
