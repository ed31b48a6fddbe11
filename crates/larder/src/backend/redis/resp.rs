//! Answers of a server, in the second version of its protocol
//! (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).
//!
//! `redis` has a parser, too. It takes some 3,000 instructions a value, a twentieth of those that a
//! warm page takes in all, so it is asked only where speed is nothing: for errors.

use redis::{ErrorKind, RedisError, RedisResult, Value};

/// No answer of a server is nested deeper.
const MAX_DEPTH: usize = 16;
/// The longest string that a server sends, unless its `proto-max-bulk-len` was raised.
const MAX_LENGTH: i64 = 512 << 20;

/// No line is longer.
const MAX_LINE: usize = 64 << 10;

/// The most that the answers to a batch can be, by what it asks for. A server that sends more is
/// not heard out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    pub(super) bytes: usize,
    /// Arrays count, and their elements do.
    pub(super) values: usize,
}

impl Most {
    /// Whatever has no entries in it; the largest is a thousand records of a log of 64 MB.
    pub(super) const SMALL: Self = Self { bytes: 128 << 20, values: 64 << 10 };
    /// Enough for either.
    pub(super) fn max(self, other: Self) -> Self {
        Self { bytes: self.bytes.max(other.bytes), values: self.values.max(other.values) }
    }

    /// As much for so many batches more.
    pub(super) const fn and_small(self, batches: usize) -> Self {
        Self {
            bytes: self.bytes.saturating_add(Self::SMALL.bytes.saturating_mul(batches)),
            values: self.values.saturating_add(Self::SMALL.values.saturating_mul(batches)),
        }
    }

    /// One page of a listing, or so many entries beside something small.
    pub(super) const fn of_entries(entries: usize) -> Self {
        Self { bytes: 1 << 30, values: Self::SMALL.values.saturating_add(entries) }
    }
}

/// How much of some answers has arrived. Can be asked again as more comes, without looking at
/// anything twice.
pub(super) struct Arrived {
    /// Where the next value begins.
    at: usize,
    /// How many values are still to come; an array is one, and then its elements are.
    missing: usize,
    /// How many values there may still be, and how many bytes in all.
    most: Most,
}

impl Arrived {
    /// Nothing of so many answers.
    pub(super) fn nothing_of(answers: usize, most: Most) -> Self {
        Self { at: 0, missing: answers, most }
    }

    /// Whether all of them are in `bytes`, and nothing else.
    pub(super) fn all(&mut self, bytes: &[u8]) -> RedisResult<bool> {
        match self.end(bytes)? {
            Some(end) if end < bytes.len() => Err(nonsense()),
            end => Ok(end.is_some()),
        }
    }

    /// Where in `bytes` they end, if all of them are there.
    pub(super) fn end(&mut self, bytes: &[u8]) -> RedisResult<Option<usize>> {
        if bytes.len() > self.most.bytes {
            return Err(too_much());
        }
        while self.missing > 0 {
            if self.missing > self.most.values {
                return Err(too_much());
            }
            let Some((kind, text, next)) = header(bytes, self.at)? else { return Ok(None) };
            let mut more = 0;
            let mut end = next;
            match kind {
                b'$' => {
                    if let Some(length) = length(text)? {
                        end = next + length + 2;
                        if end > self.most.bytes {
                            return Err(too_much());
                        }
                        if bytes.len() < end {
                            return Ok(None);
                        }
                    }
                }
                b'*' => more = length(text)?.unwrap_or(0),
                b'+' | b'-' | b':' => {}
                _ => return Err(nonsense()),
            }
            self.at = end;
            self.most.values -= 1;
            self.missing = (self.missing - 1).checked_add(more).ok_or_else(nonsense)?;
        }
        Ok(Some(self.at))
    }
}

/// The answers in `bytes`, all of which have arrived.
pub(super) fn answers(bytes: &[u8], count: usize) -> RedisResult<Vec<Value>> {
    values(bytes, &mut 0, 0, count)
}

fn values(bytes: &[u8], at: &mut usize, depth: usize, count: usize) -> RedisResult<Vec<Value>> {
    // A value takes three bytes at least, so this is room for all that can be there.
    let mut values = Vec::with_capacity(count.min(bytes.len() / 3));
    for _ in 0..count {
        values.push(value(bytes, at, depth)?);
    }
    Ok(values)
}

fn value(bytes: &[u8], at: &mut usize, depth: usize) -> RedisResult<Value> {
    let begin = *at;
    let (kind, text, next) = header(bytes, begin)?.ok_or_else(nonsense)?;
    *at = next;
    match kind {
        b'$' => {
            let Some(length) = length(text)? else { return Ok(Value::Nil) };
            let (string, rest) =
                bytes.get(next..).and_then(|rest| rest.split_at_checked(length)).ok_or_else(nonsense)?;
            if !rest.starts_with(b"\r\n") {
                return Err(nonsense());
            }
            *at = next + length + 2;
            Ok(Value::BulkString(string.to_vec()))
        }
        b'*' => {
            let Some(length) = length(text)? else { return Ok(Value::Nil) };
            if depth == MAX_DEPTH {
                return Err(nonsense());
            }
            values(bytes, at, depth + 1, length).map(Value::Array)
        }
        b':' => number(text).map(Value::Int).ok_or_else(nonsense),
        b'+' if text == b"OK" => Ok(Value::Okay),
        b'+' => String::from_utf8(text.to_vec()).map(Value::SimpleString).map_err(|_| nonsense()),
        _ => redis::parse_redis_value(bytes.get(begin..next).unwrap_or_default()),
    }
}

/// Kind and text of the line that a value begins with, and where the next line begins; `None` if it
/// has not all arrived.
fn header(bytes: &[u8], at: usize) -> RedisResult<Option<(u8, &[u8], usize)>> {
    let Some((kind, rest)) = bytes.get(at..).and_then(<[u8]>::split_first) else { return Ok(None) };
    let Some(end) = rest.iter().take(MAX_LINE).position(|byte| *byte == b'\r') else {
        return if rest.len() < MAX_LINE { Ok(None) } else { Err(nonsense()) };
    };
    match rest.get(end + 1) {
        None => Ok(None),
        Some(b'\n') => Ok(Some((*kind, rest.get(..end).unwrap_or_default(), at + end + 3))),
        Some(_) => Err(nonsense()),
    }
}

/// The length of a string or an array; `None` where there is neither.
fn length(text: &[u8]) -> RedisResult<Option<usize>> {
    match number(text).ok_or_else(nonsense)? {
        -1 => Ok(None),
        length if length > MAX_LENGTH => Err(too_much()),
        length => usize::try_from(length).map(Some).map_err(|_| nonsense()),
    }
}

fn number(text: &[u8]) -> Option<i64> {
    if (1..=18).contains(&text.len()) && text.iter().all(u8::is_ascii_digit) {
        return Some(text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')));
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn nonsense() -> RedisError {
    (ErrorKind::Parse, "not the protocol").into()
}

/// It may be the protocol, but is no answer to what was asked.
fn too_much() -> RedisError {
    (ErrorKind::UnexpectedReturnType, "more than was asked for").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `redis` reads the same bytes.
    fn theirs(mut bytes: &[u8], count: usize) -> RedisResult<Vec<Value>> {
        let mut parser = redis::Parser::new();
        (0..count).map(|_| parser.parse_value(&mut bytes)).collect()
    }

    fn ours(bytes: &[u8], count: usize) -> RedisResult<Vec<Value>> {
        if Arrived::nothing_of(count, Most::SMALL).all(bytes)? {
            answers(bytes, count)
        } else {
            Err(nonsense())
        }
    }

    const ANSWERS: &[&[u8]] = &[
        b"+OK\r\n",
        b"+PONG\r\n",
        b":-42\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"$0\r\n\r\n",
        b"*0\r\n",
        b"$5\r\n\r\n\0\xff\n\r\n",
        b"-ERR unknown command\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n",
        b"*1\r\n*2\r\n$3\r\n1-1\r\n*4\r\n$1\r\nn\r\n$2\r\nab\r\n$1\r\nc\r\n:1\r\n",
    ];

    #[test]
    fn values_are_those_that_redis_reads() {
        for answer in ANSWERS {
            assert_eq!(ours(answer, 1).unwrap(), theirs(answer, 1).unwrap(), "{}", answer.escape_ascii());
        }
        let all = ANSWERS.concat();
        assert_eq!(ours(&all, ANSWERS.len()).unwrap(), theirs(&all, ANSWERS.len()).unwrap());
    }

    #[test]
    fn answers_arrive_piece_by_piece() {
        let all = ANSWERS.concat();
        let mut arrived = Arrived::nothing_of(ANSWERS.len(), Most::SMALL);
        for length in 0..all.len() {
            assert!(!arrived.all(&all[..length]).unwrap(), "{length}");
        }
        assert!(arrived.all(&all).unwrap());
    }

    #[test]
    fn nonsense_is_an_error_or_never_complete() {
        let deep = b"*1\r\n".repeat(1000);
        let nonsense: &[&[u8]] = &[
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"$-2\r\n",
            b"$99999999999999999999\r\n",
            b"*9223372036854775807\r\n*9223372036854775807\r\n*9\r\n",
            b":x\r\n",
            b":1\rx",
            b"+\xff\r\n",
            b"$1\r\nabc",
            b"+OK\r\n+OK\r\n",
            &vec![b'+'; 70_000],
            &[&deep[..], b"+OK\r\n"].concat(),
        ];
        for bytes in nonsense {
            assert!(ours(bytes, 1).is_err(), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_too_much_is_known_before_it_comes() {
        let most = Most { bytes: 1000, values: 10 };
        let refused = |bytes: &[u8]| {
            let error = Arrived::nothing_of(1, most).all(bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedReturnType, "{}", bytes.escape_ascii());
        };
        for header in ["*4000000000\r\n", "*10\r\n", "$4000000000\r\n", "$999\r\n", "*2\r\n*9\r\n"] {
            refused(header.as_bytes());
        }
        refused(&b"*1\r\n".repeat(11));
        refused(&[b'+'; 1001]);
        for header in ["*9\r\n", "$990\r\n", "*2\r\n*7\r\n"] {
            assert!(!Arrived::nothing_of(1, most).all(header.as_bytes()).unwrap(), "{header}");
        }
    }

    #[test]
    fn changed_bytes_do_no_harm() {
        let all = ANSWERS.concat();
        for at in 0..all.len() {
            for byte in 0..=255 {
                let mut changed = all.clone();
                changed[at] = byte;
                if let Ok(values) = ours(&changed, ANSWERS.len()) {
                    assert_eq!(values.len(), ANSWERS.len());
                }
            }
        }
    }
}
