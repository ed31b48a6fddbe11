//! What a process knows of the backend's history, and so which values it may serve from memory.
//!
//! This is the reader's side of the protocol (`docs/protocol.md`): rules R2, R3, R4, R6 and R12 stand here. It does no
//! input or output: `engine` asks the backend and hands the answers in.

use std::collections::HashMap;
use std::time::Duration;

use crate::backend::{Delta, Op, Outcome, Position};
use crate::clock::{Millis, boottime};
use crate::near::{CacheNumber, Near};

/// How many misses are remembered. Past that all are forgotten, and the sets that follow them are plain ones.
const MAX_MISSES: usize = 1 << 17;

/// The state of one process (or of one Rust `Store`) towards one backend.
pub(crate) struct Coherence<V> {
    near: Near<V>,
    position: Option<Position>,
    /// When the request of the last sync was sent; `None` = a sync is due.
    synced: Option<Duration>,
    /// Counts what makes requests that are under way in other threads too old to keep.
    era: u64,
    /// Where the log stood when a key was found missing.
    misses: HashMap<(CacheNumber, Box<[u8]>), Position>,
}

/// What was known when a request was sent. What its answer holds may be kept only if nothing newer was learned or
/// written meanwhile (R3): other threads share the state.
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
}

/// A value to keep, with what it takes.
pub(crate) struct Keep<V> {
    pub(crate) value: V,
    pub(crate) weight: usize,
    pub(crate) expires: Option<Millis>,
}

impl<V: Clone> Coherence<V> {
    pub(crate) fn new(near_bytes: u64) -> Self {
        Self { near: Near::new(near_bytes), position: None, synced: None, era: 0, misses: HashMap::new() }
    }

    pub(crate) fn number(&mut self, cache: &str) -> CacheNumber {
        self.near.number(cache)
    }

    /// A request begins: its first operation is a sync point, and misses of the request before mean nothing.
    pub(crate) fn begin_request(&mut self) {
        self.synced = None;
        self.misses.clear();
    }

    /// Makes the next operation a sync point.
    pub(crate) fn require_sync(&mut self) {
        self.synced = None;
    }

    /// Whether values may be served without asking: the last sync was sent no longer ago than `max_staleness`.
    pub(crate) fn is_fresh(&self, now: Duration, max_staleness: Duration) -> bool {
        self.synced.is_some_and(|sent| !max_staleness.is_zero() && now.saturating_sub(sent) < max_staleness)
    }

    /// Where in the backend's history this process stands; `None` = it knows nothing.
    pub(crate) fn position(&self) -> Option<Position> {
        self.position
    }

    /// A ticket for a request that is sent now.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket { position: self.position, era: self.era, sent: boottime() }
    }

    /// A value in memory; the caller has made sure that it may be served.
    pub(crate) fn look(&self, cache: CacheNumber, key: &[u8], now: impl FnOnce() -> Millis) -> Option<V> {
        self.near.get(cache, key, now)
    }

    /// Takes in what an answer says. Gives the ticket to keep its values with, if they may be kept.
    pub(crate) fn absorb(&mut self, ticket: Ticket, delta: &Delta) -> Option<Ticket> {
        if delta.reset {
            self.near.clear();
        }
        delta.changes.iter().for_each(|change| self.near.apply(change));
        if !self.is_current(ticket) {
            // Another thread's answer came first, and ours may know of changes that it did not. To drop is always
            // safe; what may be served is known again after the next sync.
            self.era += 1;
            self.synced = None;
            if delta.reset {
                self.position = None;
            }
            return None;
        }
        self.position = Some(delta.position);
        self.synced = Some(ticket.sent);
        Some(Ticket { position: self.position, ..ticket })
    }

    fn is_current(&self, ticket: Ticket) -> bool {
        self.position == ticket.position && self.era == ticket.era
    }

    /// Keeps a value that was read or written with `ticket`, unless something newer was learned since.
    pub(crate) fn keep(&mut self, ticket: Ticket, cache: CacheNumber, key: &[u8], keep: Keep<V>) {
        if self.is_current(ticket) {
            self.near.insert(cache, key, keep.value, keep.weight, keep.expires);
        }
    }

    /// Remembers that `key` was missing at `at`.
    pub(crate) fn missed(&mut self, at: Position, cache: CacheNumber, key: &[u8]) {
        if self.misses.len() >= MAX_MISSES {
            self.misses.clear();
        }
        self.misses.insert((cache, key.into()), at);
    }

    /// The guard of a set of `key`: where the log stood when it was found missing (R6).
    pub(crate) fn guard(&self, cache: CacheNumber, key: &[u8]) -> Option<Position> {
        self.misses.get(&(cache, key.into())).copied()
    }

    /// Own writes are about to be sent: what they change is not served meanwhile (R4).
    pub(crate) fn before_write(&mut self, ops: &[(CacheNumber, Op<'_>)]) {
        for (cache, op) in ops {
            match op {
                Op::Set { key, .. } | Op::Delete { key, .. } => self.near.remove(*cache, key),
                Op::Purge { .. } => self.near.remove_cache(*cache),
            }
        }
    }

    /// Own writes were answered, their record stands at `at`. A stored value ends the miss; after a delete a fill is
    /// compared with what happens from then on.
    pub(crate) fn after_write(
        &mut self,
        at: Position,
        ops: &[(CacheNumber, Op<'_>)],
        outcomes: &[Outcome],
    ) -> Ticket {
        // Another thread may have read the old value between sending and now, or be about to keep it.
        self.before_write(ops);
        self.era += 1;
        for ((cache, op), outcome) in ops.iter().zip(outcomes) {
            match op {
                Op::Set { key, .. } if *outcome == Outcome::Stored => {
                    self.misses.remove(&(*cache, (*key).into()));
                }
                Op::Set { .. } => {}
                Op::Delete { key, .. } => {
                    if let Some(guard) = self.misses.get_mut(&(*cache, (*key).into())) {
                        *guard = at;
                    }
                }
                Op::Purge { .. } => {
                    self.misses
                        .iter_mut()
                        .filter(|((number, _), _)| number == cache)
                        .for_each(|(_, guard)| *guard = at);
                }
            }
        }
        self.ticket()
    }

    pub(crate) fn near(&self) -> &Near<V> {
        &self.near
    }
}
