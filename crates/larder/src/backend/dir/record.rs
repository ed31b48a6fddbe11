//! The records of the log.
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

use super::lock_table::{self, LockChange};
use super::names::FileId;
use super::wire::{In, Out};
use crate::clock::Millis;
use crate::contract::{CacheId, Op};

pub(super) const NONCE: usize = 16;
const HEAD: usize = 8;

/// Puts a frame around a body that will stand at `offset` behind the record that ends with `before`.
pub(super) fn frame(body: &[u8], offset: u64, before: u128, nonce: u128) -> Vec<u8> {
    let mut out = Out(Vec::with_capacity(HEAD + body.len() + NONCE));
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
    let mut input = In::new(rest);
    let (Some(length), Some(expected)) = (input.u32(), input.u32()) else { return Next::Part };
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

/// The bytes of a record that are not its body, and how many of them stand before it.
pub(super) const OVERHEAD: u64 = (HEAD + NONCE) as u64;
pub(super) const BEFORE_BODY: u64 = HEAD as u64;

const OPS: u8 = 1;
const SEAL: u8 = 2;
const TRIM: u8 = 3;
const LOCKS: u8 = 4;

const DELETE: u8 = 0;
const PURGE: u8 = 1;
const SET_HERE: u8 = 2;
const SET_IN_PACK: u8 = 3;

/// Where the bytes of a stored entry are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the body, at this offset.
    Here(u64),
    /// In the record's pack, at this offset.
    Pack(u64),
}

/// One change of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    Set { key: &'a [u8], place: Place, length: u32, crc: u32, expires: Option<Millis> },
    Delete { key: &'a [u8] },
    Purge,
}

/// Where the log goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) successor: FileId,
    /// Another one if the log was emptied.
    pub(super) incarnation: u128,
    /// The size of the successor's checkpoint.
    pub(super) checkpoint_bytes: u64,
}

/// What a record says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    /// Changes in order, each of a cache by its place in `caches`.
    Ops { caches: Vec<(&'a str, bool)>, pack: Option<(FileId, u64)>, changes: Vec<(usize, Change<'a>)> },
    /// The log goes on in another file.
    Seal(Seal),
    /// Entries in files with a smaller number, and those that expired before a time, are given up.
    Trim { below: u64, expired: Millis },
    /// Locks changed.
    Locks(Vec<LockChange>),
}

/// An entry that is stored: in the record itself, or in the pack at an offset.
#[derive(Clone, Copy)]
pub(super) enum Stored {
    Here,
    Pack(u64),
}

/// The body of a record for `ops`, each with where its entry goes.
pub(super) fn ops_body(ops: &[(Op<'_>, Stored)], pack: Option<(FileId, u64)>) -> Vec<u8> {
    let mut caches: Vec<&CacheId> = Vec::new();
    let mut changes = Out::default();
    for (op, stored) in ops {
        let (Op::Set { cache, .. } | Op::Delete { cache, .. } | Op::Purge { cache }) = *op;
        let number = caches.iter().position(|known| *known == cache).unwrap_or_else(|| {
            caches.push(cache);
            caches.len() - 1
        });
        changes.count(number);
        match *op {
            Op::Delete { key, .. } => {
                changes.u8(DELETE);
                changes.bytes(key);
            }
            Op::Purge { .. } => changes.u8(PURGE),
            Op::Set { key, entry, expires, .. } => {
                changes.u8(if matches!(stored, Stored::Here) { SET_HERE } else { SET_IN_PACK });
                changes.bytes(key);
                changes.u64(expires.map_or(0, |expires| expires.max(1)));
                changes.u32(crc32fast::hash(entry));
                match stored {
                    Stored::Here => changes.bytes(entry),
                    Stored::Pack(offset) => {
                        changes.u64(*offset);
                        changes.count(entry.len());
                    }
                }
            }
        }
    }
    let mut out = Out::default();
    out.u8(OPS);
    out.count(caches.len());
    for cache in caches {
        out.u8(u8::from(cache.logged()));
        out.bytes(cache.name().as_bytes());
    }
    match pack {
        None => out.u8(0),
        Some((file, length)) => {
            out.file(file);
            out.u64(length);
        }
    }
    out.count(ops.len());
    out.0.append(&mut changes.0);
    out.0
}

pub(super) fn seal_body(seal: Seal) -> Vec<u8> {
    let mut out = Out::default();
    out.u8(SEAL);
    out.file(seal.successor);
    out.u128(seal.incarnation);
    out.u64(seal.checkpoint_bytes);
    out.0
}

pub(super) fn trim_body(below: u64, expired: Millis) -> Vec<u8> {
    let mut out = Out::default();
    out.u8(TRIM);
    out.u64(below);
    out.u64(expired);
    out.0
}

pub(super) fn locks_body(changes: &[LockChange]) -> Vec<u8> {
    let mut out = Out::default();
    out.u8(LOCKS);
    lock_table::write(&mut out, changes);
    out.0
}

/// Reads a body; `None` if this version of Larder does not write such ones.
pub(super) fn read(body: &[u8]) -> Option<Body<'_>> {
    let mut input = In::new(body);
    let body = match input.u8()? {
        OPS => read_ops(&mut input)?,
        SEAL => Body::Seal(Seal {
            successor: input.file()?,
            incarnation: input.u128()?,
            checkpoint_bytes: input.u64()?,
        }),
        TRIM => Body::Trim { below: input.u64()?, expired: input.u64()? },
        LOCKS => Body::Locks(lock_table::read(&mut input)?),
        _ => return None,
    };
    input.is_empty().then_some(body)
}

fn read_ops<'a>(input: &mut In<'a>) -> Option<Body<'a>> {
    let mut caches = Vec::new();
    for _ in 0..input.u32()? {
        let logged = input.u8()? != 0;
        caches.push((input.text()?, logged));
    }
    let pack = if input.no_file() { None } else { Some((input.file()?, input.u64()?)) };
    let mut changes = Vec::new();
    for _ in 0..input.u32()? {
        let cache = usize::try_from(input.u32()?).ok()?;
        caches.get(cache)?;
        let change = match input.u8()? {
            DELETE => Change::Delete { key: input.bytes()? },
            PURGE => Change::Purge,
            tag @ (SET_HERE | SET_IN_PACK) => {
                let key = input.bytes()?;
                let expires = Some(input.u64()?).filter(|expires| *expires > 0);
                let crc = input.u32()?;
                let (place, length) = if tag == SET_HERE {
                    // Behind the length, which is four bytes.
                    let place = Place::Here(input.taken() as u64 + 4);
                    (place, u32::try_from(input.bytes()?.len()).ok()?)
                } else {
                    pack?;
                    (Place::Pack(input.u64()?), input.u32()?)
                };
                Change::Set { key, place, length, crc, expires }
            }
            _ => return None,
        };
        changes.push((cache, change));
    }
    Some(Body::Ops { caches, pack, changes })
}
