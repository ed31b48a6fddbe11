//! An open file of the log, for reading or under its lock.

use std::time::Duration;

use super::failure::Fault;
use super::files::OpenFile;
use crate::clock::boottime;
use crate::random::random;

/// The first pause between attempts to get a lock. Each is longer than the one before.
const FIRST_PAUSE: Duration = Duration::from_micros(250);
/// The longest pause, so that many waiting nodes are no load.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// A pause takes no more than this part of the time that is left: who has waited longest asks most
/// often, and so is served before who has just come.
const SHARE_OF_REST: u32 = 16;

/// Until when a call may wait, on this node's clock.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Duration);

impl Deadline {
    pub(crate) fn after(wait: Duration) -> Self {
        Self(boottime() + wait)
    }
}

/// An open file, locked or not.
pub(crate) struct Hold {
    open: OpenFile,
    locked: bool,
}

impl Hold {
    pub(crate) fn unlocked(open: OpenFile) -> Self {
        Self { open, locked: false }
    }

    /// Locks a file through its own descriptor: what is written through it is written under the
    /// lock, also in the eyes of an NFS server that may have to take the lock away (R18).
    pub(crate) fn lock(open: OpenFile, deadline: Deadline) -> Result<Self, Fault> {
        let mut pause = FIRST_PAUSE;
        while !open.try_lock()? {
            let left = deadline.0.saturating_sub(boottime());
            if left.is_zero() {
                return Err(Fault::Busy);
            }
            // From half to the whole, so that those who wait do not ask in step.
            let [share] = random()?;
            let share = u32::from(share & 0x7f) + 128;
            std::thread::sleep(pause.min(left / SHARE_OF_REST).max(FIRST_PAUSE) * share / 256);
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
        Ok(Self { open, locked: true })
    }

    pub(crate) fn open(&self) -> &OpenFile {
        &self.open
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.locked {
            // Should it fail, closing frees the lock.
            let _ = self.open.unlock();
        }
    }
}
