//! The rules of fill leases (R26). They know no clock and no file: the engine acts on them, and a
//! model checks them.
//!
//! A lease says who computes a key. It is a hint, never a lock: whoever may not wait, or not any
//! longer, computes the value itself, and whether that is stored is decided by its guard (R6).

use std::time::Duration;

/// How long after an emptying misses are looked up.
pub const WINDOW: Duration = Duration::from_secs(10);
/// The longest wait for a key.
pub const KEY_WAIT: Duration = Duration::from_millis(200);
/// The longest wait for all keys of a request together.
pub const REQUEST_WAIT: Duration = Duration::from_secs(1);
/// Who has not filled a key for so long is waited for no more.
pub const LIFE: Duration = Duration::from_secs(1);
/// The longest chain of waits that is looked through for a circle.
const MAX_CHAIN: usize = 64;

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Somebody computes it.
    Computing,
    /// It was stored or deleted, or that failed: there may be something to read.
    Ended,
    /// The request that computed it ended without a fill: nobody waits for it again in this window.
    Barren,
}

/// The lease of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Who took it.
    pub who: u64,
    /// What it says.
    pub state: State,
    /// Since when, on the boot clock.
    pub at: Duration,
}

/// What somebody who misses a key is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Take the lease, and compute.
    Take,
    /// Wait for another's fill.
    Wait,
    /// Read again: the key was stored after it was found missing.
    Look,
    /// Compute without a lease.
    Compute,
}

/// What `me`, who knows as of `known` that a key is missing, is to do at `now`.
pub fn ask(
    lease: Option<Lease>,
    me: u64,
    known: Duration,
    now: Duration,
    is_dead: impl FnOnce(u64) -> bool,
) -> Ask {
    // A time in the future is of an earlier boot.
    let age = |lease: &Lease| now.checked_sub(lease.at);
    let Some((lease, age)) =
        lease.and_then(|lease| Some((lease, age(&lease)?))).filter(|(_, age)| *age < WINDOW)
    else {
        return Ask::Take;
    };
    match lease.state {
        State::Computing if lease.who == me => Ask::Compute,
        State::Computing if is_dead(lease.who) => Ask::Take,
        State::Computing if age < LIFE => Ask::Wait,
        State::Ended if known <= lease.at => Ask::Look,
        State::Ended => Ask::Take,
        State::Computing | State::Barren => Ask::Compute,
    }
}

/// Whether nobody in a circle would compute if `me` waited for `key`. To be asked in the same step
/// that announces the wait, so that of those who would close a circle the last one sees it.
/// `holder` says who computes a key, `waits` for which key somebody waits.
pub fn closes_circle(
    me: u64,
    key: u64,
    holder: impl Fn(u64) -> Option<u64>,
    waits: impl Fn(u64) -> Option<u64>,
) -> bool {
    let mut key = key;
    for _ in 0..MAX_CHAIN {
        let Some(who) = holder(key) else { return false };
        if who == me {
            return true;
        }
        let Some(next) = waits(who) else { return false };
        key = next;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    fn lease(state: State, age: Duration) -> Lease {
        Lease { who: 1, state, at: NOW.saturating_sub(age) }
    }

    #[test]
    fn who_computes_and_who_waits() {
        let at = |lease, known| ask(Some(lease), 2, known, NOW, |_| false);
        let (young, old) = (Duration::from_millis(999), LIFE);
        assert_eq!(ask(None, 2, NOW, NOW, |_| false), Ask::Take);
        assert_eq!(at(lease(State::Computing, young), NOW), Ask::Wait);
        assert_eq!(at(lease(State::Computing, old), NOW), Ask::Compute, "it takes too long");
        assert_eq!(at(lease(State::Ended, young), NOW), Ask::Take, "and was removed since");
        assert_eq!(at(lease(State::Ended, young), NOW.saturating_sub(old)), Ask::Look);
        assert_eq!(at(lease(State::Barren, young), NOW), Ask::Compute);
        for state in [State::Computing, State::Ended, State::Barren] {
            assert_eq!(at(lease(state, WINDOW), Duration::ZERO), Ask::Take, "of an earlier window");
            let of_an_earlier_boot = Lease { who: 1, state, at: NOW + young };
            assert_eq!(at(of_an_earlier_boot, Duration::ZERO), Ask::Take);
        }
        assert_eq!(
            ask(Some(lease(State::Computing, young)), 1, NOW, NOW, |_| false),
            Ask::Compute,
            "its own"
        );
        assert_eq!(ask(Some(lease(State::Computing, young)), 2, NOW, NOW, |who| who == 1), Ask::Take, "dead");
    }

    #[test]
    fn a_circle_is_seen_however_long() {
        // Process n holds key n, and waits for key n + 1.
        let closes = |me, last| closes_circle(me, 1, Some, |who| (who < last).then_some(who + 1));
        assert!(!closes(9, 5));
        assert!(closes(5, 5));
        assert!(closes(1, 5));
        assert!(closes(1000, 1000), "too long to tell");
    }
}
