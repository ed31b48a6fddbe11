//! Builds zend values from a payload, in any kind of memory. Runs no user code.

use ext_php_rs::ffi as php;
use larder::payload::{
    Broken, EXT_OBJECT, EXT_SHAPE, EXT_STRING, MAX_DEPTH, MAX_SHAPE_KEYS, Reader, Token, is_shape_len,
    is_shared_len, numeric_key,
};

use crate::near::keys;
use crate::zend::ffi::{GC_IMMUTABLE, zend_string_hash_func};
use crate::zend::limit::Full;
use crate::zend::memory::{self, Memory, Unmade, put, put_string};
use crate::zend::table::{self, TableKey};
use crate::zend::{HashTable, ZStr, Zv};

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
    template: *mut HashTable,
    /// The table belongs to nobody else, as its object keeps its properties in slots.
    owned: bool,
}

/// What a decode owns besides the value. It is made outside the guarded call, so that a bailout cannot leak it.
#[derive(Default)]
pub(crate) struct Scratch<'p> {
    strings: Vec<*mut ZStr>,
    shapes: Vec<Shape<'p>>,
}

impl Scratch<'_> {
    /// Frees the templates of a decode that came to its end.
    fn finish<M: Memory>(&mut self, memory: &mut M) {
        for shape in self.shapes.drain(..).filter(|shape| shape.owned) {
            memory.abandon(shape.template);
        }
    }
}

/// Builds the value of a payload that PHP's serializer did not write. On failure `out` is null.
pub(crate) fn build<'p, M: Memory>(
    memory: &mut M,
    scratch: &mut Scratch<'p>,
    payload: &'p [u8],
    out: *mut Zv,
) -> Result<(), Stop> {
    let mut builder = Builder { memory, scratch, reader: Reader::new(payload) };
    put(out, php::zend_value { lval: 0 }, php::IS_NULL);
    let result = builder.next(0, out).and_then(|()| {
        builder.reader.finish().map_err(|broken| {
            // SAFETY: the value is whole; trailing bytes make it worthless.
            unsafe { php::zval_ptr_dtor(out) };
            put(out, php::zend_value { lval: 0 }, php::IS_NULL);
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

/// True for a node of a template, which the near values put where a value must be built at each get.
#[inline]
fn is_node(value: *const Zv) -> bool {
    // SAFETY: the value was just written.
    unsafe { u32::from((*value).u1.v.type_) == php::IS_PTR }
}

impl<'p, M: Memory> Builder<'_, 'p, M> {
    #[inline]
    fn next(&mut self, depth: u32, out: *mut Zv) -> Result<(), Stop> {
        let zero = php::zend_value { lval: 0 };
        match self.reader.token()? {
            Token::Nil => put(out, zero, php::IS_NULL),
            Token::Bool(false) => put(out, zero, php::IS_FALSE),
            Token::Bool(true) => put(out, zero, php::IS_TRUE),
            Token::Int(lval) => put(out, php::zend_value { lval }, php::IS_LONG),
            Token::Float(dval) => put(out, php::zend_value { dval }, php::IS_DOUBLE),
            Token::Str(bytes) => {
                let text = memory::string(self.memory, bytes, out)?;
                if is_shared_len(bytes.len()) {
                    self.scratch.strings.push(text);
                }
            }
            Token::Bin(bytes) => {
                memory::string(self.memory, bytes, out)?;
            }
            Token::Ext(EXT_STRING, data) => {
                let text = self.known(data)?;
                table::add_ref(text);
                // SAFETY: the string lives in the unfinished value.
                let interned = unsafe { (*text).gc.u.type_info } & GC_IMMUTABLE != 0;
                put_string(out, text, if interned { php::IS_INTERNED_STRING_EX } else { M::STRING_TYPE });
            }
            Token::Ext(..) => return Err(Stop::Broken),
            Token::Array(0) | Token::Map(0) => {
                put(
                    out,
                    php::zend_value { arr: (&raw const php::zend_empty_array).cast_mut() },
                    php::IS_ARRAY,
                );
            }
            Token::Array(_) | Token::Map(_) if depth >= MAX_DEPTH => return Err(Stop::Broken),
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

    fn known(&self, data: &[u8]) -> Result<*mut ZStr, Stop> {
        self.scratch.strings.get(Reader::index(data)?).copied().ok_or(Stop::Broken)
    }

    fn list(&mut self, len: usize, depth: u32, out: *mut Zv) -> Result<(), Stop> {
        let table = table::new_packed(self.memory, len)?;
        let mut dynamic = false;
        for _ in 0..len {
            let slot = table::packed_slot(table);
            if let Err(stop) = self.next(depth + 1, slot) {
                self.memory.abandon(table);
                return Err(stop);
            }
            dynamic |= is_node(slot);
            table::packed_done(table);
        }
        self.memory.array(table, dynamic, out);
        Ok(())
    }

    /// Reads a string key: one that has occurred, a process-wide one if `common`, or a new one.
    fn key(&mut self, token: Token<'p>, common: bool) -> Result<*mut ZStr, Stop> {
        let text = match token {
            Token::Str(bytes) => {
                let text = if let Some(text) = common.then(|| keys::find(bytes)).flatten() {
                    text
                } else {
                    let mut value = std::mem::MaybeUninit::<Zv>::uninit();
                    memory::string(self.memory, bytes, value.as_mut_ptr())?
                };
                if is_shared_len(bytes.len()) {
                    self.scratch.strings.push(text);
                }
                text
            }
            Token::Ext(EXT_STRING, data) => {
                let text = self.known(data)?;
                table::add_ref(text);
                text
            }
            _ => return Err(Stop::Broken),
        };
        // SAFETY: the string is live.
        unsafe {
            if (*text).h == 0 {
                zend_string_hash_func(text);
            }
        }
        Ok(text)
    }

    fn array_key(&mut self, common: bool) -> Result<TableKey, Stop> {
        match self.reader.token()? {
            Token::Int(number) => Ok(TableKey::Int(number)),
            Token::Str(bytes) if numeric_key(bytes).is_some() => Err(Stop::Broken),
            token => {
                let known = matches!(token, Token::Ext(..));
                let text = self.key(token, common)?;
                // SAFETY: the string is live.
                if known && numeric_key(unsafe { memory::bytes_of(text) }).is_some() {
                    release(text);
                    return Err(Stop::Broken);
                }
                Ok(TableKey::Str(text))
            }
        }
    }

    fn map(&mut self, len: usize, depth: u32, out: *mut Zv) -> Result<(), Stop> {
        let table = table::new_hash(self.memory, len)?;
        let filled = self.fill_map(table, len, depth);
        let (dynamic, strings_only) = self.kept(table, filled)?;
        if strings_only && is_shape_len(len) {
            self.scratch.shapes.push(Shape { class: None, template: table, owned: false });
        }
        self.memory.array(table, dynamic, out);
        Ok(())
    }

    /// Gives up the table of a failed step.
    fn kept<T>(&mut self, table: *mut HashTable, result: Result<T, Stop>) -> Result<T, Stop> {
        if result.is_err() {
            self.memory.abandon(table);
        }
        result
    }

    fn fill_map(&mut self, table: *mut HashTable, len: usize, depth: u32) -> Result<(bool, bool), Stop> {
        let (mut dynamic, mut strings_only) = (false, true);
        for _ in 0..len {
            let key = self.array_key(len <= COMMON_KEYS)?;
            strings_only &= matches!(key, TableKey::Str(_));
            dynamic |= self.entry(table, key, depth)?;
        }
        Ok((dynamic, strings_only))
    }

    fn entry(&mut self, table: *mut HashTable, key: TableKey, depth: u32) -> Result<bool, Stop> {
        let Some(slot) = table::add_key(table, key) else {
            if let TableKey::Str(text) = key {
                release(text);
            }
            return Err(Stop::Broken);
        };
        self.next(depth + 1, slot)?;
        Ok(is_node(slot))
    }

    fn object(&mut self, class: &'p [u8], len: usize, depth: u32, out: *mut Zv) -> Result<(), Stop> {
        if !len.is_multiple_of(2) {
            return Err(Stop::Broken);
        }
        let count = len / 2;
        let table = table::new_hash(self.memory, count)?;
        let filled = (|| {
            let mut dynamic = false;
            for _ in 0..count {
                let token = self.reader.token()?;
                let name = self.key(token, count <= COMMON_KEYS)?;
                dynamic |= self.entry(table, TableKey::Str(name), depth)?;
            }
            Ok(dynamic)
        })();
        let dynamic = self.kept(table, filled)?;
        let shape = count <= MAX_SHAPE_KEYS;
        let made = self.memory.object(class, table, dynamic, shape, out).map_err(Stop::from);
        self.kept(table, made)?;
        if shape {
            let owned = M::REFCOUNT == 1 && !class.is_empty();
            self.scratch.shapes.push(Shape { class: Some(class), template: table, owned });
        }
        Ok(())
    }

    fn instance(&mut self, index: usize, len: usize, depth: u32, out: *mut Zv) -> Result<(), Stop> {
        let shape = self.scratch.shapes.get(index).ok_or(Stop::Broken)?;
        let (class, template) = (shape.class, shape.template);
        if table::used(template) != len {
            return Err(Stop::Broken);
        }
        let table = table::instance(self.memory, template)?;
        let mut dynamic = false;
        for _ in 0..len {
            let slot = table::instance_slot(table);
            if let Err(stop) = self.next(depth + 1, slot) {
                self.memory.abandon(table);
                return Err(stop);
            }
            dynamic |= is_node(slot);
        }
        match class {
            None => {
                self.memory.array(table, dynamic, out);
                Ok(())
            }
            Some(class) => {
                let made = self.memory.object(class, table, dynamic, false, out).map_err(Stop::from);
                self.kept(table, made)
            }
        }
    }
}

/// Gives back a key that found no place.
fn release(text: *mut ZStr) {
    // SAFETY: the caller held a reference; interned strings are not counted.
    unsafe { php::ext_php_rs_zend_string_release(text) };
}
