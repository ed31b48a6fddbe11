//! Keeping a namespace within its bounds: segments are ended in time, the oldest entries given up,
//! and files removed that nothing names any more.
//!
//! Whoever rotated the log looks through the directory, and its next writes remove what was found,
//! a few files each. So only one process decides at a time, no write takes long, and a process that
//! dies leaves the rest to the next.

use std::collections::HashSet;

use crate::backend::dir::fs::{Fault, FileId, FileKind, Hold};
use crate::backend::dir::locks::dead_locks;
use crate::backend::dir::log::{Commit, Log};
use crate::backend::dir::replica::{CarryOver, locks_body, trim_body};
use crate::clock::{Millis, boot_millis, wall_clock};

/// A segment is ended when it is this long, and no shorter than the checkpoint it began with: so a
/// new process reads little, and checkpoints are a fixed share of what is written.
const SEGMENT: u64 = 2 << 20;
/// A segment is ended, too, when its records name so many packs.
const PACKS: u64 = 1000;
/// The share of the size that a segment with its packs may take; the bound holds but for this.
const SHARE: u64 = 16;
/// A write may bring this share of the size.
const LARGEST_SHARE: u64 = 4;
/// From this share of the size on, in percent, entries are given up.
const FULL: u64 = 90;
/// Entries are given up until they take no more than this share, in percent.
const RELIEVED: u64 = 70;
/// Entries are reclaimed so long after their expiry: the clocks of nodes may differ by less than
/// this.
const CLOCK_MARGIN: Millis = 3_600_000;
/// Files removed after one write: more than a write creates.
const BATCH: usize = 8;
/// Segments behind the current one whose files are left alone: who lags behind still reads them,
/// and a writer may be about to name a pack that it created then.
const SPARED: u64 = 2;

/// What is to be done beside each write.
pub(crate) struct Upkeep {
    max_bytes: u64,
    /// Files to be removed.
    left_over: Vec<FileId>,
}

impl Upkeep {
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self { max_bytes, left_over: Vec::new() }
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// The most bytes that a write may bring.
    pub(super) fn largest_write(&self) -> u64 {
        self.max_bytes / LARGEST_SHARE
    }

    /// Rotates if the segment is long enough. That it fails harms nobody: the segment grows, and
    /// the next writer tries again.
    pub(crate) fn rotate_if_due(&self, log: &mut Log, hold: &Hold) {
        let share = self.max_bytes / SHARE;
        let due = log.known().is_ok_and(|known| {
            let (packs, pack_bytes) = known.replica().index().packs();
            known.bytes() >= SEGMENT.min(share).max(known.checkpoint_bytes())
                || packs >= PACKS
                || pack_bytes >= share
        });
        if due && self.bound(log, hold).is_ok() && free_dead_locks(log, hold).is_ok() {
            let _ = log.rotate(hold, CarryOver::Everything);
        }
    }

    /// Gives up the oldest entries if there are too many, and expired ones.
    fn bound(&self, log: &mut Log, hold: &Hold) -> Result<(), Commit> {
        let known = log.known()?;
        let index = known.replica().index();
        let mut bytes = index.bytes();
        let mut below = 0;
        if bytes > self.max_bytes / 100 * FULL {
            let mut files: Vec<_> = index.files().map(|(_, file)| *file).collect();
            files.sort_by_key(|file| file.id.number);
            for file in files.iter().filter(|file| file.id.number < known.segment().number) {
                if bytes <= self.max_bytes / 100 * RELIEVED && file.id.number >= below {
                    break;
                }
                below = file.id.number + 1;
                bytes = bytes.saturating_sub(file.bytes);
            }
        }
        let expired = wall_clock().saturating_sub(CLOCK_MARGIN);
        if below == 0 && !index.has_expired(expired) {
            return Ok(());
        }
        log.commit(hold, &trim_body(below, expired))
    }

    /// Does a bounded part of what is to be done. Errors are for the next time.
    pub(crate) fn clean(&mut self, log: &mut Log) {
        if log.take_rotated() {
            self.left_over = left_over(log).unwrap_or_default();
        }
        for file in self.left_over.drain(self.left_over.len().saturating_sub(BATCH)..) {
            let _ = log.site().remove(file);
        }
    }
}

/// Frees locks that nobody will ask for any more.
fn free_dead_locks(log: &mut Log, hold: &Hold) -> Result<(), Commit> {
    let dead = dead_locks(log.known()?.replica().locks(), boot_millis());
    if dead.is_empty() { Ok(()) } else { log.commit(hold, &locks_body(&dead)) }
}

/// The files that nothing names any more.
fn left_over(log: &Log) -> Result<Vec<FileId>, Fault> {
    let known = log.known()?;
    let used: HashSet<FileId> = known.replica().index().files().map(|(_, file)| file.id).collect();
    let left_over = |file: &FileId| {
        let spared = match file.kind {
            // Only the newest two may be named by a root.
            FileKind::Index => 1,
            FileKind::Log | FileKind::Pack => SPARED,
        };
        file.number + spared < known.segment().number && !used.contains(file)
    };
    let (mut files, _) = log.site().list()?;
    files.retain(left_over);
    Ok(files)
}
