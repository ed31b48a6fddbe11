//! Writes the tokens of a payload, each in its shortest form.
//!
//! Lengths above `u32::MAX` cannot be written; the callers refuse such values before they come
//! here, and what does come is cut to the largest length by `len32`.

use rmp::Marker;

/// A length as the 32 bits `MessagePack` has room for.
#[inline]
fn len32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[inline]
fn marked<const N: usize>(out: &mut Vec<u8>, marker: Marker, bytes: [u8; N]) {
    out.push(marker.to_u8());
    out.extend_from_slice(&bytes);
}

/// Writes `null`.
#[inline]
pub fn nil(out: &mut Vec<u8>) {
    out.push(Marker::Null.to_u8());
}

/// Writes a boolean.
#[inline]
pub fn bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { Marker::True } else { Marker::False }.to_u8());
}

/// Writes an integer.
#[inline]
pub fn int(out: &mut Vec<u8>, value: i64) {
    if let Ok(small) = u8::try_from(value) {
        if small < 128 {
            out.push(small);
        } else {
            marked(out, Marker::U8, [small]);
        }
    } else if let Ok(small) = i8::try_from(value) {
        if small >= -32 {
            out.push(small.to_be_bytes()[0]);
        } else {
            marked(out, Marker::I8, small.to_be_bytes());
        }
    } else if let Ok(small) = u16::try_from(value) {
        marked(out, Marker::U16, small.to_be_bytes());
    } else if let Ok(small) = i16::try_from(value) {
        marked(out, Marker::I16, small.to_be_bytes());
    } else if let Ok(small) = u32::try_from(value) {
        marked(out, Marker::U32, small.to_be_bytes());
    } else if let Ok(small) = i32::try_from(value) {
        marked(out, Marker::I32, small.to_be_bytes());
    } else {
        marked(out, Marker::I64, value.to_be_bytes());
    }
}

/// Writes a float with all its bits.
#[inline]
pub fn float(out: &mut Vec<u8>, value: f64) {
    marked(out, Marker::F64, value.to_be_bytes());
}

/// Writes a string.
#[inline]
pub fn str(out: &mut Vec<u8>, bytes: &[u8]) {
    match len32(bytes.len()) {
        len @ 0..32 => out.push(0xa0 | len.to_le_bytes()[0]),
        len @ 32..256 => out.extend_from_slice(&[Marker::Str8.to_u8(), len.to_le_bytes()[0]]),
        len => long(out, Marker::Str16, Marker::Str32, len),
    }
    out.extend_from_slice(bytes);
}

/// Writes a binary string.
pub fn bin(out: &mut Vec<u8>, bytes: &[u8]) {
    match len32(bytes.len()) {
        len @ 0..256 => marked(out, Marker::Bin8, [len.to_le_bytes()[0]]),
        len => long(out, Marker::Bin16, Marker::Bin32, len),
    }
    out.extend_from_slice(bytes);
}

/// Opens a list of `len` elements.
#[inline]
pub fn array(out: &mut Vec<u8>, len: usize) {
    match len32(len) {
        len @ 0..16 => out.push(0x90 | len.to_le_bytes()[0]),
        len => long(out, Marker::Array16, Marker::Array32, len),
    }
}

/// Opens a map of `len` pairs.
#[inline]
pub fn map(out: &mut Vec<u8>, len: usize) {
    match len32(len) {
        len @ 0..16 => out.push(0x80 | len.to_le_bytes()[0]),
        len => long(out, Marker::Map16, Marker::Map32, len),
    }
}

/// Writes an extension.
pub fn ext(out: &mut Vec<u8>, kind: i8, data: &[u8]) {
    match len32(data.len()) {
        1 => out.push(Marker::FixExt1.to_u8()),
        2 => out.push(Marker::FixExt2.to_u8()),
        4 => out.push(Marker::FixExt4.to_u8()),
        8 => out.push(Marker::FixExt8.to_u8()),
        16 => out.push(Marker::FixExt16.to_u8()),
        len @ 0..256 => marked(out, Marker::Ext8, [len.to_le_bytes()[0]]),
        len => long(out, Marker::Ext16, Marker::Ext32, len),
    }
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(data);
}

/// Writes an extension whose data is an index.
#[inline]
pub fn index(out: &mut Vec<u8>, kind: i8, index: u32) {
    if let Ok(small) = u8::try_from(index) {
        let [kind] = kind.to_be_bytes();
        marked(out, Marker::FixExt1, [kind, small]);
    } else if let Ok(small) = u16::try_from(index) {
        ext(out, kind, &small.to_be_bytes());
    } else {
        ext(out, kind, &index.to_be_bytes());
    }
}

fn long(out: &mut Vec<u8>, short: Marker, long: Marker, len: u32) {
    match u16::try_from(len) {
        Ok(len) => marked(out, short, len.to_be_bytes()),
        Err(_) => marked(out, long, len.to_be_bytes()),
    }
}
