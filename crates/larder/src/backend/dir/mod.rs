//! The `dir:` backend: a directory that several nodes share, on NFS (EFS) or any other filesystem with locks.
//!
//! Entries and the log of their changes are files; `docs/dir.md` says what is in them, which calls are made and what
//! the mount has to be like. In short:
//!
//! - The log is a chain of segments. A record is appended under a lock and synced; it is the only commit point, and
//!   the index: every process follows the log and so knows where each entry is.
//! - Small entries stand in the log itself, larger ones in a file of their own that is synced before the record.
//!   No file name is used twice and nothing that a record names is ever changed, so no cache of any node can hold
//!   something old under it.
//! - Reading takes no lock: open, read what follows the record known last, close.
//! - When a segment is full, the index is written beside it, and a new process begins there.
//! - Locks are records of the same log: what grants one is in order with what is written under it.

mod append;
mod bells;
mod bounded;
mod checkpoint;
mod clean;
mod describe;
mod failure;
mod files;
mod follow;
mod history;
mod hold;
mod index;
mod lock_draft;
mod lock_table;
mod locks;
mod log;
mod names;
mod read;
mod record;
mod request;
mod root;
mod rotate;
mod segment;
mod site;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::bells::Bells;
use self::bounded::Worker;
use self::files::Files;
pub use self::files::Observer;
use self::follow::Node;
use self::request::{Ops, Reads};
use crate::clock::{self, Millis};
use crate::config::{Config, Server};
use crate::contract::{Applied, Backend, CacheId, CacheUsage, Fetched, LockBackend, Op, Position, Read};
use crate::error::Result;

/// What a [`Dir`] is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory, absolute. Created with mode 0700 if it is not there; its parents are not.
    pub path: PathBuf,
    /// Whose entries: each namespace has a directory of its own, and a size of its own.
    pub namespace: String,
    /// The bound of what a namespace takes, in bytes; it may be exceeded by a tenth.
    pub max_bytes: u64,
    /// The longest wait for another writer.
    pub wait: Duration,
}

impl Settings {
    /// The settings in a configuration; `None` if its server is not a shared directory.
    pub fn of(config: &Config) -> Option<Self> {
        let Server::Dir { path, max_bytes } = config.server() else { return None };
        Some(Self {
            path: path.clone(),
            namespace: config.namespace(),
            max_bytes: *max_bytes,
            wait: config.read_timeout(),
        })
    }
}

/// A handle on a shared directory. It keeps the index of the namespace in memory, about 100 bytes for an entry.
///
/// The filesystem calls are made by a thread of the handle, so that one that hangs can be given up.
pub struct Dir {
    settings: Settings,
    files: Files,
    worker: Worker,
    bells: Arc<Bells>,
}

impl Dir {
    /// A handle; the directory is looked at when it is first used.
    pub fn new(settings: &Settings) -> Self {
        Self::with_files(settings, Files::default(), false)
    }

    /// A handle for a fallback: a process that may not use the directory may still read there who serves (R13). It reads no
    /// entries of caches then, and writes nothing.
    pub fn fallback(settings: &Settings) -> Self {
        Self::with_files(settings, Files::default(), true)
    }

    /// A handle whose filesystem calls are told to an observer first. For tests: to count them, or to die at one.
    #[doc(hidden)]
    pub fn observed(settings: &Settings, observer: Observer) -> Self {
        Self::with_files(settings, Files::observed(observer), false)
    }

    fn with_files(settings: &Settings, files: Files, visits: bool) -> Self {
        let bells = Arc::new(Bells::default());
        let worker = Worker::new(settings, files.clone(), Arc::clone(&bells), visits);
        Self { settings: settings.clone(), files, worker, bells }
    }
}

impl Backend for Dir {
    fn fetch(&self, since: Option<Position>, reads: &[Read<'_>]) -> Result<Fetched> {
        let reads = Reads::new(reads);
        self.worker.run(move |node, files| node.fetch(files, since, &reads.list()))
    }

    fn apply(&self, since: Option<Position>, ops: &[Op<'_>]) -> Result<Applied> {
        let ops = Ops::new(ops);
        self.worker.run(move |node, files| node.apply(files, since, &ops.list()))
    }

    fn list(&self, cache: &CacheId, prefix: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let (cache, prefix) = (cache.clone(), prefix.to_vec());
        let keys = self.worker.run(move |node, files| node.keys(files, &cache, &prefix))?;
        for key in &keys {
            visit(key);
        }
        Ok(())
    }

    fn usage(&self) -> Result<Vec<CacheUsage>> {
        self.worker.run(Node::usage)
    }

    fn reset(&self) -> Result<()> {
        self.worker.run(Node::reset)
    }

    fn locks(&self) -> Option<&dyn LockBackend> {
        Some(self)
    }

    fn now(&self) -> Millis {
        clock::wall_clock()
    }

    fn round_trips(&self) -> u64 {
        self.files.calls()
    }

    fn describe(&self) -> Result<Vec<(String, String)>> {
        self.worker.run(Node::describe)
    }
}

/// A random number from the operating system, so that forked processes draw different ones.
fn random() -> u128 {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // Linux has had the call since 3.17 and it cannot fail there.
        return clock::boottime().as_nanos();
    }
    u128::from_be_bytes(bytes)
}

/// The time by which locks are counted, on this node's boot clock (R20).
fn now() -> Millis {
    millis(clock::boottime())
}

fn millis(time: Duration) -> Millis {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
