//! Writes a [`Value`] as a payload.

use std::collections::HashMap;

use super::error::PayloadError;
use super::format::{
    EXT_OBJECT, EXT_PHP, EXT_SHAPE, EXT_STRING, MAX_DEPTH, MAX_SHAPE_KEYS, is_shape_len, is_shared_len,
    numeric_key,
};
use super::value::{Key, Value, is_list};
use super::write;

impl Value {
    /// Writes the value as a payload. Equal values give equal bytes.
    ///
    /// # Errors
    ///
    /// Nesting deeper than [`MAX_DEPTH`], a string beyond 4 GiB, [`Value::Php`] below the top, a
    /// map that names a key twice.
    pub fn encode(&self) -> Result<Vec<u8>, PayloadError> {
        let mut encoder =
            Encoder { out: Vec::new(), strings: HashMap::new(), shapes: HashMap::new(), defined: 0 };
        if let Self::Php(bytes) = self {
            check_len(bytes.len())?;
            write::ext(&mut encoder.out, EXT_PHP, bytes);
        } else {
            encoder.value(self, 0)?;
        }
        Ok(encoder.out)
    }
}

type ShapeKey<'v> = (Option<&'v str>, Vec<&'v [u8]>);

struct Encoder<'v> {
    out: Vec<u8>,
    strings: HashMap<&'v [u8], u32>,
    shapes: HashMap<ShapeKey<'v>, u32>,
    defined: u32,
}

fn check_len(len: usize) -> Result<(), PayloadError> {
    u32::try_from(len).map(|_| ()).map_err(|_| PayloadError::too_long())
}

impl<'v> Encoder<'v> {
    fn value(&mut self, value: &'v Value, depth: u32) -> Result<(), PayloadError> {
        match value {
            Value::Null => write::nil(&mut self.out),
            Value::Bool(value) => write::bool(&mut self.out, *value),
            Value::Int(value) => write::int(&mut self.out, *value),
            Value::Float(value) => write::float(&mut self.out, *value),
            Value::Str(text) => self.string(text.as_bytes())?,
            // What calls itself bytes though it is text keeps its kind.
            Value::Bytes(bytes) if std::str::from_utf8(bytes).is_ok() => {
                check_len(bytes.len())?;
                write::bin(&mut self.out, bytes);
            }
            Value::Bytes(bytes) => self.string(bytes)?,
            Value::Array(_) | Value::Object { .. } if depth >= MAX_DEPTH => {
                return Err(PayloadError::too_deep());
            }
            Value::Array(entries) if is_list(entries) => {
                check_len(entries.len())?;
                write::array(&mut self.out, entries.len());
                for (_, value) in entries {
                    self.value(value, depth + 1)?;
                }
            }
            Value::Array(entries) => self.map(entries, depth)?,
            Value::Object { class, props } => self.object(class, props, depth)?,
            Value::Php(_) => return Err(PayloadError::php_only()),
        }
        Ok(())
    }

    fn string(&mut self, bytes: &'v [u8]) -> Result<(), PayloadError> {
        check_len(bytes.len())?;
        if is_shared_len(bytes.len()) {
            let next = u32::try_from(self.strings.len()).map_err(|_| PayloadError::too_long())?;
            if let Some(index) = self.strings.get(bytes) {
                write::index(&mut self.out, EXT_STRING, *index);
                return Ok(());
            }
            self.strings.insert(bytes, next);
        }
        write::str(&mut self.out, bytes);
        Ok(())
    }

    fn map(&mut self, entries: &'v [(Key, Value)], depth: u32) -> Result<(), PayloadError> {
        check_len(entries.len())?;
        let keys = array_keys(entries)?;
        let shape = if is_shape_len(entries.len()) { keys.map(|keys| (None, keys)) } else { None };
        if self.instance(shape.as_ref(), entries, depth)? {
            return Ok(());
        }
        write::map(&mut self.out, entries.len());
        for (key, value) in entries {
            match array_key(key) {
                Ok(number) => write::int(&mut self.out, number),
                Err(bytes) => self.string(bytes)?,
            }
            self.value(value, depth + 1)?;
        }
        self.define(shape);
        Ok(())
    }

    fn object(&mut self, class: &'v str, props: &'v [(Key, Value)], depth: u32) -> Result<(), PayloadError> {
        check_len(props.len() * 2 + 1)?;
        let names: Vec<&[u8]> = props
            .iter()
            .map(|(key, _)| key.as_bytes().ok_or_else(|| PayloadError::key("a property's integer")))
            .collect::<Result<_, _>>()?;
        distinct(&names)?;
        let class = if class.eq_ignore_ascii_case("stdClass") { "" } else { class };
        let shape = (names.len() <= MAX_SHAPE_KEYS).then_some((Some(class), names));
        if self.instance(shape.as_ref(), props, depth)? {
            return Ok(());
        }
        write::array(&mut self.out, props.len() * 2 + 1);
        write::ext(&mut self.out, EXT_OBJECT, class.as_bytes());
        for (key, value) in props {
            self.string(key.as_bytes().unwrap_or_default())?;
            self.value(value, depth + 1)?;
        }
        self.define(shape);
        Ok(())
    }

    /// Writes the values alone if the shape is known.
    fn instance(
        &mut self,
        shape: Option<&ShapeKey<'v>>,
        entries: &'v [(Key, Value)],
        depth: u32,
    ) -> Result<bool, PayloadError> {
        let Some(index) = shape.and_then(|shape| self.shapes.get(shape)).copied() else {
            return Ok(false);
        };
        write::array(&mut self.out, entries.len() + 1);
        write::index(&mut self.out, EXT_SHAPE, index);
        for (_, value) in entries {
            self.value(value, depth + 1)?;
        }
        Ok(true)
    }

    /// Gives a shape that was written out the next index. The one inside a like one comes first and
    /// stays.
    fn define(&mut self, shape: Option<ShapeKey<'v>>) {
        if let Some(shape) = shape {
            self.shapes.entry(shape).or_insert(self.defined);
            self.defined += 1;
        }
    }
}

/// A key as PHP's arrays have it: a number or bytes.
fn array_key(key: &Key) -> Result<i64, &[u8]> {
    match key {
        Key::Int(number) => Ok(*number),
        Key::Str(text) => numeric_key(text.as_bytes()).ok_or(text.as_bytes()),
        Key::Bytes(bytes) => Err(bytes),
    }
}

/// The keys if all are strings.
fn array_keys(entries: &[(Key, Value)]) -> Result<Option<Vec<&[u8]>>, PayloadError> {
    let keys: Vec<Result<i64, &[u8]>> = entries.iter().map(|(key, _)| array_key(key)).collect();
    let mut sorted: Vec<_> = keys.iter().collect();
    sorted.sort_unstable();
    if let Some([twice, _]) = sorted.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(PayloadError::duplicate_key(match twice {
            Ok(number) => number.to_string(),
            Err(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        }));
    }
    Ok(keys.into_iter().map(Result::err).collect())
}

fn distinct(names: &[&[u8]]) -> Result<(), PayloadError> {
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
        Some([twice, _]) => Err(PayloadError::duplicate_key(String::from_utf8_lossy(twice).into_owned())),
        _ => Ok(()),
    }
}
