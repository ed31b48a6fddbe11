//! Entries that Larder keeps for itself, in caches of its own.

use super::calls::Engine;
use super::handle::{Decode, Handle, Item};
use crate::contract::Read;
use crate::entry::Site;
use crate::error::Result;

/// The key and the payload of an entry.
pub(super) type OwnEntry = (Vec<u8>, Vec<u8>);

impl<D: Decode> Engine<D> {
    /// The payload of one entry of an unlogged cache as it stands in the backend. One round trip.
    pub(super) fn own_entry(&self, cache: &Handle, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.read_own(cache, &[key.to_vec()])?.pop().map(|(_, payload)| payload))
    }

    /// All entries of an unlogged cache, in the order of their keys. On Redis a round trip, and one
    /// for each hundred entries.
    pub(super) fn own_entries(&self, cache: &Handle) -> Result<Vec<OwnEntry>> {
        let mut keys = self.keys(cache, b"")?;
        keys.sort_unstable();
        self.read_own(cache, &keys)
    }

    /// Stores entries. One round trip.
    pub(super) fn put_own(&self, cache: &Handle, entries: &[OwnEntry]) -> Result<()> {
        let items: Vec<Item<'_>> =
            entries.iter().map(|(key, payload)| Item { key, payload, ttl: None, lock: None }).collect();
        if items.is_empty() { Ok(()) } else { self.set_many(cache, &items) }
    }

    /// Those of the keys that have an entry which can be read and has not expired.
    fn read_own(&self, cache: &Handle, keys: &[Vec<u8>]) -> Result<Vec<OwnEntry>> {
        let reads: Vec<_> = keys.iter().map(|key| Read { cache: cache.id(), key }).collect();
        let answer = self.fetch(&reads)?;
        let (now, incarnation) = (self.backend.now(), answer.fetched.delta.position.incarnation);
        let entries = keys.iter().zip(answer.fetched.entries).filter_map(|(key, entry)| {
            let entry = entry?;
            let site = Site { cache: cache.id(), key, incarnation };
            let opened = self.entries.decode(site, &entry, self.decode.most()).ok()?;
            let expired = opened.expires.is_some_and(|expires| expires <= now);
            (!expired).then(|| (key.clone(), opened.payload.into_owned()))
        });
        Ok(entries.collect())
    }
}
