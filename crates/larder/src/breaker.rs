//! Keeps the processes of a node from waiting for a backend again and again while it is away.

use std::time::Duration;

use crate::clock::{boottime, wall_clock};
use crate::error::{Error, ErrorKind, Result};
use crate::node::Node;

/// How long calls fail at once after one that failed.
const OPEN_FOR: Duration = Duration::from_secs(1);

/// Open for [`OPEN_FOR`] after the backend was found unavailable; then one call tries again, of all the processes that
/// share the node's numbers.
pub(crate) struct Breaker {
    node: Node,
}

impl Breaker {
    pub(crate) fn new(node: Node) -> Self {
        Self { node }
    }

    /// The numbers that it shares.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Whether calls fail at once.
    pub(crate) fn is_open(&self) -> bool {
        let until = self.node.read().open_until;
        until != 0 && is_ahead(until, millis(boottime()))
    }

    /// Since when the backend has been away, in milliseconds since 1970.
    pub(crate) fn away_since(&self) -> Option<u64> {
        Some(self.node.read().away_since).filter(|since| *since != 0)
    }

    /// Makes the call, or fails at once while the breaker is open.
    pub(crate) fn call<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let (began, until) = (millis(boottime()), self.node.read().open_until);
        if until != 0 && !self.may_try(until) {
            return Err(Error::unavailable("the backend", "it did not answer a moment ago"));
        }
        let answer = call();
        match &answer {
            Err(error) if error.kind() == ErrorKind::Unavailable => self.failed(began),
            _ if until != 0 => self.close(),
            _ => {}
        }
        answer
    }

    /// One caller makes the numbers its own and tries; the others fail until it has an answer.
    fn may_try(&self, until: u64) -> bool {
        let now = millis(boottime());
        let claim = || {
            self.node.update(|words| {
                let free = words.open_until == until;
                words.open_until = now + millis(OPEN_FOR);
                free.then_some(())
            })
        };
        !is_ahead(until, now) && claim().is_some()
    }

    /// The backend was found away.
    pub(crate) fn open(&self) {
        self.failed(millis(boottime()));
    }

    /// A call that began at that time found the backend away. It may since have come back.
    fn failed(&self, began: u64) {
        let now = millis(boottime());
        let _: Option<()> = self.node.update(|words| {
            // A time in the future is of another boot.
            if began < words.back && words.back <= now {
                return None;
            }
            words.open_until = now + millis(OPEN_FOR);
            if words.away_since == 0 {
                words.away_since = wall_clock();
            }
            Some(())
        });
    }

    /// The backend answers.
    pub(crate) fn close(&self) {
        let _: Option<()> = self.node.update(|words| {
            (words.open_until, words.away_since, words.back) = (0, 0, millis(boottime()));
            Some(())
        });
    }
}

/// Whether a time is still to come. One further ahead than the breaker ever sets it is of another boot.
fn is_ahead(until: u64, now: u64) -> bool {
    now < until && until <= now + millis(OPEN_FOR)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(breaker: &Breaker, open_until: u64) {
        breaker.node.update(|words| {
            words.open_until = open_until;
            Some(())
        });
    }

    #[test]
    fn after_a_failure_the_backend_is_left_alone() {
        let breaker = Breaker::new(Node::alone());
        let mut calls = 0;
        for _ in 0..100 {
            let _ = breaker.call(|| {
                calls += 1;
                Err::<(), _>(Error::unavailable("x", "y"))
            });
        }
        assert_eq!(calls, 1);
        assert!(breaker.is_open() && breaker.away_since().is_some());
        set(&breaker, 1);
        breaker.call(|| Ok(())).unwrap();
        assert!(!breaker.is_open() && breaker.away_since().is_none());
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let breaker = Breaker::new(Node::alone());
        let _ = breaker.call(|| Err::<(), _>(Error::refused("x", "no space")));
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_call_from_before_the_return_says_nothing_of_after() {
        let breaker = Breaker::new(Node::alone());
        let away = || Error::unavailable("x", "y");
        let late = breaker.call(|| {
            breaker.open();
            set(&breaker, 1);
            let began = millis(boottime());
            while millis(boottime()) == began {}
            breaker.call(|| Ok(())).unwrap();
            Err::<(), _>(away())
        });
        assert!(late.is_err() && !breaker.is_open() && breaker.away_since().is_none());
        let _ = breaker.call(|| Err::<(), _>(away()));
        assert!(breaker.is_open(), "one from after it does");
    }

    #[test]
    fn a_time_of_another_boot_is_none() {
        let breaker = Breaker::new(Node::alone());
        set(&breaker, u64::MAX);
        assert!(!breaker.is_open());
        breaker.call(|| Ok(())).unwrap();
        assert_eq!(breaker.node.read().open_until, 0);
        breaker.node.update(|words| {
            words.back = u64::MAX;
            Some(())
        });
        breaker.open();
        assert!(breaker.is_open());
    }
}
