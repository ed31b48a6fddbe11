//! What serves while the primary is away, under the names of one epoch; and where what the primary
//! may have missed is noted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::control::{ControlLog, View};
use super::failure::{ATTEMPTS, NAME, entering, over};
use super::names;
use super::removals::{Noted, Removals};
use crate::clock::Millis;
use crate::contract::{Applied, Backend, CacheId, CacheUsage, Change, Delta, Fetched, Op, Position, Read};
use crate::error::{Error, Result};

/// How long an entry stays in the fallback at the most, in milliseconds: those of earlier epochs
/// make room.
const KEPT: Millis = 24 * 3600 * 1000;

/// What takes over.
pub(super) struct Fallback {
    backend: Arc<dyn Backend>,
    /// Calls that it served.
    trips: AtomicU64,
    /// What was noted while it was being entered.
    noted: Noted,
}

impl Fallback {
    pub(super) fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, trips: AtomicU64::new(0), noted: Noted::default() }
    }

    /// The backend, which knows nothing of epochs.
    pub(super) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Calls that it served.
    pub(super) fn trips(&self) -> u64 {
        self.trips.load(Ordering::Relaxed)
    }

    /// Reads from the fallback; `None` if it serves no more, or in another epoch.
    pub(super) fn fetch(
        &self,
        control: &ControlLog,
        view: &View,
        since: Option<Position>,
        reads: &[Read<'_>],
    ) -> Result<Option<Fetched>> {
        self.trips.fetch_add(1, Ordering::Relaxed);
        let since = since.map(|since| in_history(since, view.stage.epoch));
        let caches: Vec<CacheId> = reads.iter().map(|read| read.cache.in_epoch(view.stage.epoch)).collect();
        let mapped: Vec<Read<'_>> =
            reads.iter().zip(&caches).map(|(read, cache)| Read { cache, key: read.key }).collect();
        let mut fetched = self.backend.fetch(since, &mapped)?;
        let counts = still_serves(control, view, since, &fetched.delta)?;
        fetched.delta = translate(fetched.delta, view.stage.epoch);
        Ok(counts.then_some(fetched))
    }

    /// Writes to the fallback; `None` if it served no more by then, or in another epoch. The
    /// primary learns of the changes in any case.
    pub(super) fn apply(
        &self,
        control: &ControlLog,
        view: &View,
        since: Option<Position>,
        ops: &[Op<'_>],
    ) -> Result<Option<Applied>> {
        self.trips.fetch_add(1, Ordering::Relaxed);
        let since = since.map(|since| in_history(since, view.stage.epoch));
        let latest = self.backend.now().saturating_add(KEPT);
        let caches: Vec<CacheId> = ops.iter().map(|op| op.cache().in_epoch(view.stage.epoch)).collect();
        let mapped: Vec<Op<'_>> = ops
            .iter()
            .zip(&caches)
            .map(|(op, there)| match *op {
                Op::Set { cache, key, entry, expires, guard, lock } => Op::Set {
                    cache: there,
                    key,
                    entry,
                    expires: Some(expires.map_or(latest, |expires| expires.min(latest))),
                    guard: guard
                        .filter(|_| cache.logged())
                        .map(|guard| guard.at(in_history(guard.position(), view.stage.epoch))),
                    lock,
                },
                Op::Delete { key, .. } => Op::Delete { cache: there, key },
                Op::Purge { .. } => Op::Purge { cache: there },
            })
            .collect();
        let mut applied = self.backend.apply(since, &mapped)?;
        let counts = still_serves(control, view, since, &applied.delta)?;
        applied.delta = translate(applied.delta, view.stage.epoch);
        Ok(counts.then_some(applied))
    }

    /// Notes in the control log what the primary may have missed, and gives back why that was
    /// necessary: what is noted is not promised to anyone, since others may still serve it for a
    /// moment (R9), or for longer (R15).
    pub(super) fn journal(&self, control: &ControlLog, removals: &Removals<'_>, error: Error) -> Error {
        match self.note_removals(control, removals) {
            Ok(()) => error,
            Err(second) => Error::unavailable(NAME, format!("{error}; and {second}")),
        }
    }

    /// Does what [`journal`](Self::journal) does for what is refused while the fallback is being
    /// entered.
    pub(super) fn journal_refused(&self, control: &ControlLog, epoch: u64, removals: Removals<'_>) -> Error {
        let left = self.noted.shorten(epoch, removals);
        match self.note_removals(control, &left) {
            Ok(()) => {
                self.noted.learn(epoch, &left);
                entering()
            }
            Err(second) => Error::unavailable(NAME, format!("{}; and {second}", entering())),
        }
    }

    fn note_removals(&self, control: &ControlLog, removals: &Removals<'_>) -> Result<()> {
        if removals.ops.is_empty() {
            return Ok(());
        }
        let mut view = control.read()?;
        for _ in 0..ATTEMPTS {
            let epoch = view.stage.epoch;
            let caches: Vec<CacheId> = removals.ops.iter().map(|op| op.cache().in_epoch(epoch)).collect();
            let mapped: Vec<Op<'_>> = removals
                .ops
                .iter()
                .zip(&caches)
                .map(|(op, cache)| match *op {
                    Op::Set { key, .. } | Op::Delete { key, .. } => Op::Delete { cache, key },
                    Op::Purge { .. } => Op::Purge { cache },
                })
                .collect();
            self.backend.apply(Some(view.at), &mapped)?;
            // In an epoch that was over, nobody who serves from the next one saw it.
            view = control.read()?;
            if view.stage.epoch == epoch {
                return Ok(());
            }
        }
        Err(over())
    }

    /// How much each cache holds in the fallback.
    pub(super) fn usage(&self, view: &View) -> Result<Vec<CacheUsage>> {
        let usage = self.backend.usage()?;
        let of_epoch = usage.into_iter().filter_map(|usage| {
            let (epoch, cache) = CacheId::original(usage.cache.name())?;
            (epoch == view.stage.epoch).then_some(CacheUsage { cache, ..usage })
        });
        Ok(of_epoch.collect())
    }

    /// The keys of a cache in the fallback that begin with `prefix`.
    pub(super) fn keys(&self, view: &View, cache: &CacheId, prefix: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut keys = Vec::new();
        self.backend.list(&cache.in_epoch(view.stage.epoch), prefix, &mut |key| keys.push(key.to_vec()))?;
        Ok(keys)
    }
}

/// Whether nobody changed who serves between `view` and the answer with `delta`, which began at
/// `since`. Reads the control log if the answer cannot tell.
fn still_serves(control: &ControlLog, view: &View, since: Option<Position>, delta: &Delta) -> Result<bool> {
    let overlaps = since.is_some_and(|since| since.id <= view.at.id);
    let flipped = delta.changes.iter().any(is_flip);
    if overlaps && !delta.reset && !flipped {
        return Ok(true);
    }
    let now = control.read()?.stage;
    Ok((now.tier, now.epoch) == (view.stage.tier, view.stage.epoch))
}

/// What a delta of the fallback means to a caller who knows nothing of epochs.
fn translate(delta: Delta, epoch: u64) -> Delta {
    let Delta { mut reset, changes, position } = delta;
    reset |= changes.iter().any(|change| is_flip(change) || change.cache() == names::everything().name());
    let original = |change: &Change| {
        let (of, cache) = CacheId::original(change.cache())?;
        (of == epoch && cache.logged()).then(|| match change {
            Change::Key { key, .. } => Change::Key { cache: cache.name().into(), key: key.clone() },
            Change::Cache { .. } => Change::Cache { cache: cache.name().into() },
            Change::Unlisted { .. } => Change::Unlisted { cache: cache.name().into() },
        })
    };
    let changes = if reset { Vec::new() } else { changes.iter().filter_map(original).collect() };
    Delta { reset, changes, position: in_history(position, epoch) }
}

/// For callers each epoch is a history of its own, and so is the primary's: a position or guard of
/// another is none of this one. Its own reverse.
fn in_history(position: Position, epoch: u64) -> Position {
    Position { incarnation: position.incarnation ^ u128::from(epoch), ..position }
}

fn is_flip(change: &Change) -> bool {
    change.cache() == names::mode().name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_see_their_own_names_and_a_flip_is_a_reset() {
        let position = Position { incarnation: 1, id: 1, nonce: 1 };
        let key = |cache: &CacheId| Change::Key { cache: cache.name().into(), key: Box::from(&b"k"[..]) };
        let (logged, unlogged) = (CacheId::stored("c", true), CacheId::stored("c", false));
        let changes = vec![key(&logged.in_epoch(1)), key(&logged.in_epoch(2)), key(&unlogged.in_epoch(2))];
        let seen = translate(Delta { reset: false, changes: changes.clone(), position }, 2);
        assert!(!seen.reset && seen.changes == [key(&logged)]);
        let flipped = [changes, vec![key(&names::mode())]].concat();
        let seen = translate(Delta { reset: false, changes: flipped, position }, 2);
        assert!(seen.reset && seen.changes.is_empty());
    }
}
