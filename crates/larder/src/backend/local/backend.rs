//! The backend. Its locks are in [`locks`](super::locks).

use std::path::PathBuf;
use std::time::Duration;

use super::fault::NAME;
use super::handle::Handle;
use super::read;
use super::wake::WakePipes;
use super::write::{self, Write, Written};
use crate::clock::{self, Millis};
use crate::contract::{
    Applied, Backend, CacheId, CacheUsage, Facts, Fetched, LockBackend, Op, Position, Read,
};
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

/// A handle on a directory.
pub(crate) struct Local {
    pub(super) settings: Settings,
    pub(super) handle: Handle,
    pub(super) pipes: WakePipes,
}

impl Local {
    /// A handle; the directory is opened when it is first used.
    pub(crate) fn new(settings: Settings) -> Self {
        let handle = Handle::new(settings.path.clone(), settings.max_bytes);
        Self { settings, handle, pipes: WakePipes::default() }
    }
}

impl Backend for Local {
    fn fetch(&self, since: Option<Position>, reads: &[Read<'_>]) -> Result<Fetched> {
        let now = self.now();
        let fetch =
            || self.handle.with(|open| read::fetch(open, &self.settings.namespace, since, reads, now));
        if let Some(fetched) = fetch()? {
            return Ok(fetched);
        }
        // The namespace is new: writing nothing begins its history.
        self.apply(None, &[])?;
        fetch()?.ok_or_else(|| Error::unavailable(NAME, "the directory was removed again and again"))
    }

    fn apply(&self, since: Option<Position>, ops: &[Op<'_>]) -> Result<Applied> {
        let write = Write { namespace: &self.settings.namespace, since, ops };
        match self.handle.with(|open| write.run(open))? {
            Written::Applied(applied) => Ok(applied),
            Written::TooLarge => Err(write::too_large()),
        }
    }

    fn list(&self, cache: &CacheId, prefix: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let (namespace, now) = (&self.settings.namespace, self.now());
        let mut cursor = read::Cursor::default();
        loop {
            let (keys, more) =
                self.handle.with(|open| read::list(open, namespace, (cache, prefix), &mut cursor, now))?;
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
        for (cache, number) in self.handle.with(|open| read::caches(open, &self.settings.namespace))? {
            usage.push(self.handle.with(|open| read::count(open, cache.clone(), number))?);
        }
        usage.retain(|usage| usage.entries > 0);
        Ok(usage)
    }

    fn reset(&self) -> Result<()> {
        self.handle.with(|open| write::reset(open, &self.settings.namespace))
    }

    fn locks(&self) -> Option<&dyn LockBackend> {
        Some(self)
    }

    fn now(&self) -> Millis {
        clock::wall_clock()
    }

    fn round_trips(&self) -> u64 {
        self.handle.transactions()
    }

    fn describe(&self) -> Result<Facts> {
        self.handle.with(|open| open.describe(&self.settings.namespace))
    }
}
