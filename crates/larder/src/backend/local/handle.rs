//! A handle on a directory's open file.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::environment::{FileSlot, Open};
use super::fault::Fault;
use crate::error::Result;

/// A handle. Cheap: those of a process on one directory share one open file.
pub(crate) struct Handle {
    path: PathBuf,
    max_bytes: u64,
    slot: OnceLock<Arc<FileSlot>>,
    transactions: AtomicU64,
}

impl Handle {
    /// The directory is opened when it is first used. `max_bytes` is the bound of the file.
    pub(crate) fn new(path: PathBuf, max_bytes: u64) -> Self {
        Self { path, max_bytes, slot: OnceLock::new(), transactions: AtomicU64::new(0) }
    }

    /// Runs `work` on the open file, again if that was not the right one any more.
    pub(crate) fn with<T>(&self, mut work: impl FnMut(&Open) -> Result<T, Fault>) -> Result<T> {
        let slot = if let Some(slot) = self.slot.get() {
            slot
        } else {
            let slot = FileSlot::of(&self.path, self.max_bytes)?;
            self.slot.get_or_init(|| slot)
        };
        slot.with(|open| {
            self.transactions.fetch_add(1, Ordering::Relaxed);
            work(open)
        })
    }

    /// How often `work` ran.
    pub(super) fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }
}
