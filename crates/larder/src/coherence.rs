//! What a process knows of the backend's history, and so which values it may serve from memory.
//!
//! This is the reader's side of the protocol (`docs/protocol.md`): rules R2, R3, R4, R6, R12, R29
//! and R30 stand here. It does no input or output: `engine` asks the backend and hands the answers
//! in.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::{Millis, TickClock, boottime};
use crate::contract::{Change, Delta, Op, Position};
use crate::emptied::Emptied;
use crate::fills::before::FilledBefore;
use crate::near::{CacheNumber, Known, Near};
use crate::refusals::Ban;
use crate::statistics::CacheCounts;

/// How many bytes of misses are remembered. Past that all are forgotten, and the sets that follow
/// them are plain ones.
const MAX_MISSED_BYTES: usize = 16 << 20;
/// What a remembered miss takes beside its key.
const MISS_BYTES: usize = 96;

/// The state of one process towards one place, whatever backends its stores reach it by.
pub(crate) struct Coherence<V> {
    near: Near<V>,
    /// What was emptied, as of `position`.
    emptied: Emptied,
    position: Option<Position>,
    /// When the request of the last sync was sent; `None` = a sync is due.
    synced: Option<Duration>,
    clock: TickClock,
    /// When a sync was last asked for: a request sent before that, by another thread, is none.
    due: Duration,
    /// Counts what makes requests that are under way in other threads too old to keep.
    era: u64,
    /// The keys that were found missing in this request. None of them has a value in `near`.
    misses: HashMap<(CacheNumber, Box<[u8]>), Missed>,
    missed_bytes: usize,
    /// Whether `misses` has all keys that were found missing in this request: requests are told
    /// apart, and nothing was forgotten.
    knows_misses: bool,
    /// Whether any request has begun.
    serves_requests: bool,
    /// What may be served from nowhere.
    ban: Ban,
    /// The values that a memory which serves requests lost when caches were emptied.
    filled_before: FilledBefore,
    /// How many values were lost because nobody knows whether they changed, by cache.
    lost: Vec<(Box<str>, usize)>,
    /// What was done with each cache, by its number.
    counts: Vec<CacheCounts>,
    /// Whether a request has begun that did not end.
    in_request: bool,
}

/// As of when a key is known to be missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missed {
    /// It has not changed since, as far as this process has followed the history.
    Still,
    /// It may have changed after that.
    At(Position),
}

/// What was known when a request was sent. What its answer holds may be kept only if nothing newer
/// was learned or written meanwhile (R3): other threads share the state.
#[derive(Clone, Copy)]
pub(crate) struct Ticket {
    position: Option<Position>,
    era: u64,
    sent: Duration,
}

impl Ticket {
    /// The position to ask from.
    pub(crate) fn position(self) -> Option<Position> {
        self.position
    }

    /// The incarnation of that; 0 without a position.
    pub(crate) fn incarnation(self) -> u128 {
        self.position.map_or(0, |position| position.incarnation)
    }
}

/// A value to keep, with what it takes.
pub(crate) struct Keep<V> {
    pub(crate) value: V,
    pub(crate) weight: usize,
    pub(crate) expires: Option<Millis>,
}

impl<V: Clone> Coherence<V> {
    pub(crate) fn new(near_bytes: u64, filled_before: FilledBefore) -> Self {
        Self {
            near: Near::new(near_bytes),
            emptied: Emptied::default(),
            position: None,
            synced: None,
            clock: TickClock::default(),
            due: Duration::ZERO,
            era: 0,
            misses: HashMap::new(),
            missed_bytes: 0,
            knows_misses: false,
            serves_requests: false,
            ban: Ban::default(),
            filled_before,
            lost: Vec::new(),
            counts: Vec::new(),
            in_request: false,
        }
    }

    pub(crate) fn number(&mut self, cache: &str) -> CacheNumber {
        let number = self.near.number(cache);
        if self.counts.len() <= number.index() {
            self.counts.resize(number.index() + 1, CacheCounts::default());
        }
        number
    }

    /// Counts what is done with a cache.
    #[inline]
    pub(crate) fn count(&mut self, cache: CacheNumber, add: impl FnOnce(&mut CacheCounts)) {
        // Each number was given out here.
        if let Some(counts) = self.counts.get_mut(cache.index()) {
            add(counts);
        }
    }

    /// What was done with each cache, by its number.
    pub(crate) fn counts(&self) -> &[CacheCounts] {
        &self.counts
    }

    /// A request begins: its first operation is a sync point, and misses of the request before mean
    /// nothing.
    pub(crate) fn begin_request(&mut self) {
        self.require_sync();
        self.forget_misses();
        self.in_request = true;
        self.knows_misses = true;
        self.serves_requests = true;
    }

    /// A request ends, if one has begun.
    pub(crate) fn end_request(&mut self) -> bool {
        std::mem::take(&mut self.in_request)
    }

    /// Whether any request has begun.
    pub(crate) fn serves_requests(&self) -> bool {
        self.serves_requests
    }

    /// Begins where requests are served that were served from another memory before: its values
    /// will be filled again.
    pub(crate) fn succeed(&mut self, before: &Self) {
        if before.serves_requests {
            for (cache, key) in before.near.values() {
                self.filled_before.lost(cache, key);
            }
        }
    }

    /// What was lost when caches were emptied.
    pub(crate) fn filled_before(&mut self) -> &mut FilledBefore {
        &mut self.filled_before
    }

    /// As of when this process knows what it knows: when the request of the last sync was sent.
    /// `None` = a sync is due.
    pub(crate) fn synced(&self) -> Option<Duration> {
        self.synced
    }

    /// Makes the next operation a sync point.
    pub(crate) fn require_sync(&mut self) {
        self.synced = None;
        self.due = boottime();
    }

    /// Whether values may be served without asking: the last sync was sent no longer ago than
    /// `max_staleness`.
    pub(crate) fn is_fresh(&mut self, max_staleness: Duration) -> bool {
        let Some(sent) = self.synced.filter(|_| !max_staleness.is_zero()) else { return false };
        let fresh = |now: Duration| now.saturating_sub(sent) < max_staleness;
        fresh(self.clock.at_most()) || fresh(boottime())
    }

    /// Where in the backend's history this process stands; `None` = it knows nothing.
    pub(crate) fn position(&self) -> Option<Position> {
        self.position
    }

    /// A ticket for a request that is sent now.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket { position: self.position, era: self.era, sent: boottime() }
    }

    /// What memory knows of a key; the caller has made sure that it may be served. What is known to
    /// be absent is told only until the request has been told so: who asks again, after waiting for
    /// a lock that Larder knows nothing of, must see what the lock's holder stored meanwhile.
    pub(crate) fn look(
        &self,
        cache: CacheNumber,
        key: &[u8],
        now: impl FnOnce() -> Millis,
    ) -> Option<&Known<V>> {
        match self.near.get(cache, key, now) {
            Some(value @ Known::Value(_)) => Some(value),
            None if !self.emptied.lacks(cache, key) => None,
            _ => self.is_first_miss(cache, key).then_some(&Known::Absent),
        }
    }

    fn is_first_miss(&self, cache: CacheNumber, key: &[u8]) -> bool {
        self.knows_misses && self.guard(cache, key).is_none()
    }

    /// Takes in what an answer says. Gives the ticket to keep its values with, if they may be kept.
    pub(crate) fn absorb(&mut self, ticket: Ticket, delta: &Delta) -> Option<Ticket> {
        if !self.advance(ticket, delta) {
            return None;
        }
        self.synced = (ticket.sent >= self.due).then_some(ticket.sent);
        Some(Ticket { position: self.position, ..ticket })
    }

    /// Takes in what an answer says that was not waited for, so that it is no sync point. Whether
    /// it still holds.
    pub(crate) fn advance(&mut self, ticket: Ticket, delta: &Delta) -> bool {
        let current = self.is_current(ticket);
        if delta.reset {
            self.clear();
            self.emptied.forget_all();
            self.pin_misses(None);
        }
        for change in &delta.changes {
            let Some(cache) = self.drop_changed(change) else { continue };
            match change {
                Change::Key { key, .. } => {
                    self.emptied.changed(cache, key);
                    self.pin_miss(cache, key);
                }
                Change::Cache { .. } => {
                    // What another thread learned may have come after that.
                    if current {
                        self.emptied.purged(cache);
                    }
                    self.pin_misses(Some(cache));
                }
                Change::Unlisted { .. } => {
                    self.emptied.forget(cache);
                    self.pin_misses(Some(cache));
                }
            }
        }
        if current {
            self.position = Some(delta.position);
            return true;
        }
        // Another thread's answer came first, and ours may know of changes that it did not. To drop
        // is always safe; what may be served is known again after the next sync.
        self.era += 1;
        self.synced = None;
        if delta.reset {
            self.position = None;
        }
        false
    }

    /// A key that changed is known to be missing as of before that only.
    fn pin_miss(&mut self, cache: CacheNumber, key: &[u8]) {
        if self.misses.is_empty() {
            return;
        }
        if let (Some(missed @ Missed::Still), Some(at)) =
            (self.misses.get_mut(&(cache, key.into())), self.position)
        {
            *missed = Missed::At(at);
        }
    }

    fn pin_misses(&mut self, of: Option<CacheNumber>) {
        let Some(at) = self.position else { return };
        for ((cache, _), missed) in &mut self.misses {
            if *missed == Missed::Still && of.is_none_or(|of| of == *cache) {
                *missed = Missed::At(at);
            }
        }
    }

    /// What is missing at `at`.
    fn missing(&self, at: Position) -> Missed {
        if self.position == Some(at) { Missed::Still } else { Missed::At(at) }
    }

    /// Drops all values.
    fn clear(&mut self) {
        let (before, serves) = (&mut self.filled_before, self.serves_requests);
        for (cache, key) in self.near.values().filter(|_| serves) {
            before.lost(cache, key);
        }
        self.near.clear();
    }

    /// Drops what a change makes old. The number of its cache, if it has one.
    fn drop_changed(&mut self, change: &Change) -> Option<CacheNumber> {
        let (before, serves) = (&mut self.filled_before, self.serves_requests);
        let mut values = 0;
        let number = self.near.apply(change, |key| {
            values += 1;
            if serves {
                before.lost(change.cache(), key);
            }
        });
        if let (Change::Unlisted { cache }, 1..) = (change, values) {
            self.lost.push((cache.clone(), values));
        }
        number
    }

    /// How many values were lost since this was last asked because nobody knows whether they
    /// changed, by cache.
    pub(crate) fn take_lost(&mut self) -> Vec<(Box<str>, usize)> {
        std::mem::take(&mut self.lost)
    }

    /// Whether nothing was learned or written since.
    pub(crate) fn is_current(&self, ticket: Ticket) -> bool {
        self.position == ticket.position && self.era == ticket.era
    }

    /// Keeps a value that was read or written with `ticket`, unless something newer was learned
    /// since. One that nobody asked for stays out while its key counts as missing: seen there, it
    /// would not end the miss.
    pub(crate) fn keep(&mut self, ticket: Ticket, cache: CacheNumber, key: &[u8], keep: Keep<V>) {
        if self.is_current(ticket) && self.guard(cache, key).is_none() && !self.is_banned(cache, key) {
            self.near.insert(cache, key, Known::Value(keep.value), keep.weight, keep.expires);
        }
    }

    /// Keeps that the answer to a read with `ticket` had no entry, unless something newer was
    /// learned since. Then, and without a ticket, nothing is known of the key.
    pub(crate) fn keep_absent(&mut self, ticket: Option<Ticket>, cache: CacheNumber, key: &[u8]) {
        if ticket.is_some_and(|ticket| self.is_current(ticket)) {
            self.near.insert(cache, key, Known::Absent, 0, None);
        } else {
            self.forget(cache, key);
        }
    }

    /// The same for a key that others held, perhaps with a value (`had`).
    pub(crate) fn keep_absent_hot(
        &mut self,
        ticket: Option<Ticket>,
        cache: CacheNumber,
        key: &[u8],
        had: bool,
    ) {
        if let Some(name) = self.near.name(cache).filter(|_| had && self.serves_requests) {
            self.filled_before.lost(name, key);
        }
        self.keep_absent(ticket, cache, key);
    }

    /// Drops what is known of a key.
    pub(crate) fn forget(&mut self, cache: CacheNumber, key: &[u8]) {
        self.near.remove(cache, key);
        self.emptied.changed(cache, key);
    }

    /// Keeps what was just written with `ticket`, in place of what an earlier write of the same
    /// batch put there.
    pub(crate) fn keep_own(&mut self, ticket: Ticket, cache: CacheNumber, key: &[u8], keep: Option<Keep<V>>) {
        match keep {
            Some(keep) => self.keep(ticket, cache, key, keep),
            None => self.near.remove(cache, key),
        }
    }

    /// Remembers for this request that `key` was missing at `at`.
    pub(crate) fn missed(&mut self, at: Position, cache: CacheNumber, key: &[u8]) {
        let bytes = key.len() + MISS_BYTES;
        if self.missed_bytes + bytes > MAX_MISSED_BYTES {
            self.forget_misses();
            self.knows_misses = false;
        }
        let missed = self.missing(at);
        if self.misses.insert((cache, key.into()), missed).is_none() {
            self.missed_bytes += bytes;
        }
    }

    /// A miss is over: the key was found, or stored. What is stored from now on replaces what is
    /// known.
    pub(crate) fn end_miss(&mut self, cache: CacheNumber, key: &[u8]) {
        if !self.misses.is_empty() && self.misses.remove(&(cache, key.into())).is_some() {
            self.missed_bytes -= key.len() + MISS_BYTES;
        }
    }

    fn forget_misses(&mut self) {
        self.misses.clear();
        self.missed_bytes = 0;
    }

    /// The own process emptied everything and has asked since: fills are compared with what happens
    /// from then on, as after a delete.
    pub(crate) fn after_reset(&mut self) {
        match self.position {
            Some(_) => self.misses.values_mut().for_each(|missed| *missed = Missed::Still),
            None => self.forget_misses(),
        }
    }

    /// The guard of a set of `key`: where the log stood when it was last known to be missing (R6).
    /// The further on that is, the less of the log has to be looked at.
    pub(crate) fn guard(&self, cache: CacheNumber, key: &[u8]) -> Option<Position> {
        if self.misses.is_empty() {
            return None;
        }
        match *self.misses.get(&(cache, key.into()))? {
            Missed::Still => self.position,
            Missed::At(at) => Some(at),
        }
    }

    /// Own writes are about to be sent: what they change is not served meanwhile (R4).
    pub(crate) fn before_write(&mut self, cache: CacheNumber, ops: &[Op<'_>]) {
        for op in ops {
            match op {
                Op::Set { key, .. } | Op::Delete { key, .. } => self.near.remove(cache, key),
                Op::Purge { cache } => drop(self.drop_changed(&Change::Cache { cache: cache.name().into() })),
            }
        }
    }

    /// Own writes were answered, their record stands at `at`. A set ends the miss, also one that
    /// was dropped: it counts as stored before the change. After a delete a fill is compared with
    /// what happens from then on.
    pub(crate) fn after_write(&mut self, at: Position, cache: CacheNumber, ops: &[Op<'_>]) -> Ticket {
        // Another thread may have read the old value between sending and now, or be about to keep
        // it.
        self.before_write(cache, ops);
        self.era += 1;
        let missing = self.missing(at);
        for op in ops {
            match op {
                Op::Set { key, .. } => {
                    self.end_miss(cache, key);
                    self.emptied.changed(cache, key);
                }
                Op::Delete { key, .. } => {
                    self.emptied.changed(cache, key);
                    if let Some(missed) = self.misses.get_mut(&(cache, (*key).into())) {
                        *missed = missing;
                    }
                }
                Op::Purge { .. } => {
                    let of_cache = self.misses.iter_mut().filter(|((number, _), _)| *number == cache);
                    of_cache.for_each(|(_, missed)| *missed = missing);
                    if self.position == Some(at) {
                        self.emptied.purged(cache);
                    }
                }
            }
        }
        self.ticket()
    }

    /// A fill was sent whose answer is not waited for (R31). Its value is kept if it was computed
    /// after all that this process knows, and since `ticket` nothing newer was learned.
    pub(crate) fn after_post(
        &mut self,
        ticket: Ticket,
        cache: CacheNumber,
        key: &[u8],
        keep: Option<Keep<V>>,
    ) {
        let newest = self.guard(cache, key) == self.position;
        self.forget(cache, key);
        self.end_miss(cache, key);
        if newest && let Some(keep) = keep {
            self.keep(ticket, cache, key, keep);
        }
        // Another thread may be about to keep that there was nothing.
        self.era += 1;
    }

    /// Learns what may be served from nowhere, and forgets it, unless something newer was learned.
    pub(crate) fn heed(&mut self, ban: Ban) {
        if ban.is_newer_than(&self.ban) {
            if ban.everything {
                self.clear();
            }
            for change in ban.changes() {
                self.drop_changed(&change);
            }
            self.ban = ban;
        }
    }

    /// Whether a key may be served from nowhere.
    pub(crate) fn is_banned(&self, cache: CacheNumber, key: &[u8]) -> bool {
        self.ban.is_any() && self.near.name(cache).is_some_and(|name| self.ban.covers(name, key))
    }

    /// Drops values until the rest weighs no more than `bytes`.
    pub(crate) fn shrink(&mut self, bytes: u64) {
        self.near.shrink(bytes);
    }

    /// Makes room for `near_bytes` of values, if there was less.
    pub(crate) fn grow(&mut self, near_bytes: u64) {
        self.near.grow(near_bytes);
    }

    pub(crate) fn near(&self) -> &Near<V> {
        &self.near
    }
}
