//! An open file of the log, for reading or under its lock.

use std::time::Duration;

use super::failure::Fault;
use super::files::Opened;
use crate::clock::boottime;

/// Pauses between attempts to get a lock: short at first, then longer, so that many waiting nodes are no load,
const FIRST_PAUSE: Duration = Duration::from_micros(250);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// but never more than this part of the time that is left: who has waited longest asks most often, and so is served before
/// who has just come.
const SHARE_OF_REST: u32 = 16;

/// Until when a call may wait, on this node's clock.
#[derive(Clone, Copy)]
pub(super) struct Deadline(Duration);

impl Deadline {
    pub(super) fn after(wait: Duration) -> Self {
        Self(boottime() + wait)
    }
}

/// An open file, locked or not.
pub(super) struct Hold<'f> {
    open: Opened<'f>,
    locked: bool,
}

impl<'f> Hold<'f> {
    pub(super) fn unlocked(open: Opened<'f>) -> Self {
        Self { open, locked: false }
    }

    /// Locks a file through its own descriptor: what is written through it is written under the lock, also in the
    /// eyes of an NFS server that may have to take the lock away (R18).
    pub(super) fn lock(open: Opened<'f>, deadline: Deadline) -> Result<Self, Fault> {
        let mut pause = FIRST_PAUSE;
        while !open.try_lock()? {
            let left = deadline.0.saturating_sub(boottime());
            if left.is_zero() {
                return Err(Fault::Busy);
            }
            // From half to the whole, so that those who wait do not ask in step.
            let share = u32::try_from(super::random() & 0x7f).unwrap_or(0) + 128;
            std::thread::sleep(pause.min(left / SHARE_OF_REST).max(FIRST_PAUSE) * share / 256);
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
        Ok(Self { open, locked: true })
    }

    pub(super) fn open(&self) -> &Opened<'f> {
        &self.open
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if self.locked {
            // Should it fail, closing frees the lock.
            let _ = self.open.unlock();
        }
    }
}
