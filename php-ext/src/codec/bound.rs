//! How large the value of a payload becomes, told from the payload before anything is made.
//!
//! An entry of some kilobytes that is forged may name gigabytes: by compression, by shapes and
//! strings that it repeats, and, in what PHP's serializer wrote, by lengths of arrays that PHP
//! reserves before it reads them.

use larder::engine::payload::{
    Broken, EXT_OBJECT, EXT_PHP, EXT_SHAPE, EXT_STRING, MAX_DEPTH, MAX_SHAPE_KEYS, Reader, Token,
    is_shape_len, is_shared_len,
};

use crate::zend::limit;

/// The most bytes of a decoded value, whatever `memory_limit` is.
pub(crate) const LARGEST: usize = 1 << 30;
/// No payload becomes larger than by this factor, neither in memory nor as PHP's serializer writes
/// it.
const MOST_RATIO: usize = 512;

/// Bytes of an array or object and of each of its slots, with keys and without, and of a string
/// besides its text, on the request's heap.
const TABLE: usize = 96;
const SLOT: usize = 40;
const LIST_SLOT: usize = if cfg!(php82) { 16 } else { 32 };
const STRING: usize = 32;
/// Bytes around a number, a length or a string in what PHP's serializer writes.
const WRITTEN: usize = 32;

/// Whether a value of this payload may be made on the request's heap. What has no room in
/// `memory_limit` may be tried if there are objects in it, or if PHP's serializer wrote it: the
/// engine's error is the application's to see.
pub(crate) fn is_bounded(payload: &[u8]) -> bool {
    if let Ok(Token::Ext(EXT_PHP, text)) = Reader::new(payload).token() {
        return serialized(text).is_some_and(|size| size <= LARGEST);
    }
    let most = limit::bytes().min(LARGEST);
    payload.len() <= most / MOST_RATIO
        || Sizes::of(payload).is_ok_and(|sizes| sizes.made <= if sizes.objects { LARGEST } else { most })
}

/// Whether a payload may be rewritten for `unserialize()`, which is done outside the request's
/// heap.
pub(super) fn is_rewritable(payload: &[u8]) -> bool {
    let most = limit::bytes().min(LARGEST);
    payload.len() <= most / MOST_RATIO || Sizes::of(payload).is_ok_and(|sizes| sizes.written <= most)
}

/// The memory of a table with this many slots.
fn table(slots: usize, slot: usize) -> usize {
    slots
        .max(8)
        .checked_next_power_of_two()
        .map_or(usize::MAX, |slots| slots.saturating_mul(slot).saturating_add(TABLE))
}

/// What a payload becomes, in bytes, a little more rather than less.
#[derive(Default)]
struct Sizes {
    /// On the request's heap.
    made: usize,
    /// As PHP's serializer writes it.
    written: usize,
    /// There are objects in it.
    objects: bool,
}

impl Sizes {
    fn of(payload: &[u8]) -> Result<Self, Broken> {
        let mut walk = Walk {
            reader: Reader::new(payload),
            strings: Vec::new(),
            shapes: Vec::new(),
            sizes: Self::default(),
        };
        walk.value(0)?;
        Ok(walk.sizes)
    }
}

/// A list of keys that may be named again.
struct Shape {
    keys: usize,
    written: usize,
}

struct Walk<'p> {
    reader: Reader<'p>,
    /// Lengths of the strings that may be named again.
    strings: Vec<usize>,
    shapes: Vec<Shape>,
    sizes: Sizes,
}

impl Walk<'_> {
    fn add(&mut self, made: usize, written: usize) {
        self.sizes.made = self.sizes.made.saturating_add(made);
        self.sizes.written = self.sizes.written.saturating_add(written + WRITTEN);
    }

    fn value(&mut self, depth: u32) -> Result<(), Broken> {
        match self.reader.token()? {
            Token::Nil | Token::Bool(_) | Token::Int(_) | Token::Float(_) | Token::Array(0) => self.add(0, 0),
            Token::Bin(bytes) => self.add(STRING + bytes.len(), bytes.len()),
            token @ (Token::Str(_) | Token::Ext(..)) => {
                self.key(token)?;
            }
            Token::Array(_) | Token::Map(_) if depth >= MAX_DEPTH => return Err(Broken),
            Token::Array(len) => match self.reader.array_head()? {
                None => {
                    self.add(table(len, LIST_SLOT), len * WRITTEN);
                    (0..len).try_for_each(|_| self.value(depth + 1))?;
                }
                Some((EXT_OBJECT, class)) => {
                    self.sizes.objects = true;
                    let written = self.pairs(len / 2, class.len(), depth)?;
                    if len / 2 <= MAX_SHAPE_KEYS {
                        self.shapes.push(Shape { keys: len / 2, written });
                    }
                }
                Some((EXT_SHAPE, data)) => {
                    let shape = self.shapes.get(Reader::index(data)?).ok_or(Broken)?;
                    let (keys, written) = (shape.keys, shape.written);
                    self.add(table(keys, SLOT), written);
                    (1..len).try_for_each(|_| self.value(depth + 1))?;
                }
                Some(_) => return Err(Broken),
            },
            Token::Map(len) => {
                let written = self.pairs(len, 0, depth)?;
                if is_shape_len(len) && written > 0 {
                    self.shapes.push(Shape { keys: len, written });
                }
            }
        }
        Ok(())
    }

    /// Reads keys and values; how the keys are written, or 0 if one is a number.
    fn pairs(&mut self, len: usize, class: usize, depth: u32) -> Result<usize, Broken> {
        self.add(table(len, SLOT), class);
        let (mut written, mut strings_only) = (class + WRITTEN, true);
        for _ in 0..len {
            match self.reader.token()? {
                Token::Int(_) => {
                    strings_only = false;
                    self.add(0, 0);
                }
                token => written += self.key(token)? + WRITTEN,
            }
            self.value(depth + 1)?;
        }
        Ok(if strings_only { written } else { 0 })
    }

    /// A string, and its length.
    fn key(&mut self, token: Token<'_>) -> Result<usize, Broken> {
        match token {
            Token::Str(bytes) => {
                if is_shared_len(bytes.len()) {
                    self.strings.push(bytes.len());
                }
                self.add(STRING + bytes.len(), bytes.len());
                Ok(bytes.len())
            }
            Token::Ext(EXT_STRING, data) => {
                let len = *self.strings.get(Reader::index(data)?).ok_or(Broken)?;
                self.add(0, len);
                Ok(len)
            }
            _ => Err(Broken),
        }
    }
}

/// What `unserialize()` reserves and makes for a text, or nothing for a text that `serialize()`
/// does not write.
///
/// The tokens are read one after another, whatever contains them: what is nested wrongly, PHP
/// refuses on the way.
fn serialized(text: &[u8]) -> Option<usize> {
    let mut rest = text;
    let mut size: usize = 0;
    while let [kind, after @ ..] = rest {
        rest = after;
        size = size.saturating_add(match kind {
            b'}' => 0,
            b'N' => {
                rest = rest.strip_prefix(b";")?;
                0
            }
            b'b' | b'i' | b'd' | b'r' | b'R' => {
                let end = rest.iter().position(|byte| *byte == b';')?;
                rest = rest.get(end + 1..)?;
                SLOT / 4
            }
            b's' | b'E' => {
                let len = quoted(&mut rest)?;
                rest = rest.strip_prefix(b";")?;
                STRING.saturating_add(len)
            }
            b'a' => table(opened(&mut rest)?, SLOT),
            b'O' => {
                quoted(&mut rest)?;
                table(opened(&mut rest)?, SLOT)
            }
            b'C' => {
                quoted(&mut rest)?;
                let len = opened(&mut rest)?;
                rest = rest.get(len..)?;
                TABLE.saturating_add(len)
            }
            _ => return None,
        });
    }
    Some(size)
}

/// Takes `:12`.
fn number(rest: &mut &[u8]) -> Option<usize> {
    let digits = rest.strip_prefix(b":")?;
    let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, after) = digits.split_at_checked(len)?;
    *rest = after;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Takes `:5:"hello"`; the length.
fn quoted(rest: &mut &[u8]) -> Option<usize> {
    let len = number(rest)?;
    let (_, after) = rest.strip_prefix(b":\"")?.split_at_checked(len)?;
    *rest = after.strip_prefix(b"\"")?;
    Some(len)
}

/// Takes `:2:{`; the number.
fn opened(rest: &mut &[u8]) -> Option<usize> {
    let number = number(rest)?;
    *rest = rest.strip_prefix(b":{")?;
    Some(number)
}
