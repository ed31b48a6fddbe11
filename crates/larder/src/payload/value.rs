//! A PHP value on the Rust side.

use std::sync::Arc;

use super::error::PayloadError;
use super::format::{
    EXT_OBJECT, EXT_PHP, EXT_SHAPE, EXT_STRING, MAX_DEPTH, MAX_SHAPE_KEYS, is_shape_len, is_shared_len,
    numeric_key,
};
use super::read::{Broken, Reader, Token};

/// A PHP value.
///
/// Strings are shared ([`Arc`]), since a payload names a repeated string once.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `null`
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float; NaN, infinities and `-0.0` are kept.
    Float(f64),
    /// A string that is UTF-8.
    Str(Arc<str>),
    /// A string that is not.
    Bytes(Arc<[u8]>),
    /// An array, its entries in PHP's order.
    Array(Vec<(Key, Value)>),
    /// An object: its class (`stdClass` or a plain class) and its properties in order.
    /// A protected property is named `"\0*\0name"`, a private one `"\0Class\0name"`, as PHP does.
    Object {
        /// The class's name as PHP spells it.
        class: Arc<str>,
        /// The properties.
        props: Vec<(Key, Value)>,
    },
    /// What only PHP's own serializer can carry: the bytes of `serialize()`.
    Php(Arc<[u8]>),
}

/// A key of a PHP array or the name of a property.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Key {
    /// An integer key.
    Int(i64),
    /// A string key that is UTF-8.
    Str(Arc<str>),
    /// A string key that is not.
    Bytes(Arc<[u8]>),
}

impl Key {
    /// The bytes of a string key.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Int(_) => None,
            Self::Str(text) => Some(text.as_bytes()),
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

impl From<&str> for Key {
    /// The key that PHP makes of this string: `"12"` becomes the integer 12.
    fn from(text: &str) -> Self {
        numeric_key(text.as_bytes()).map_or_else(|| Self::Str(text.into()), Self::Int)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}

impl Value {
    /// Reads a payload.
    ///
    /// # Errors
    ///
    /// [`PayloadError::is_broken`] when the bytes are no payload.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        let mut decoder = Decoder { reader: Reader::new(payload), strings: Vec::new(), shapes: Vec::new() };
        let value = match decoder.reader.token()? {
            Token::Ext(EXT_PHP, bytes) => Self::Php(bytes.into()),
            token => decoder.value(token, 0)?,
        };
        decoder.reader.finish()?;
        Ok(value)
    }

    /// True for an array whose keys are 0, 1, 2… in order; an empty array is one.
    pub fn is_list(&self) -> bool {
        matches!(self, Self::Array(entries) if is_list(entries))
    }
}

/// True when the keys are 0, 1, 2… in order.
pub(super) fn is_list(entries: &[(Key, Value)]) -> bool {
    (0i64..).zip(entries).all(|(index, (key, _))| *key == Key::Int(index))
}

struct Shape {
    class: Option<Arc<str>>,
    keys: Vec<Key>,
}

struct Decoder<'a> {
    reader: Reader<'a>,
    strings: Vec<Key>,
    shapes: Vec<Shape>,
}

fn text(bytes: &[u8]) -> Key {
    std::str::from_utf8(bytes).map_or_else(|_| Key::Bytes(bytes.into()), |text| Key::Str(text.into()))
}

impl Decoder<'_> {
    fn value(&mut self, token: Token<'_>, depth: u32) -> Result<Value, Broken> {
        Ok(match token {
            Token::Nil => Value::Null,
            Token::Bool(value) => Value::Bool(value),
            Token::Int(value) => Value::Int(value),
            Token::Float(value) => Value::Float(value),
            Token::Str(_) | Token::Ext(..) => match self.string(token)? {
                Key::Str(text) => Value::Str(text),
                Key::Bytes(bytes) => Value::Bytes(bytes),
                Key::Int(_) => return Err(Broken),
            },
            Token::Bin(bytes) => Value::Bytes(bytes.into()),
            Token::Array(_) | Token::Map(_) if depth >= MAX_DEPTH => return Err(Broken),
            Token::Array(0) => Value::Array(Vec::new()),
            Token::Array(len) => match self.reader.array_head()? {
                None => self.list(len, depth)?,
                Some((EXT_OBJECT, class)) => self.object(class, len - 1, depth)?,
                Some((EXT_SHAPE, data)) => self.instance(Reader::index(data)?, len - 1, depth)?,
                Some(_) => return Err(Broken),
            },
            Token::Map(len) => self.map(len, depth)?,
        })
    }

    fn next(&mut self, depth: u32) -> Result<Value, Broken> {
        let token = self.reader.token()?;
        self.value(token, depth + 1)
    }

    fn string(&mut self, token: Token<'_>) -> Result<Key, Broken> {
        match token {
            Token::Str(bytes) => {
                let key = text(bytes);
                if is_shared_len(bytes.len()) {
                    self.strings.push(key.clone());
                }
                Ok(key)
            }
            Token::Ext(EXT_STRING, data) => self.strings.get(Reader::index(data)?).cloned().ok_or(Broken),
            _ => Err(Broken),
        }
    }

    fn list(&mut self, len: usize, depth: u32) -> Result<Value, Broken> {
        let mut entries = Vec::with_capacity(len);
        for index in (0i64..).take(len) {
            entries.push((Key::Int(index), self.next(depth)?));
        }
        Ok(Value::Array(entries))
    }

    fn map(&mut self, len: usize, depth: u32) -> Result<Value, Broken> {
        let mut entries = Vec::with_capacity(len);
        let mut strings_only = true;
        for _ in 0..len {
            let key = match self.reader.token()? {
                Token::Int(number) => {
                    strings_only = false;
                    Key::Int(number)
                }
                token => self.string(token)?,
            };
            if key.as_bytes().and_then(numeric_key).is_some() {
                return Err(Broken);
            }
            entries.push((key, self.next(depth)?));
        }
        distinct(&entries)?;
        if strings_only && is_shape_len(len) {
            self.define(None, &entries);
        }
        Ok(Value::Array(entries))
    }

    fn object(&mut self, class: &[u8], len: usize, depth: u32) -> Result<Value, Broken> {
        let class: Arc<str> = match class {
            [] => "stdClass".into(),
            name => std::str::from_utf8(name).map_err(|_| Broken)?.into(),
        };
        if !len.is_multiple_of(2) {
            return Err(Broken);
        }
        let mut props = Vec::with_capacity(len / 2);
        for _ in 0..len / 2 {
            let token = self.reader.token()?;
            props.push((self.string(token)?, self.next(depth)?));
        }
        distinct(&props)?;
        if props.len() <= MAX_SHAPE_KEYS {
            self.define(Some(Arc::clone(&class)), &props);
        }
        Ok(Value::Object { class, props })
    }

    fn instance(&mut self, index: usize, len: usize, depth: u32) -> Result<Value, Broken> {
        let shape = self.shapes.get(index).ok_or(Broken)?;
        if shape.keys.len() != len {
            return Err(Broken);
        }
        let class = shape.class.clone();
        let mut entries = Vec::with_capacity(len);
        for column in 0..len {
            // The table only grows: what was there stays there.
            let key = self.shapes.get(index).and_then(|shape| shape.keys.get(column)).ok_or(Broken)?.clone();
            entries.push((key, self.next(depth)?));
        }
        Ok(match class {
            None => Value::Array(entries),
            Some(class) => Value::Object { class, props: entries },
        })
    }

    fn define(&mut self, class: Option<Arc<str>>, entries: &[(Key, Value)]) {
        let keys = entries.iter().map(|(key, _)| key.clone()).collect();
        self.shapes.push(Shape { class, keys });
    }
}

/// Refuses a map that names a key twice.
fn distinct(entries: &[(Key, Value)]) -> Result<(), Broken> {
    let mut keys: Vec<&Key> = entries.iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) { Err(Broken) } else { Ok(()) }
}
