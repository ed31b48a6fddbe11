//! `fetch`, `list`, `usage`: read transactions, short ones, because what a reader sees cannot be
//! reused.

use std::ops::Bound;

use heed::{AnyTls, RoTxn};

use super::changes;
use super::environment::Open;
use super::fault::Fault;
use super::rows;
use super::tables::Tables;
use crate::clock::Millis;
use crate::contract::{CacheId, CacheUsage, Fetched, Position, Read};

/// How many keys one transaction lists.
const LISTED_AT_ONCE: usize = 1_000;
/// How many keys one transaction counts.
const COUNTED_AT_ONCE: usize = 20_000;

/// One transaction: the changes, then the entries, of one snapshot. `None` if the namespace has no
/// history yet.
pub(super) fn fetch(
    open: &Open,
    namespace: &str,
    since: Option<Position>,
    reads: &[Read<'_>],
    now: Millis,
) -> Result<Option<Fetched>, Fault> {
    let tables = &open.tables;
    let txn = open.read()?;
    let Some(space) = tables.space(&txn, namespace)? else { return Ok(None) };
    let delta = changes::since(tables, &txn, &space, since)?;
    Ok(Some(Fetched { delta, entries: entries(tables, &txn, space.number, reads, now)? }))
}

/// The entries of a space, in the order asked for.
pub(crate) fn entries(
    tables: &Tables,
    txn: &RoTxn<'_, AnyTls>,
    space: u64,
    reads: &[Read<'_>],
    now: Millis,
) -> Result<Vec<Option<Vec<u8>>>, Fault> {
    let mut known: Option<(&CacheId, Option<u64>)> = None;
    let mut entries = Vec::with_capacity(reads.len());
    for read in reads {
        // The keys of a batch are mostly of one cache.
        let number = match known {
            Some((cache, number)) if cache == read.cache => number,
            _ => tables.cache(txn, space, read.cache)?,
        };
        known = Some((read.cache, number));
        entries.push(match number {
            Some(number) => rows::get(tables, txn, number, read.key, now)?,
            None => None,
        });
    }
    Ok(entries)
}

/// A place in a listing.
#[derive(Default)]
pub(super) struct Cursor {
    /// The key of the last row seen, in the table.
    after: Option<Vec<u8>>,
    /// Whether short keys are done and hashed ones are next.
    hashed: bool,
}

/// The next keys of a listing; `false` at the end.
pub(super) fn list(
    open: &Open,
    namespace: &str,
    (cache, prefix): (&CacheId, &[u8]),
    cursor: &mut Cursor,
    now: Millis,
) -> Result<(Vec<Vec<u8>>, bool), Fault> {
    let tables = &open.tables;
    let txn = open.read()?;
    let Some(space) = tables.space(&txn, namespace)? else { return Ok((Vec::new(), false)) };
    let Some(number) = tables.cache(&txn, space.number, cache)? else { return Ok((Vec::new(), false)) };
    let start = if cursor.hashed {
        [&number.to_be_bytes()[..], &[1]].concat()
    } else {
        [&number.to_be_bytes()[..], &[0], prefix].concat()
    };
    let from = match &cursor.after {
        Some(after) => Bound::Excluded(&after[..]),
        None => Bound::Included(&start[..]),
    };
    let mut keys = Vec::new();
    let mut last = None;
    let mut seen = 0;
    for row in tables.entries.range(&txn, &(from, Bound::Unbounded))? {
        let (row_key, row) = row?;
        if !row_key.starts_with(&start) {
            break;
        }
        let (key, good) = rows::original(row_key, row, now)?;
        if good && key.starts_with(prefix) {
            keys.push(key.to_vec());
        }
        last = Some(row_key);
        seen += 1;
        if seen == LISTED_AT_ONCE {
            break;
        }
    }
    if seen == LISTED_AT_ONCE {
        cursor.after = last.map(<[u8]>::to_vec);
        return Ok((keys, true));
    }
    let more = !cursor.hashed;
    *cursor = Cursor { after: None, hashed: true };
    Ok((keys, more))
}

/// The caches of a namespace with their numbers.
pub(super) fn caches(open: &Open, namespace: &str) -> Result<Vec<(CacheId, u64)>, Fault> {
    let txn = open.read()?;
    match open.tables.space(&txn, namespace)? {
        Some(space) => open.tables.caches(&txn, space.number),
        None => Ok(Vec::new()),
    }
}

/// Counts the entries of a cache.
pub(super) fn count(open: &Open, cache: CacheId, number: u64) -> Result<CacheUsage, Fault> {
    let end = (number + 1).to_be_bytes();
    let mut from = number.to_be_bytes().to_vec();
    let mut entries = 0;
    loop {
        let txn = open.read()?;
        let range = (Bound::Excluded(&from[..]), Bound::Excluded(&end[..]));
        let mut seen = 0;
        let mut last = None;
        for row in open.tables.entries.range(&txn, &range)?.take(COUNTED_AT_ONCE) {
            last = Some(row?.0);
            seen += 1;
        }
        entries += seen;
        match last {
            Some(last) if seen == COUNTED_AT_ONCE as u64 => from = last.to_vec(),
            _ => return Ok(CacheUsage { cache, entries }),
        }
    }
}
