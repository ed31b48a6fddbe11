//! The rules of locks that can be left out, and the bounds of each scenario.

use larder::contract::LockKind;

/// A rule of `docs/protocol.md` that the model of locks obeys, unless it is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// R5: a server whose identity is not certified does nothing to locks.
    Certify,
    /// R8: a node uses the locks of a tier only as long as what it read in the control log holds.
    Lease,
    /// R9: the fallback grants locks only when no node uses those of the primary any more.
    LeaseAck,
    /// R10: the primary grants locks only after it has absorbed the control log.
    Absorb,
    /// R22: a lock is released only by its own token.
    Release,
    /// R22: an older wake-up is forgotten by who stands in line anew.
    Drain,
    /// R22: who was woken believes from the sending of its last request that was answered "wait".
    Woken,
    /// R23: nobody new gets a named lock for a lease after a loss.
    Grace,
    /// R23: a named lock is given back only to who believes to hold it,
    Believed,
    /// R23: and what counts is when the server decides, not when the holder asked.
    BelievedNow,
    /// R23: a cache lock of before a loss is never given back.
    Void,
    /// R23: a row of before a loss gives its holder nothing when it asks again.
    OldRow,
    /// R23: who goes over to the other tier makes it forget its locks.
    Distrust,
    /// R23: it does so when neither tier grants any.
    Between,
    /// R23: an answer of a tier that does not serve any more does not count.
    Tier,
    /// R24: a holder's belief is counted from the sending of its request.
    Sent,
    /// R24: a write shows its lock.
    Proof,
    /// R24: a row of before a loss allows no write.
    OldProof,
    /// R25: fencing numbers follow the clock, and so grow over a loss.
    Clock,
    /// R25: the tier that takes over goes on above the numbers of the other.
    Floor,
}

/// How often a thing may happen in a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What it is called.
    pub name: &'static str,
    /// What is locked.
    pub kind: LockKind,
    /// How often somebody begins to ask for the lock.
    pub attempts: u8,
    /// Whether requests are executed at once; answers, and writes, may always be under way for
    /// long.
    pub prompt: bool,
    /// Whether locks are given back, and waited for in line.
    pub line: bool,
    /// Whether holders renew.
    pub renews: bool,
    /// Times that the primary is lost or replaced.
    pub faults: u8,
    /// Times that the fallback is entered.
    pub entered: u8,
    /// Seconds for which a node may trust what it read in the control log; 0 = it reads it at each
    /// use (one node).
    pub trust: u8,
}

const CACHE: Bounds = Bounds {
    name: "cache locks, one server",
    kind: LockKind::Cache,
    attempts: 2,
    prompt: true,
    line: true,
    renews: true,
    faults: 1,
    entered: 0,
    trust: 0,
};
const NAMED: Bounds =
    Bounds { name: "named locks, one server", kind: LockKind::Named, attempts: 3, prompt: false, ..CACHE };

/// The fleet goes to a fallback and back.
const CACHE_OUTAGE: Bounds = Bounds {
    name: "cache locks, one node's fallback",
    faults: 0,
    entered: 1,
    line: false,
    renews: false,
    ..CACHE
};
const NAMED_OUTAGE: Bounds = Bounds {
    name: "named locks, one node's fallback",
    faults: 0,
    entered: 1,
    line: false,
    attempts: 2,
    prompt: true,
    ..NAMED
};
const NAMED_SHARED: Bounds =
    Bounds { name: "named locks, a shared fallback", trust: 2, renews: false, ..NAMED_OUTAGE };

/// All scenarios.
pub const SCENARIOS: [Bounds; 5] = [CACHE, NAMED, CACHE_OUTAGE, NAMED_OUTAGE, NAMED_SHARED];

/// All rules, each with a scenario in which it is missed.
pub const RULES: [(Rule, Bounds); 20] = [
    (Rule::Certify, NAMED),
    (Rule::Lease, NAMED_SHARED),
    (Rule::LeaseAck, NAMED_SHARED),
    (Rule::Absorb, CACHE_OUTAGE),
    (Rule::Release, NAMED),
    (Rule::Drain, NAMED),
    (Rule::Woken, NAMED),
    (Rule::Grace, NAMED),
    (Rule::Believed, NAMED),
    (Rule::BelievedNow, NAMED),
    (Rule::Void, CACHE),
    (Rule::OldRow, NAMED),
    (Rule::Distrust, NAMED_OUTAGE),
    (Rule::Between, NAMED_OUTAGE),
    (Rule::Tier, NAMED_SHARED),
    (Rule::Sent, NAMED),
    (Rule::Proof, CACHE),
    (Rule::OldProof, CACHE),
    (Rule::Clock, CACHE),
    (Rule::Floor, CACHE_OUTAGE),
];
