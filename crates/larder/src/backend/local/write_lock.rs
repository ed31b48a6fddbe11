//! The lock that writers hold, across processes and with a bounded wait.
//!
//! LMDB has a lock of its own for writers, but no time-out on it: a writer stopped by a signal in
//! the middle of a transaction would stop all others for as long. Taking this one first leaves
//! LMDB's uncontended.
//!
//! It is a POSIX record lock: the kernel frees it when the process dies, and a child that was
//! forked does not hold it, whatever descriptors it inherited.
//!
//! The file also says how far the data has come, so that data which was set back or cut short is
//! known for what it is:
//!
//! ```text
//! magic        16
//! transaction   8  the number of the last one that was acknowledged
//! length        8  of `data.mdb` after it
//! ```

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, fcntl_lock};
use rustix::io::Errno;

use super::directory::FileIdentity;
use super::fault::{NAME, io_error};
use crate::clock;
use crate::error::{Error, Result};

/// How long a call waits for others: much longer than any transaction takes.
pub(super) const WAIT: Duration = Duration::from_secs(5);

const MAGIC: [u8; 16] = *b"larder local 1\n\0";

/// How far the data has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Transactions so far.
    pub(super) transactions: u64,
    /// Bytes of the file.
    pub(super) bytes: u64,
}

/// The lock file, never removed.
pub(crate) struct WriteLock {
    file: File,
    /// The record lock is the process's: threads take turns.
    turn: Mutex<()>,
}

/// The right to write, until dropped.
pub(crate) struct WriteGuard<'a> {
    file: &'a File,
    _turn: MutexGuard<'a, ()>,
}

impl WriteLock {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(no_follow);
        let file = options.open(path).map_err(io_error)?;
        Ok(Self { file, turn: Mutex::new(()) })
    }

    /// How far the data was said to have come; `None` if Larder never wrote to the file.
    pub(super) fn mark(&self) -> Option<Mark> {
        let mut bytes = [0; 32];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (transactions, rest) = rest.split_first_chunk()?;
        let bytes = rest.first_chunk()?;
        Some(Mark { transactions: u64::from_le_bytes(*transactions), bytes: u64::from_le_bytes(*bytes) })
    }

    /// Says how far the data has come. Should it fail, less is known.
    pub(super) fn put_mark(&self, mark: Mark) {
        let numbers = [mark.transactions, mark.bytes].map(u64::to_le_bytes);
        let _ = self.file.write_all_at(&[&MAGIC, numbers.as_flattened()].concat(), 0);
    }

    /// Which file it is.
    pub(super) fn id(&self) -> Option<FileIdentity> {
        self.file.metadata().ok().map(|metadata| FileIdentity::of(&metadata))
    }

    /// Waits for at most [`WAIT`].
    pub(super) fn acquire(&self) -> Result<WriteGuard<'_>> {
        self.acquire_within(WAIT)
    }

    pub(crate) fn acquire_within(&self, wait: Duration) -> Result<WriteGuard<'_>> {
        let turn = wait_within(wait, || match self.turn.try_lock() {
            Ok(turn) => Ok(Some(turn)),
            Err(TryLockError::Poisoned(poisoned)) => Ok(Some(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => Ok(None),
        })?;
        wait_within(wait, || match fcntl_lock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(())),
            Err(Errno::AGAIN | Errno::ACCESS | Errno::INTR) => Ok(None),
            Err(errno) => Err(io_error(errno.into())),
        })?;
        Ok(WriteGuard { file: &self.file, _turn: turn })
    }
}

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        // Fails only for a descriptor that is no file.
        let _ = fcntl_lock(self.file, FlockOperation::NonBlockingUnlock);
    }
}

/// Asks again and again, at first at once, then with pauses of up to a millisecond, for at most
/// [`WAIT`].
pub(super) fn wait_for<T>(attempt: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    wait_within(WAIT, attempt)
}

fn wait_within<T>(wait: Duration, mut attempt: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let mut started = None;
    let mut round = 0_u32;
    loop {
        if let Some(got) = attempt()? {
            return Ok(got);
        }
        let now = clock::boottime();
        if now.saturating_sub(*started.get_or_insert(now)) > wait {
            return Err(Error::unavailable(NAME, format!("another has been writing for {wait:?}")));
        }
        if round < 10 {
            thread::yield_now();
        } else {
            thread::sleep(Duration::from_micros(u64::from(round).min(100) * 10));
        }
        round += 1;
    }
}
