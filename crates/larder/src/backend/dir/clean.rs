//! Removing files that nothing names any more.
//!
//! Whoever rotated the log looks through the directory, and its next writes remove what was found, a few files each.
//! So only one process decides at a time, no write takes long, and a process that dies leaves the rest to the next.

use super::files::Files;
use super::follow::Node;
use super::names::{FileId, Kind};

/// Files removed after one write: more than a write creates.
const BATCH: usize = 8;
/// Segments behind the current one whose files are left alone: who lags behind still reads them, and a writer may be
/// about to name a pack that it created then.
const SPARED: u64 = 2;

/// What is to be removed.
#[derive(Default)]
pub(super) struct Cleaning {
    due: bool,
    found: Vec<FileId>,
}

impl Cleaning {
    /// The log was rotated; `named` = the root names the new segment, so that nobody needs older ones to find it.
    pub(super) fn due(&mut self, named: bool) {
        self.due |= named;
    }
}

impl Node {
    /// Does a bounded part of what is to be done. Errors are for the next time.
    pub(super) fn clean(&mut self, files: &Files) {
        if std::mem::take(&mut self.cleaning.due) {
            self.cleaning.found = self.look_through(files);
        }
        let found = &mut self.cleaning.found;
        for file in found.drain(found.len().saturating_sub(BATCH)..) {
            let _ = files.remove(&file.path(&self.site.path));
        }
    }

    fn look_through(&self, files: &Files) -> Vec<FileId> {
        let Some(log) = &self.log else { return Vec::new() };
        let used: std::collections::HashSet<FileId> =
            log.index.files().map(|(_, holder)| holder.id).collect();
        let left_over = |file: &FileId| {
            let spared = match file.kind {
                // Only the newest two may be named by a root.
                Kind::Index => 1,
                Kind::Log | Kind::Pack => SPARED,
            };
            file.number + spared < log.segment.number && !used.contains(file)
        };
        let names = files.list(&self.site.path).unwrap_or_default();
        names.iter().filter_map(|name| FileId::parse(name)).filter(left_over).collect()
    }
}
