//! Any serde value as a [`Value`].

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::error::PayloadError;
use super::format::MAX_DEPTH;
use super::value::{Key, Value, is_list};

/// Names under which a [`Value`] passes through serde without losing its class.
pub(super) const OBJECT: &str = "$larder::Object";
pub(super) const CLASS: &str = "$larder::class";
pub(super) const PHP: &str = "$larder::Php";
pub(super) const VALUE: &str = "$larder::Value";

type Res<T = Value> = Result<T, PayloadError>;

pub(super) fn to_value<T: Serialize + ?Sized>(value: &T) -> Res {
    value.serialize(ToValue { depth: 0 })
}

/// The serializer. Its depth is bounded, for a type may nest without end.
#[derive(Clone, Copy)]
struct ToValue {
    depth: u32,
}

impl ToValue {
    fn inside(self) -> Res<Self> {
        if self.depth >= MAX_DEPTH {
            Err(PayloadError::too_deep())
        } else {
            Ok(Self { depth: self.depth + 1 })
        }
    }

    fn entries(self) -> Res<Entries> {
        Ok(Entries { inside: self.inside()?, filled: Vec::new(), key: None, variant: None })
    }

    fn variant(self, name: &'static str) -> Res<Entries> {
        let mut entries = self.inside()?.entries()?;
        entries.variant = Some(name);
        Ok(entries)
    }
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.into())
}

fn named(name: &str, value: Value) -> Value {
    Value::Array(vec![(Key::from(name), value)])
}

impl Serializer for ToValue {
    type Ok = Value;
    type Error = PayloadError;
    type SerializeSeq = Entries;
    type SerializeTuple = Entries;
    type SerializeTupleStruct = Entries;
    type SerializeTupleVariant = Entries;
    type SerializeMap = Entries;
    type SerializeStruct = Entries;
    type SerializeStructVariant = Entries;

    fn serialize_bool(self, v: bool) -> Res {
        Ok(Value::Bool(v))
    }
    fn serialize_i8(self, v: i8) -> Res {
        Ok(Value::Int(v.into()))
    }
    fn serialize_i16(self, v: i16) -> Res {
        Ok(Value::Int(v.into()))
    }
    fn serialize_i32(self, v: i32) -> Res {
        Ok(Value::Int(v.into()))
    }
    fn serialize_i64(self, v: i64) -> Res {
        Ok(Value::Int(v))
    }
    fn serialize_i128(self, v: i128) -> Res {
        i64::try_from(v).map(Value::Int).map_err(|_| PayloadError::integer(v))
    }
    fn serialize_u8(self, v: u8) -> Res {
        Ok(Value::Int(v.into()))
    }
    fn serialize_u16(self, v: u16) -> Res {
        Ok(Value::Int(v.into()))
    }
    fn serialize_u32(self, v: u32) -> Res {
        Ok(Value::Int(v.into()))
    }
    fn serialize_u64(self, v: u64) -> Res {
        i64::try_from(v).map(Value::Int).map_err(|_| PayloadError::integer(v))
    }
    fn serialize_u128(self, v: u128) -> Res {
        i64::try_from(v).map(Value::Int).map_err(|_| PayloadError::integer(v))
    }
    fn serialize_f32(self, v: f32) -> Res {
        Ok(Value::Float(v.into()))
    }
    fn serialize_f64(self, v: f64) -> Res {
        Ok(Value::Float(v))
    }
    fn serialize_char(self, v: char) -> Res {
        self.serialize_str(v.encode_utf8(&mut [0; 4]))
    }
    fn serialize_str(self, v: &str) -> Res {
        Ok(Value::Str(v.into()))
    }
    fn serialize_bytes(self, v: &[u8]) -> Res {
        Ok(bytes(v))
    }
    fn serialize_none(self) -> Res {
        Ok(Value::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, v: &T) -> Res {
        v.serialize(self)
    }
    fn serialize_unit(self) -> Res {
        Ok(Value::Null)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Res {
        Ok(Value::Null)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Res {
        self.serialize_str(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, v: &T) -> Res {
        let value = v.serialize(self)?;
        Ok(match (name, value) {
            (OBJECT, Value::Array(entries)) => {
                let mut entries = entries.into_iter();
                match entries.next() {
                    Some((_, Value::Str(class))) => Value::Object { class, props: entries.collect() },
                    _ => return Err(serde::ser::Error::custom("an object without a class")),
                }
            }
            (PHP, Value::Bytes(serialized)) => Value::Php(serialized),
            (_, value) => value,
        })
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        v: &T,
    ) -> Res {
        Ok(named(variant, v.serialize(self.inside()?)?))
    }
    fn serialize_seq(self, _: Option<usize>) -> Res<Entries> {
        self.entries()
    }
    fn serialize_tuple(self, _: usize) -> Res<Entries> {
        self.entries()
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Res<Entries> {
        self.entries()
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Res<Entries> {
        self.variant(variant)
    }
    fn serialize_map(self, _: Option<usize>) -> Res<Entries> {
        self.entries()
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Res<Entries> {
        self.entries()
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Res<Entries> {
        self.variant(variant)
    }
}

/// A container being filled.
struct Entries {
    inside: ToValue,
    filled: Vec<(Key, Value)>,
    key: Option<Key>,
    variant: Option<&'static str>,
}

impl Entries {
    fn push<T: Serialize + ?Sized>(&mut self, v: &T) -> Res<()> {
        let index = i64::try_from(self.filled.len()).map_err(|_| PayloadError::too_long())?;
        self.filled.push((Key::Int(index), v.serialize(self.inside)?));
        Ok(())
    }

    fn finish(self) -> Value {
        let value = Value::Array(self.filled);
        match self.variant {
            Some(name) => named(name, value),
            None => value,
        }
    }
}

macro_rules! elements {
    ($($container:ident $method:ident),*) => {$(
        impl $container for Entries {
            type Ok = Value;
            type Error = PayloadError;
            fn $method<T: Serialize + ?Sized>(&mut self, v: &T) -> Res<()> {
                self.push(v)
            }
            fn end(self) -> Res {
                Ok(self.finish())
            }
        }
    )*};
}

elements!(
    SerializeSeq serialize_element, SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field
);

macro_rules! fields {
    ($($container:ident),*) => {$(
        impl $container for Entries {
            type Ok = Value;
            type Error = PayloadError;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, v: &T) -> Res<()> {
                self.filled.push((Key::Str(key.into()), v.serialize(self.inside)?));
                Ok(())
            }
            fn end(self) -> Res {
                Ok(self.finish())
            }
        }
    )*};
}

fields!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Entries {
    type Ok = Value;
    type Error = PayloadError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Res<()> {
        self.key = Some(match key.serialize(self.inside)? {
            Value::Int(number) => Key::Int(number),
            Value::Str(text) => Key::Str(text),
            Value::Bytes(bytes) => Key::Bytes(bytes),
            Value::Null => return Err(PayloadError::key("null")),
            Value::Bool(_) => return Err(PayloadError::key("a boolean")),
            Value::Float(_) => return Err(PayloadError::key("a float")),
            _ => return Err(PayloadError::key("a container")),
        });
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, v: &T) -> Res<()> {
        let key = self
            .key
            .take()
            .ok_or_else(|| <PayloadError as serde::ser::Error>::custom("a value without a key"))?;
        self.filled.push((key, v.serialize(self.inside)?));
        Ok(())
    }

    fn end(self) -> Res {
        Ok(self.finish())
    }
}

impl Serialize for Value {
    /// Plain values as themselves: a list as a sequence, another array or an object as a map. An
    /// object's map begins with its class under `"$larder::class"`; the bytes of [`Value::Php`] are
    /// bytes.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Str(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::Array(entries) if is_list(entries) => {
                serializer.collect_seq(entries.iter().map(|(_, value)| value))
            }
            Self::Array(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
            Self::Object { class, props } => {
                serializer.serialize_newtype_struct(OBJECT, &Object(class, props))
            }
            Self::Php(bytes) => serializer.serialize_newtype_struct(PHP, &Raw(bytes)),
        }
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::Str(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
        }
    }
}

struct Object<'v>(&'v str, &'v [(Key, Value)]);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.1.len() + 1))?;
        map.serialize_entry(CLASS, self.0)?;
        for (key, value) in self.1 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

struct Raw<'v>(&'v [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}
