//! The last change of each cache of a space, noted in the transaction that logs it: what tells
//! which caches changed since a position that the log does not list (R29).

use std::ops::Bound;

use heed::{AnyTls, RoTxn, RwTxn};

use super::fault::{Fault, damaged};
use super::tables::Tables;
use crate::bytes::Reader;
use crate::contract::{Change, MAX_CHANGES};

/// Notes that a record changed a cache.
pub(crate) fn note(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    space: u64,
    cache: &str,
    record: u128,
) -> Result<(), Fault> {
    Ok(tables.meta.put(txn, &[&prefix(space)[..], cache.as_bytes()].concat(), &record.to_le_bytes())?)
}

/// The record that changed a cache last, if any did.
pub(crate) fn of(
    tables: &Tables,
    txn: &RoTxn<'_, AnyTls>,
    space: u64,
    cache: &str,
) -> Result<Option<u128>, Fault> {
    let row = tables.meta.get(txn, &[&prefix(space)[..], cache.as_bytes()].concat())?;
    Ok(row.map(|row| Reader::new(row).u128()).transpose()?)
}

/// The caches that changed after a record; `None` if they are too many.
pub(crate) fn after(
    tables: &Tables,
    txn: &RoTxn<'_, AnyTls>,
    space: u64,
    record: u128,
) -> Result<Option<Vec<Change>>, Fault> {
    let prefix = prefix(space);
    let mut changes = Vec::new();
    for row in tables.meta.prefix_iter(txn, &prefix)? {
        let (key, row) = row?;
        if Reader::new(row).u128()? > record {
            let cache = key.get(prefix.len()..).and_then(|name| std::str::from_utf8(name).ok());
            changes.push(Change::Unlisted { cache: cache.ok_or_else(|| damaged("cache name"))?.into() });
        }
    }
    Ok((changes.len() <= MAX_CHANGES).then_some(changes))
}

/// Removes the notes of a space.
pub(crate) fn forget(tables: &Tables, txn: &mut RwTxn<'_>, space: u64) -> Result<(), Fault> {
    let (from, to) = (prefix(space), prefix(space + 1));
    let all: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Included(&from), Bound::Excluded(&to));
    tables.meta.delete_range(txn, &all)?;
    Ok(())
}

fn prefix(space: u64) -> [u8; 9] {
    let mut prefix = [b'l'; 9];
    prefix.iter_mut().skip(1).zip(space.to_be_bytes()).for_each(|(to, from)| *to = from);
    prefix
}
