//! What changes entries: sets, deletes, purges.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::calls::Engine;
use super::handle::{Decode, Expired, Handle, Item, check_key, expiry};
use crate::clock::Millis;
use crate::coherence::{Keep, Ticket};
use crate::contract::{Op, Outcome};
use crate::entry::Site;
use crate::error::{ErrorKind, Result};

impl<D: Decode> Engine<D> {
    /// Stores entries in one round trip, all or nothing. For each item whether it stands
    /// acknowledged: false if the backend refused it. A fill that lost against a newer change
    /// counts as stored before it; if that was a set of another value, neither is left. One fill
    /// alone, in a request, may be sent and not waited for (R31): no round trip, and it is
    /// acknowledged when the request has ended.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] for a bad key; [`ErrorKind::LockLost`] if an item's lock is gone, nothing is changed then;
    /// others if the backend is unavailable or refuses. Then nothing is acknowledged, and values
    /// before may stand or be gone.
    pub fn set_many(&self, cache: &Handle, items: &[Item<'_>]) -> Result<()> {
        items.iter().try_for_each(|item| check_key(item.key))?;
        self.follow_settled();
        let incarnation = self.incarnation_to_seal(cache)?;
        let now = self.backend.now();
        let entries: Vec<(Option<Vec<u8>>, Option<Millis>)> = items
            .iter()
            .map(|item| match expiry(item.ttl.or(cache.ttl), now) {
                Err(Expired) => (None, None),
                Ok(expires) => {
                    let site = Site { cache: &cache.id, key: item.key, incarnation };
                    (Some(self.entries.encode(site, item.payload, expires)), expires)
                }
            })
            .collect();
        let (ops, ticket): (Vec<Op<'_>>, Ticket) = {
            let state = self.state();
            let ops = items.iter().zip(&entries).map(|(item, (entry, expires))| match entry {
                None => Op::Delete { cache: &cache.id, key: item.key },
                Some(entry) => Op::Set {
                    cache: &cache.id,
                    key: item.key,
                    entry,
                    expires: *expires,
                    guard: cache
                        .id
                        .logged()
                        .then(|| state.guard(cache.number, item.key))
                        .flatten()
                        .map(|missed| self.entries.fill_guard(missed, entry, *expires)),
                    lock: item.lock,
                },
            });
            (ops.collect(), state.ticket())
        };
        if self.post(&ops) {
            self.end_fills(cache, &ops);
            self.state().count(cache.number, |counts| counts.sets += 1);
            if let ([item], [(_, expires)]) = (items, &*entries) {
                let value = self.decode.decode(item.payload);
                let keep = value.map(|(value, weight)| Keep { value, weight, expires: *expires });
                self.state().after_post(ticket, cache.number, item.key, keep);
            }
            return Ok(());
        }
        let (applied, ticket) = match self.apply(cache, &ops) {
            Err(error) if error.kind() == ErrorKind::Refused => {
                // What was refused must not leave the value before it in place. A fill would have
                // replaced nothing.
                let replaced = ops.iter().filter_map(|op| match *op {
                    Op::Set { guard: Some(_), .. } | Op::Purge { .. } => None,
                    Op::Set { key, .. } | Op::Delete { key, .. } => Some(key),
                });
                let keys: Vec<&[u8]> = replaced.collect();
                if !keys.is_empty() {
                    let _ = self.delete_many(cache, &keys);
                }
                return Err(error);
            }
            answer => answer?,
        };
        self.state().count(cache.number, |counts| counts.sets += items.len() as u64);
        if !cache.near() {
            return Ok(());
        }
        for ((item, (entry, expires)), outcome) in items.iter().zip(&entries).zip(&applied.outcomes) {
            if matches!(outcome, Outcome::Dropped | Outcome::Cleared) {
                self.counters().dropped_fills.fetch_add(1, Ordering::Relaxed);
            } else if let Some(ticket) = ticket {
                let value = entry.as_ref().and_then(|_| self.decode.decode(item.payload));
                let keep = value.map(|(value, weight)| Keep { value, weight, expires: *expires });
                self.state().keep_own(ticket, cache.number, item.key, keep);
            }
        }
        Ok(())
    }

    /// The incarnation that entries to be written are sealed for. If it is over when they arrive,
    /// they are misses. One round trip if entries are sealed and nothing was asked yet.
    fn incarnation_to_seal(&self, cache: &Handle) -> Result<u128> {
        if !self.entries.seals() || !cache.id.logged() {
            return Ok(0);
        }
        if self.position().is_none() {
            self.sync()?;
        }
        Ok(self.position().map_or(0, |position| position.incarnation))
    }

    /// Removes entries in one round trip; for each key whether there was an entry. Once this
    /// returns no one can read the old values after a later sync point.
    ///
    /// # Errors
    /// As [`set_many`](Self::set_many).
    pub fn delete_many(&self, cache: &Handle, keys: &[&[u8]]) -> Result<Vec<bool>> {
        keys.iter().try_for_each(|key| check_key(key))?;
        let ops: Vec<_> = keys.iter().map(|key| Op::Delete { cache: &cache.id, key }).collect();
        let (answer, _) = self.apply(cache, &ops)?;
        self.state().count(cache.number, |counts| counts.deletes += keys.len() as u64);
        Ok(answer.outcomes.iter().map(|outcome| *outcome == Outcome::Deleted { existed: true }).collect())
    }

    /// Empties a cache. One round trip, however much it holds.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn purge(&self, cache: &Handle) -> Result<()> {
        self.apply(cache, &[Op::Purge { cache: &cache.id }])?;
        self.state().count(cache.number, |counts| counts.purges += 1);
        Ok(())
    }

    /// The keys of a cache that start with `prefix`, each once, in no order; expired ones may be
    /// among them. One round trip for some hundred keys.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn keys(&self, cache: &Handle, prefix: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut keys = HashSet::new();
        self.guarded(|| {
            self.backend.list(&cache.id, prefix, &mut |key| {
                keys.insert(key.to_vec());
            })
        })?;
        Ok(keys.into_iter().filter(|key| !self.is_refused(cache, key)).collect())
    }

    /// Empties every cache of the namespace, unlogged ones included; the audit log and the
    /// statistics stay.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn reset(&self) -> Result<()> {
        let kept = [self.audit_cache(), self.nodes()].map(|cache| {
            let entries = self.own_entries(&cache).unwrap_or_default();
            (cache, entries)
        });
        self.call(|| self.backend.reset()).inspect_err(|error| self.note_reset_refused(error))?;
        self.sync()?;
        self.state().after_reset();
        for (cache, entries) in &kept {
            // Everything is empty: that some of it cannot be put back is no reason to say that it
            // is not.
            let _ = self.put_own(cache, entries);
        }
        Ok(())
    }
}
