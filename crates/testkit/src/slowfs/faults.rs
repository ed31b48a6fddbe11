//! Faults on demand.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use fuser::Errno;

/// What is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// `lookup`, `getattr`, `statfs`, `readdir`.
    Look,
    /// `open`.
    Open,
    /// `read` of what is not cached.
    Read,
    /// Data that is sent by `fsync`, `close` or the release of a lock.
    Write,
    /// A file or directory is created, truncated or its mode changed.
    Create,
    /// A file or directory is removed.
    Remove,
    /// A lock is taken.
    Lock,
}

/// The faults of one mount.
#[derive(Default)]
pub(super) struct Faults {
    state: Mutex<State>,
    resumed: Condvar,
}

#[derive(Default)]
struct State {
    failing: Vec<(Request, i32)>,
    hanging: bool,
}

impl Faults {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fail(&self, request: Request, errno: i32) {
        self.state().failing.push((request, errno));
    }

    pub(super) fn hang(&self) {
        self.state().hanging = true;
    }

    pub(super) fn heal(&self) {
        let mut state = self.state();
        state.failing.clear();
        state.hanging = false;
        self.resumed.notify_all();
    }

    /// Waits while the mount hangs; then the error that the request is to have, if any.
    pub(super) fn meet(&self, request: Request) -> Option<Errno> {
        let mut state = self.state();
        while state.hanging {
            state = self.resumed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let found = state.failing.iter().find(|(failing, _)| *failing == request);
        found.map(|(_, errno)| Errno::from_i32(*errno))
    }
}
