//! The log: one record for each write, with a nonce and the changes.
//!
//! A record is the nonce, then for each change a kind, the name of the cache and the key. (Older versions of Larder write the
//! same kind for sets as for deletes, and take a set by a newer one for a purge.) A record with more
//! changes than an answer lists has none but a mark that says so: whoever is before it must forget everything
//! anyway.

use heed::{AnyTls, RoTxn, RwTxn};

use super::fault::{Fault, damaged};
use super::tables::{Space, Tables};
use crate::bytes::Reader;
use crate::contract::{CacheId, Change, Delta, MAX_CHANGES, Position};
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
    let mut space = Space {
        number,
        incarnation: u128::from_le_bytes(random()?),
        first: after + 1,
        last: after,
        nonce: 0,
        log_bytes: 0,
    };
    append(tables, txn, &mut space, &Record::default(), u64::MAX)?;
    Ok(space)
}

/// Where the history is now.
pub(super) fn position(space: &Space) -> Position {
    Position { incarnation: space.incarnation, id: space.last.into(), nonce: space.nonce }
}

/// The changes after `since`, a reset if they cannot be told exactly.
pub(super) fn since(
    tables: &Tables,
    txn: &RoTxn<'_, AnyTls>,
    space: &Space,
    since: Option<Position>,
) -> Result<Delta, Fault> {
    let changes = match since {
        Some(since) => collect(tables, txn, space, since)?,
        None => None,
    };
    let reset = changes.is_none();
    let changes = changes.unwrap_or_default().into_iter().map(|logged| logged.change).collect();
    Ok(Delta { reset, changes, position: position(space) })
}

/// The changes after `since`; `None` if they cannot be told exactly.
pub(super) fn collect(
    tables: &Tables,
    txn: &RoTxn<'_, AnyTls>,
    space: &Space,
    since: Position,
) -> Result<Option<Vec<Logged>>, Fault> {
    if since == position(space) {
        return Ok(Some(Vec::new()));
    }
    let anchor = u64::try_from(since.id).unwrap_or(u64::MAX);
    if since.incarnation != space.incarnation || anchor < space.first || anchor >= space.last {
        return Ok(None);
    }
    if space.last - anchor > MAX_CHANGES as u64 {
        return Ok(None);
    }
    let Some(record) = tables.log.get(txn, &record_key(space, anchor))? else { return Ok(None) };
    if Reader::new(record).u128()? != since.nonce {
        return Ok(None);
    }
    let mut changes = Vec::new();
    for id in anchor + 1..=space.last {
        let record = tables.log.get(txn, &record_key(space, id))?.ok_or_else(|| damaged("log"))?;
        if !decode(record, &mut changes)? || changes.len() > MAX_CHANGES {
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
        }
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
        if kind == TOO_MANY {
            return Ok(false);
        }
        let name = usize::from(row.u8()?);
        let name = std::str::from_utf8(row.take(name)?).map_err(|_| damaged("cache name"))?;
        let key = row.bytes()?;
        let change = match kind {
            KEY | STORED => Change::Key { cache: name.into(), key: key.into() },
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
