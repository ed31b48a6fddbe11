//! The hot set: which keys a warm process holds, kept in the backend so that a new process can
//! fetch them all at once instead of one by one.
//!
//! A list of names only: the values are read like any others, so an old or incomplete list costs
//! time, never truth.

use std::time::Duration;

use super::calls::Engine;
use super::handle::{Decode, Handle, Item, MAX_KEY};
use super::hot_set::{HotKey, Wanted, batches, list};
use crate::clock::boottime;
use crate::coherence::Ticket;
use crate::contract::{Fetched, Read};
use crate::error::Result;

/// The unlogged cache that holds the list.
const CACHE: &str = "hot";
/// The key under which the list stands.
const KEY: &[u8] = b"keys";
/// So many values fetched one by one, or taken from the node, make a process list what it holds.
const WORTH_LISTING: u64 = 16;
/// So many values that a cache lost at once are worth a look at the list.
const WORTH_FETCHING: usize = 16;
/// A process that holds half as much again as it listed lists that at once; one that holds more
/// does so after this time.
const GROWN_INTERVAL: Duration = Duration::from_secs(1);
/// One that holds other values lists them after this time.
const INTERVAL: Duration = Duration::from_secs(30);

impl<D: Decode> Engine<D> {
    /// A request begins: a process that knows nothing yet will fetch the hot set first.
    pub(super) fn expect_hot_set(&self) {
        let cold = self.state().position().is_none();
        let mut hot = self.hot();
        hot.serving = true;
        if cold {
            hot.wanted = Wanted::All;
        }
    }

    /// Memory was emptied.
    pub(super) fn expect_hot_set_again(&self) {
        let mut hot = self.hot();
        if hot.serving {
            hot.wanted = Wanted::All;
        }
    }

    /// Memory lost so many values of a cache that were most likely not changed (R29).
    pub(super) fn expect_of_hot_set(&self, cache: &str, lost: usize) {
        let mut hot = self.hot();
        if !hot.serving || lost < WORTH_FETCHING {
            return;
        }
        match &mut hot.wanted {
            Wanted::All => {}
            Wanted::Of(caches) => drop(caches.insert(cache.to_owned())),
            wanted @ Wanted::Nothing => *wanted = Wanted::Of([cache.to_owned()].into()),
        }
    }

    /// Fetches what the list names, if this process wants it, has not done so, and has its turn
    /// among those of the node.
    pub(super) fn fetch_hot_set(&self) -> Result<()> {
        if matches!(self.hot().wanted, Wanted::Nothing) {
            return Ok(());
        }
        let Some(turn) = self.memory.turns.take() else { return Ok(()) };
        let wanted = std::mem::take(&mut self.hot().wanted);
        let is_wanted = |cache: &str| match &wanted {
            Wanted::Nothing => false,
            Wanted::Of(caches) => caches.contains(cache),
            Wanted::All => true,
        };
        let fetched = self.fetch_listed(is_wanted, |_, _| ());
        self.memory.turns.end(&turn, fetched.as_ref().map_or(0, |fetched| fetched.bytes));
        fetched.map(drop)
    }

    /// Fetches what warm processes hold: into memory, and so into the node tier or the page cache
    /// on the way. Calls `progress` after each batch with the keys that were asked for so far and
    /// those that there are. How many of them had an entry. A round trip for the list and one for
    /// each batch, five at most.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses; what was fetched before stays.
    pub fn warm(&self, progress: impl FnMut(usize, usize)) -> Result<usize> {
        self.fetch_listed(|_| true, progress).map(|fetched| fetched.present)
    }

    fn fetch_listed(
        &self,
        wanted: impl Fn(&str) -> bool,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Listed> {
        let list = self.own_entry(&self.own_cache(CACHE, false, None), KEY)?;
        let batches = batches(&list.unwrap_or_default(), wanted);
        let all = batches.iter().map(Vec::len).sum();
        let (mut asked, mut fetched) = (0, Listed::default());
        for batch in batches {
            asked += batch.len();
            self.fetch_batch(batch, &mut fetched)?;
            progress(asked, all);
        }
        let hits = self.hits();
        let mut hot = self.hot();
        (hot.hits_before, hot.from_node) = (hits, 0);
        drop(hot);
        Ok(fetched)
    }

    /// Values were taken from the node, which another node has to fetch.
    pub(super) fn note_taken(&self, values: usize) {
        if values > 0 {
            self.hot().from_node += values as u64;
        }
    }

    fn fetch_batch(&self, batch: Vec<HotKey>, fetched: &mut Listed) -> Result<()> {
        let mut hot: Vec<Sought> = batch
            .into_iter()
            .filter(|hot| hot.key.len() <= MAX_KEY)
            .filter_map(|hot| Some((self.named(&hot.cache).ok()?, hot.key, hot.weight)))
            .collect();
        if let Some((ticket, entries)) = self.peek(&reads(&hot)) {
            self.take_in_hot(&hot, ticket.incarnation(), &entries, Some(ticket));
            let mut known = entries.iter().map(Option::is_some);
            fetched.present += known.clone().filter(|known| *known).count();
            hot.retain(|_| known.next() != Some(true));
        }
        if hot.is_empty() {
            return Ok(());
        }
        let answer = self.fetch(&reads(&hot))?;
        let Fetched { delta, entries } = &answer.fetched;
        self.take_in_hot(&hot, delta.position.incarnation, entries, answer.ticket);
        for ((cache, key, weight), entry) in hot.iter().zip(entries) {
            match entry {
                Some(entry) => {
                    fetched.present += 1;
                    fetched.bytes += entry.len() as u64;
                }
                None => self.state().keep_absent_hot(answer.ticket, cache.number, key, *weight > 0),
            }
        }
        Ok(())
    }

    fn take_in_hot(
        &self,
        hot: &[Sought],
        incarnation: u128,
        entries: &[Option<Vec<u8>>],
        ticket: Option<Ticket>,
    ) {
        for (((cache, ..), read), entry) in hot.iter().zip(reads(hot)).zip(entries) {
            if let Some(entry) = entry {
                self.take_in(cache, read, incarnation, entry, ticket);
            }
        }
    }

    /// A request ends: learns what became of fills that were not waited for, if much had to be
    /// fetched one by one since this was last done tells the next new process what to fetch at
    /// once, and adds what was done to the node's statistics. At most one round trip, rarely, one
    /// after fills, and four once a minute for one process of the node.
    pub fn end_request(&self) {
        self.await_settled();
        self.give_up_fills();
        self.list_hot_set();
        self.report();
    }

    /// Reads answered by the backend.
    fn hits(&self) -> u64 {
        self.state().counts().iter().map(|counts| counts.hits).sum()
    }

    fn list_hot_set(&self) {
        let hits = self.hits();
        let fetched = {
            let hot = self.hot();
            hits - hot.hits_before + hot.from_node
        };
        if fetched < WORTH_LISTING || !self.is_there() {
            return;
        }
        let list = {
            let state = self.state();
            let entries = state.near().entries();
            let mut hot = self.hot();
            let now = boottime();
            if hot.listed.is_some_and(|(listed, at)| {
                let age = now.saturating_sub(at);
                let grown = entries > listed && age >= GROWN_INTERVAL;
                entries < listed + listed / 2 && !grown && age < INTERVAL
            }) {
                return;
            }
            hot.listed = Some((entries, now));
            (hot.hits_before, hot.from_node) = (hits, 0);
            list(state.near())
        };
        let cache = self.own_cache(CACHE, false, None);
        // Only a hint: a failure costs the next process some round trips.
        let _ = self.set_many(&cache, &[Item { key: KEY, payload: &list, ttl: None, lock: None }]);
    }
}

/// What was fetched of a list.
#[derive(Default)]
struct Listed {
    /// Keys that had an entry.
    present: usize,
    /// Bytes of entries that the backend sent.
    bytes: u64,
}

/// A key to fetch with the weight that its value had; absences have none.
type Sought = (Handle, Vec<u8>, u64);

fn reads(hot: &[Sought]) -> Vec<Read<'_>> {
    hot.iter().map(|(cache, key, _)| Read { cache: cache.id(), key }).collect()
}
