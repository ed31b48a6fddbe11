//! A [`Value`] into any serde type, and any self-describing format into a [`Value`].

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::PayloadError;
use super::ser::{CLASS, VALUE};
use super::value::{Key, Value, is_list};

type Entries = std::vec::IntoIter<(Key, Value)>;

/// Reads a serde type out of a decoded value.
pub(super) struct ValueDeserializer(pub(super) Value);

impl ValueDeserializer {
    fn any<'de, V: Visitor<'de>>(self, visitor: V, tagged: bool) -> Result<V::Value, PayloadError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Int(value) => visitor.visit_i64(value),
            Value::Float(value) => visitor.visit_f64(value),
            Value::Str(text) => visitor.visit_str(&text),
            Value::Bytes(bytes) => visitor.visit_bytes(&bytes),
            Value::Array(entries) if is_list(&entries) => visitor.visit_seq(Seq(entries.into_iter())),
            Value::Array(entries) => visitor.visit_map(Map::new(entries, None)),
            Value::Object { class, props } => {
                visitor.visit_map(Map::new(props, tagged.then_some(Value::Str(class))))
            }
            Value::Php(_) => Err(PayloadError::php_only()),
        }
    }
}

impl<'de> Deserializer<'de> for ValueDeserializer {
    type Error = PayloadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PayloadError> {
        self.any(visitor, false)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PayloadError> {
        if self.0 == Value::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, PayloadError> {
        if name == VALUE { self.any(visitor, true) } else { visitor.visit_newtype_struct(self) }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PayloadError> {
        match self.0 {
            // PHP has one array type: an empty one, or one with the keys 0, 1, 2, may be meant as a
            // map.
            Value::Array(entries) => visitor.visit_map(Map::new(entries, None)),
            value => Self(value).any(visitor, false),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PayloadError> {
        match self.0 {
            Value::Array(entries) if entries.is_empty() => visitor.visit_map(Map::new(entries, None)),
            value => Self(value).any(visitor, false),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PayloadError> {
        match self.0 {
            // Records keyed by their id, as PHP keeps them, are read as a sequence of records.
            Value::Array(entries) if entries.iter().all(|(key, _)| matches!(key, Key::Int(_))) => {
                visitor.visit_seq(Seq(entries.into_iter()))
            }
            value => Self(value).any(visitor, false),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PayloadError> {
        match self.0 {
            Value::Str(name) => visitor.visit_enum(Variant(Key::Str(name), None)),
            Value::Array(entries) => {
                let mut entries = entries.into_iter();
                match (entries.next(), entries.next()) {
                    (Some((name, value)), None) => visitor.visit_enum(Variant(name, Some(value))),
                    _ => Err(serde::de::Error::custom(
                        "expected the name of a variant or one variant with its value",
                    )),
                }
            }
            value => Self(value).any(visitor, false),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// Reads a key; integer keys are also taken where a string is asked for.
struct KeyDeserializer(Key);

impl<'de> Deserializer<'de> for KeyDeserializer {
    type Error = PayloadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PayloadError> {
        match self.0 {
            Key::Int(number) => visitor.visit_i64(number),
            Key::Str(text) => visitor.visit_str(&text),
            Key::Bytes(bytes) => visitor.visit_bytes(&bytes),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PayloadError> {
        match self.0 {
            Key::Int(number) => visitor.visit_string(number.to_string()),
            key => Self(key).deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PayloadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PayloadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, PayloadError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf option unit
        unit_struct seq tuple tuple_struct map struct enum ignored_any
    }
}

struct Seq(Entries);

impl<'de> SeqAccess<'de> for Seq {
    type Error = PayloadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, PayloadError> {
        self.0.next().map(|(_, value)| seed.deserialize(ValueDeserializer(value))).transpose()
    }
}

struct Map {
    class: Option<Value>,
    entries: Entries,
    value: Option<Value>,
}

impl Map {
    fn new(entries: Vec<(Key, Value)>, class: Option<Value>) -> Self {
        Self { class, entries: entries.into_iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for Map {
    type Error = PayloadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, PayloadError> {
        let (key, value) = match self.class.take() {
            Some(class) => (Key::Str(CLASS.into()), class),
            None => match self.entries.next() {
                Some(entry) => entry,
                None => return Ok(None),
            },
        };
        self.value = Some(value);
        seed.deserialize(KeyDeserializer(key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, PayloadError> {
        let value = self
            .value
            .take()
            .ok_or_else(|| <PayloadError as serde::de::Error>::custom("a value without a key"))?;
        seed.deserialize(ValueDeserializer(value))
    }
}

struct Variant(Key, Option<Value>);

impl<'de> EnumAccess<'de> for Variant {
    type Error = PayloadError;
    type Variant = VariantValue;

    fn variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<(T::Value, VariantValue), PayloadError> {
        Ok((seed.deserialize(KeyDeserializer(self.0))?, VariantValue(self.1)))
    }
}

struct VariantValue(Option<Value>);

impl<'de> VariantAccess<'de> for VariantValue {
    type Error = PayloadError;

    fn unit_variant(self) -> Result<(), PayloadError> {
        match self.0 {
            None | Some(Value::Null) => Ok(()),
            Some(_) => Err(serde::de::Error::custom("the variant has no value")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, PayloadError> {
        seed.deserialize(ValueDeserializer(self.0.unwrap_or(Value::Null)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, PayloadError> {
        ValueDeserializer(self.0.unwrap_or(Value::Null)).deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PayloadError> {
        ValueDeserializer(self.0.unwrap_or(Value::Null)).deserialize_struct("", fields, visitor)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(VALUE, ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value that PHP has")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        Value::deserialize(inner)
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        inner.deserialize_any(self)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Int(v))
    }
    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Value, E> {
        i64::try_from(v).map(Value::Int).map_err(|_| E::custom(PayloadError::integer(v)))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Value::Float(v))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::Str(v.into()))
    }
    fn visit_bytes<E>(self, v: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(v.into()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        let mut index = 0;
        while let Some(value) = seq.next_element()? {
            entries.push((Key::Int(index), value));
            index += 1;
        }
        Ok(Value::Array(entries))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        let mut class = None;
        while let Some(key) = map.next_key::<Key>()? {
            match (key, map.next_value()?) {
                (Key::Str(name), Value::Str(text)) if entries.is_empty() && &*name == CLASS => {
                    class = Some(text);
                }
                entry => entries.push(entry),
            }
        }
        Ok(match class {
            Some(class) => Value::Object { class, props: entries },
            None => Value::Array(entries),
        })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string or an integer")
    }
    fn visit_i64<E>(self, v: i64) -> Result<Key, E> {
        Ok(Key::Int(v))
    }
    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Key, E> {
        i64::try_from(v).map(Key::Int).map_err(|_| E::custom(PayloadError::integer(v)))
    }
    fn visit_str<E>(self, v: &str) -> Result<Key, E> {
        Ok(Key::Str(v.into()))
    }
    fn visit_bytes<E>(self, v: &[u8]) -> Result<Key, E> {
        Ok(Key::Bytes(v.into()))
    }
}
