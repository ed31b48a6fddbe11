//! Numbers and small rules of the format.

/// Containers nested deeper than this are not written as `MessagePack`, and a payload that nests
/// deeper is broken. It bounds the stack of every reader.
pub const MAX_DEPTH: u32 = 256;

/// Extension type: first element of an array that defines an object. Its data is the class name,
/// empty for `stdClass`.
pub const EXT_OBJECT: i8 = 1;
/// Extension type: first element of an array that repeats an earlier shape. Its data is the shape's
/// index.
pub const EXT_SHAPE: i8 = 2;
/// Extension type: a string that occurred before. Its data is the string's index.
pub const EXT_STRING: i8 = 3;
/// Extension type: the whole value in PHP's own serialization format.
pub const EXT_PHP: i8 = 4;

/// The shortest string, in bytes, that gets an index.
pub(super) const MIN_SHARED_STRING: usize = 4;
/// The longest string, in bytes, that gets an index. It bounds how far a hostile payload can
/// expand.
pub(super) const MAX_SHARED_STRING: usize = 255;
/// The fewest keys of a map that makes a shape; an object makes one from no property on.
pub const MIN_SHAPE_KEYS: usize = 2;
/// The most keys of a shape.
pub const MAX_SHAPE_KEYS: usize = 255;

/// True when a string of `len` bytes takes the next index of the payload's string table.
#[inline]
pub const fn is_shared_len(len: usize) -> bool {
    len >= MIN_SHARED_STRING && len <= MAX_SHARED_STRING
}

/// True when a map of `len` string keys takes the next index of the payload's shape table.
#[inline]
pub const fn is_shape_len(len: usize) -> bool {
    len >= MIN_SHAPE_KEYS && len <= MAX_SHAPE_KEYS
}

/// The integer that PHP would use for this array key, if it would: `"12"` and `"-3"`, but not
/// `"012"`, `"-0"` or `"1.5"`.
#[inline]
pub fn numeric_key(key: &[u8]) -> Option<i64> {
    let first = *key.first()?;
    if !(first.is_ascii_digit() || first == b'-') || key.len() > 20 {
        return None;
    }
    let digits = key.strip_prefix(b"-").unwrap_or(key);
    let canonical = match digits {
        [b'0'] => digits.len() == key.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return None;
    }
    let number = std::str::from_utf8(key).ok()?.parse::<i64>().ok()?;
    // PHP leaves its smallest integer a string.
    (number != i64::MIN).then_some(number)
}
