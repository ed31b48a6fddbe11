//! Reads a payload token by token.

use rmp::Marker;

use super::format::{EXT_OBJECT, EXT_SHAPE};

/// The bytes are no well-formed payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

/// One token of a payload. A container's token is followed by its content.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Token<'a> {
    /// `null`
    Nil,
    /// A boolean.
    Bool(bool),
    /// An integer; one beyond `i64` is [`Broken`].
    Int(i64),
    /// A float; single precision is widened.
    Float(f64),
    /// A string: bytes, mostly UTF-8.
    Str(&'a [u8]),
    /// A string that its writer calls binary.
    Bin(&'a [u8]),
    /// A list of this many elements.
    Array(usize),
    /// A map of this many key–value pairs.
    Map(usize),
    /// An extension: its type and data.
    Ext(i8, &'a [u8]),
}

/// Reads tokens off a payload.
///
/// The lengths of all containers together are held against the payload's length: each element takes
/// a byte at least, so a reader may reserve memory by the lengths it is told and stays within a
/// small multiple of the input.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    unclaimed: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of a payload.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload, unclaimed: payload.len() }
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// [`Broken`] when bytes are left.
    pub fn finish(&self) -> Result<(), Broken> {
        if self.rest.is_empty() { Ok(()) } else { Err(Broken) }
    }

    /// If the next token opens an object or repeats a shape, takes it: an extension of type
    /// [`EXT_OBJECT`] or
    /// [`EXT_SHAPE`]. Asked after each [`Token::Array`] that is not empty.
    ///
    /// # Errors
    ///
    /// [`Broken`] when the extension is cut off.
    #[inline]
    pub fn array_head(&mut self) -> Result<Option<(i8, &'a [u8])>, Broken> {
        // Fixext of 1 to 16 bytes, or ext 8: a class name is no longer than that.
        if !matches!(self.rest.first(), Some(0xd4..=0xd8 | 0xc7..=0xc9)) {
            return Ok(None);
        }
        let before = self.clone();
        if let Token::Ext(kind @ (EXT_OBJECT | EXT_SHAPE), data) = self.token()? {
            return Ok(Some((kind, data)));
        }
        *self = before;
        Ok(None)
    }

    /// The next token.
    ///
    /// # Errors
    ///
    /// [`Broken`] at the end of the input, for a length beyond it, an unknown marker, or an integer beyond `i64`.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "the common tokens are matched again by the caller, which folds both matches"
    )]
    pub fn token(&mut self) -> Result<Token<'a>, Broken> {
        let [first] = self.take::<1>()?;
        Ok(match Marker::from_u8(first) {
            Marker::FixPos(number) => Token::Int(number.into()),
            Marker::FixNeg(number) => Token::Int(number.into()),
            Marker::FixStr(len) => Token::Str(self.bytes(len.into())?),
            Marker::FixArray(len) => Token::Array(self.claim(len.into(), 1)?),
            Marker::FixMap(len) => Token::Map(self.claim(len.into(), 2)?),
            Marker::Null => Token::Nil,
            Marker::True => Token::Bool(true),
            Marker::False => Token::Bool(false),
            Marker::Str8 => Token::Str(self.counted::<1>()?),
            Marker::FixExt1 => self.ext(1)?,
            marker => return self.longer(marker),
        })
    }

    /// The tokens that are less common.
    #[inline(never)]
    fn longer(&mut self, marker: Marker) -> Result<Token<'a>, Broken> {
        Ok(match marker {
            Marker::U8 => Token::Int(u8::from_be_bytes(self.take()?).into()),
            Marker::U16 => Token::Int(u16::from_be_bytes(self.take()?).into()),
            Marker::U32 => Token::Int(u32::from_be_bytes(self.take()?).into()),
            Marker::U64 => Token::Int(u64::from_be_bytes(self.take()?).try_into().map_err(|_| Broken)?),
            Marker::I8 => Token::Int(i8::from_be_bytes(self.take()?).into()),
            Marker::I16 => Token::Int(i16::from_be_bytes(self.take()?).into()),
            Marker::I32 => Token::Int(i32::from_be_bytes(self.take()?).into()),
            Marker::I64 => Token::Int(i64::from_be_bytes(self.take()?)),
            Marker::F32 => Token::Float(f32::from_be_bytes(self.take()?).into()),
            Marker::F64 => Token::Float(f64::from_be_bytes(self.take()?)),
            Marker::Str16 => Token::Str(self.counted::<2>()?),
            Marker::Str32 => Token::Str(self.counted::<4>()?),
            Marker::Bin8 => Token::Bin(self.counted::<1>()?),
            Marker::Bin16 => Token::Bin(self.counted::<2>()?),
            Marker::Bin32 => Token::Bin(self.counted::<4>()?),
            Marker::Array16 => {
                let len = self.length::<2>()?;
                Token::Array(self.claim(len, 1)?)
            }
            Marker::Array32 => {
                let len = self.length::<4>()?;
                Token::Array(self.claim(len, 1)?)
            }
            Marker::Map16 => {
                let len = self.length::<2>()?;
                Token::Map(self.claim(len, 2)?)
            }
            Marker::Map32 => {
                let len = self.length::<4>()?;
                Token::Map(self.claim(len, 2)?)
            }
            Marker::FixExt2 => self.ext(2)?,
            Marker::FixExt4 => self.ext(4)?,
            Marker::FixExt8 => self.ext(8)?,
            Marker::FixExt16 => self.ext(16)?,
            Marker::Ext8 => {
                let len = self.length::<1>()?;
                self.ext(len)?
            }
            Marker::Ext16 => {
                let len = self.length::<2>()?;
                self.ext(len)?
            }
            Marker::Ext32 => {
                let len = self.length::<4>()?;
                self.ext(len)?
            }
            _ => return Err(Broken),
        })
    }

    /// The index that the data of an [`EXT_SHAPE`] or `EXT_STRING` token holds.
    ///
    /// # Errors
    ///
    /// [`Broken`] when the data is not 1, 2 or 4 bytes.
    #[inline]
    pub fn index(data: &[u8]) -> Result<usize, Broken> {
        match *data {
            [a] => Ok(a.into()),
            [a, b] => Ok(u16::from_be_bytes([a, b]).into()),
            [a, b, c, d] => u32::from_be_bytes([a, b, c, d]).try_into().map_err(|_| Broken),
            _ => Err(Broken),
        }
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(Broken)?;
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Broken> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Broken)?;
        self.rest = rest;
        Ok(bytes)
    }

    #[inline]
    fn length<const N: usize>(&mut self) -> Result<usize, Broken> {
        let bytes = self.take::<N>()?;
        Ok(bytes.iter().fold(0, |len, byte| (len << 8) | usize::from(*byte)))
    }

    #[inline]
    fn counted<const N: usize>(&mut self) -> Result<&'a [u8], Broken> {
        let len = self.length::<N>()?;
        self.bytes(len)
    }

    #[inline]
    fn claim(&mut self, len: usize, items: usize) -> Result<usize, Broken> {
        let claimed = len.checked_mul(items).ok_or(Broken)?;
        self.unclaimed = self.unclaimed.checked_sub(claimed).ok_or(Broken)?;
        Ok(len)
    }

    #[inline]
    fn ext(&mut self, len: usize) -> Result<Token<'a>, Broken> {
        let [kind] = self.take::<1>()?;
        Ok(Token::Ext(i8::from_be_bytes([kind]), self.bytes(len)?))
    }
}
