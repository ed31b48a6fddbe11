//! Reads of an engine: from memory if it may be served, else from the backend.

use std::sync::atomic::Ordering;

use super::calls::{Answer, Engine};
use super::handle::{Decode, Handle, check_key};
use crate::coherence::{Keep, Ticket};
use crate::contract::{Position, Read};
use crate::entry::{Site, Unreadable};
use crate::error::Result;
use crate::near::Known;

/// A look at memory is repeated if the answer changed what was found; after so many times all is
/// read anew.
const MAX_LOOKS: usize = 3;

/// What memory knew of some keys at one moment.
struct Look<V> {
    known: Vec<Option<Known<V>>>,
    /// Whether it may be served without a sync.
    fresh: bool,
    /// Where the log stood as far as memory knew: what was absent there is the guard of a fill.
    at: Option<Position>,
}

impl<V> Look<V> {
    /// The numbers of the keys that memory knows nothing of.
    fn unknown(&self) -> impl Iterator<Item = usize> {
        (0..).zip(&self.known).filter(|(_, known)| known.is_none()).map(|(at, _)| at)
    }
}

impl<D: Decode> Engine<D> {
    /// What `take` makes of the value of a key, if memory has one and no sync is due. No round
    /// trip. With `None`, also from `take`, nothing was read: [`get`](Self::get) does it.
    ///
    /// `take` runs while the engine is locked: it must not call it.
    pub fn hit<R>(&self, cache: &Handle, key: &[u8], take: impl FnOnce(&D::Value) -> Option<R>) -> Option<R> {
        let mut state = self.state();
        if !cache.near() || !state.is_fresh(self.max_staleness) {
            return None;
        }
        let Known::Value(value) = state.look(cache.number, key, || self.backend.now())? else { return None };
        let taken = take(value)?;
        state.count(cache.number, |counts| counts.near_hits += 1);
        Some(taken)
    }

    /// The value of a key. No round trip for a value in memory when no sync is due, else one or
    /// two.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for a bad key; others if the backend is unavailable or refuses.
    pub fn get(&self, cache: &Handle, key: &[u8]) -> Result<Option<D::Value>> {
        match self.hit(cache, key, |value| Some(value.clone())) {
            None if self.is_known_absent(cache, key) => Ok(None),
            None => Ok(self.get_many(cache, &[key])?.pop().flatten()),
            hit => Ok(hit),
        }
    }

    /// Whether memory knows, and may say without a sync, that the backend has no entry. If so, it
    /// is told.
    fn is_known_absent(&self, cache: &Handle, key: &[u8]) -> bool {
        let mut state = self.state();
        let (true, Some(at)) = (cache.near() && state.is_fresh(self.max_staleness), state.position()) else {
            return false;
        };
        if !matches!(state.look(cache.number, key, || self.backend.now()), Some(Known::Absent)) {
            return false;
        }
        cache.missed(&mut state, at, key);
        state.count(cache.number, |counts| counts.misses += 1);
        true
    }

    /// The values of many keys, in order. One round trip for all that memory does not know.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_many(&self, cache: &Handle, keys: &[&[u8]]) -> Result<Vec<Option<D::Value>>> {
        keys.iter().try_for_each(|key| check_key(key))?;
        let mut looks = 0;
        loop {
            looks += 1;
            self.fetch_hot_set()?;
            if looks == 1 {
                self.take_from_node(cache, keys);
            }
            let look = self.look_all(cache, keys, looks < MAX_LOOKS);
            let unknown: Vec<usize> = look.unknown().collect();
            if look.fresh && unknown.is_empty() {
                return Ok(self.settle(cache, keys, look));
            }
            let reads: Vec<Read<'_>> = unknown
                .iter()
                .filter_map(|&at| keys.get(at))
                .map(|key| Read { cache: &cache.id, key })
                .collect();
            let answer = self.fetch(&reads)?;
            // What memory held may be changed by the answer (R3): look again, then add what was
            // read.
            let look = if unknown.len() == keys.len() {
                look
            } else if answer.ticket.is_some() {
                self.look_all(cache, keys, true)
            } else {
                continue;
            };
            let entries = reads.iter().zip(&answer.fetched.entries);
            let read: Vec<_> = entries
                .map(|(read, entry)| self.take_in_one(cache, *read, entry.as_deref(), &answer))
                .collect();
            if look.unknown().all(|at| unknown.binary_search(&at).is_ok()) {
                let mut found = self.settle(cache, keys, look);
                for (at, value) in unknown.iter().zip(read) {
                    if let Some(slot) = found.get_mut(*at) {
                        *slot = value;
                    }
                }
                return Ok(found);
            }
        }
    }

    /// The values of keys of several caches, in order, asked for whatever memory has. One round
    /// trip.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_across(&self, wanted: &[(&Handle, &[u8])]) -> Result<Vec<Option<D::Value>>> {
        wanted.iter().try_for_each(|(_, key)| check_key(key))?;
        let reads: Vec<Read<'_>> = wanted.iter().map(|(cache, key)| Read { cache: &cache.id, key }).collect();
        let answer = self.fetch(&reads)?;
        let read = wanted.iter().zip(reads).zip(&answer.fetched.entries);
        Ok(read
            .map(|(((cache, _), read), entry)| self.take_in_one(cache, read, entry.as_deref(), &answer))
            .collect())
    }

    /// Where this process stands in the history of changes: as of there it knows what it read last.
    /// No round trip.
    pub fn position(&self) -> Option<Position> {
        self.state().position()
    }

    /// Makes a key missing whose value was read, as of `at`, and cannot be used: what is stored
    /// next is a fill, dropped if the key has changed since then, and the next read asks the
    /// backend. No round trip.
    pub fn unreadable(&self, cache: &Handle, key: &[u8], at: Option<Position>) {
        self.counters().broken.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.count(cache.number, |counts| counts.misses += 1);
        if !cache.near() {
            return;
        }
        state.forget(cache.number, key);
        if let Some(at) = at {
            cache.missed(&mut state, at, key);
        }
    }

    /// What memory knows of `keys`; nothing without `use_near`.
    fn look_all(&self, cache: &Handle, keys: &[&[u8]], use_near: bool) -> Look<D::Value> {
        if !cache.near() || !use_near {
            return Look { known: vec![None; keys.len()], fresh: false, at: None };
        }
        let mut state = self.state();
        Look {
            known: keys
                .iter()
                .map(|key| state.look(cache.number, key, || self.backend.now()).cloned())
                .collect(),
            fresh: state.is_fresh(self.max_staleness),
            at: state.position(),
        }
    }

    /// The values of a look that is served, one for each key. What it knows to be absent is missing
    /// from now on.
    fn settle(&self, cache: &Handle, keys: &[&[u8]], look: Look<D::Value>) -> Vec<Option<D::Value>> {
        let settled = keys.iter().zip(look.known).map(|(key, known)| match (known?, look.at) {
            (Known::Value(value), _) => {
                self.state().count(cache.number, |counts| counts.near_hits += 1);
                Some(value)
            }
            (Known::Absent, at) => {
                let mut state = self.state();
                state.count(cache.number, |counts| counts.misses += 1);
                cache.missed(&mut state, at?, key);
                None
            }
        });
        settled.collect()
    }

    /// Decodes an entry that was read in an incarnation of the log, and keeps its value; `None` if
    /// it is broken or expired.
    pub(super) fn take_in(
        &self,
        cache: &Handle,
        read: Read<'_>,
        incarnation: u128,
        entry: &[u8],
        ticket: Option<Ticket>,
    ) -> Option<D::Value> {
        if self.is_refused(cache, read.key) {
            return None;
        }
        let site = Site { cache: read.cache, key: read.key, incarnation };
        let opened = match self.entries.decode(site, entry, self.decode.most()) {
            Ok(opened) => opened,
            Err(Unreadable::OtherEpoch) => return None,
            Err(Unreadable::Broken) => {
                self.counters().broken.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        };
        if opened.expires.is_some_and(|expires| expires <= self.backend.now()) {
            return None;
        }
        let value = match ticket.filter(|_| cache.near()) {
            None => self.decode.decode_once(&opened.payload),
            Some(ticket) => self.decode.decode(&opened.payload).map(|(value, weight)| {
                let keep = Keep { value: value.clone(), weight, expires: opened.expires };
                self.state().keep(ticket, cache.number, read.key, keep);
                value
            }),
        };
        if value.is_none() {
            self.counters().broken.fetch_add(1, Ordering::Relaxed);
        }
        value
    }

    /// Takes in what was asked for, and remembers it if it was missing.
    fn take_in_one(
        &self,
        cache: &Handle,
        read: Read<'_>,
        entry: Option<&[u8]>,
        answer: &Answer,
    ) -> Option<D::Value> {
        if entry.is_some() && cache.near() {
            self.state().end_miss(cache.number, read.key);
        }
        let incarnation = answer.fetched.delta.position.incarnation;
        let value = entry.and_then(|entry| self.take_in(cache, read, incarnation, entry, answer.ticket));
        let mut state = self.state();
        let found = value.is_some();
        state.count(cache.number, |counts| {
            *if found { &mut counts.hits } else { &mut counts.misses } += 1;
        });
        if value.is_none() && cache.near() {
            cache.missed(&mut state, answer.fetched.delta.position, read.key);
            state.keep_absent(answer.ticket.filter(|_| entry.is_none()), cache.number, read.key);
        }
        value
    }
}
