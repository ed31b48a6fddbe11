//! What the model's world looks like: one key, and processes that are each a node of their own.

use larder::testing::failover::rules::{Control, Mode, Record};

use super::scenario::Bounds;

/// A value, by the number of the computation that made it. Number 0 was left in the fallback by an
/// older time.
pub(crate) type Value = u8;
/// Values, a bit for each.
pub(crate) type Values = u8;

/// One record of the primary's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// What tells it from any other record, in this history or another.
    pub(crate) nonce: u8,
    pub(crate) kind: Kind,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The key was stored.
    Stored,
    /// The key was deleted, or nothing happened: the first record of a history.
    Deleted,
    /// The cache was purged.
    Purged,
    /// Another cache was changed.
    Elsewhere,
}

/// A place in the primary's log: how many records, and the nonce of the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) incarnation: u8,
    pub(crate) id: u8,
    pub(crate) nonce: u8,
}

/// What the primary keeps, and so what a snapshot or a replica has of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Contents {
    pub(crate) value: Option<Value>,
    pub(crate) log: Vec<Entry>,
    /// Which history that is; 0 where answers list everything, and nobody asks.
    pub(crate) incarnation: u8,
    /// How long the log was when the key's cache was changed last, as it was noted.
    pub(crate) last_change: u8,
    /// The identity that was certified; 0 = none.
    pub(crate) certified: u8,
    /// How much of the control log was absorbed.
    pub(crate) absorbed: u8,
}

/// The primary: a Redis server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Primary {
    pub(crate) up: bool,
    /// Its identity: a restart or a promotion brings a new one.
    pub(crate) identity: u8,
    pub(crate) now: Contents,
    /// A snapshot on disk, or what a replica that lags has.
    pub(crate) snapshot: Option<Box<Contents>>,
}

/// One record of the control log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Note {
    Entered,
    Returned,
    Stored,
    Deleted,
    Purged,
}

impl Note {
    /// Whether it is about the key.
    pub(crate) fn names_key(self) -> bool {
        !matches!(self, Self::Entered | Self::Returned)
    }

    fn record(self) -> Record {
        match self {
            Self::Entered => Record::Entered,
            Self::Returned => Record::Returned,
            Self::Stored => Record::Stored,
            Self::Deleted | Self::Purged => Record::Invalidated,
        }
    }
}

/// The fallback: a directory, or a local store, and its log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Fallback {
    pub(crate) log: Vec<Note>,
    pub(crate) value: Option<Value>,
}

impl Fallback {
    /// What follows from the first `length` records.
    pub(crate) fn control(&self, length: u8) -> Control<u8> {
        let mut control = Control::default();
        (1..=length).zip(&self.log).for_each(|(at, note)| control.learn(at, note.record()));
        control
    }

    pub(crate) fn length(&self) -> u8 {
        u8::try_from(self.log.len()).unwrap_or(u8::MAX)
    }

    /// Who serves.
    pub(crate) fn mode(&self) -> Mode {
        self.control(self.length()).mode()
    }
}

/// A key was missing: where, and at which position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Miss {
    OnPrimary(Position),
    InFallback(u8),
}

/// A write on its way to the primary or, for a fill, to where the key was missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Write {
    /// A set after a miss. One that carries what its process has just committed ends the values
    /// `own` when it is acknowledged; a mere fill ends none.
    Fill { value: Value, guard: Miss, identity: u8, own: Values },
    /// A set after no miss. When it is acknowledged, it has ended the values `kills`.
    Set { value: Value, identity: u8, kills: Values },
    /// A set whose sender waits no longer.
    GivenUp { value: Value, identity: u8 },
    /// A set whose sender was killed.
    Orphan { value: Value, identity: u8 },
    /// A delete or purge.
    Invalidate { purge: bool, identity: u8, kills: Values },
}

/// A delete or purge that was begun and not acknowledged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Invalidation {
    /// The values that it ends.
    pub(crate) kills: Values,
    pub(crate) purge: bool,
    /// Where it stands in the control log, if it does.
    pub(crate) noted: Option<u8>,
}

/// A read on its way to the primary: what it has been told, and what was dead when it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Fetch {
    /// Whether the value came before the log; only without R3.
    pub(crate) told: bool,
    /// The value, if it came.
    pub(crate) value: Option<Value>,
    pub(crate) dead: Values,
}

/// A process.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Process {
    /// The value in memory.
    pub(crate) near: Option<Value>,
    pub(crate) position: Option<Position>,
    /// How much of the control log was read.
    pub(crate) read: u8,
    /// Whether that is still trusted.
    pub(crate) leased: bool,
    /// Whether it reaches the primary, if that is up.
    pub(crate) linked: bool,
    /// Whether it tells absences from memory, and so remembers where it stands also without a
    /// value.
    pub(crate) follows: bool,
    /// Whether it saw a purge, and nothing of the key since (R30).
    pub(crate) emptied: bool,
    /// Whether it keeps what it fills in before the primary has answered (R31).
    pub(crate) posts: bool,
    /// The record of the fill whose value it has in memory, if it was told of it.
    pub(crate) stored: Option<u8>,
    pub(crate) fetch: Option<Fetch>,
    pub(crate) miss: Option<Miss>,
    pub(crate) write: Option<Write>,
    pub(crate) invalidation: Option<Invalidation>,
}

/// What has been used of a scenario's bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Spent {
    pub(crate) entered: u8,
    pub(crate) faults: u8,
    pub(crate) invalidations: u8,
    pub(crate) sets: u8,
    pub(crate) commits: u8,
    pub(crate) elsewhere: u8,
    pub(crate) cuts: u8,
    pub(crate) crashes: u8,
}

/// The world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State<const N: usize> {
    pub(crate) primary: Primary,
    pub(crate) fallback: Fallback,
    pub(crate) processes: [Process; N],
    /// Values that were computed before an invalidation that is acknowledged: nobody may read them
    /// any more.
    pub(crate) dead: Values,
    /// How many values were computed.
    pub(crate) values: u8,
    pub(crate) spent: Spent,
    /// How the promise was broken, if it was.
    pub(crate) broken: Option<&'static str>,
}

impl<const N: usize> State<N> {
    /// The primary is certified and empty; the fallback holds an old value.
    pub(crate) fn start(bounds: &Bounds) -> Self {
        let process = Process {
            near: None,
            position: None,
            read: 0,
            leased: bounds.timed_lease,
            linked: true,
            follows: bounds.follows,
            emptied: false,
            posts: bounds.posts,
            stored: None,
            fetch: None,
            miss: None,
            write: None,
            invalidation: None,
        };
        let now = Contents {
            value: None,
            log: vec![Entry { nonce: 1, kind: Kind::Deleted }],
            incarnation: bounds.incarnation(1),
            last_change: 0,
            certified: 1,
            absorbed: 0,
        };
        Self {
            primary: Primary { up: true, identity: 1, now, snapshot: None },
            fallback: Fallback { log: Vec::new(), value: Some(0) },
            processes: std::array::from_fn(|_| process.clone()),
            dead: 1,
            values: 1,
            spent: Spent::default(),
            broken: None,
        }
    }
}

impl Contents {
    /// The position at the end of the log; nonce 0 if it is empty.
    pub(crate) fn tail(&self) -> Position {
        let id = u8::try_from(self.log.len()).unwrap_or(u8::MAX);
        let nonce = self.log.last().map_or(0, |entry| entry.nonce);
        Position { incarnation: self.incarnation, id, nonce }
    }
}
