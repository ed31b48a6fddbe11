//! What the records of the log say.

use super::lock_table::{self, LockChange};
use crate::backend::dir::fs::FileId;
use crate::bytes::{Malformed, Reader, Writer};
use crate::clock::Millis;
use crate::contract::{CacheId, Op};

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
pub(crate) enum EntryPlace {
    /// In the body, at this offset.
    Here(u64),
    /// In the record's pack, at this offset.
    Pack(u64),
}

/// One change of a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RecordChange<'a> {
    Set { key: &'a [u8], place: EntryPlace, length: u32, crc: u32, expires: Option<Millis> },
    Delete { key: &'a [u8] },
    Purge,
}

/// Where the log goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) successor: FileId,
    /// Another one if the log was emptied.
    pub(crate) incarnation: u128,
    /// The size of the successor's checkpoint.
    pub(crate) checkpoint_bytes: u64,
}

/// What a record says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    /// Changes in order, each of a cache by its place in `caches`.
    Ops { caches: Vec<(&'a str, bool)>, pack: Option<(FileId, u64)>, changes: Vec<(usize, RecordChange<'a>)> },
    /// The log goes on in another file.
    Seal(Seal),
    /// Entries in files with a smaller number, and those that expired before a time, are given up.
    Trim { below: u64, expired: Millis },
    /// Locks changed.
    Locks(Vec<LockChange>),
}

/// An entry that is stored: in the record itself, or in the pack at an offset.
#[derive(Clone, Copy)]
pub(crate) enum Stored {
    Here,
    Pack(u64),
}

/// The body of a record for `ops`, each with where its entry goes.
pub(crate) fn ops_body(ops: &[(Op<'_>, Stored)], pack: Option<(FileId, u64)>) -> Vec<u8> {
    let mut caches: Vec<&CacheId> = Vec::new();
    let mut changes = Writer::default();
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
    let mut out = Writer::default();
    out.u8(OPS);
    out.count(caches.len());
    for cache in caches {
        out.u8(u8::from(cache.logged()));
        out.bytes(cache.name().as_bytes());
    }
    FileId::write_optional(pack.map(|(file, _)| file), &mut out);
    if let Some((_, length)) = pack {
        out.u64(length);
    }
    out.count(ops.len());
    out.0.append(&mut changes.0);
    out.0
}

pub(crate) fn seal_body(seal: Seal) -> Vec<u8> {
    let mut out = Writer::default();
    out.u8(SEAL);
    seal.successor.write(&mut out);
    out.u128(seal.incarnation);
    out.u64(seal.checkpoint_bytes);
    out.0
}

pub(crate) fn trim_body(below: u64, expired: Millis) -> Vec<u8> {
    let mut out = Writer::default();
    out.u8(TRIM);
    out.u64(below);
    out.u64(expired);
    out.0
}

pub(crate) fn locks_body(changes: &[LockChange]) -> Vec<u8> {
    let mut out = Writer::default();
    out.u8(LOCKS);
    lock_table::write(&mut out, changes);
    out.0
}

/// Reads a body.
///
/// # Errors
/// If this version of Larder does not write such ones.
pub(crate) fn read(body: &[u8]) -> Result<Body<'_>, Malformed> {
    let mut input = Reader::new(body);
    let body = match input.u8()? {
        OPS => read_ops(&mut input)?,
        SEAL => Body::Seal(Seal {
            successor: FileId::read(&mut input)?,
            incarnation: input.u128()?,
            checkpoint_bytes: input.u64()?,
        }),
        TRIM => Body::Trim { below: input.u64()?, expired: input.u64()? },
        LOCKS => Body::Locks(lock_table::read(&mut input)?),
        _ => return Err(Malformed),
    };
    if input.is_empty() { Ok(body) } else { Err(Malformed) }
}

fn read_ops<'a>(input: &mut Reader<'a>) -> Result<Body<'a>, Malformed> {
    let mut caches = Vec::new();
    for _ in 0..input.u32()? {
        let logged = input.u8()? != 0;
        caches.push((input.text()?, logged));
    }
    let pack = match FileId::read_optional(input)? {
        Some(file) => Some((file, input.u64()?)),
        None => None,
    };
    let mut changes = Vec::new();
    for _ in 0..input.u32()? {
        let cache = input.count()?;
        caches.get(cache).ok_or(Malformed)?;
        let change = match input.u8()? {
            DELETE => RecordChange::Delete { key: input.bytes()? },
            PURGE => RecordChange::Purge,
            tag @ (SET_HERE | SET_IN_PACK) => {
                let key = input.bytes()?;
                let expires = Some(input.u64()?).filter(|expires| *expires > 0);
                let crc = input.u32()?;
                let (place, length) = if tag == SET_HERE {
                    // Behind the length, which is four bytes.
                    let place = EntryPlace::Here(input.taken() as u64 + 4);
                    (place, u32::try_from(input.bytes()?.len()).map_err(|_| Malformed)?)
                } else {
                    pack.ok_or(Malformed)?;
                    (EntryPlace::Pack(input.u64()?), input.u32()?)
                };
                RecordChange::Set { key, place, length, crc, expires }
            }
            _ => return Err(Malformed),
        };
        changes.push((cache, change));
    }
    Ok(Body::Ops { caches, pack, changes })
}
