//! What a node tier keeps in the file: entries of another backend, where that stood while they were
//! current, and the changes that led there (R21).
//!
//! | table | key | row |
//! |---|---|---|
//! | `meta` | `t` hash of the label | [`Head`] |
//! | | `l` number, name | the last position at which the cache changed, see [`last_changes`] |
//! | `log` | number, id of a position | its nonce and the changes that led there from the row before |
//!
//! The rows of the log are the *ring*: where the tier has stood, and beside them places where a
//! process stands that was overtaken, without changes of their own. A process that stands before
//! the oldest row is told which caches changed (R29). The entries are as those of any other space.

use std::cmp::Ordering;
use std::ops::Bound;
use std::path::PathBuf;
use std::time::Duration;

use heed::{AnyTls, RoTxn, RwTxn};

use crate::backend::local::changes::{self, Record};
use crate::backend::local::environment::Open;
use crate::backend::local::fault::{Fault, damaged};
use crate::backend::local::tables::{Counters, Tables};
use crate::backend::local::{Handle, last_changes, read, room, rows, write};
use crate::bytes::Reader;
use crate::clock::{self, Millis};
use crate::contract::{CacheId, Change, Delta, Facts, MAX_CHANGES, MAX_READ, Op, Position, Read, listed};
use crate::error::Result;

/// How long to wait for another process that writes: the backend is always there to be asked
/// instead.
const WAIT: Duration = Duration::from_millis(50);
/// Rows in the ring: as far back as a backend lists changes.
const MAX_ROWS: u64 = MAX_CHANGES as u64 + 1;

/// What the node keeps of one backend. Any number of processes of the node use it at once.
pub(super) struct NodeCache {
    handle: Handle,
    /// What tells the backend from others.
    label: String,
}

/// What the node cache holds for a caller.
pub(super) struct Look {
    /// Where the backend stood while these entries were current.
    pub(super) at: Position,
    /// What changed between the caller's position and `at`; `None` if that cannot be told.
    pub(super) changes: Option<Vec<Change>>,
    /// The entries.
    pub(super) entries: Vec<Option<Vec<u8>>>,
}

/// What an answer of the backend tells the node cache.
pub(super) struct Step<'a> {
    /// Where the node cache stood, and from where the backend was asked; `None` if it stood
    /// nowhere.
    pub(super) seen: Option<Position>,
    /// What it answered.
    pub(super) delta: &'a Delta,
    /// What the caller itself changed in logged caches, just before `delta.position`.
    pub(super) own: &'a [Op<'a>],
    /// Entries read at `delta.position` or later.
    pub(super) fills: &'a [(Read<'a>, &'a [u8])],
}

/// A write transaction on one node cache's entries.
struct Writing<'a, 'e> {
    tables: &'a Tables,
    txn: &'a mut RwTxn<'e>,
    counters: &'a mut Counters,
    number: u64,
}

impl Writing<'_, '_> {
    fn clear(&mut self) -> Result<(), Fault> {
        for (cache, _) in self.tables.caches(self.txn, self.number)? {
            self.tables.forget_cache(self.txn, self.number, &cache)?;
        }
        let (from, to) = (ring_key(self.number, 0), ring_key(self.number, u128::MAX));
        let all: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Included(&from), Bound::Included(&to));
        self.tables.log.delete_range(self.txn, &all)?;
        last_changes::forget(self.tables, self.txn, self.number)
    }

    fn apply(&mut self, change: &Change) -> Result<(), Fault> {
        match change {
            Change::Key { cache, key } => self.remove(&CacheId::new(cache, true)?, key),
            Change::Cache { cache } | Change::Unlisted { cache } => {
                self.tables.forget_cache(self.txn, self.number, &CacheId::new(cache, true)?)
            }
        }
    }

    fn make(&mut self, op: &Op<'_>, storing: bool) -> Result<(), Fault> {
        match *op {
            Op::Set { cache, key, entry, expires, .. } if storing => self.put(cache, key, (entry, expires)),
            Op::Set { cache, key, .. } | Op::Delete { cache, key } => self.remove(cache, key),
            Op::Purge { cache } => self.tables.forget_cache(self.txn, self.number, cache),
        }
    }

    fn remove(&mut self, cache: &CacheId, key: &[u8]) -> Result<(), Fault> {
        if let Some(number) = self.tables.cache(self.txn, self.number, cache)? {
            rows::remove(self.tables, self.txn, self.counters, &rows::entry_key(number, key))?;
        }
        Ok(())
    }

    fn put(&mut self, cache: &CacheId, key: &[u8], entry: (&[u8], Option<Millis>)) -> Result<(), Fault> {
        let number = self.tables.cache_or_new(self.txn, self.number, cache, self.counters)?;
        rows::put(self.tables, self.txn, self.counters, (number, key), entry)
    }
}

/// Where a node cache stands.
#[derive(Clone, Copy)]
struct Head {
    /// Its number among the spaces of the file.
    number: u64,
    at: Position,
    /// The rows of the ring, and what they take.
    rows: u64,
    bytes: u64,
    /// The position since which the last changes of caches are noted.
    noted_since: u128,
}

impl Head {
    fn read(row: &[u8]) -> Result<Self, Fault> {
        let mut row = Reader::new(row);
        let (number, rows, bytes) = (row.u64()?, row.u64()?, row.u64()?);
        let at = Position { incarnation: row.u128()?, id: row.u128()?, nonce: row.u128()? };
        // An older version wrote the newest row, and notes nothing.
        let noted_since = if row.is_empty() { at.id } else { row.u128()? };
        Ok(Self { number, at, rows, bytes, noted_since })
    }

    fn row(&self) -> Vec<u8> {
        let numbers = [self.number, self.rows, self.bytes].map(u64::to_le_bytes);
        let at = [self.at.incarnation, self.at.id, self.at.nonce, self.noted_since].map(u128::to_le_bytes);
        [numbers.as_flattened(), at.as_flattened()].concat()
    }

    /// The changes after `since`, perhaps some before it, or the caches that changed if that is
    /// before the ring, or too much happened; `None` if it is not known.
    fn changes_after(
        &self,
        tables: &Tables,
        txn: &RoTxn<'_, AnyTls>,
        since: Position,
    ) -> Result<Option<Vec<Change>>, Fault> {
        let from = ring_key(self.number, since.id);
        let anchor = tables.log.get(txn, &from)?.map(|row| Reader::new(row).u128()).transpose()?;
        let is_known = match anchor {
            Some(nonce) => nonce == since.nonce,
            None => self.oldest(tables, txn)?.is_some_and(|oldest| from[..] < oldest[..]),
        };
        if since.incarnation != self.at.incarnation || !is_known {
            return Ok(None);
        }
        let listed = if anchor.is_some() { self.listed_after(tables, txn, since)? } else { None };
        if listed.is_none() && (self.noted_since..=self.at.id).contains(&since.id) {
            return last_changes::after(tables, txn, self.number, since.id);
        }
        Ok(listed)
    }

    /// The changes after a row of the ring, of the caches that changed most only their names;
    /// `None` if they are too many.
    fn listed_after(
        &self,
        tables: &Tables,
        txn: &RoTxn<'_, AnyTls>,
        since: Position,
    ) -> Result<Option<Vec<Change>>, Fault> {
        let from = ring_key(self.number, since.id);
        let to = ring_key(self.number, self.at.id);
        let after: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Excluded(&from), Bound::Included(&to));
        let mut changes = Vec::new();
        for row in tables.log.range(txn, &after)? {
            if !changes::decode(row?.1, &mut changes)? || changes.len() > MAX_READ {
                return Ok(None);
            }
        }
        Ok(listed(changes.into_iter().map(|logged| logged.change).collect()))
    }

    /// The key of the oldest row in the ring.
    fn oldest<'t>(&self, tables: &Tables, txn: &'t RoTxn<'_, AnyTls>) -> Result<Option<&'t [u8]>, Fault> {
        let oldest = tables.log.prefix_iter(txn, &self.number.to_be_bytes())?.next();
        Ok(oldest.transpose()?.map(|(key, _)| key))
    }

    fn push(&mut self, writing: &mut Writing<'_, '_>, at: Position, record: &Record) -> Result<(), Fault> {
        let row = record.row(at.nonce);
        writing.tables.log.put(writing.txn, &ring_key(self.number, at.id), &row)?;
        self.rows += 1;
        self.bytes += changes::size(&row);
        record.note(writing.tables, writing.txn, self.number, at.id)
    }

    /// Makes `at`, which the node cache went past, a place in the ring. The rows after it tell what
    /// changed since, and more.
    fn mark_overtaken(&mut self, writing: &mut Writing<'_, '_>, at: Position) -> Result<(), Fault> {
        let key = ring_key(self.number, at.id);
        let tables = writing.tables;
        let covered = self.oldest(tables, writing.txn)?.is_some_and(|oldest| *oldest < key[..]);
        if covered && tables.log.get(writing.txn, &key)?.is_none() {
            self.push(writing, at, &Record::default())?;
        }
        Ok(())
    }

    /// Removes the oldest rows beyond the bounds of the ring, never the newest.
    fn trim(&mut self, writing: &mut Writing<'_, '_>, max_bytes: u64) -> Result<(), Fault> {
        while self.rows > MAX_ROWS || (self.bytes > max_bytes && self.rows > 1) {
            let tables = writing.tables;
            let oldest = tables.log.prefix_iter(writing.txn, &self.number.to_be_bytes())?.next();
            let (key, row) = oldest.transpose()?.ok_or_else(|| damaged("ring"))?;
            let (key, bytes) = (key.to_vec(), changes::size(row));
            tables.log.delete(writing.txn, &key)?;
            self.rows -= 1;
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        Ok(())
    }
}

fn ring_key(number: u64, id: u128) -> [u8; 24] {
    let mut key = [0; 24];
    let bytes = number.to_be_bytes().into_iter().chain(id.to_be_bytes());
    key.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    key
}

/// Where an answer leaves a node cache that stands somewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The history of the node cache is over: it is emptied.
    Anew,
    /// The answer leads on from where the node cache stands.
    Onward,
    /// The node cache stands where the answer ends.
    There,
    /// The node cache has overtaken the answer.
    Behind,
    /// Nobody can tell.
    Apart,
}

impl Step<'_> {
    fn place(&self, at: Option<Position>) -> Place {
        let end = self.delta.position;
        if at == Some(end) {
            return Place::There;
        }
        if at == self.seen && (at.is_none() || self.delta.reset) {
            return Place::Anew;
        }
        match (at, self.seen) {
            // Within an incarnation ids only grow; so what changed since `seen` is at least what
            // changed since `at`.
            (Some(at), Some(seen))
                if !self.delta.reset
                    && [seen.incarnation, end.incarnation] == [at.incarnation; 2]
                    && seen.id <= at.id =>
            {
                match end.id.cmp(&at.id) {
                    Ordering::Greater => Place::Onward,
                    Ordering::Less => Place::Behind,
                    Ordering::Equal => Place::Apart,
                }
            }
            _ => Place::Apart,
        }
    }
}

impl NodeCache {
    /// A node cache in a directory, which is opened when it is first used.
    pub(super) fn new(path: PathBuf, max_bytes: u64, label: String) -> Self {
        Self { handle: Handle::new(path, max_bytes), label }
    }

    /// What the node cache holds for a caller at `since`; `None` if it was never filled. One read
    /// transaction.
    pub(super) fn look(
        &self,
        since: Option<Position>,
        reads: &[Read<'_>],
        now: Millis,
    ) -> Result<Option<Look>> {
        self.handle.with(|open| {
            let txn = open.read()?;
            let Some(head) = self.head(&open.tables, &txn)? else { return Ok(None) };
            let changes = match since {
                Some(since) => head.changes_after(&open.tables, &txn, since)?,
                None => None,
            };
            let entries = read::entries(&open.tables, &txn, head.number, reads, now)?;
            Ok(Some(Look { at: head.at, changes, entries }))
        })
    }

    /// Takes in what an answer says, in one write transaction.
    pub(super) fn settle(&self, step: &Step<'_>) -> Result<()> {
        self.handle.with(|open| {
            let _guard = open.lock.acquire_within(WAIT)?;
            open.still_named()?;
            let own = step.own.iter().map(write::need).sum();
            let storing = open.bounds.fits(own);
            let mut need = if storing { own } else { 0 };
            let mut fills = step.fills.to_vec();
            fills.retain(|(read, entry)| {
                let with = need + rows::footprint(read.key.len(), entry.len());
                let fits = open.bounds.fits(with);
                need = if fits { with } else { need };
                fits
            });
            room::with_room(open, need, || self.transact(open, step, (need, storing), &fills))?;
            open.committed()
        })
    }

    /// One transaction. Without `storing`, own sets only remove.
    fn transact(
        &self,
        open: &Open,
        step: &Step<'_>,
        (need, storing): (u64, bool),
        fills: &[(Read<'_>, &[u8])],
    ) -> Result<(), Fault> {
        let tables = &open.tables;
        let mut txn = open.write()?;
        let mut counters = tables.counters(&txn)?;
        if !open.bounds.has_room(&counters, need) {
            return Err(Fault::Full("no room".to_owned()));
        }
        let found = self.head(tables, &txn)?;
        let end = step.delta.position;
        let place = step.place(found.map(|head| head.at));
        let mut head = found.unwrap_or_else(|| {
            counters.next_number += 1;
            Head { number: counters.next_number - 1, at: end, rows: 0, bytes: 0, noted_since: end.id }
        });
        let mut writing = Writing { tables, txn: &mut txn, counters: &mut counters, number: head.number };
        let mut record = Record::default();
        match place {
            Place::Apart => return Ok(()),
            Place::Behind => head.mark_overtaken(&mut writing, end)?,
            Place::Anew => {
                writing.clear()?;
                head = Head { at: end, rows: 0, bytes: 0, noted_since: end.id, ..head };
                head.push(&mut writing, end, &record)?;
            }
            Place::Onward => {
                for change in &step.delta.changes {
                    writing.apply(change)?;
                    record.change(change);
                }
                step.own.iter().for_each(|op| match op {
                    Op::Set { cache, key, .. } | Op::Delete { cache, key } => record.removed(cache, key),
                    Op::Purge { cache } => record.cache(cache),
                });
                head.push(&mut writing, end, &record)?;
                head.at = end;
            }
            Place::There => {}
        }
        if place != Place::Behind {
            for op in step.own {
                writing.make(op, storing)?;
            }
            // R21: what was read at `end` or later enters where the node cache stands at `end`, and
            // nowhere else.
            for (read, entry) in fills {
                writing.put(read.cache, read.key, (entry, None))?;
            }
        }
        head.trim(&mut writing, open.bounds.log())?;
        room::sweep(tables, &mut txn, &mut counters, clock::wall_clock())?;
        tables.meta.put(&mut txn, &self.key(), &head.row())?;
        tables.put_counters(&mut txn, &counters)?;
        Ok(txn.commit()?)
    }

    /// Facts for people.
    pub(super) fn describe(&self) -> Result<Facts> {
        self.handle.with(|open| open.describe(&self.label))
    }

    fn head(&self, tables: &Tables, txn: &RoTxn<'_, AnyTls>) -> Result<Option<Head>, Fault> {
        tables.meta.get(txn, &self.key())?.map(Head::read).transpose()
    }

    fn key(&self) -> [u8; 33] {
        let mut key = [b't'; 33];
        let hash = blake3::hash(self.label.as_bytes());
        key.iter_mut().skip(1).zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        key
    }
}
