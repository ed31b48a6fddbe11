//! The audit log: who emptied what, kept in the backend beside the entries.
//!
//! A record is an entry of an unlogged cache of Larder's own, under a key that begins with the time, so that a record is one write
//! and no writer waits for another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::calls::Engine;
use super::handle::{Decode, Handle, Item};
use crate::contract::Read;
use crate::entry::Site;
use crate::error::Result;
use crate::payload;

/// The unlogged cache that holds the records.
const CACHE: &str = "audit";
/// So many records are kept at the least.
const MAX_AUDIT_RECORDS: usize = 1000;
/// Seconds after which a record is forgotten: a year.
const TTL: i64 = 365 * 86_400;
/// So many more may be there before the oldest are removed.
const SPARE: usize = 50;

/// One record of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When it was written: milliseconds since 1970 on the backend's clock.
    pub time_ms: u64,
    /// What was done, such as `purge`.
    pub action: String,
    /// By whom, from where: names and values, as the writer chose them.
    pub details: BTreeMap<String, String>,
}

impl<D: Decode> Engine<D> {
    /// Adds a record to the audit log, which keeps the last 1,000 for a year. On Redis a round trip, and one for each hundred
    /// records.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn audit(&self, action: &str, details: BTreeMap<String, String>) -> Result<()> {
        let record = AuditRecord { time_ms: self.backend.now().max(1), action: action.to_owned(), details };
        let cache = self.audit_cache();
        self.put_records(&cache, &[record])?;
        let mut keys = self.keys(&cache, b"")?;
        if keys.len() >= MAX_AUDIT_RECORDS + SPARE {
            keys.sort_unstable();
            let old: Vec<&[u8]> = keys.iter().rev().skip(MAX_AUDIT_RECORDS).map(Vec::as_slice).collect();
            self.delete_many(&cache, &old)?;
        }
        Ok(())
    }

    /// The records of the audit log, oldest first. On Redis a round trip, and one for each hundred records.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn audit_log(&self) -> Result<Vec<AuditRecord>> {
        let cache = self.audit_cache();
        let mut keys = self.keys(&cache, b"")?;
        keys.sort_unstable();
        let reads: Vec<_> = keys.iter().map(|key| Read { cache: cache.id(), key }).collect();
        let answer = self.fetch(&reads)?;
        let incarnation = answer.fetched.delta.position.incarnation;
        let entries = keys.iter().zip(answer.fetched.entries);
        Ok(entries
            .filter_map(|(key, entry)| {
                let entry = entry?;
                let site = Site { cache: cache.id(), key, incarnation };
                let opened = self.entries.decode(site, &entry, self.decode.most()).ok()?;
                payload::from_payload(&opened.payload).ok()
            })
            .collect())
    }

    /// Writes records that were read before everything was emptied. One round trip.
    pub(super) fn keep_audit_log(&self, records: &[AuditRecord]) {
        // Everything is empty: records less are no reason to say that it is not.
        let _ = self.put_records(&self.audit_cache(), records);
    }

    fn audit_cache(&self) -> Handle {
        self.own_cache(CACHE, false, Some(TTL))
    }

    fn put_records(&self, cache: &Handle, records: &[AuditRecord]) -> Result<()> {
        let entries = records.iter().map(|record| {
            let random = getrandom::u64().unwrap_or_default();
            let key = [record.time_ms.to_be_bytes(), random.to_be_bytes()].concat();
            Ok((key, payload::to_payload(record)?))
        });
        let entries = entries.collect::<Result<Vec<_>>>()?;
        let items: Vec<Item<'_>> =
            entries.iter().map(|(key, payload)| Item { key, payload, ttl: None, lock: None }).collect();
        if items.is_empty() { Ok(()) } else { self.set_many(cache, &items) }
    }
}
