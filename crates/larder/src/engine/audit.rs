//! The audit log: who emptied what, kept in the backend beside the entries.
//!
//! A record is an entry of an unlogged cache of Larder's own, under a key that begins with the
//! time. Another entry lists the keys in the order in which they came, so that a writer knows which
//! record is too old without listing all, and no wrong clock or forged time makes one outlive the
//! others. Of two writers at the same moment one may miss in the list what the other adds: such a
//! record stays for its year.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::calls::Engine;
use super::handle::{Decode, Handle};
use crate::error::Result;
use crate::random::random;
use crate::{node_name, payload};

/// The unlogged cache that holds the records.
const CACHE: &str = "audit";
/// The key of the list.
const ORDER: &[u8] = b"order";
/// So many records are kept.
const MAX_AUDIT_RECORDS: usize = 1000;
/// Seconds after which a record is forgotten: a year.
const TTL: i64 = 365 * 86_400;

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
    /// Adds a record to the audit log, which keeps the last 1,000 for a year. If the details do not
    /// name a `node`, the host's name is added. Three round trips at most.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn audit(&self, action: &str, mut details: BTreeMap<String, String>) -> Result<()> {
        let cache = self.audit_cache();
        let order = self.own_entry(&cache, ORDER)?.unwrap_or_default();
        let mut order: Vec<ByteBuf> = rmp_serde::from_slice(&order).unwrap_or_default();
        details.entry("node".to_owned()).or_insert_with(node_name::host);
        let record = AuditRecord { time_ms: self.backend.now().max(1), action: action.to_owned(), details };
        let key = [record.time_ms.to_be_bytes(), random()?].concat();
        order.push(ByteBuf::from(key.clone()));
        let surplus = order.len().saturating_sub(MAX_AUDIT_RECORDS);
        let old: Vec<ByteBuf> = order.drain(..surplus).collect();
        let order = rmp_serde::to_vec(&order).unwrap_or_default();
        self.put_own(&cache, &[(key, payload::to_payload(&record)?), (ORDER.to_vec(), order)])?;
        if !old.is_empty() {
            let old: Vec<&[u8]> = old.iter().map(|key| key.as_slice()).collect();
            self.delete_many(&cache, &old)?;
        }
        Ok(())
    }

    /// The records of the audit log, oldest first. On Redis a round trip, and one for each hundred
    /// records.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn audit_log(&self) -> Result<Vec<AuditRecord>> {
        let entries = self.own_entries(&self.audit_cache())?;
        let order = entries.iter().find(|(key, _)| key == ORDER).map(|(_, list)| list.as_slice());
        let order: Vec<ByteBuf> = rmp_serde::from_slice(order.unwrap_or_default()).unwrap_or_default();
        // Of the same millisecond, too. What the list has missed comes first, by its time.
        let places: HashMap<&[u8], usize> = order.iter().map(|key| key.as_slice()).zip(0..).collect();
        let mut records: Vec<_> = entries
            .iter()
            .filter_map(|(key, payload)| {
                Some((places.get(key.as_slice()), payload::from_payload::<AuditRecord>(payload).ok()?))
            })
            .collect();
        records.sort_by_key(|(place, _)| *place);
        Ok(records.into_iter().map(|(_, record)| record).collect())
    }

    pub(super) fn audit_cache(&self) -> Handle {
        self.own_cache(CACHE, false, Some(TTL))
    }
}
