//! The index as it stood where a segment of the log begins, in a file: what spares a new process
//! the history.
//!
//! ```text
//! check  4   CRC-32 of all that follows
//! where the changes kept begin, these, files, caches with their keys, locks, last changes of caches (not in older versions)
//! ```

use std::collections::HashMap;

use super::history::{History, LastChanges, Logged};
use super::index::{FileNumber, Index, Location};
use super::lock_table::{self, LockChange};
use crate::backend::dir::fs::FileId;
use crate::bytes::{Malformed, Reader, Writer};
use crate::contract::{CacheId, Change, Position};

/// What a checkpoint holds.
pub(super) struct Checkpoint {
    pub(super) index: Index,
    pub(super) history: History,
    pub(super) locks: Vec<LockChange>,
}

pub(super) fn encode(index: &Index, history: &History, locks: &[LockChange]) -> Vec<u8> {
    let mut out = Writer(vec![0; 4]);
    write_history(&mut out, history);
    let mut places: HashMap<FileNumber, usize> = HashMap::new();
    let files: Vec<_> = index.files().collect();
    out.count(files.len());
    for (place, (number, holder)) in files.into_iter().enumerate() {
        places.insert(number, place);
        holder.id.write(&mut out);
        out.u64(holder.bytes);
    }
    let caches: Vec<_> = index.caches().filter(|(_, keys)| !keys.is_empty()).collect();
    out.count(caches.len());
    for (cache, keys) in caches {
        out.u8(u8::from(cache.logged()));
        out.bytes(cache.name().as_bytes());
        out.count(keys.len());
        for (key, location) in keys {
            out.bytes(key);
            out.count(places.get(&location.file).copied().unwrap_or(usize::MAX));
            out.u64(location.offset);
            out.u32(location.length);
            out.u32(location.crc);
            out.u64(location.expires.unwrap_or(0));
        }
    }
    lock_table::write(&mut out, locks);
    out.u128(history.last_changes().since);
    out.count(history.last_changes().caches.len());
    for (cache, last) in &history.last_changes().caches {
        out.bytes(cache.as_bytes());
        out.u128(*last);
    }
    let check = crc32fast::hash(out.0.get(4..).unwrap_or_default());
    if let Some(place) = out.0.first_chunk_mut::<4>() {
        *place = check.to_le_bytes();
    }
    out.0
}

/// Reads a checkpoint.
///
/// # Errors
/// If it is damaged.
pub(super) fn decode(bytes: &[u8]) -> Result<Checkpoint, Malformed> {
    let mut input = Reader::new(bytes);
    if input.u32()? != crc32fast::hash(input.rest()) {
        return Err(Malformed);
    }
    let mut history = read_history(&mut input)?;
    let mut index = Index::default();
    let mut files = Vec::new();
    for _ in 0..input.u32()? {
        let id = FileId::read(&mut input)?;
        files.push(index.add_file(id, input.u64()?));
    }
    for _ in 0..input.u32()? {
        let logged = input.u8()? != 0;
        let cache = CacheId::stored(input.text()?, logged);
        for _ in 0..input.u32()? {
            let key = input.bytes()?;
            let location = Location {
                file: *files.get(input.count()?).ok_or(Malformed)?,
                offset: input.u64()?,
                length: input.u32()?,
                crc: input.u32()?,
                expires: Some(input.u64()?).filter(|expires| *expires > 0),
            };
            index.insert(&cache, key, location);
        }
    }
    let locks = lock_table::read(&mut input)?;
    if !input.is_empty() {
        let mut last_changes = LastChanges::new(input.u128()?);
        for _ in 0..input.u32()? {
            let cache = input.text()?.into();
            last_changes.caches.insert(cache, input.u128()?);
        }
        history = history.with(last_changes);
    }
    if input.is_empty() { Ok(Checkpoint { index, history, locks }) } else { Err(Malformed) }
}

fn write_position(out: &mut Writer, position: Position) {
    out.u128(position.incarnation);
    out.u128(position.id);
    out.u128(position.nonce);
}

fn read_position(input: &mut Reader<'_>) -> Result<Position, Malformed> {
    Ok(Position { incarnation: input.u128()?, id: input.u128()?, nonce: input.u128()? })
}

fn write_history(out: &mut Writer, history: &History) {
    write_position(out, history.floor());
    out.count(history.records().len());
    for (position, changes) in history.records() {
        write_position(out, *position);
        out.count(changes.len());
        for Logged { change, stored } in changes {
            let (cache, key) = match change {
                Change::Key { cache, key } => (cache, Some(key)),
                Change::Cache { cache } | Change::Unlisted { cache } => (cache, None),
            };
            out.u8(u8::from(key.is_some()) + u8::from(*stored));
            out.bytes(cache.as_bytes());
            if let Some(key) = key {
                out.bytes(key);
            }
        }
    }
}

fn read_history(input: &mut Reader<'_>) -> Result<History, Malformed> {
    let mut history = History::new(read_position(input)?);
    for _ in 0..input.u32()? {
        let position = read_position(input)?;
        let mut changes = Vec::new();
        for _ in 0..input.u32()? {
            // 0 = a purge, 1 = of a key, 2 = a key was stored.
            let kind = input.u8()?;
            let cache = input.text()?.into();
            let change = if kind == 0 {
                Change::Cache { cache }
            } else {
                Change::Key { cache, key: input.bytes()?.into() }
            };
            changes.push(Logged { change, stored: kind == 2 });
        }
        history.push(position, changes);
    }
    Ok(history)
}
