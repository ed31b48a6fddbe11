//! What the world of locks looks like: one lock, processes that are each a node of their own, and
//! the two places that may keep it. Times are seconds, and it is always [`NOW`](super::NOW): as
//! time passes, all others are moved back.

use larder::testing::lock_rules::{Common, Row};

use super::scenario::Bounds;

/// A tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Tier {
    Primary,
    Fallback,
}

/// What a tier keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) common: Common,
    pub(crate) row: Row<()>,
    /// What was written under the lock last: the fencing number of who wrote it.
    pub(crate) stored: Option<u64>,
    /// Whether the server's identity is the certified one.
    pub(crate) certified: bool,
    /// When its server began, if it began with nothing.
    pub(crate) empty_since: Option<u8>,
}

/// Who serves, as a number that grows at each flip: the primary, the fallback is entered, it
/// serves, the primary is back, it grants locks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Stage(pub(crate) u8);

impl Stage {
    pub(crate) fn tier(self) -> Tier {
        if matches!(self.0 % 4, 1 | 2) { Tier::Fallback } else { Tier::Primary }
    }

    /// Whether locks are granted.
    pub(crate) fn grants(self) -> bool {
        self.0.is_multiple_of(2)
    }

    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What a process wants of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Wish {
    Acquire,
    /// Until when it believes to hold the lock, and whether it did when it asked.
    Renew {
        fence: u64,
        believes: u8,
        believed: bool,
    },
    Release,
}

/// What a place answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Answer {
    Mine(u64),
    Wait,
    Held(bool),
    Released,
}

/// A request on its way, or its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ask {
    pub(crate) wish: Wish,
    pub(crate) attempt: u8,
    pub(crate) sent: u8,
    pub(crate) stage: Stage,
    pub(crate) answer: Option<Answer>,
}

/// What a process does with the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    Idle,
    /// When the last request was sent that was answered "wait", and in which stage.
    Wants {
        waits: Option<(u8, Stage)>,
    },
    /// Until when it believes so; 0 = it was told that it lost the lock.
    Holds {
        fence: u64,
        until: u8,
    },
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) attempts: u8,
    pub(crate) phase: Phase,
    pub(crate) ask: Option<Ask>,
    /// What woke it, and was not looked at yet: where, the fencing number and the lease.
    pub(crate) woken: Option<(Tier, u64, u8)>,
    /// A write under the lock, on its way.
    pub(crate) write: Option<(Tier, u8, u64)>,
    /// What it read last in the control log, and when.
    pub(crate) seen: (Stage, u8),
}

/// Somebody's way back to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Leaving {
    No,
    /// The primary has forgotten its locks, and then absorbed what was written in the fallback.
    Absorbed,
}

/// The world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State<const N: usize> {
    pub(crate) primary: Place,
    pub(crate) fallback: Place,
    /// A snapshot on disk, or what a replica that lags has.
    pub(crate) saved: Option<Box<Place>>,
    pub(crate) stage: Stage,
    /// When it began.
    pub(crate) since: u8,
    /// Whether the tier that is about to take over has forgotten its locks.
    pub(crate) distrusted: bool,
    pub(crate) leaving: Leaving,
    pub(crate) processes: [Process; N],
    /// The newest fencing number that counts, and the newest under which was written.
    pub(crate) newest: u64,
    pub(crate) written: u64,
    pub(crate) attempts: u8,
    pub(crate) faults: u8,
    pub(crate) entered: u8,
    /// How the promise was broken, if it was.
    pub(crate) broken: Option<&'static str>,
}

impl Place {
    /// One that has been there for long.
    fn old() -> Self {
        Self {
            common: Common::default(),
            row: Row::default(),
            stored: None,
            certified: true,
            empty_since: None,
        }
    }

    /// A server that began without anything.
    pub(crate) fn empty() -> Self {
        Self { certified: false, empty_since: Some(super::NOW), ..Self::old() }
    }
}

impl<const N: usize> State<N> {
    /// Nobody has the lock. The time is past the grace of the beginning.
    pub(crate) fn start(_: &Bounds) -> Self {
        let process = Process {
            attempts: 0,
            phase: Phase::Idle,
            ask: None,
            woken: None,
            write: None,
            seen: (Stage(0), super::NOW),
        };
        Self {
            primary: Place::old(),
            fallback: Place::old(),
            saved: None,
            stage: Stage(0),
            since: super::NOW,
            distrusted: false,
            leaving: Leaving::No,
            processes: std::array::from_fn(|_| process.clone()),
            newest: 0,
            written: 0,
            attempts: 0,
            faults: 0,
            entered: 0,
            broken: None,
        }
    }

    pub(crate) fn place(&mut self, tier: Tier) -> &mut Place {
        match tier {
            Tier::Primary => &mut self.primary,
            Tier::Fallback => &mut self.fallback,
        }
    }
}
