//! Keeps a process from trying a shelf again and again that does not work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::boottime;
use crate::error::Result;

/// How long a shelf that failed is left alone,
const LEAST: Duration = Duration::from_secs(1);
/// and how many times as long as its failure took: so a shelf that hangs costs a hundredth of the time.
const FACTOR: u32 = 100;

/// When a shelf may be used again, and how often it was not.
#[derive(Default)]
pub(super) struct Rest {
    /// Milliseconds of the boot clock.
    until: AtomicU64,
    skipped: AtomicU64,
}

impl Rest {
    /// Does the work, unless the shelf failed a moment ago; `None` if it did, or fails now.
    pub(super) fn unless_tired<T>(&self, work: impl FnOnce() -> Result<T>) -> Option<T> {
        let began = boottime();
        let done = if millis(began) < self.until.load(Ordering::Relaxed) { None } else { Some(work()) };
        if let Some(Ok(done)) = done {
            return Some(done);
        }
        self.skipped.fetch_add(1, Ordering::Relaxed);
        if done.is_some() {
            let now = boottime();
            let rest = LEAST.max(now.saturating_sub(began).saturating_mul(FACTOR));
            self.until.store(millis(now + rest), Ordering::Relaxed);
        }
        None
    }

    /// How often the shelf was not used.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn what_failed_is_left_alone_for_a_while() {
        let rest = Rest::default();
        let mut calls = 0;
        for _ in 0..10 {
            let failed = rest.unless_tired(|| {
                calls += 1;
                Err::<(), _>(Error::refused("shelf", "no space"))
            });
            assert!(failed.is_none());
        }
        assert_eq!((calls, rest.skipped()), (1, 10));
        rest.until.store(1, Ordering::Relaxed);
        assert_eq!(rest.unless_tired(|| Ok(7)), Some(7));
    }
}
