//! The rules that can be left out, and the bounds of each scenario.

/// A rule of `docs/protocol.md` that the model obeys, unless it is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// R1: a position is a record's identity, not a number.
    Nonce,
    /// R3: the position is read before the data.
    LogFirst,
    /// R5: a server whose identity is not certified is emptied before it serves.
    Certify,
    /// R6: a fill is dropped if its key changed since the miss.
    Guard,
    /// R6: a fill is dropped if its cache was purged since the miss.
    GuardPurge,
    /// R6: a fill that lost against a set leaves neither value.
    Clear,
    /// R7: a write that its sender gave up takes no effect any more.
    Fence,
    /// R8: answers of the primary count only under a lease.
    Lease,
    /// R9: acknowledgements from the control log, and the fallback's service, wait until nobody has
    /// an older lease.
    LeaseAck,
    /// R10: the primary serves only after it has absorbed the control log.
    Absorb,
    /// R11: the fallback is entered empty.
    Empty,
    /// R12: a change of tier empties memory.
    Switch,
    /// R29: a record is noted as the last change of its cache,
    Noted,
    /// R29: in the step that writes it.
    NotedAtOnce,
    /// R29: the last change is compared with where the reader stands.
    NotePosition,
    /// R29: notes say nothing of another incarnation.
    Incarnation,
    /// R30: who has a gap knows of no purge before it.
    Emptied,
    /// R31: the key of a fill that was lost is deleted.
    Lost,
    /// R31: of a process's own records only that of a fill that was stored leaves its memory alone.
    OwnRecord,
}

/// How often a thing may happen in a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What it is called.
    pub name: &'static str,
    /// Values that are computed, the old one in the fallback included.
    pub values: u8,
    /// Times that the fallback is entered.
    pub entered: u8,
    /// Faults of the primary: a stall (which ends in its return, or in a restart, empty or from a
    /// snapshot), a promotion.
    pub faults: u8,
    /// Deletes and purges.
    pub invalidations: u8,
    /// Sets that follow no miss.
    pub sets: u8,
    /// Sets that follow a miss, of what their process has just committed.
    pub commits: u8,
    /// Changes of another cache.
    pub elsewhere: u8,
    /// How many records an answer lists at the most.
    pub listed: u8,
    /// Cuts of one process from the primary.
    pub cuts: u8,
    /// Processes killed.
    pub crashes: u8,
    /// Whether nodes have a lease of some time (a shared directory), rather than read the control
    /// log at each use (one node).
    pub timed_lease: bool,
    /// Whether processes tell from a purge that the key is missing.
    pub follows: bool,
    /// Whether fills are not waited for.
    pub posts: bool,
}

const NONE: Bounds = Bounds {
    name: "",
    values: 3,
    entered: 0,
    faults: 0,
    invalidations: 1,
    sets: 0,
    commits: 0,
    elsewhere: 0,
    listed: u8::MAX,
    cuts: 0,
    crashes: 0,
    timed_lease: true,
    follows: false,
    posts: false,
};

/// The primary stalls, restarts empty or old, or is replaced by a replica; the fallback is not
/// entered.
pub(crate) const SERVER: Bounds = Bounds { name: "server", faults: 1, sets: 1, ..NONE };
/// The fleet goes to the fallback and back.
pub(crate) const OUTAGE: Bounds = Bounds { name: "outage", entered: 1, faults: 1, ..NONE };
/// A set is on its way all the while.
pub(crate) const ZOMBIE: Bounds =
    Bounds { name: "zombie", values: 2, entered: 1, faults: 1, sets: 1, ..NONE };
/// One node is cut off: what it invalidates goes through the control log.
pub(crate) const PARTITION: Bounds = Bounds { name: "partition", cuts: 1, ..NONE };
/// A node that is cut off takes the whole fleet to the fallback.
pub(crate) const SPLIT: Bounds = Bounds { name: "split", entered: 1, cuts: 1, ..NONE };
/// Processes are killed in the middle of what they do.
pub(crate) const CRASH: Bounds =
    Bounds { name: "crash", values: 2, entered: 1, cuts: 1, crashes: 1, sets: 1, ..NONE };
/// One node with a local fallback, which its processes read at each use. They need not agree on who
/// reaches the primary.
pub(crate) const NODE: Bounds = Bounds { name: "node", timed_lease: false, ..CRASH };
/// The same, while the primary fails.
pub(crate) const NODE_OUTAGE: Bounds = Bounds { name: "node outage", timed_lease: false, ..ZOMBIE };

/// A process commits a new value of what it missed, while others fill in what they computed before.
pub(crate) const COMMIT: Bounds = Bounds { name: "commit", faults: 1, commits: 1, ..NONE };
/// The same in the fallback.
pub(crate) const COMMIT_OUTAGE: Bounds =
    Bounds { name: "commit in the fallback", invalidations: 0, entered: 1, commits: 1, ..COMMIT };

/// Processes know from a purge what is missing.
pub(crate) const EMPTIED: Bounds = Bounds { name: "emptied", faults: 1, sets: 1, follows: true, ..NONE };
/// The same beside a fallback.
pub(crate) const EMPTIED_OUTAGE: Bounds =
    Bounds { name: "emptied, with a fallback", values: 2, entered: 1, faults: 1, follows: true, ..NONE };

/// Fills are not waited for, and may be lost.
pub(crate) const POSTED: Bounds =
    Bounds { name: "posted", values: 2, faults: 1, commits: 1, follows: true, posts: true, ..NONE };
/// The same beside a fallback.
pub(crate) const POSTED_OUTAGE: Bounds =
    Bounds { name: "posted, with a fallback", invalidations: 0, values: 3, entered: 1, ..POSTED };

/// Answers list one record, and name the caches where there were more.
pub(crate) const FAR_BEHIND: Bounds = Bounds { name: "far behind", sets: 1, elsewhere: 1, listed: 1, ..NONE };
/// The same while the primary fails.
pub(crate) const FAR_RESTART: Bounds =
    Bounds { name: "far behind, in another history", values: 2, faults: 1, elsewhere: 2, listed: 1, ..NONE };
/// Answers list nothing, and processes tell from a purge that the key is missing.
pub(crate) const FAR_EMPTIED: Bounds =
    Bounds { name: "far behind, emptied", elsewhere: 2, listed: 0, follows: true, ..NONE };
/// Beside a fallback.
pub(crate) const FAR_OUTAGE: Bounds = Bounds {
    name: "far behind, with a fallback",
    values: 2,
    entered: 1,
    faults: 1,
    elsewhere: 1,
    listed: 0,
    ..NONE
};

impl Bounds {
    /// The incarnation that a server of this identity begins; 0 where nobody asks.
    pub(crate) fn incarnation(&self, identity: u8) -> u8 {
        if self.listed == u8::MAX { 0 } else { identity }
    }
}

/// All scenarios, those with few states first: one of them soon shows a rule to be missing.
pub const SCENARIOS: [Bounds; 18] = [
    PARTITION,
    POSTED,
    FAR_BEHIND,
    FAR_RESTART,
    FAR_EMPTIED,
    COMMIT_OUTAGE,
    NODE_OUTAGE,
    EMPTIED_OUTAGE,
    POSTED_OUTAGE,
    COMMIT,
    NODE,
    ZOMBIE,
    SERVER,
    CRASH,
    EMPTIED,
    FAR_OUTAGE,
    SPLIT,
    OUTAGE,
];

impl Rule {
    /// All rules.
    pub const ALL: [Self; 19] = [
        Self::Nonce,
        Self::LogFirst,
        Self::Certify,
        Self::Guard,
        Self::GuardPurge,
        Self::Clear,
        Self::Fence,
        Self::Lease,
        Self::LeaseAck,
        Self::Absorb,
        Self::Empty,
        Self::Switch,
        Self::Noted,
        Self::NotedAtOnce,
        Self::NotePosition,
        Self::Incarnation,
        Self::Emptied,
        Self::Lost,
        Self::OwnRecord,
    ];
}
