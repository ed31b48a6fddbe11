//! The newest changes, as every process keeps them in memory: what answers "what happened since?".

use std::collections::VecDeque;

use crate::contract::{CacheId, Change, Delta, MAX_CHANGES, Position, Since};

/// Changes kept: more than an answer lists, so that the guard of a slow request still holds.
const KEPT: usize = 4 * MAX_CHANGES;
/// And the most bytes of names in them: they are part of each checkpoint.
const KEPT_BYTES: usize = 2 << 20;

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
}

impl History {
    /// A history that begins at `floor`.
    pub(crate) fn new(floor: Position) -> Self {
        Self { floor, records: VecDeque::new(), changes: 0, bytes: 0 }
    }

    pub(crate) fn push(&mut self, position: Position, changes: Vec<Logged>) {
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
        let changes = since.and_then(|since| self.since(since));
        let changes: Option<Vec<Change>> = changes
            .map(|changes| changes.take(MAX_CHANGES + 1).map(|logged| logged.change.clone()).collect());
        let changes = changes.filter(|changes| changes.len() <= MAX_CHANGES);
        Delta { reset: changes.is_none(), changes: changes.unwrap_or_default(), position: self.last() }
    }

    /// What happened to a key of a logged cache since (R6).
    pub(crate) fn of_key(&self, since: Position, cache: &CacheId, key: &[u8]) -> Since {
        let touches = |logged: &&Logged| match &logged.change {
            Change::Key { cache: changed, key: k } => **changed == *cache.name() && **k == *key,
            Change::Cache { cache: changed } => **changed == *cache.name(),
        };
        let changes = self.since(since).map(|changes| changes.filter(touches).map(|logged| logged.stored));
        changes.map_or(Since::Changed, Since::of)
    }
}

fn bytes(changes: &[Logged]) -> usize {
    let length = |logged: &Logged| match &logged.change {
        Change::Key { cache, key } => cache.len() + key.len(),
        Change::Cache { cache } => cache.len(),
    };
    changes.iter().map(length).sum()
}
