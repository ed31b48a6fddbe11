//! Writes zend values as a payload. Runs no user code and keeps nothing of the engine's memory.

use larder::engine::payload::{
    EXT_OBJECT, EXT_SHAPE, EXT_STRING, MAX_DEPTH, MIN_SHAPE_KEYS, is_shared_len, write,
};

use super::class::PlainClasses;
use super::tables::{KeyList, Owner, Seen, Shapes, Strings};
use crate::zend::alive::{Kind, Object, Slot, Table, Text};
use crate::zend::limit::{NoRoom, Room};
use crate::zend::table::Entries;

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
pub(super) fn write_value(value: Slot, out: &mut Vec<u8>) -> Done {
    if let Kind::Text(text) = value.kind() {
        // Alone, it has nothing to be shared with.
        check_len(text.bytes().len())?;
        write::str(out, text.bytes());
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
    encoder.value(value, Place { depth: 0, shared: false, root: true })
}

struct Encoder<'o> {
    out: &'o mut Vec<u8>,
    strings: Strings,
    shapes: Shapes,
    seen: Seen,
    classes: PlainClasses,
    /// Values share tables and strings, the payload does not: a small value may make a payload of
    /// any size.
    room: Room,
}

/// Where in the value the writer is.
#[derive(Clone, Copy)]
struct Place {
    depth: u32,
    /// A table around this one has several holders, so what is in it may occur again. Objects share
    /// tables, too: with their clones, and with the arrays that they were cast from or to.
    shared: bool,
    root: bool,
}

impl Encoder<'_> {
    #[inline]
    fn value(&mut self, value: Slot, place: Place) -> Done {
        match value.kind() {
            Kind::Null => write::nil(self.out),
            Kind::Bool(value) => write::bool(self.out, value),
            Kind::Int(value) => write::int(self.out, value),
            Kind::Float(value) => write::float(self.out, value),
            Kind::Text(text) => self.string(text)?,
            Kind::Array(table) => self.array(table, place)?,
            Kind::Object(object) => self.object(object, place)?,
            // A reference that nobody shares is none, as for serialize().
            Kind::Reference(reference) if reference.holders == 1 && !place.shared => {
                self.value(reference.inner, place)?;
            }
            Kind::Reference(_) | Kind::Other => return Err(Refused::Foreign),
        }
        Ok(())
    }

    #[inline]
    fn string(&mut self, text: Text) -> Done {
        let bytes = text.bytes();
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

    fn array(&mut self, table: Table, place: Place) -> Done {
        let inside = place.inside(Some(table))?;
        self.room.allows(self.out.len())?;
        let len = table.len();
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
        let list =
            if table.is_packed() { None } else { Shapes::list(Owner::Array, MIN_SHAPE_KEYS, keys.clone()) };
        if self.instance(list, &keys, len) {
            for (value, _, _) in Entries::new(table) {
                self.value(value, inside)?;
            }
            return Ok(());
        }
        write::map(self.out, len);
        for (value, hash, key) in Entries::new(table) {
            match key {
                None => write::int(self.out, hash.cast_signed()),
                Some(key) => self.string(key)?,
            }
            self.value(value, inside)?;
        }
        if let Some(list) = list {
            self.shapes.define(list, keys);
        }
        Ok(())
    }

    fn object(&mut self, object: Object, place: Place) -> Done {
        let owner = self.classes.owner(object).ok_or(Refused::Foreign)?;
        self.room.allows(self.out.len())?;
        let inside = place.inside(object.properties())?;
        if (object.holders() > 1 || place.shared) && self.seen.again(object.as_ptr().addr()) {
            return Err(Refused::Foreign);
        }
        match object.properties() {
            None => self.properties(owner, object.declared(), inside),
            Some(table) => {
                self.properties(owner, Entries::new(table).map(|(value, _, name)| (value, name)), inside)
            }
        }
    }

    fn properties(
        &mut self,
        owner: Owner,
        properties: impl Iterator<Item = (Slot, Option<Text>)> + Clone,
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
            None if names.clone().any(|name| name.is_none()) => return Err(Refused::Foreign),
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
        match owner {
            Owner::Class(name) => write::ext(self.out, EXT_OBJECT, name.bytes()),
            Owner::StdClass | Owner::Array => write::ext(self.out, EXT_OBJECT, &[]),
        }
        for (value, name) in properties {
            self.string(name.ok_or(Refused::Foreign)?)?;
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
        keys: &(impl Iterator<Item = Option<Text>> + Clone),
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
    fn inside(self, table: Option<Table>) -> Result<Self, Refused> {
        if self.depth >= MAX_DEPTH {
            return Err(Refused::Foreign);
        }
        // The table at the top is entered once, or the value has no end.
        let shared = self.shared || (!self.root && table.is_some_and(|table| table.holders() > 1));
        Ok(Self { depth: self.depth + 1, root: false, shared })
    }
}

fn check_len(len: usize) -> Done {
    u32::try_from(len).map(|_| ()).map_err(|_| Refused::TooLong)
}

/// True when the keys are 0, 1, 2… in order.
fn is_list(table: Table) -> bool {
    if table.is_packed() {
        return table.used() == table.len();
    }
    (0..).zip(Entries::new(table)).all(|(index, (_, hash, key))| key.is_none() && hash == index)
}
