//! What the records of the log make: the same in every process that has read as far, and in a
//! checkpoint.
//!
//! Plain state: nothing here reads a file or a clock.

mod checkpoint;
mod history;
mod index;
mod lock_table;
mod record;
#[cfg(test)]
mod tests;

use self::checkpoint::Checkpoint;
use self::history::History;
pub(super) use self::index::{FileNumber, Index, KeyLocations, Location};
pub(super) use self::lock_table::{Grant, LockChange, LockTable, Party, Seat, with_margin, without_margin};
use self::record::Body;
pub(super) use self::record::{Seal, Stored, locks_body, ops_body, seal_body, trim_body};
use super::fs::FileId;
use crate::bytes::Malformed;
use crate::clock::Millis;
use crate::contract::Position;

/// What a new segment keeps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CarryOver {
    /// The same history goes on.
    Everything,
    /// A new history begins; unlogged caches are outside of it.
    Unlogged,
    /// A new history begins with nothing but the locks.
    Nothing,
}

/// Where a record stands.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    /// Where its body begins, in the segment.
    pub(super) body: u64,
    /// Where it ends, in the segment.
    pub(super) end: u64,
    /// What readers know it by.
    pub(super) position: Position,
}

/// What a process knows that has read the log up to a record.
pub(super) struct Replica {
    index: Index,
    history: History,
    locks: LockTable,
}

impl Replica {
    /// The replica of a log without records.
    pub(super) fn new(first: Position, now: Millis) -> Self {
        Self { index: Index::default(), history: History::new(first), locks: LockTable::new(now) }
    }

    /// The replica that a segment begins with, whose checkpoint was read at `now`.
    ///
    /// # Errors
    /// If the checkpoint is damaged.
    pub(super) fn restore(checkpoint: &[u8], first: Position, now: Millis) -> Result<Self, Malformed> {
        let Checkpoint { index, history, locks: changes } = checkpoint::decode(checkpoint)?;
        let mut locks = LockTable::new(now);
        for change in &changes {
            locks.apply(change, now);
        }
        let same = history.last().incarnation == first.incarnation;
        Ok(Self { index, history: if same { history } else { History::new(first) }, locks })
    }

    /// The checkpoint for a segment that begins here. What it does not keep of the index is gone
    /// from here, too.
    pub(super) fn checkpoint(&mut self, keep: CarryOver) -> Vec<u8> {
        let anew = History::new(self.history.last());
        match keep {
            CarryOver::Everything => checkpoint::encode(&self.index, &self.history, &self.locks.changes()),
            CarryOver::Unlogged => {
                self.index.purge_logged();
                // Who lost history does not know who held what.
                checkpoint::encode(&self.index, &anew, &[])
            }
            CarryOver::Nothing => checkpoint::encode(&Index::default(), &anew, &self.locks.changes()),
        }
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    pub(super) fn locks(&self) -> &LockTable {
        &self.locks
    }

    /// From now on records are appended to this segment, which has so many bytes.
    pub(super) fn begin_segment(&mut self, segment: FileId, bytes: u64) {
        self.index.begin_segment(segment, bytes);
    }

    /// Takes in the next record, given its body, read at `now`. Gives the seal if it ends the
    /// segment.
    ///
    /// # Errors
    /// If another version of Larder wrote it.
    pub(super) fn take_in(
        &mut self,
        body: &[u8],
        at: Standing,
        now: Millis,
    ) -> Result<Option<Seal>, Malformed> {
        let body = record::read(body)?;
        self.index.grow_segment(at.end);
        match body {
            Body::Ops { caches, pack, changes } => {
                let listed = self.index.apply(at.body, &caches, pack, &changes);
                if !listed.is_empty() {
                    self.history.push(at.position, listed);
                }
            }
            Body::Trim { below, expired } => self.index.trim(below, expired),
            Body::Locks(changes) => changes.iter().for_each(|change| self.locks.apply(change, now)),
            Body::Seal(seal) => return Ok(Some(seal)),
        }
        Ok(None)
    }
}
