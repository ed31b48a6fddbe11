//! The `local:` backend: an embedded LMDB file in a directory of this node's own disk.
//!
//! Any number of processes use the directory at once. A `fetch` is one read transaction, so that changes and
//! entries are of one snapshot; an `apply` is one write transaction.
//!
//! # What survives
//!
//! A process may be killed at any time: what was acknowledged is there, what was not is there whole or not at
//! all, and the locks of the dead are freed by the kernel. The file is never synced to disk, for speed. So it
//! does not outlive the boot: the first to open it after a restart of the machine finds the mark of another boot,
//! removes it and begins with an empty one. The same happens to a copy that somebody put in its place or wrote over it, to a
//! file that was cut short or that LMDB finds damaged, and where the mark or LMDB's table of readers was removed. Each
//! call sees first whether the files are still there and as long as they were.
//!
//! # Size
//!
//! The file never grows beyond the size given. When entries take 70 % of it, the oldest (by the time of writing) are evicted. A
//! write that brings more than a quarter of the size is refused; what it would have replaced is removed.
//!
//! # Limits
//!
//! - A process that was stopped by a signal while it writes holds up writers; they give up after 5 s as
//!   "unavailable". Readers go on. One stopped in the middle of a read keeps the pages it sees from being reused;
//!   if the file fills up meanwhile, it is replaced by an empty one.
//! - LMDB takes a slot for each reader under a short lock of its own, without a time-out: a process stopped just
//!   there, for some hundred nanoseconds of each read, holds up readers that need a new slot.
//! - All handles of a process on one directory share the size that the first gave. A file that is larger than
//!   the size given later is not shrunk.
//! - A file that is cut short in the very moment in which it is read ends the process (`SIGBUS`). An older copy that
//!   was written over the file while no process had it open is only known for one by `larder.lock`, which must not be older, too.
//! - Containers may share a directory. Where two processes have the same number, one of them reads in a writer's turn.
//! - Programs with several threads must not fork while another thread is in a call, if the child uses the store.

mod bell;
mod changes;
mod directory;
mod environment;
mod fault;
mod lock;
mod lock_row;
mod locks;
mod process;
mod read;
mod room;
mod rows;
mod shelf;
mod tables;
mod write;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use self::bell::Bells;
use self::environment::{Open, Slot};
use self::fault::{Fault, NAME};
pub(super) use self::shelf::{Look, Shelf, Step};
use self::write::{Write, Written};
use crate::clock::{self, Millis};
use crate::contract::{Applied, Backend, CacheId, CacheUsage, Fetched, LockBackend, Op, Position, Read};
use crate::error::{Error, Result};

/// What a [`Local`] is made of.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The directory, absolute. Created with mode 0700 if it is not there; its parents are not.
    pub(crate) path: PathBuf,
    /// Whose entries: namespaces in one directory know nothing of each other, but share its size.
    pub(crate) namespace: String,
    /// The bound of the file, in bytes.
    pub(crate) max_bytes: u64,
    /// How long a lock outlives its holder.
    pub(crate) lock_lease: Duration,
}

/// A handle on a directory. Cheap: the handles of a process share one open file.
pub(crate) struct Local {
    settings: Settings,
    slot: OnceLock<Arc<Slot>>,
    transactions: AtomicU64,
    bells: Bells,
}

impl Local {
    /// A handle; the directory is opened when it is first used.
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, slot: OnceLock::new(), transactions: AtomicU64::new(0), bells: Bells::default() }
    }

    fn with<T>(&self, mut work: impl FnMut(&Open) -> Result<T, Fault>) -> Result<T> {
        let slot = if let Some(slot) = self.slot.get() {
            slot
        } else {
            let slot = Slot::of(&self.settings.path, self.settings.max_bytes)?;
            self.slot.get_or_init(|| slot)
        };
        slot.with(|open| {
            self.transactions.fetch_add(1, Ordering::Relaxed);
            work(open)
        })
    }
}

impl Backend for Local {
    fn fetch(&self, since: Option<Position>, reads: &[Read<'_>]) -> Result<Fetched> {
        let now = self.now();
        let fetch = || self.with(|open| read::fetch(open, &self.settings.namespace, since, reads, now));
        if let Some(fetched) = fetch()? {
            return Ok(fetched);
        }
        // The namespace is new: writing nothing begins its history.
        self.apply(None, &[])?;
        fetch()?.ok_or_else(|| Error::unavailable(NAME, "the directory was removed again and again"))
    }

    fn apply(&self, since: Option<Position>, ops: &[Op<'_>]) -> Result<Applied> {
        let write = Write { namespace: &self.settings.namespace, since, ops };
        match self.with(|open| write.run(open))? {
            Written::Applied(applied) => Ok(applied),
            Written::TooLarge => Err(write::too_large()),
        }
    }

    fn list(&self, cache: &CacheId, prefix: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let (namespace, now) = (&self.settings.namespace, self.now());
        let mut cursor = read::Cursor::default();
        loop {
            let (keys, more) =
                self.with(|open| read::list(open, namespace, (cache, prefix), &mut cursor, now))?;
            for key in &keys {
                visit(key);
            }
            if !more {
                return Ok(());
            }
        }
    }

    fn usage(&self) -> Result<Vec<CacheUsage>> {
        let mut usage = Vec::new();
        for (cache, number) in self.with(|open| read::caches(open, &self.settings.namespace))? {
            usage.push(self.with(|open| read::count(open, cache.clone(), number))?);
        }
        usage.retain(|usage| usage.entries > 0);
        Ok(usage)
    }

    fn reset(&self) -> Result<()> {
        self.with(|open| write::reset(open, &self.settings.namespace))
    }

    fn locks(&self) -> Option<&dyn LockBackend> {
        Some(self)
    }

    fn now(&self) -> Millis {
        clock::wall_clock()
    }

    fn round_trips(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    fn describe(&self) -> Result<Vec<(String, String)>> {
        let facts = self.with(|open| open.describe(&self.settings.namespace))?;
        Ok(facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}
