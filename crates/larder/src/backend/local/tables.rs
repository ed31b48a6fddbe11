//! The tables of the file and the bytes of their rows.
//!
//! | table | key | row |
//! |---|---|---|
//! | `meta` | `m` | [`Counters`] |
//! | | `s` namespace | [`Space`] |
//! | | `c` space, logged, name | the cache's number |
//! | | `l` space, name | the last record that changed the cache, see [`super::last_changes`] |
//! | | `d` number | a purged cache whose entries were not all removed yet |
//! | `entries` | cache, key | header and entry, see [`super::rows`] |
//! | `parts` | age, index | pieces of a large entry |
//! | `ages` | age | key in `entries`: oldest first |
//! | `expiries` | time, age | key in `entries`: soonest first |
//! | `log` | space, id | nonce and changes, see [`super::changes`] |
//! | `locks` | `l` namespace, name (hashes) | a lock, see [`super::lock_row`] |
//! | | `b`, `f` | numbers of all locks, see [`super::locks`] |
//!
//! Numbers in keys are big-endian, so that their order is that of the bytes.

use heed::types::Bytes;
use heed::{AnyTls, CommitOrAbort, Database, Env, RoTxn, RwTxn, WithoutTls};

use super::fault::{Fault, damaged};
use crate::bytes::Reader;
use crate::contract::CacheId;

type Table = Database<'static, Bytes, Bytes>;

/// How many tables there are.
pub(super) const TABLES: u32 = 7;

/// The tables.
#[derive(Clone, Copy)]
pub(crate) struct Tables {
    pub(crate) meta: Table,
    pub(super) entries: Table,
    pub(super) parts: Table,
    pub(super) ages: Table,
    pub(super) expiries: Table,
    pub(crate) log: Table,
    pub(super) locks: Table,
}

/// Numbers of the whole file.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counters {
    /// The age of the next entry: larger is younger.
    pub(super) next_age: u64,
    /// The number of the next cache or space.
    pub(crate) next_number: u64,
    /// What the entries take, estimated.
    pub(super) live: u64,
}

/// One namespace: its history.
#[derive(Clone, Copy)]
pub(super) struct Space {
    pub(super) number: u64,
    pub(super) incarnation: u128,
    /// The oldest record of the log.
    pub(super) first: u64,
    /// The newest record of the log. There always is one.
    pub(super) last: u64,
    /// The nonce of the newest record.
    pub(super) nonce: u128,
    /// What the log takes.
    pub(super) log_bytes: u64,
    /// The record since which the last changes of caches are noted.
    pub(super) noted_since: u64,
}

impl Tables {
    /// Opens the tables, creating those that are missing.
    pub(super) fn create(env: &Env<WithoutTls>) -> Result<Self, Fault> {
        let txn = env.write_txn()?;
        let made = env.create_databases_and_commit(txn, |opener, txn| {
            let mut table = |name| opener.create_database::<Bytes, Bytes>(txn, Some(name));
            let tables = (
                table("meta")?,
                table("entries")?,
                table("parts")?,
                table("ages")?,
                table("expiries")?,
                table("log")?,
                table("locks")?,
            );
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(tables))
        })?;
        let Some((meta, entries, parts, ages, expiries, log, locks)) = made.commit() else {
            return Err(damaged("tables"));
        };
        Ok(Self { meta, entries, parts, ages, expiries, log, locks })
    }

    pub(crate) fn counters(&self, txn: &RoTxn<'_, AnyTls>) -> Result<Counters, Fault> {
        let Some(row) = self.meta.get(txn, b"m")? else { return Ok(Counters::default()) };
        let mut row = Reader::new(row);
        Ok(Counters { next_age: row.u64()?, next_number: row.u64()?, live: row.u64()? })
    }

    pub(crate) fn put_counters(&self, txn: &mut RwTxn<'_>, counters: &Counters) -> Result<(), Fault> {
        let numbers = [counters.next_age, counters.next_number, counters.live];
        Ok(self.meta.put(txn, b"m", numbers.map(u64::to_le_bytes).as_flattened())?)
    }

    pub(super) fn space(&self, txn: &RoTxn<'_, AnyTls>, namespace: &str) -> Result<Option<Space>, Fault> {
        let Some(row) = self.meta.get(txn, &space_key(namespace))? else { return Ok(None) };
        let mut row = Reader::new(row);
        let (number, first, last, log_bytes) = (row.u64()?, row.u64()?, row.u64()?, row.u64()?);
        let (incarnation, nonce) = (row.u128()?, row.u128()?);
        // An older version wrote the newest record, and notes nothing.
        let noted_since = if row.is_empty() { last } else { row.u64()? };
        Ok(Some(Space { number, incarnation, first, last, nonce, log_bytes, noted_since }))
    }

    pub(super) fn put_space(&self, txn: &mut RwTxn<'_>, namespace: &str, space: &Space) -> Result<(), Fault> {
        let numbers = [space.number, space.first, space.last, space.log_bytes].map(u64::to_le_bytes);
        let marks = [space.incarnation, space.nonce].map(u128::to_le_bytes);
        let noted_since = space.noted_since.to_le_bytes();
        let row = [numbers.as_flattened(), marks.as_flattened(), &noted_since].concat();
        Ok(self.meta.put(txn, &space_key(namespace), &row)?)
    }

    /// The number of a cache of the space of this number that was written to since its last purge.
    pub(crate) fn cache(
        &self,
        txn: &RoTxn<'_, AnyTls>,
        space: u64,
        cache: &CacheId,
    ) -> Result<Option<u64>, Fault> {
        let row = self.meta.get(txn, &cache_key(space, cache))?;
        Ok(row.map(|row| Reader::new(row).u64()).transpose()?)
    }

    /// The number of a cache, a new one if it has none.
    pub(crate) fn cache_or_new(
        &self,
        txn: &mut RwTxn<'_>,
        space: u64,
        cache: &CacheId,
        counters: &mut Counters,
    ) -> Result<u64, Fault> {
        if let Some(number) = self.cache(txn, space, cache)? {
            return Ok(number);
        }
        let number = counters.next_number;
        counters.next_number += 1;
        self.meta.put(txn, &cache_key(space, cache), &number.to_le_bytes())?;
        Ok(number)
    }

    /// Takes a cache's number away: whoever asks for the cache finds it empty. Its entries are
    /// removed later.
    pub(crate) fn forget_cache(&self, txn: &mut RwTxn<'_>, space: u64, cache: &CacheId) -> Result<(), Fault> {
        if let Some(number) = self.cache(txn, space, cache)? {
            self.meta.delete(txn, &cache_key(space, cache))?;
            self.meta.put(txn, &dead_key(number), b"")?;
        }
        Ok(())
    }

    /// All caches of a space that have a number.
    pub(crate) fn caches(&self, txn: &RoTxn<'_, AnyTls>, space: u64) -> Result<Vec<(CacheId, u64)>, Fault> {
        let prefix = [b"c", &space.to_be_bytes()[..]].concat();
        let mut caches = Vec::new();
        for row in self.meta.prefix_iter(txn, &prefix)? {
            let (key, row) = row?;
            let (logged, name) =
                key.get(prefix.len()..).and_then(<[u8]>::split_first).ok_or_else(|| damaged("cache"))?;
            let name = std::str::from_utf8(name).map_err(|_| damaged("cache name"))?;
            caches.push((CacheId::stored(name, *logged == 1), Reader::new(row).u64()?));
        }
        Ok(caches)
    }
}

/// A namespace of any length as a key.
fn space_key(namespace: &str) -> Vec<u8> {
    let bytes = namespace.as_bytes();
    if bytes.len() <= 400 {
        [b"s=", bytes].concat()
    } else {
        [&b"s#"[..], blake3::hash(bytes).as_bytes()].concat()
    }
}

fn cache_key(space: u64, cache: &CacheId) -> Vec<u8> {
    let logged = [u8::from(cache.logged())];
    [b"c", &space.to_be_bytes()[..], &logged, cache.name().as_bytes()].concat()
}

fn dead_key(number: u64) -> [u8; 9] {
    let mut key = [b'd'; 9];
    for (to, from) in key.iter_mut().skip(1).zip(number.to_be_bytes()) {
        *to = from;
    }
    key
}
