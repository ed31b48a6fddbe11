//! What is known of the server's clock without asking it.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::{Millis, boot_millis, wall_clock};

/// A lower bound of the server's time: its last answer's time plus what passed here since that
/// answer came.
///
/// All threads share the newest answer. If the server's clock is set back, the next answer sets
/// this back too.
#[derive(Debug)]
pub(super) struct ServerClock(AtomicI64);

/// No server has answered yet.
const UNKNOWN: i64 = i64::MIN;

impl ServerClock {
    pub(super) const fn new() -> Self {
        Self(AtomicI64::new(UNKNOWN))
    }

    /// An answer just brought the server's time.
    pub(super) fn learn(&self, server: Millis) {
        // Rounded up, so that the sum in `now` never runs ahead of the server.
        let here = boot_millis().saturating_add(1);
        self.0.store(signed(server).saturating_sub(signed(here)), Ordering::Relaxed);
    }

    /// The server's time is at least this; before its first answer, this node's wall clock.
    pub(super) fn now(&self) -> Millis {
        match self.0.load(Ordering::Relaxed) {
            UNKNOWN => wall_clock(),
            offset => u64::try_from(signed(boot_millis()).saturating_add(offset)).unwrap_or(0),
        }
    }
}

fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{boottime, millis};

    #[test]
    fn never_ahead_of_the_answer_and_never_far_behind() {
        let clock = ServerClock::new();
        assert!(clock.now() > 1_600_000_000_000);
        for stamp in [5_000_000, 4_000_000] {
            let before = boottime();
            clock.learn(stamp);
            let now = clock.now();
            let passed = millis(boottime().saturating_sub(before)) + 1;
            assert!(now <= stamp + passed && now + 1 >= stamp, "{now}");
        }
    }
}
