//! The frames of records in a segment: where one ends, whether it is whole, and what is damage.
//!
//! ```text
//! length  4   of the body
//! check   4   CRC-32 of the nonce before, the record's offset, the body and the nonce
//! body
//! nonce  16   random
//! ```
//!
//! The nonce stands last so that a reader that knows a record reads from its end: the 16 bytes say whether it is still
//! that record (R1), and what follows is new. The check includes the nonce *before*, so that no rest of a torn write,
//! and nothing that somebody stored as a value, can be taken for the next record.

use std::ops::Range;

use crate::bytes::{Reader, Writer};

pub(super) const NONCE: usize = 16;
const HEAD: usize = 8;
/// The bytes of a record that are not its body.
pub(super) const OVERHEAD: u64 = (HEAD + NONCE) as u64;
/// How many of them stand before the body.
pub(super) const BEFORE_BODY: u64 = HEAD as u64;

/// Puts a frame around a body that will stand at `offset` behind the record that ends with `before`.
pub(super) fn frame(body: &[u8], offset: u64, before: u128, nonce: u128) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(HEAD + body.len() + NONCE));
    out.count(body.len());
    out.u32(check(body, offset, before, nonce));
    out.0.extend_from_slice(body);
    out.u128(nonce);
    out.0
}

fn check(body: &[u8], offset: u64, before: u128, nonce: u128) -> u32 {
    let mut check = crc32fast::Hasher::new();
    check.update(&before.to_le_bytes());
    check.update(&offset.to_le_bytes());
    check.update(body);
    check.update(&nonce.to_le_bytes());
    check.finalize()
}

/// What the bytes behind a record are.
pub(super) enum Next {
    /// A record: where in the bytes its body is, and its nonce.
    Record { body: Range<usize>, nonce: u128 },
    /// Perhaps the beginning of a record; more bytes would tell.
    Part,
    /// No record: the log ends here, unless it is damaged (see [`is_damage`]).
    End,
}

/// Looks at the bytes from `at` on, which stand in the file at `offset`, behind the record that ends with `before`.
pub(super) fn next(bytes: &[u8], at: usize, offset: u64, before: u128) -> Next {
    let rest = bytes.get(at..).unwrap_or_default();
    let mut input = Reader::new(rest);
    let (Ok(length), Ok(expected)) = (input.u32(), input.u32()) else { return Next::Part };
    if length == 0 {
        return Next::End;
    }
    let Ok(length) = usize::try_from(length) else { return Next::End };
    let (Some(body), Some(nonce)) =
        (rest.get(HEAD..HEAD + length), rest.get(HEAD + length..HEAD + length + NONCE))
    else {
        return Next::Part;
    };
    let nonce = nonce.first_chunk().map_or(0, |nonce| u128::from_le_bytes(*nonce));
    if check(body, offset, before, nonce) != expected {
        return Next::End;
    }
    Next::Record { body: at + HEAD..at + HEAD + length, nonce }
}

/// Bytes of bodies that are looked through for records behind one that is none; there are more only by design.
const LOOKED_THROUGH: usize = 64 << 20;

/// Whether the bytes from `at` to the end of the file, which begin with no record (see [`next`]), were records once: then
/// what was acknowledged is lost. If not, they are what a torn write left, of a record that nobody was told of.
///
/// They were if lengths lead from record to record to the very end of the file, if they are one record but for its length,
/// or if a good record stands among them.
pub(super) fn is_damage(bytes: &[u8], at: usize, offset: u64, before: u128) -> bool {
    let rest = bytes.get(at..).unwrap_or_default();
    lengths_lead_to_the_end(rest) || is_whole(rest, offset, before) || has_a_record(rest, offset)
}

fn length_at(bytes: &[u8], at: usize) -> Option<usize> {
    let length = bytes.get(at..)?.first_chunk()?;
    usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| *length > 0)
}

fn nonce_before(bytes: &[u8], end: usize) -> Option<u128> {
    Some(u128::from_le_bytes(*bytes.get(..end)?.last_chunk()?))
}

fn lengths_lead_to_the_end(bytes: &[u8]) -> bool {
    let mut end = 0;
    while let Some(length) = length_at(bytes, end) {
        end += HEAD + length + NONCE;
        if end >= bytes.len() {
            return end == bytes.len();
        }
    }
    false
}

/// Whether the bytes are one record, whatever its length says.
fn is_whole(bytes: &[u8], offset: u64, before: u128) -> bool {
    let parts = || {
        let body = bytes.get(HEAD..bytes.len().checked_sub(NONCE)?)?;
        Some((body, bytes.get(4..)?.first_chunk()?, nonce_before(bytes, bytes.len())?))
    };
    parts().is_some_and(|(body, expected, nonce)| {
        check(body, offset, before, nonce) == u32::from_le_bytes(*expected)
    })
}

/// Whether a record stands somewhere behind another one.
fn has_a_record(bytes: &[u8], offset: u64) -> bool {
    let mut left = LOOKED_THROUGH;
    for at in NONCE..bytes.len() {
        let Some(length) = length_at(bytes, at).filter(|length| *length <= bytes.len() - at) else {
            continue;
        };
        let Some(rest) = left.checked_sub(length) else { return true };
        left = rest;
        let before = nonce_before(bytes, at).unwrap_or_default();
        if matches!(next(bytes, at, offset + at as u64, before), Next::Record { .. }) {
            return true;
        }
    }
    false
}
