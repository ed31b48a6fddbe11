//! One granted lock, as its process knows it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{boot_millis, millis};
use crate::contract::{LockProof, Renewal};

/// The part of the lease that a holder does not count on: clocks differ, and renewing takes time.
const MARGIN: u32 = 8;
/// A lease is renewed so many times before it ends.
const PER_LEASE: u32 = 4;

/// A lock that was granted to this process.
pub(crate) struct HeldLock {
    pub(crate) name: Box<[u8]>,
    pub(crate) owner: Box<[u8]>,
    pub(crate) proof: LockProof,
    /// The process that it was granted to: a forked child has no part in it.
    process: u32,
    /// Milliseconds of the boot clock until which the lock is held for sure.
    believed_until: AtomicU64,
    lost: AtomicBool,
}

impl HeldLock {
    /// A lock granted by an answer to a request that was sent at `sent` (R24).
    pub(crate) fn new(name: &[u8], owner: &[u8], proof: LockProof, sent: Duration, lease: Duration) -> Self {
        Self {
            name: name.into(),
            owner: owner.into(),
            proof,
            process: std::process::id(),
            believed_until: AtomicU64::new(belief(sent, lease)),
            lost: AtomicBool::new(false),
        }
    }

    /// Whether it was granted to this process.
    pub(crate) fn is_own(&self) -> bool {
        self.process == std::process::id()
    }

    /// Whether it is held for sure, as far as can be known without asking.
    pub(crate) fn is_believed(&self) -> bool {
        self.is_own()
            && !self.lost.load(Ordering::Acquire)
            && boot_millis() < self.believed_until.load(Ordering::Acquire)
    }

    /// How long it is still held for sure.
    pub(super) fn believed_for(&self) -> Duration {
        let until = self.believed_until.load(Ordering::Acquire);
        Duration::from_millis(until.saturating_sub(boot_millis()))
    }

    /// Whether it is time to renew it: a quarter of a lease is spent, or it was granted for less
    /// than that is left then.
    pub(super) fn is_due(&self, lease: Duration) -> bool {
        self.believed_for() <= lease.saturating_sub(lease / MARGIN + lease / PER_LEASE)
    }

    /// Takes in an answer to a renewal that was sent at `sent`. A loss is for good.
    pub(crate) fn renewed(&self, still_held: bool, sent: Duration, lease: Duration) {
        if still_held {
            self.believed_until.fetch_max(belief(sent, lease), Ordering::AcqRel);
        } else {
            self.lost.store(true, Ordering::Release);
        }
    }

    /// Whether the backend said that the lock is gone.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    pub(super) fn renewal(&self) -> Renewal<'_> {
        let believed_until = Duration::from_millis(self.believed_until.load(Ordering::Acquire));
        Renewal { name: &self.name, owner: &self.owner, proof: self.proof, believed_until }
    }
}

fn belief(sent: Duration, lease: Duration) -> u64 {
    millis(sent + lease.saturating_sub(lease / MARGIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::boottime;
    use crate::contract::Token;

    #[test]
    fn belief_ends_before_the_lease_and_never_returns_after_a_loss() {
        let lease = Duration::from_secs(8);
        let proof = LockProof { token: Token::from_number(1), fence: 1 };
        let long_ago = boottime().saturating_sub(Duration::from_millis(7_001));
        let held = HeldLock::new(b"n", b"o", proof, long_ago, lease);
        assert!(!held.is_believed(), "the last eighth of a lease does not count");
        held.renewed(true, boottime(), lease);
        assert!(held.is_believed());
        held.renewed(false, boottime(), lease);
        held.renewed(true, boottime(), lease);
        assert!(!held.is_believed() && held.is_lost());
    }
}
