//! Misses after an emptying: one process of the node computes, the others wait for its fill
//! (`docs/protocol.md`, R26).

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::calls::Engine;
use super::fills::Wait;
use super::handle::{Decode, Handle};
use crate::clock::boottime;
use crate::contract::{Op, lock_name};
use crate::error::Result;
use crate::fills::rules::{Ask, KEY_WAIT, REQUEST_WAIT};

/// How often a key that was stored, and is missing when it is read, is looked at again.
const MAX_LOOKS: usize = 4;

impl<D: Decode> Engine<D> {
    /// As [`get`](Self::get); but where a request reads a key that lost its value when its cache
    /// was emptied a short time ago, and another process of the node computes it, waits for that:
    /// 200 ms at the most, and 1 s in the whole request. What it gives then is read from the
    /// backend, one round trip. Whoever is given no value is expected to compute and to store one
    /// before the request [ends](Self::end_request).
    ///
    /// While it waits it calls `pause` every few milliseconds, without any lock; if that says false
    /// it waits no longer.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_or_wait(
        &self,
        cache: &Handle,
        key: &[u8],
        pause: &mut dyn FnMut() -> bool,
    ) -> Result<Option<D::Value>> {
        let mut found = [self.get(cache, key)?];
        self.wait_for_fills(cache, &[key], &mut found, pause)?;
        let [value] = found;
        Ok(value)
    }

    /// [`get_many`](Self::get_many) that waits as [`get_or_wait`](Self::get_or_wait) does: for all keys together no longer
    /// than for one.
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many).
    pub fn get_many_or_wait(
        &self,
        cache: &Handle,
        keys: &[&[u8]],
        pause: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<Option<D::Value>>> {
        let mut found = self.get_many(cache, keys)?;
        self.wait_for_fills(cache, keys, &mut found, pause)?;
        Ok(found)
    }

    fn wait_for_fills(
        &self,
        cache: &Handle,
        keys: &[&[u8]],
        found: &mut [Option<D::Value>],
        pause: &mut dyn FnMut() -> bool,
    ) -> Result<()> {
        if !cache.near() || found.iter().all(Option::is_some) {
            return Ok(());
        }
        let mut lacking = self.filled_before(cache, keys, found);
        if lacking.is_empty() {
            return Ok(());
        }
        let (table, me, waited) = {
            let mut fills = self.memory.fills();
            lacking.retain(|(_, key)| fills.asked.insert(*key));
            let Some(table) = fills.table() else { return Ok(()) };
            (table, fills.me(), fills.waited)
        };
        let until = boottime() + KEY_WAIT.min(REQUEST_WAIT.saturating_sub(waited));
        let mut wait = Wait { table: &table, me, until, pause };
        let mut awaited = HashSet::new();
        for _ in 0..MAX_LOOKS {
            if lacking.is_empty() {
                break;
            }
            let known = self.state().synced().unwrap_or_default();
            self.take_or_wait(&mut wait, known, &mut lacking, &mut awaited);
            let again: Vec<&[u8]> = lacking.iter().filter_map(|(at, _)| keys.get(*at)).copied().collect();
            if again.is_empty() {
                break;
            }
            for key in &again {
                self.state().forget(cache.number, key);
            }
            let read = self.get_many(cache, &again)?;
            let mut read = read.into_iter();
            lacking.retain(|(at, key)| {
                let value = read.next().flatten();
                let is_found = value.is_some();
                if let Some(slot) = found.get_mut(*at) {
                    *slot = value;
                }
                let is_shared = is_found && awaited.contains(key);
                self.counters().shared_fills.fetch_add(is_shared.into(), Ordering::Relaxed);
                !is_found
            });
        }
        Ok(())
    }

    /// The keys without a value that had one before, each with its place and what stands for it in
    /// the table. Keys whose lock this request holds are its own to compute: who computes them
    /// otherwise may be waiting for it.
    fn filled_before(&self, cache: &Handle, keys: &[&[u8]], found: &[Option<D::Value>]) -> Vec<(usize, u64)> {
        let mut lacking = {
            let mut state = self.state();
            let before = state.filled_before();
            if !before.is_open() {
                drop(state);
                self.memory.fills().forget();
                return Vec::new();
            }
            let missing = keys.iter().zip(found).enumerate().filter(|(_, (_, value))| value.is_none());
            let hashed = missing.map(|(at, (key, _))| (at, before.hash(cache.id.name(), key)));
            hashed.filter(|(_, hash)| before.had(*hash)).collect::<Vec<_>>()
        };
        if !self.named_locks().is_empty() {
            let locked = |key: &&[u8]| self.named_locks().proof(&lock_name(&cache.id, key)).is_some();
            lacking.retain(|(at, _)| !keys.get(*at).is_some_and(locked));
        }
        lacking
    }

    /// Takes the leases that are free, and waits for the others, which it adds to `awaited`. What
    /// stays is to be read again.
    fn take_or_wait(
        &self,
        wait: &mut Wait<'_>,
        known: Duration,
        lacking: &mut Vec<(usize, u64)>,
        awaited: &mut HashSet<u64>,
    ) {
        let keys: Vec<u64> = lacking.iter().map(|(_, key)| *key).collect();
        let answers = wait.table.ask(wait.me, known, &keys);
        let taken = keys.iter().zip(&answers).filter(|(_, answer)| **answer == Ask::Take);
        self.memory.fills().taken.extend(taken.map(|(key, _)| key));
        let mut answers = answers.into_iter();
        let begun = boottime();
        lacking.retain(|(_, key)| match answers.next() {
            Some(Ask::Wait) => {
                let first = awaited.insert(*key);
                self.counters().awaited.fetch_add(first.into(), Ordering::Relaxed);
                wait.for_fill(known, *key)
            }
            Some(Ask::Look) => true,
            _ => false,
        });
        self.memory.fills().waited += boottime().saturating_sub(begun);
    }

    /// A request begins.
    pub(super) fn begin_fills(&self) {
        self.give_up_fills();
        self.memory.fills().waited = Duration::ZERO;
    }

    /// Keys were stored or deleted, or that failed: nobody has to wait for them any more.
    pub(super) fn end_fills(&self, cache: &Handle, ops: &[Op<'_>]) {
        if !cache.near() || self.memory.fills().asked.is_empty() {
            return;
        }
        let mut keys: Vec<u64> = {
            let mut state = self.state();
            let before = state.filled_before();
            let keys = ops.iter().filter_map(|op| match *op {
                Op::Set { key, .. } | Op::Delete { key, .. } => Some(before.hash(cache.id.name(), key)),
                Op::Purge { .. } => None,
            });
            keys.collect()
        };
        let mut fills = self.memory.fills();
        keys.retain(|key| fills.asked.contains(key));
        for key in &keys {
            fills.taken.remove(key);
        }
        let (table, me) = (fills.table.clone(), fills.me());
        drop(fills);
        if let Some(table) = table {
            table.end(me, &keys);
        }
    }

    /// A request ends: what it has not stored nobody waits for.
    pub(super) fn give_up_fills(&self) {
        let mut fills = self.memory.fills();
        fills.asked.clear();
        let taken: Vec<u64> = fills.taken.drain().collect();
        if !taken.is_empty()
            && let Some(table) = fills.table()
        {
            table.give_up(fills.me(), &taken);
        }
    }
}
