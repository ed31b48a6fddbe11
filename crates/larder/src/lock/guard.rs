//! A lock held by a Rust program.

use std::fmt;
use std::sync::Arc;

use super::held::HeldLock;
use super::holder::Lender;
use crate::contract::LockProof;
use crate::error::Result;

/// A lock that is held until this is dropped. Its lease is renewed in the background.
///
/// In a forked child it holds nothing, and dropping it there does nothing.
#[must_use = "the lock is released when this is dropped"]
pub struct LockGuard {
    lender: Arc<Lender>,
    lock: Arc<HeldLock>,
}

impl LockGuard {
    pub(crate) fn new(lender: Arc<Lender>, lock: Arc<HeldLock>) -> Self {
        Self { lender, lock }
    }

    /// The fencing number: larger than those of all holders before. What the lock guards outside of
    /// Larder should refuse a number smaller than one it has seen.
    pub fn fence(&self) -> u64 {
        self.lock.proof.fence
    }

    /// Token and fencing number.
    pub fn proof(&self) -> LockProof {
        self.lock.proof
    }

    /// Whether the lock is held for sure, as far as this process can know without asking.
    pub fn is_held(&self) -> bool {
        self.lock.is_believed()
    }

    /// Asks the backend whether the lock is still held, and renews it. One round trip.
    ///
    /// # Errors
    /// If the backend does not answer.
    pub fn confirm(&self) -> Result<bool> {
        self.lender.confirm(&self.lock)
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if self.lock.is_own() {
            self.lender.give_back(&self.lock.name, self.lock.proof.token);
        }
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard").field("proof", &self.lock.proof).finish_non_exhaustive()
    }
}
