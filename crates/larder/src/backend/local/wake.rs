//! Waking who waits for a lock: a named pipe for each, in a subdirectory, through which it learns
//! what it was given.
//!
//! A pipe that nobody has open belongs to somebody dead, which opening it for writing tells.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, IoSliceMut, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::io::Errno;

use super::directory::{PIPES, has_a_name};
use super::fault::Fault;
use crate::clock::millis;
use crate::contract::{Handed, Token};

/// How long somebody without a pipe sleeps.
const WITHOUT_PIPE: Duration = Duration::from_millis(20);

/// The pipes of those who wait in this process.
#[derive(Default)]
pub(crate) struct WakePipes {
    own: Mutex<HashMap<Token, (PathBuf, File)>>,
}

impl WakePipes {
    pub(super) fn has(&self, token: Token) -> bool {
        self.own().contains_key(&token)
    }

    /// Makes sure that `token` can be woken.
    pub(super) fn open(&self, directory: &Path, token: Token) -> Result<(), Fault> {
        let mut own = self.own();
        if own.get(&token).is_some_and(|(_, pipe)| has_a_name(pipe)) {
            return Ok(());
        }
        let pipes = directory.join(PIPES);
        match DirBuilder::new().mode(0o700).create(&pipes) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        let path = pipes.join(token.to_string());
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).map_err(std::io::Error::from)?;
        // Open for both, so that it is never without a writer, which would make it readable.
        let mut options = OpenOptions::new();
        let pipe = options.read(true).write(true).custom_flags(flags()).open(&path)?;
        own.insert(token, (path, pipe));
        Ok(())
    }

    /// Removes the pipe of `token`.
    pub(super) fn close(&self, token: Token) {
        if let Some((path, _)) = self.own().remove(&token) {
            let _ = fs::remove_file(path);
        }
    }

    /// Empties the pipe of `token`.
    pub(super) fn drain(&self, token: Token) {
        if let Some((_, pipe)) = self.own().get_mut(&token) {
            while receive(pipe).is_some() {}
        }
    }

    /// Sleeps until `token` is woken, for `at_most` at the longest.
    pub(super) fn park(&self, token: Token, at_most: Duration) -> Option<Handed> {
        let pipe = self.own().get(&token).and_then(|(_, pipe)| pipe.try_clone().ok());
        let Some(mut pipe) = pipe else {
            thread::sleep(WITHOUT_PIPE.min(at_most));
            return None;
        };
        // A signal ends the sleep early.
        poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&Timespec::try_from(at_most).ok()?)).ok()?;
        receive(&mut pipe)
    }

    fn own(&self) -> MutexGuard<'_, HashMap<Token, (PathBuf, File)>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WakePipes {
    fn drop(&mut self) {
        for (path, _) in self.own().values() {
            let _ = fs::remove_file(path);
        }
    }
}

/// Somebody who is alive. Without a pipe it cannot be woken, and finds out by itself within a
/// second.
pub(super) struct Sleeper(Option<File>);

impl Sleeper {
    /// `None` if whoever waited with `token` is dead; what is left of the pipe is removed.
    pub(super) fn find(directory: &Path, token: Token) -> Option<Self> {
        let path = directory.join(PIPES).join(token.to_string());
        match OpenOptions::new().write(true).custom_flags(flags()).open(&path) {
            Ok(pipe) => Some(Self(Some(pipe))),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
                let _ = fs::remove_file(path);
                None
            }
            // Such as too many open files, which says nothing about others.
            Err(_) => Some(Self(None)),
        }
    }

    pub(super) fn wake(self, handed: Handed) {
        if let Some(mut pipe) = self.0 {
            let lease = millis(handed.lease);
            // Written whole or not at all, as it is short; a full pipe wakes as well.
            let _ = pipe.write([handed.fence, lease].map(u64::to_le_bytes).as_flattened());
        }
    }
}

/// The next message in a pipe.
fn receive(pipe: &mut File) -> Option<Handed> {
    let mut fence = [0; 8];
    let mut lease = [0; 8];
    let both = &mut [IoSliceMut::new(&mut fence), IoSliceMut::new(&mut lease)];
    (pipe.read_vectored(both).ok()? == 16).then(|| Handed {
        fence: u64::from_le_bytes(fence),
        lease: Duration::from_millis(u64::from_le_bytes(lease)),
    })
}

fn flags() -> i32 {
    (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed()
}
