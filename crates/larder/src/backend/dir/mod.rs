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

mod append;
mod checkpoint;
mod clean;
mod describe;
mod failure;
mod files;
mod follow;
mod history;
mod hold;
mod index;
mod log;
mod names;
mod read;
mod record;
mod root;
mod rotate;
mod segment;
mod site;
mod wire;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::files::Files;
pub use self::files::Observer;
use self::follow::{Access, Node};
use self::rotate::Keep;
use super::{Applied, Backend, CacheId, CacheUsage, Fetched, Op, Position, Read};
use crate::clock::{self, Millis};
use crate::config::{Config, Server};
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
pub struct Dir {
    files: Files,
    node: Mutex<Node>,
}

impl Dir {
    /// A handle; the directory is looked at when it is first used.
    pub fn new(settings: &Settings) -> Self {
        Self::with_files(settings, Files::default())
    }

    /// A handle whose filesystem calls are told to an observer first. For tests: to count them, or to die at one.
    #[doc(hidden)]
    pub fn observed(settings: &Settings, observer: Observer) -> Self {
        Self::with_files(settings, Files::observed(observer))
    }

    fn with_files(settings: &Settings, files: Files) -> Self {
        Self { node: Mutex::new(Node::new(settings)), files }
    }

    fn node(&self) -> MutexGuard<'_, Node> {
        // A panic leaves the node knowing less than it could, never more.
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Dir {
    fn fetch(&self, since: Option<Position>, reads: &[Read<'_>]) -> Result<Fetched> {
        Ok(self.node().fetch(&self.files, since, reads)?)
    }

    fn apply(&self, since: Option<Position>, ops: &[Op<'_>]) -> Result<Applied> {
        Ok(self.node().apply(&self.files, since, ops)?)
    }

    fn list(&self, cache: &CacheId, prefix: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let keys = self.node().keys(&self.files, cache, prefix)?;
        keys.iter().for_each(|key| visit(key));
        Ok(())
    }

    fn usage(&self) -> Result<Vec<CacheUsage>> {
        Ok(self.node().usage(&self.files)?)
    }

    fn reset(&self) -> Result<()> {
        let mut node = self.node();
        let hold = node.hold(&self.files, Access::Append, &mut Vec::new())?;
        let deadline = node.deadline();
        Ok(node.rotate(&self.files, &hold, Keep::Nothing, deadline)?)
    }

    fn now(&self) -> Millis {
        clock::wall_clock()
    }

    fn round_trips(&self) -> u64 {
        self.files.calls()
    }

    fn describe(&self) -> Result<Vec<(String, String)>> {
        Ok(self.node().describe(&self.files)?)
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
