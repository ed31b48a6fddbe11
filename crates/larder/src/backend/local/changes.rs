//! The log: one record for each write, with a nonce and the changes.
//!
//! A record is the nonce, then for each change a kind, the name of the cache and the key. (Older
//! versions of Larder write the same kind for sets as for deletes, and take a set by a newer one
//! for a purge.) A record with more changes than an answer lists has none but a mark that says so:
//! whoever is before it is told which caches changed. With the name of a cache behind it, the mark
//! says that keys of that cache changed which are not listed.

use std::collections::HashSet;

use heed::{AnyTls, RoTxn, RwTxn};

use super::fault::{Fault, damaged};
use super::last_changes;
use super::tables::{Space, Tables};
use crate::bytes::Reader;
use crate::contract::{CacheId, Change, Delta, MAX_CHANGES, MAX_READ, Position, listed};
use crate::random::random;

/// The log's bound in records.
const MAX_RECORDS: u64 = 10_000;
/// A record's bound in bytes; a longer one is only a mark.
const MAX_RECORD: usize = 256 << 10;

const KEY: u8 = 0;
const CACHE: u8 = 1;
const TOO_MANY: u8 = 2;
const STORED: u8 = 3;

/// One change of a record.
pub(crate) struct Logged {
    pub(crate) change: Change,
    /// Whether it stored the key.
    pub(super) stored: bool,
}

/// A new history with an empty first record.
pub(super) fn begin(tables: &Tables, txn: &mut RwTxn<'_>, number: u64, after: u64) -> Result<Space, Fault> {
    let (incarnation, first) = (u128::from_le_bytes(random()?), after + 1);
    let mut space =
        Space { number, incarnation, first, last: after, nonce: 0, log_bytes: 0, noted_since: first };
    last_changes::forget(tables, txn, number)?;
    append(tables, txn, &mut space, &Record::default(), u64::MAX)?;
    Ok(space)
}

/// Where the history is now.
pub(super) fn position(space: &Space) -> Position {
    Position { incarnation: space.incarnation, id: space.last.into(), nonce: space.nonce }
}

/// The changes after `since`, or the caches that changed if the log does not list them; a reset if
/// nobody can tell.
pub(super) fn since(
    tables: &Tables,
    txn: &RoTxn<'_, AnyTls>,
    space: &Space,
    since: Option<Position>,
) -> Result<Delta, Fault> {
    let mut changes = None;
    if let Some(since) = since {
        let read = collect(tables, txn, space, since, MAX_READ)?;
        changes = read.and_then(|read| listed(read.into_iter().map(|logged| logged.change).collect()));
        if changes.is_none() && is_past(tables, txn, space, since)? {
            changes = last_changes::after(tables, txn, space.number, since.id)?;
        }
    }
    Ok(Delta { reset: changes.is_none(), changes: changes.unwrap_or_default(), position: position(space) })
}

/// Whether it is certain that nothing changed a cache after a position that the log does not reach
/// back to, or from where it lists too much.
pub(super) fn is_unchanged(
    tables: &Tables,
    txn: &RoTxn<'_, AnyTls>,
    space: &Space,
    since: Position,
    cache: &CacheId,
) -> Result<bool, Fault> {
    if !is_past(tables, txn, space, since)? {
        return Ok(false);
    }
    Ok(last_changes::of(tables, txn, space.number, cache.name())?.is_none_or(|last| last <= since.id))
}

/// Whether a position is of this history, and the last changes of caches are noted since then.
fn is_past(tables: &Tables, txn: &RoTxn<'_, AnyTls>, space: &Space, since: Position) -> Result<bool, Fault> {
    let Ok(id) = u64::try_from(since.id) else { return Ok(false) };
    if since.incarnation != space.incarnation || id < space.noted_since || id > space.last {
        return Ok(false);
    }
    // One that was trimmed says nothing more; an incarnation is one file's history.
    let Some(record) = tables.log.get(txn, &record_key(space, id))? else { return Ok(id < space.first) };
    Ok(Reader::new(record).u128()? == since.nonce)
}

/// The changes after `since`; `None` if they cannot be told exactly, or are more than `most`.
pub(super) fn collect(
    tables: &Tables,
    txn: &RoTxn<'_, AnyTls>,
    space: &Space,
    since: Position,
    most: usize,
) -> Result<Option<Vec<Logged>>, Fault> {
    if since == position(space) {
        return Ok(Some(Vec::new()));
    }
    let anchor = u64::try_from(since.id).unwrap_or(u64::MAX);
    if since.incarnation != space.incarnation || anchor < space.first || anchor >= space.last {
        return Ok(None);
    }
    if space.last - anchor > most as u64 {
        return Ok(None);
    }
    let Some(record) = tables.log.get(txn, &record_key(space, anchor))? else { return Ok(None) };
    if Reader::new(record).u128()? != since.nonce {
        return Ok(None);
    }
    let mut changes = Vec::new();
    for id in anchor + 1..=space.last {
        let record = tables.log.get(txn, &record_key(space, id))?.ok_or_else(|| damaged("log"))?;
        if !decode(record, &mut changes)? || changes.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(changes))
}

/// The changes of one write, encoded.
#[derive(Default)]
pub(crate) struct Record {
    bytes: Vec<u8>,
    changes: usize,
    caches: HashSet<Box<str>>,
}

impl Record {
    pub(super) fn stored(&mut self, cache: &CacheId, key: &[u8]) {
        if cache.logged() {
            self.push(STORED, cache.name(), key);
        }
    }

    pub(crate) fn removed(&mut self, cache: &CacheId, key: &[u8]) {
        if cache.logged() {
            self.push(KEY, cache.name(), key);
        }
    }

    pub(crate) fn cache(&mut self, cache: &CacheId) {
        if cache.logged() {
            self.push(CACHE, cache.name(), b"");
        }
    }

    pub(crate) fn change(&mut self, change: &Change) {
        match change {
            Change::Key { cache, key } => self.push(KEY, cache, key),
            Change::Cache { cache } => self.push(CACHE, cache, b""),
            Change::Unlisted { cache } => self.push(TOO_MANY, cache, b""),
        }
    }

    /// Notes the caches that it changes, as the record `id` of a space.
    pub(crate) fn note(
        &self,
        tables: &Tables,
        txn: &mut RwTxn<'_>,
        space: u64,
        id: u128,
    ) -> Result<(), Fault> {
        self.caches.iter().try_for_each(|cache| last_changes::note(tables, txn, space, cache, id))
    }

    /// The row of the record.
    pub(crate) fn row(&self, nonce: u128) -> Vec<u8> {
        [&nonce.to_le_bytes()[..], &self.bytes].concat()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes == 0
    }

    fn push(&mut self, kind: u8, cache: &str, key: &[u8]) {
        self.changes += 1;
        if !self.caches.contains(cache) {
            self.caches.insert(cache.into());
        }
        if self.changes > MAX_CHANGES || self.bytes.len() + key.len() > MAX_RECORD {
            self.changes = MAX_CHANGES + 1;
            self.bytes = vec![TOO_MANY];
            return;
        }
        let name = cache.as_bytes();
        // Names have at most 200 bytes, keys fit the record's bound.
        self.bytes.extend_from_slice(&[kind, u8::try_from(name.len()).unwrap_or(0)]);
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(&u32::try_from(key.len()).unwrap_or(0).to_le_bytes());
        self.bytes.extend_from_slice(key);
    }
}

/// Adds the changes of a record; `false` if it does not list them.
pub(crate) fn decode(record: &[u8], changes: &mut Vec<Logged>) -> Result<bool, Fault> {
    let mut row = Reader::new(record);
    row.u128()?;
    while !row.is_empty() {
        let kind = row.u8()?;
        if kind == TOO_MANY && row.is_empty() {
            return Ok(false);
        }
        let name = usize::from(row.u8()?);
        let name = std::str::from_utf8(row.take(name)?).map_err(|_| damaged("cache name"))?;
        let key = row.bytes()?;
        let change = match kind {
            KEY | STORED => Change::Key { cache: name.into(), key: key.into() },
            TOO_MANY => Change::Unlisted { cache: name.into() },
            _ => Change::Cache { cache: name.into() },
        };
        changes.push(Logged { change, stored: kind == STORED });
    }
    Ok(true)
}

/// Appends a record and trims the log to its bounds, keeping the new record in any case.
pub(super) fn append(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    space: &mut Space,
    record: &Record,
    max_bytes: u64,
) -> Result<(), Fault> {
    space.last += 1;
    space.nonce = u128::from_le_bytes(random()?);
    let row = record.row(space.nonce);
    tables.log.put(txn, &record_key(space, space.last), &row)?;
    record.note(tables, txn, space.number, space.last.into())?;
    space.log_bytes += size(&row);
    while space.first < space.last && (space.last - space.first >= MAX_RECORDS || space.log_bytes > max_bytes)
    {
        let key = record_key(space, space.first);
        let old = tables.log.get(txn, &key)?.map_or(0, size);
        tables.log.delete(txn, &key)?;
        space.log_bytes = space.log_bytes.saturating_sub(old);
        space.first += 1;
    }
    Ok(())
}

/// Removes the log of a history.
pub(super) fn forget(tables: &Tables, txn: &mut RwTxn<'_>, space: &Space) -> Result<(), Fault> {
    for id in space.first..=space.last {
        tables.log.delete(txn, &record_key(space, id))?;
    }
    Ok(())
}

/// What a record takes, roughly.
pub(crate) fn size(row: &[u8]) -> u64 {
    row.len() as u64 * 3 / 2 + 40
}

fn record_key(space: &Space, id: u64) -> [u8; 16] {
    ((u128::from(space.number) << 64) | u128::from(id)).to_be_bytes()
}
