//! Keeps a process from waiting for a backend again and again while it is away.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::boottime;
use crate::error::{Error, ErrorKind, Result};

/// How long calls fail at once after one that failed.
const OPEN_FOR: Duration = Duration::from_secs(1);

/// Open for [`OPEN_FOR`] after the backend was found unavailable; then one call tries again.
pub(crate) struct Breaker {
    /// Milliseconds of the boot clock until which calls fail; 0 = closed.
    open_until: AtomicU64,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self { open_until: AtomicU64::new(0) }
    }

    pub(crate) fn is_open(&self) -> bool {
        let until = self.open_until.load(Ordering::Relaxed);
        until != 0 && millis(boottime()) < until
    }

    /// Makes the call, or fails at once while the breaker is open.
    pub(crate) fn call<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let until = self.open_until.load(Ordering::Relaxed);
        if until != 0 {
            let now = millis(boottime());
            let next = now + millis(OPEN_FOR);
            // One caller wins the exchange and tries; the others fail until it has an answer.
            if now < until
                || self
                    .open_until
                    .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
                    .is_err()
            {
                return Err(Error::unavailable("the backend", "it did not answer a moment ago"));
            }
        }
        let answer = call();
        match &answer {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                self.open_until.store(millis(boottime() + OPEN_FOR), Ordering::Relaxed);
            }
            _ if until != 0 => self.open_until.store(0, Ordering::Relaxed),
            _ => {}
        }
        answer
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_the_backend_is_left_alone() {
        let breaker = Breaker::new();
        let mut calls = 0;
        for _ in 0..100 {
            let _ = breaker.call(|| {
                calls += 1;
                Err::<(), _>(Error::unavailable("x", "y"))
            });
        }
        assert_eq!(calls, 1);
        assert!(breaker.is_open());
        breaker.open_until.store(1, Ordering::Relaxed);
        breaker.call(|| Ok(())).unwrap();
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let breaker = Breaker::new();
        let _ = breaker.call(|| Err::<(), _>(Error::refused("x", "no space")));
        assert!(!breaker.is_open());
    }
}
