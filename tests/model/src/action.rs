//! What can happen next.

use std::fmt;

/// A step of the world. Numbers are those of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Renew(usize),
    Expire(usize),
    Cut(usize),
    Heal(usize),
    Crash(usize),
    Sync(usize),
    BeginFetch(usize),
    EndFetch(usize),
    FetchInFallback(usize),
    TellMissing(usize),
    Compute(usize),
    Commit(usize),
    BeginSet(usize),
    Land(usize),
    GiveUp(usize),
    Lapse(usize),
    FillFallback(usize),
    BeginDelete(usize),
    BeginPurge(usize),
    SendInvalidation(usize),
    Note(usize),
    AcknowledgeNote(usize),
    Enter(usize),
    Absorb(usize),
    Return(usize),
    Certify(usize),
    ChangeElsewhere,
    Snapshot,
    Stall,
    Resume,
    RestartEmpty,
    RestartOld,
    Promote,
    PromoteLagging,
}

/// The actions of one process.
pub(crate) const OF_PROCESS: [fn(usize) -> Action; 26] = [
    Action::Renew,
    Action::Expire,
    Action::Cut,
    Action::Heal,
    Action::Crash,
    Action::Sync,
    Action::BeginFetch,
    Action::EndFetch,
    Action::FetchInFallback,
    Action::TellMissing,
    Action::Compute,
    Action::Commit,
    Action::BeginSet,
    Action::Land,
    Action::GiveUp,
    Action::Lapse,
    Action::FillFallback,
    Action::BeginDelete,
    Action::BeginPurge,
    Action::SendInvalidation,
    Action::Note,
    Action::AcknowledgeNote,
    Action::Enter,
    Action::Absorb,
    Action::Return,
    Action::Certify,
];

/// The actions of the primary.
pub(crate) const OF_PRIMARY: [Action; 8] = [
    Action::ChangeElsewhere,
    Action::Snapshot,
    Action::Stall,
    Action::Resume,
    Action::RestartEmpty,
    Action::RestartOld,
    Action::Promote,
    Action::PromoteLagging,
];

impl Action {
    /// The process that acts, and what it does; `None` if it is the primary.
    fn told(self) -> (Option<usize>, &'static str) {
        match self {
            Self::Renew(i) => (Some(i), "reads the control log: a new lease"),
            Self::Expire(i) => (Some(i), "has no lease any more"),
            Self::Cut(i) => (Some(i), "is cut off from the primary"),
            Self::Heal(i) => (Some(i), "reaches the primary again"),
            Self::Crash(i) => (Some(i), "is killed; another takes its place"),
            Self::Sync(i) => (Some(i), "asks the primary for changes, and reads its memory"),
            Self::BeginFetch(i) => (Some(i), "begins to fetch from the primary: the first half is answered"),
            Self::EndFetch(i) => (Some(i), "ends its fetch: the second half is answered"),
            Self::FetchInFallback(i) => (Some(i), "fetches from the fallback"),
            Self::TellMissing(i) => {
                (Some(i), "asks for changes, and knows of a purge that the key is missing")
            }
            Self::Compute(i) => (Some(i), "computes what it missed, and sends it"),
            Self::Commit(i) => (Some(i), "commits a new value of what it missed, and sends it"),
            Self::BeginSet(i) => (Some(i), "begins to set a new value"),
            Self::Land(i) => (Some(i), "has its write executed, and answered, by the primary"),
            Self::GiveUp(i) => (Some(i), "waits no longer for its answer"),
            Self::Lapse(i) => (Some(i), "left a write that is too late now"),
            Self::FillFallback(i) => (Some(i), "has its fill executed by the fallback"),
            Self::BeginDelete(i) => (Some(i), "begins to delete"),
            Self::BeginPurge(i) => (Some(i), "begins to purge"),
            Self::SendInvalidation(i) => (Some(i), "sends its invalidation to the primary"),
            Self::Note(i) => (Some(i), "appends its invalidation to the control log"),
            Self::AcknowledgeNote(i) => (Some(i), "acknowledges what it appended"),
            Self::Enter(i) => (Some(i), "takes the fleet to the fallback"),
            Self::Absorb(i) => (Some(i), "lets the primary absorb the control log"),
            Self::Return(i) => (Some(i), "takes the fleet back to the primary"),
            Self::Certify(i) => (Some(i), "finds another server, and empties it"),
            Self::ChangeElsewhere => (None, "has another cache changed"),
            Self::Snapshot => (None, "saves a snapshot, or its replica begins to lag"),
            Self::Stall => (None, "stalls"),
            Self::Resume => (None, "goes on"),
            Self::RestartEmpty => (None, "restarts, empty"),
            Self::RestartOld => (None, "restarts with the snapshot"),
            Self::Promote => (None, "is replaced by a replica that has everything"),
            Self::PromoteLagging => (None, "is replaced by a replica that lags"),
        }
    }

    /// The process that acts.
    pub(crate) fn process(self) -> Option<usize> {
        self.told().0
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.told().1)
    }
}
