//! Ending a segment of the log and beginning the next, and what goes with it: the checkpoint, and the bound of the
//! size.

use super::append::Commit;
use super::checkpoint;
use super::failure::Fault;
use super::files::Files;
use super::follow::{Access, Node};
use super::hold::{Deadline, Hold};
use super::index::Index;
use super::names::{FileId, Kind};
use super::record::{self, Seal};
use crate::clock::{Millis, wall_clock};

/// A segment is ended when it is this long, and no shorter than the checkpoint it began with: so a new process reads
/// little, and checkpoints are a fixed share of what is written.
const SEGMENT: u64 = 2 << 20;
/// Or when its records name so many packs.
const PACKS: u64 = 1000;
/// The share of the size that a segment with its packs may take; the bound holds but for this.
const SHARE: u64 = 16;
/// How far, in percent of the size, entries are given up when it is exceeded.
const FULL: u64 = 90;
const RELIEVED: u64 = 70;
/// Entries are reclaimed so long after their expiry: the clocks of nodes may differ by less than this.
const CLOCK_MARGIN: Millis = 3_600_000;

/// What a new segment keeps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// The same history goes on.
    Everything,
    /// A new history begins; unlogged caches are outside of it.
    Unlogged,
    /// A new history begins with nothing but the locks.
    Nothing,
}

impl Node {
    /// Empties everything under a new incarnation.
    pub(super) fn reset(&mut self, files: &Files) -> Result<(), Fault> {
        let hold = self.hold(files, Access::Append, &mut Vec::new())?;
        let deadline = self.deadline();
        self.rotate(files, &hold, Keep::Nothing, deadline)
    }

    /// Rotates if the segment is long enough. That it fails harms nobody: the segment grows, and the next writer tries
    /// again.
    pub(super) fn rotate_if_due(&mut self, files: &Files, hold: &Hold<'_>) {
        let share = self.max_bytes / SHARE;
        let due = self.log.as_ref().is_some_and(|log| {
            log.end >= SEGMENT.min(share).max(log.checkpoint_bytes)
                || log.packs >= PACKS
                || log.pack_bytes >= share
        });
        if due {
            let deadline = self.deadline();
            if self.bound(hold).is_ok() && self.bury_the_dead(hold).is_ok() {
                let _ = self.rotate(files, hold, Keep::Everything, deadline);
            }
        }
    }

    /// Gives up the oldest entries if there are too many, and expired ones.
    fn bound(&mut self, hold: &Hold<'_>) -> Result<(), Commit> {
        let max_bytes = self.max_bytes;
        let log = self.known().map_err(Commit::Undone)?;
        let mut bytes = log.index.bytes();
        let mut below = 0;
        if bytes > max_bytes / 100 * FULL {
            let mut holders: Vec<_> = log.index.files().map(|(_, holder)| *holder).collect();
            holders.sort_by_key(|holder| holder.id.number);
            for holder in holders.iter().filter(|holder| holder.id.number < log.segment.number) {
                if bytes <= max_bytes / 100 * RELIEVED && holder.id.number >= below {
                    break;
                }
                below = holder.id.number + 1;
                bytes = bytes.saturating_sub(holder.bytes);
            }
        }
        let expired = wall_clock().saturating_sub(CLOCK_MARGIN);
        if below == 0 && !log.index.has_expired(expired) {
            return Ok(());
        }
        self.commit(hold, &record::trim_body(below, expired))
    }

    /// Ends the segment that is held under its lock.
    pub(super) fn rotate(
        &mut self,
        files: &Files,
        hold: &Hold<'_>,
        keep: Keep,
        deadline: Deadline,
    ) -> Result<(), Fault> {
        let site = self.site.clone();
        let log = self.known()?;
        let number = log.segment.number + 1;
        let (mut incarnation, mut content) = (log.incarnation, Vec::new());
        if keep == Keep::Everything {
            content = checkpoint::encode(&log.index, &log.history, &log.locks.changes());
        } else {
            incarnation = super::random();
            let mut index = std::mem::take(&mut log.index);
            let history = super::history::History::new(log.history.last());
            index.purge_logged();
            // Who lost history does not know who held what.
            let mut locks = Vec::new();
            if keep == Keep::Nothing {
                index = Index::default();
                locks = log.locks.changes();
            }
            content.append(&mut checkpoint::encode(&index, &history, &locks));
        }
        let successor = FileId::new(Kind::Log, number);
        let checkpoint = FileId::new(Kind::Index, number);
        let seal = Seal { successor, incarnation, checkpoint_bytes: content.len() as u64 };
        let body = record::seal_body(seal);
        let base = log.base + log.end + record::OVERHEAD + body.len() as u64;
        let prepared = site
            .write(files, checkpoint, &content)
            .and_then(|()| site.create_segment(files, successor, incarnation, base, Some(checkpoint)))
            .and_then(|()| files.sync_directory(&site.path));
        let sealed = prepared.map_err(Fault::from).and_then(|()| Ok(self.commit(hold, &body)?));
        if keep != Keep::Everything {
            // The index was taken apart.
            self.log = None;
        }
        sealed?;
        if let Some(log) = &mut self.log {
            log.go_on(seal);
        }
        // The seal leads on from the root as it is, so this may fail.
        let named = site.advance_root(files, successor, deadline).is_ok();
        self.cleaning.due(named);
        Ok(())
    }
}
