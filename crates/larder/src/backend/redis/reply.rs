//! Taking answers apart. Whatever has not the expected form is [`Failure::garbled`].

use redis::Value;

use super::failure::Failure;

/// The answers to one batch of commands, in order.
pub(super) struct Replies(std::vec::IntoIter<Value>);

impl Replies {
    pub(super) fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    pub(super) fn next(&mut self) -> Value {
        self.0.next().unwrap_or(Value::Nil)
    }
}

pub(super) fn array(value: Value, what: &str) -> Result<Vec<Value>, Failure> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(Failure::garbled(what)),
    }
}

pub(super) fn integer(value: &Value, what: &str) -> Result<u64, Failure> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::BulkString(digits) => std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()),
        _ => None,
    }
    .ok_or_else(|| Failure::garbled(what))
}

pub(super) fn bytes(value: Value, what: &str) -> Result<Vec<u8>, Failure> {
    optional_bytes(value, what)?.ok_or_else(|| Failure::garbled(what))
}

pub(super) fn optional_bytes(value: Value, what: &str) -> Result<Option<Vec<u8>>, Failure> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::SimpleString(text) => Ok(Some(text.into_bytes())),
        Value::Okay => Ok(Some(b"OK".to_vec())),
        _ => Err(Failure::garbled(what)),
    }
}

pub(super) fn text(value: Value, what: &str) -> Result<String, Failure> {
    String::from_utf8(bytes(value, what)?).map_err(|_| Failure::garbled(what))
}

/// The answer to `TIME`, in milliseconds.
pub(super) fn time(value: Value) -> Result<u64, Failure> {
    let parts = array(value, "TIME")?;
    let [seconds, micros] = parts.as_slice() else { return Err(Failure::garbled("TIME")) };
    Ok(integer(seconds, "TIME")?.saturating_mul(1000).saturating_add(integer(micros, "TIME")? / 1000))
}
