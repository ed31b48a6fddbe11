//! The frames of records in a segment: where one ends, whether it is whole, and what is damage.
//!
//! ```text
//! length  4   of the body
//! check   4   CRC-32 of the nonce before, the record's offset, the body and the nonce
//! body
//! nonce  16   random
//! ```
//!
//! The nonce stands last so that a reader that knows a record reads from its end: the 16 bytes say
//! whether it is still that record (R1), and what follows is new. The check includes the nonce
//! *before*, so that no rest of a torn write, and nothing that somebody stored as a value, can be
//! taken for the next record.

use std::ops::Range;

use crate::bytes::{Reader, Writer};

pub(super) const NONCE: usize = 16;
const HEAD: usize = 8;
/// The bytes of a record that are not its body.
pub(super) const OVERHEAD: u64 = (HEAD + NONCE) as u64;
/// How many of them stand before the body.
pub(super) const BEFORE_BODY: u64 = HEAD as u64;

/// Puts a frame around a body that will stand at `offset` behind the record that ends with
/// `before`.
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

/// Looks at the bytes from `at` on, which stand in the file at `offset`, behind the record that
/// ends with `before`.
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

/// Bytes of bodies that are looked through for records behind one that is none; there are more only
/// by design.
const LOOKED_THROUGH: usize = 64 << 20;

/// Whether the bytes from `at` to the end of the file, which begin with no record (see [`next`]),
/// were records once: then what was acknowledged is lost. If not, they are what a torn write left,
/// of a record that nobody was told of.
///
/// They were if lengths lead from record to record to the very end of the file, if they are one
/// record but for its length, or if a good record stands among them.
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const OFFSET: u64 = 96;
    const BEFORE: u128 = 1;

    /// The frames of some bodies, one behind the other, and where each begins.
    fn frames(bodies: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut starts, mut before) = (Vec::new(), Vec::new(), BEFORE);
        for (body, nonce) in bodies.iter().zip(1_000..) {
            starts.push(bytes.len());
            bytes.append(&mut frame(body, OFFSET + bytes.len() as u64, before, nonce));
            before = nonce;
        }
        (bytes, starts)
    }

    /// Reads the bodies of records until there is none; where that is, and the nonce before.
    fn read_all(bytes: &[u8]) -> (Vec<Vec<u8>>, usize, u128) {
        let (mut bodies, mut at, mut before) = (Vec::new(), 0, BEFORE);
        while let Next::Record { body, nonce } = next(bytes, at, OFFSET + at as u64, before) {
            bodies.push(bytes[body.clone()].to_vec());
            (at, before) = (body.end + NONCE, nonce);
        }
        (bodies, at, before)
    }

    fn some_bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
        vec(vec(any::<u8>(), 1..60), 1..6)
    }

    proptest! {
        #[test]
        fn records_are_read_as_written(bodies in some_bodies()) {
            let (bytes, _) = frames(&bodies);
            assert_eq!(read_all(&bytes).0, bodies);
        }

        /// What a writer leaves that dies in the middle of a record is the end of the log, and no
        /// damage.
        #[test]
        fn a_torn_record_is_no_damage(bodies in some_bodies(), cut in any::<prop::sample::Index>()) {
            let (bytes, starts) = frames(&bodies);
            let cut = cut.index(bytes.len());
            let (read, at, before) = read_all(&bytes[..cut]);
            let whole = starts.iter().filter(|start| **start <= cut).count() - 1;
            assert_eq!((read, at), (bodies[..whole].to_vec(), starts[whole]));
            assert!(!is_damage(&bytes[..cut], at, OFFSET + at as u64, before));
        }

        /// A wrong byte anywhere ends the log before the record that it is in, and is damage: that
        /// record was acknowledged.
        #[test]
        fn a_wrong_byte_is_damage(bodies in some_bodies(), bit in 0..8, at in any::<prop::sample::Index>()) {
            let (mut bytes, starts) = frames(&bodies);
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            let hit = starts.iter().filter(|start| **start <= at).count() - 1;
            let (read, end, before) = read_all(&bytes);
            assert_eq!((read, end), (bodies[..hit].to_vec(), starts[hit]));
            assert!(is_damage(&bytes, end, OFFSET + end as u64, before));
        }

        /// A record counts at its own place only, behind its own predecessor.
        #[test]
        fn a_record_elsewhere_is_none(body in vec(any::<u8>(), 1..60), offset in 0..500_u64, before in 0..9_u128) {
            let bytes = frame(&body, OFFSET, BEFORE, 5);
            let found = matches!(next(&bytes, 0, offset, before), Next::Record { .. });
            assert_eq!(found, offset == OFFSET && before == BEFORE);
        }

        #[test]
        fn rubbish_is_looked_at_without_harm(bytes in vec(any::<u8>(), 0..300), at in 0..310_usize) {
            let _ = next(&bytes, at, OFFSET, BEFORE);
            let _ = is_damage(&bytes, at, OFFSET, BEFORE);
        }
    }
}
