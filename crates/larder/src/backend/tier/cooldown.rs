//! Keeps a process from trying a node cache again and again that does not work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{boottime, millis};
use crate::error::Result;

/// The least time that a node cache that failed is left alone.
const LEAST: Duration = Duration::from_secs(1);
/// It is left alone for so many times as long as its failure took: one that hangs costs a hundredth
/// of the time.
const FACTOR: u32 = 100;

/// When a node cache may be used again, and how often it was not.
#[derive(Default)]
pub(super) struct Cooldown {
    /// Milliseconds of the boot clock.
    until: AtomicU64,
    skipped: AtomicU64,
}

impl Cooldown {
    /// Does the work, unless the node cache failed a moment ago; `None` if it did, or fails now.
    pub(super) fn unless_failed<T>(&self, work: impl FnOnce() -> Result<T>) -> Option<T> {
        let began = boottime();
        let done = if millis(began) < self.until.load(Ordering::Relaxed) { None } else { Some(work()) };
        if let Some(Ok(done)) = done {
            return Some(done);
        }
        self.skipped.fetch_add(1, Ordering::Relaxed);
        if done.is_some() {
            let now = boottime();
            let pause = LEAST.max(now.saturating_sub(began).saturating_mul(FACTOR));
            self.until.store(millis(now + pause), Ordering::Relaxed);
        }
        None
    }

    /// How often the node cache was not used.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn what_failed_is_left_alone_for_a_while() {
        let cooldown = Cooldown::default();
        let mut calls = 0;
        for _ in 0..10 {
            let failed = cooldown.unless_failed(|| {
                calls += 1;
                Err::<(), _>(Error::refused("node cache", "no space"))
            });
            assert!(failed.is_none());
        }
        assert_eq!((calls, cooldown.skipped()), (1, 10));
        cooldown.until.store(1, Ordering::Relaxed);
        assert_eq!(cooldown.unless_failed(|| Ok(7)), Some(7));
    }
}
