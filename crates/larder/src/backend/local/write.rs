//! `apply` and `reset`: everything that changes the file, under the write lock.

use heed::RwTxn;

use super::changes::{self, Logged, Record};
use super::environment::Open;
use super::fault::{Fault, NAME};
use super::tables::{Counters, Space};
use super::{lock_row, room, rows};
use crate::clock;
use crate::contract::{Applied, MAX_CHANGES, Op, Outcome, Position, Ruling, Since};
use crate::error::Error;

/// One call of `apply`.
pub(super) struct Write<'a> {
    pub(super) namespace: &'a str,
    pub(super) since: Option<Position>,
    pub(super) ops: &'a [Op<'a>],
}

/// What became of a write.
pub(super) enum Written {
    Applied(Applied),
    /// The entries do not fit; what they would have replaced was removed.
    TooLarge,
}

impl Write<'_> {
    /// Applies the operations, evicting as need be.
    pub(super) fn run(&self, open: &Open) -> Result<Written, Fault> {
        let _guard = open.lock.acquire()?;
        open.still_named()?;
        let need = self.ops.iter().map(need).sum();
        let fits = open.bounds.fits(need);
        let need = if fits { need } else { 0 };
        let applied = room::with_room(open, need, || self.transact(open, need, fits))?;
        open.committed()?;
        Ok(if fits { Written::Applied(applied) } else { Written::TooLarge })
    }

    /// One transaction: changes since, guards, operations, record. Without `storing`, sets only
    /// remove.
    fn transact(&self, open: &Open, need: u64, storing: bool) -> Result<Applied, Fault> {
        let tables = &open.tables;
        let mut txn = open.write()?;
        let mut counters = tables.counters(&txn)?;
        if !open.bounds.has_room(&counters, need) {
            return Err(Fault::Full("no room".to_owned()));
        }
        let mut space = self.space(open, &mut txn, &mut counters)?;
        let mut delta = changes::since(tables, &txn, &space, self.since)?;
        let mut guards = Guards { at: None, changes: None };
        let mut record = Record::default();
        let mut outcomes = Vec::with_capacity(self.ops.len());
        for op in self.ops {
            if let Op::Set { cache, key, lock: Some(proof), .. } = *op
                && !lock_row::holds(tables, &txn, self.namespace, (cache, key), proof)?
            {
                return Err(Error::lock_lost().into());
            }
            let ruling = guards.ruling(open, &txn, &space, op)?;
            outcomes.push(match *op {
                Op::Set { .. } if ruling == Ruling::Drop => Outcome::Dropped,
                Op::Set { cache, key, entry, expires, .. } if storing && ruling == Ruling::Store => {
                    let number = tables.cache_or_new(&mut txn, space.number, cache, &mut counters)?;
                    rows::put(tables, &mut txn, &mut counters, (number, key), (entry, expires))?;
                    record.stored(cache, key);
                    Outcome::Stored
                }
                Op::Set { cache, key, .. } | Op::Delete { cache, key } => {
                    let number = tables.cache(&txn, space.number, cache)?;
                    let existed = match number {
                        Some(number) => {
                            rows::remove(tables, &mut txn, &mut counters, &rows::entry_key(number, key))?
                        }
                        None => false,
                    };
                    record.removed(cache, key);
                    if ruling == Ruling::Clear { Outcome::Cleared } else { Outcome::Deleted { existed } }
                }
                Op::Purge { cache } => {
                    tables.forget_cache(&mut txn, space.number, cache)?;
                    record.cache(cache);
                    Outcome::Purged
                }
            });
        }
        if !record.is_empty() {
            changes::append(tables, &mut txn, &mut space, &record, open.bounds.log())?;
            delta.position = changes::position(&space);
        }
        room::sweep(tables, &mut txn, &mut counters, clock::wall_clock())?;
        tables.put_space(&mut txn, self.namespace, &space)?;
        tables.put_counters(&mut txn, &counters)?;
        txn.commit()?;
        Ok(Applied { delta, outcomes })
    }

    fn space(&self, open: &Open, txn: &mut RwTxn<'_>, counters: &mut Counters) -> Result<Space, Fault> {
        if let Some(space) = open.tables.space(txn, self.namespace)? {
            return Ok(space);
        }
        let number = counters.next_number;
        counters.next_number += 1;
        changes::begin(&open.tables, txn, number, 0)
    }
}

/// What an operation may add to the file.
pub(crate) fn need(op: &Op<'_>) -> u64 {
    match op {
        Op::Set { key, entry, .. } => rows::footprint(key.len(), entry.len()),
        Op::Delete { .. } | Op::Purge { .. } => 0,
    }
}

/// The changes since the position of the last guard: the sets of a batch mostly share one.
struct Guards {
    at: Option<Position>,
    changes: Option<Vec<Logged>>,
}

impl Guards {
    /// What becomes of an operation.
    fn ruling(&mut self, open: &Open, txn: &RwTxn<'_>, space: &Space, op: &Op<'_>) -> Result<Ruling, Fault> {
        let Op::Set { cache, key, entry, guard: Some(guard), .. } = *op else { return Ok(Ruling::Store) };
        if !cache.logged() {
            return Ok(Ruling::Store);
        }
        let position = guard.position();
        if self.at != Some(position) {
            self.changes = changes::collect(&open.tables, txn, space, position, MAX_CHANGES)?;
            self.at = Some(position);
        }
        let since = match &self.changes {
            Some(changes) => {
                let changes = changes.iter().filter(|logged| logged.change.touches(cache.name(), key));
                Since::of(changes.map(|logged| logged.stored))
            }
            None if changes::is_unchanged(&open.tables, txn, space, position, cache)? => Since::Nothing,
            None => Since::Changed,
        };
        guard.judge(since, entry, || {
            let Some(number) = open.tables.cache(txn, space.number, cache)? else { return Ok(None) };
            rows::get(&open.tables, txn, number, key, 0)
        })
    }
}

/// Empties a namespace under a new incarnation.
pub(super) fn reset(open: &Open, namespace: &str) -> Result<(), Fault> {
    let _guard = open.lock.acquire()?;
    open.still_named()?;
    let tables = &open.tables;
    let mut txn = open.write()?;
    let mut counters = tables.counters(&txn)?;
    let old = tables.space(&txn, namespace)?;
    let space = if let Some(old) = old {
        for (cache, _) in tables.caches(&txn, old.number)? {
            tables.forget_cache(&mut txn, old.number, &cache)?;
        }
        changes::forget(tables, &mut txn, &old)?;
        changes::begin(tables, &mut txn, old.number, old.last)?
    } else {
        counters.next_number += 1;
        changes::begin(tables, &mut txn, counters.next_number - 1, 0)?
    };
    room::sweep(tables, &mut txn, &mut counters, clock::wall_clock())?;
    tables.put_space(&mut txn, namespace, &space)?;
    tables.put_counters(&mut txn, &counters)?;
    txn.commit()?;
    open.committed()
}

/// The answer for entries that do not fit.
pub(super) fn too_large() -> Error {
    Error::refused(
        NAME,
        "the entry is too large for the directory's size; what it would have replaced was removed",
    )
}
