//! Builds zend values from a payload, in any kind of memory. Runs no user code.

use ext_php_rs::ffi as php;
use larder::engine::payload::{
    Broken, EXT_OBJECT, EXT_SHAPE, EXT_STRING, MAX_DEPTH, MAX_SHAPE_KEYS, Reader, Token, is_shape_len,
    is_shared_len, numeric_key,
};

use crate::zend::alive::{Slot, Table, Text};
use crate::zend::keys;
use crate::zend::limit::Full;
use crate::zend::memory::{self, Memory, RequestHeap};
use crate::zend::object::{self, Foreign};
use crate::zend::table::{Instance, List, Map, TableKey};

/// A kind of memory that values are made in.
pub(crate) trait Values: Memory {
    /// Writes a finished array. `dynamic` is set when an element is not a value yet but a node to
    /// be built at each get.
    ///
    /// # Safety
    ///
    /// The table is whole, was made in this memory, and is nobody's but the caller's, who hands it
    /// over.
    unsafe fn array(&mut self, table: Table, dynamic: bool, out: Slot);

    /// Writes an object of a class (empty: `stdClass`) with these properties. With `keep_table` the
    /// table's keys stay the caller's.
    ///
    /// # Errors
    ///
    /// [`Unmade::Foreign`] when only `unserialize()` may make this object; then the table stays the caller's.
    ///
    /// # Safety
    ///
    /// As for [`array`](Self::array).
    unsafe fn object(
        &mut self,
        class: &[u8],
        table: Table,
        dynamic: bool,
        keep_table: bool,
        out: Slot,
    ) -> Result<(), Unmade>;

    /// Gives up an unfinished table and what is in it.
    ///
    /// # Safety
    ///
    /// As for [`array`](Self::array).
    unsafe fn abandon(&mut self, table: Table);
}

impl Values for RequestHeap {
    #[inline]
    unsafe fn array(&mut self, table: Table, _: bool, out: Slot) {
        out.put_array(table, Self::ARRAY_TYPE);
    }

    unsafe fn object(
        &mut self,
        class: &[u8],
        table: Table,
        _: bool,
        keep_table: bool,
        out: Slot,
    ) -> Result<(), Unmade> {
        // SAFETY: the caller's promise.
        Ok(unsafe { object::make(class, table, keep_table, out) }?)
    }

    unsafe fn abandon(&mut self, table: Table) {
        // SAFETY: the caller's promise.
        unsafe { table.free() };
    }
}

/// Why an object was not made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unmade {
    /// See [`Foreign`].
    Foreign,
    /// See [`Full`].
    Full,
}

impl From<Foreign> for Unmade {
    fn from(_: Foreign) -> Self {
        Self::Foreign
    }
}

impl From<Full> for Unmade {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

/// The longest list of keys that is looked up among the process-wide keys.
const COMMON_KEYS: usize = 64;

/// Why the builder gave up.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    /// The payload is broken.
    Broken,
    /// Only `unserialize()` may build this value.
    Foreign,
    /// The value grows too large.
    Full,
}

impl From<Broken> for Stop {
    fn from(_: Broken) -> Self {
        Self::Broken
    }
}

impl From<Full> for Stop {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

impl From<Unmade> for Stop {
    fn from(unmade: Unmade) -> Self {
        match unmade {
            Unmade::Foreign => Self::Foreign,
            Unmade::Full => Self::Full,
        }
    }
}

/// A key list that the payload may name again.
struct Shape<'p> {
    /// Nothing for an array.
    class: Option<&'p [u8]>,
    template: Table,
    /// The table belongs to nobody else, as its object keeps its properties in slots.
    owned: bool,
}

/// What a decode owns besides the value. It is made outside the guarded call, so that a bailout
/// cannot leak it.
#[derive(Default)]
pub(crate) struct Scratch<'p> {
    strings: Vec<Text>,
    shapes: Vec<Shape<'p>>,
}

impl Scratch<'_> {
    /// Frees the templates of a decode that came to its end.
    fn finish<M: Values>(&mut self, memory: &mut M) {
        for shape in self.shapes.drain(..).filter(|shape| shape.owned) {
            // SAFETY: the objects that were made of it have left it nothing but its keys.
            unsafe { memory.abandon(shape.template) };
        }
    }
}

/// Builds the value of a payload that PHP's serializer did not write. On failure `out` is null.
pub(crate) fn build<'p, M: Values>(
    memory: &mut M,
    scratch: &mut Scratch<'p>,
    payload: &'p [u8],
    out: Slot,
) -> Result<(), Stop> {
    let mut builder = Builder { memory, scratch, reader: Reader::new(payload) };
    out.put_null();
    let result = builder.next(0, out).and_then(|()| {
        builder.reader.finish().map_err(|broken| {
            // SAFETY: the value is whole and was just made; trailing bytes make it worthless.
            unsafe { out.free() };
            broken.into()
        })
    });
    scratch.finish(memory);
    result
}

struct Builder<'b, 'p, M> {
    memory: &'b mut M,
    scratch: &'b mut Scratch<'p>,
    reader: Reader<'p>,
}

/// True for a node of a template, which the near values put where a value must be built at each
/// get.
#[inline]
fn is_node(value: Slot) -> bool {
    value.type_of() == php::IS_PTR
}

impl<'p, M: Values> Builder<'_, 'p, M> {
    #[inline]
    fn next(&mut self, depth: u32, out: Slot) -> Result<(), Stop> {
        let zero = php::zend_value { lval: 0 };
        match self.reader.token()? {
            Token::Nil => out.put(zero, php::IS_NULL),
            Token::Bool(false) => out.put(zero, php::IS_FALSE),
            Token::Bool(true) => out.put(zero, php::IS_TRUE),
            Token::Int(lval) => out.put(php::zend_value { lval }, php::IS_LONG),
            Token::Float(dval) => out.put(php::zend_value { dval }, php::IS_DOUBLE),
            Token::Str(bytes) => {
                let (text, type_info) = memory::string(self.memory, bytes)?;
                out.put_text(text, type_info);
                if is_shared_len(bytes.len()) {
                    self.scratch.strings.push(text);
                }
            }
            Token::Bin(bytes) => {
                let (text, type_info) = memory::string(self.memory, bytes)?;
                out.put_text(text, type_info);
            }
            Token::Ext(EXT_STRING, data) => {
                let text = self.known(data)?;
                text.hold();
                out.put_text(
                    text,
                    if text.is_interned() { php::IS_INTERNED_STRING_EX } else { M::STRING_TYPE },
                );
            }
            Token::Ext(..) => return Err(Stop::Broken),
            Token::Array(_) | Token::Map(_) if depth >= MAX_DEPTH => return Err(Stop::Broken),
            Token::Array(0) | Token::Map(0) => {
                // SAFETY: the engine's empty array lives as long as the process.
                out.put_array(unsafe { Table::alive(&raw const php::zend_empty_array) }, php::IS_ARRAY);
            }
            Token::Array(len) => match self.reader.array_head()? {
                None => self.list(len, depth, out)?,
                Some((EXT_OBJECT, class)) => self.object(class, len - 1, depth, out)?,
                Some((EXT_SHAPE, data)) => self.instance(Reader::index(data)?, len - 1, depth, out)?,
                Some(_) => return Err(Stop::Broken),
            },
            Token::Map(len) => self.map(len, depth, out)?,
        }
        Ok(())
    }

    fn known(&self, data: &[u8]) -> Result<Text, Stop> {
        self.scratch.strings.get(Reader::index(data)?).copied().ok_or(Stop::Broken)
    }

    fn list(&mut self, len: usize, depth: u32, out: Slot) -> Result<(), Stop> {
        let mut list = List::new(self.memory, len)?;
        let mut dynamic = false;
        while let Some(slot) = list.add() {
            let read = self.next(depth + 1, slot);
            // SAFETY: the table was made here, and is handed over below.
            unsafe { self.kept(list.table(), read) }?;
            dynamic |= is_node(slot);
        }
        // SAFETY: the table was made here and goes to the array.
        unsafe { self.memory.array(list.table(), dynamic, out) };
        Ok(())
    }

    /// Reads a string key: one that has occurred, a process-wide one if `common`, or a new one.
    fn key(&mut self, token: Token<'p>, common: bool) -> Result<Text, Stop> {
        let text = match token {
            Token::Str(bytes) => {
                let text = match common.then(|| keys::find(bytes)).flatten() {
                    Some(text) => text,
                    None => memory::string(self.memory, bytes)?.0,
                };
                if is_shared_len(bytes.len()) {
                    self.scratch.strings.push(text);
                }
                text
            }
            Token::Ext(EXT_STRING, data) => {
                let text = self.known(data)?;
                text.hold();
                text
            }
            _ => return Err(Stop::Broken),
        };
        // A table wants the hash of its keys.
        text.hash();
        Ok(text)
    }

    fn array_key(&mut self, common: bool) -> Result<TableKey, Stop> {
        match self.reader.token()? {
            Token::Int(number) => Ok(TableKey::Int(number)),
            Token::Str(bytes) if numeric_key(bytes).is_some() => Err(Stop::Broken),
            token => {
                let known = matches!(token, Token::Ext(..));
                let text = self.key(token, common)?;
                if known && numeric_key(text.bytes()).is_some() {
                    // SAFETY: the key was counted for the table.
                    unsafe { text.release() };
                    return Err(Stop::Broken);
                }
                Ok(TableKey::Text(text))
            }
        }
    }

    fn map(&mut self, len: usize, depth: u32, out: Slot) -> Result<(), Stop> {
        let mut map = Map::new(self.memory, len)?;
        let filled = self.fill_map(&mut map, len, depth);
        // SAFETY: the table was made here, and is handed over below.
        let (dynamic, strings_only) = unsafe { self.kept(map.table(), filled) }?;
        if strings_only && is_shape_len(len) {
            self.scratch.shapes.push(Shape { class: None, template: map.table(), owned: false });
        }
        // SAFETY: the table was made here and goes to the array. As a shape it is only read, while
        // the array is there.
        unsafe { self.memory.array(map.table(), dynamic, out) };
        Ok(())
    }

    /// Gives up the table of a failed step.
    ///
    /// # Safety
    ///
    /// The caller made the table and has not handed it over; on failure it goes nowhere else.
    #[inline]
    unsafe fn kept<T>(&mut self, table: Table, result: Result<T, Stop>) -> Result<T, Stop> {
        if result.is_err() {
            // SAFETY: the caller's promise.
            unsafe { self.memory.abandon(table) };
        }
        result
    }

    fn fill_map(&mut self, map: &mut Map, len: usize, depth: u32) -> Result<(bool, bool), Stop> {
        let (mut dynamic, mut strings_only) = (false, true);
        for _ in 0..len {
            let key = self.array_key(len <= COMMON_KEYS)?;
            strings_only &= matches!(key, TableKey::Text(_));
            dynamic |= self.entry(map, key, depth)?;
        }
        Ok((dynamic, strings_only))
    }

    fn entry(&mut self, map: &mut Map, key: TableKey, depth: u32) -> Result<bool, Stop> {
        let Ok(slot) = map.add(key) else {
            if let TableKey::Text(text) = key {
                // SAFETY: the key was counted for the table, which refused it.
                unsafe { text.release() };
            }
            return Err(Stop::Broken);
        };
        self.next(depth + 1, slot)?;
        Ok(is_node(slot))
    }

    fn object(&mut self, class: &'p [u8], len: usize, depth: u32, out: Slot) -> Result<(), Stop> {
        if !len.is_multiple_of(2) {
            return Err(Stop::Broken);
        }
        let count = len / 2;
        let mut map = Map::new(self.memory, count)?;
        let filled = (|| {
            let mut dynamic = false;
            for _ in 0..count {
                let token = self.reader.token()?;
                let name = self.key(token, count <= COMMON_KEYS)?;
                dynamic |= self.entry(&mut map, TableKey::Text(name), depth)?;
            }
            Ok(dynamic)
        })();
        let table = map.table();
        // SAFETY: the table was made here, and is handed over below.
        let dynamic = unsafe { self.kept(table, filled) }?;
        let shape = count <= MAX_SHAPE_KEYS;
        // SAFETY: the table was made here and goes to the object, if that is made; as a shape only
        // its keys are used, which stay.
        unsafe {
            let made = self.memory.object(class, table, dynamic, shape, out);
            self.kept(table, made.map_err(Stop::from))?;
        }
        if shape {
            let owned = M::REFCOUNT == 1 && !class.is_empty();
            self.scratch.shapes.push(Shape { class: Some(class), template: table, owned });
        }
        Ok(())
    }

    fn instance(&mut self, index: usize, len: usize, depth: u32, out: Slot) -> Result<(), Stop> {
        let shape = self.scratch.shapes.get(index).ok_or(Stop::Broken)?;
        let (class, template) = (shape.class, shape.template);
        if template.used() != len {
            return Err(Stop::Broken);
        }
        // SAFETY: shapes are made of full maps. Their keys live as long as the value, or the
        // decode, that they are a part of.
        let mut instance = unsafe { Instance::new(self.memory, template) }?;
        let mut dynamic = false;
        while let Some(slot) = instance.open() {
            let read = self.next(depth + 1, slot);
            // SAFETY: the table was made here, and is handed over below.
            unsafe { self.kept(instance.table(), read) }?;
            dynamic |= is_node(slot);
        }
        let table = instance.table();
        match class {
            None => {
                // SAFETY: the table was made here and goes to the array.
                unsafe { self.memory.array(table, dynamic, out) };
                Ok(())
            }
            Some(class) => {
                // SAFETY: the table was made here and goes to the object, if that is made.
                unsafe {
                    let made = self.memory.object(class, table, dynamic, false, out);
                    self.kept(table, made.map_err(Stop::from))
                }
            }
        }
    }
}
