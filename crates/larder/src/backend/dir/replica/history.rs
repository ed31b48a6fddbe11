//! The newest changes, as every process keeps them in memory: what answers "what happened since?".

use std::collections::{HashMap, VecDeque};

use crate::contract::{CacheId, Change, Delta, MAX_CHANGES, Position, Since, listed};

/// Changes kept: more than an answer lists, so that the guard of a slow request still holds.
const KEPT: usize = 4 * MAX_CHANGES;
/// And the most bytes of names in them: they are part of each checkpoint.
const KEPT_BYTES: usize = 2 << 20;

/// Caches whose last change is kept: one that serves as a fallback has new names each time.
const MAX_CACHES: usize = 4 * MAX_CHANGES;

/// One change.
pub(crate) struct Logged {
    pub(crate) change: Change,
    /// Whether it stored the key.
    pub(crate) stored: bool,
}

/// A stretch of history up to now.
pub(crate) struct History {
    /// Where the stretch begins.
    floor: Position,
    /// What happened after the floor, by record, oldest first.
    records: VecDeque<(Position, Vec<Logged>)>,
    changes: usize,
    bytes: usize,
    last_changes: LastChanges,
}

/// The last record that changed each cache (R29), of all records after one. They reach further back
/// than the stretch.
pub(crate) struct LastChanges {
    pub(crate) since: u128,
    pub(crate) caches: HashMap<Box<str>, u128>,
}

impl LastChanges {
    pub(crate) fn new(since: u128) -> Self {
        Self { since, caches: HashMap::new() }
    }

    pub(crate) fn note(&mut self, cache: &str, record: u128) {
        if let Some(last) = self.caches.get_mut(cache) {
            *last = record;
            return;
        }
        self.caches.insert(cache.into(), record);
        if self.caches.len() > MAX_CACHES {
            let mut records: Vec<u128> = self.caches.values().copied().collect();
            let (_, middle, _) = records.select_nth_unstable(MAX_CACHES / 2);
            self.since = self.since.max(*middle);
            let since = self.since;
            self.caches.retain(|_, last| *last > since);
        }
    }
}

impl History {
    /// A history that begins at `floor`.
    pub(crate) fn new(floor: Position) -> Self {
        let last_changes = LastChanges::new(floor.id);
        Self { floor, records: VecDeque::new(), changes: 0, bytes: 0, last_changes }
    }

    /// This history with last changes from before its floor.
    pub(crate) fn with(self, last_changes: LastChanges) -> Self {
        Self { last_changes, ..self }
    }

    pub(crate) fn last_changes(&self) -> &LastChanges {
        &self.last_changes
    }

    pub(crate) fn push(&mut self, position: Position, changes: Vec<Logged>) {
        for logged in &changes {
            self.last_changes.note(logged.change.cache(), position.id);
        }
        self.changes += changes.len();
        self.bytes += bytes(&changes);
        self.records.push_back((position, changes));
        while (self.changes > KEPT || self.bytes > KEPT_BYTES)
            && let Some((position, changes)) = self.records.pop_front()
        {
            self.changes -= changes.len();
            self.bytes -= bytes(&changes);
            self.floor = position;
        }
    }

    /// The newest position.
    pub(crate) fn last(&self) -> Position {
        self.records.back().map_or(self.floor, |(position, _)| *position)
    }

    pub(crate) fn floor(&self) -> Position {
        self.floor
    }

    pub(crate) fn records(&self) -> impl ExactSizeIterator<Item = &(Position, Vec<Logged>)> {
        self.records.iter()
    }

    /// The changes after a position; `None` if it is none of this history, exactly.
    fn since(&self, since: Position) -> Option<impl Iterator<Item = &Logged>> {
        let after = if since == self.floor {
            0
        } else {
            let at = self.records.binary_search_by_key(&since.id, |(position, _)| position.id).ok()?;
            self.records.get(at).filter(|(position, _)| *position == since)?;
            at + 1
        };
        Some(self.records.range(after..).flat_map(|(_, changes)| changes))
    }

    /// The answer to a caller that stands at `since`.
    pub(crate) fn delta(&self, since: Option<Position>) -> Delta {
        let changes = since.and_then(|since| self.listed(since).or_else(|| self.unlisted(since)));
        Delta { reset: changes.is_none(), changes: changes.unwrap_or_default(), position: self.last() }
    }

    fn listed(&self, since: Position) -> Option<Vec<Change>> {
        listed(self.since(since)?.map(|logged| logged.change.clone()).collect())
    }

    /// The caches that changed since, for whom no changes are listed (R29); `None` if nobody can
    /// tell, or they are too many.
    fn unlisted(&self, since: Position) -> Option<Vec<Change>> {
        self.is_past(since).then_some(())?;
        let caches = self.last_changes.caches.iter().filter(|(_, last)| **last > since.id);
        let changes: Vec<Change> =
            caches.map(|(cache, _)| Change::Unlisted { cache: cache.clone() }).collect();
        (changes.len() <= MAX_CHANGES).then_some(changes)
    }

    /// Whether a position is of this history, and the last changes are those since then. Of one
    /// before the stretch its incarnation tells.
    fn is_past(&self, since: Position) -> bool {
        let last = self.last();
        since.incarnation == last.incarnation
            && (self.last_changes.since..=last.id).contains(&since.id)
            && (since.id < self.floor.id || self.since(since).is_some())
    }

    /// What happened to a key of a logged cache since (R6).
    pub(crate) fn of_key(&self, since: Position, cache: &CacheId, key: &[u8]) -> Since {
        let touches = |logged: &&Logged| logged.change.touches(cache.name(), key);
        if let Some(changes) = self.since(since) {
            return Since::of(changes.filter(touches).map(|logged| logged.stored));
        }
        let last = self.last_changes.caches.get(cache.name());
        let is_unchanged = self.is_past(since) && last.is_none_or(|last| *last <= since.id);
        if is_unchanged { Since::Nothing } else { Since::Changed }
    }
}

fn bytes(changes: &[Logged]) -> usize {
    let length = |logged: &Logged| match &logged.change {
        Change::Key { cache, key } => cache.len() + key.len(),
        Change::Cache { cache } | Change::Unlisted { cache } => cache.len(),
    };
    changes.iter().map(length).sum()
}
