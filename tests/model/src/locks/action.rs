//! What can happen next to a lock.

use std::fmt;

/// A step of the world. Numbers are those of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Ask(usize),
    Release(usize),
    Execute(usize),
    Receive(usize),
    Wake(usize),
    Write(usize),
    Land(usize),
    Read(usize),
    Tick,
    Save,
    RestartEmpty,
    RestartOld,
    Promote,
    Certify,
    Enter,
    Prepare,
    Leave,
    Distrust,
    Serve,
}

/// The actions of one process.
pub(crate) const OF_PROCESS: [fn(usize) -> Action; 8] = [
    Action::Ask,
    Action::Release,
    Action::Execute,
    Action::Receive,
    Action::Wake,
    Action::Write,
    Action::Land,
    Action::Read,
];

/// All other actions.
pub(crate) const OF_WORLD: [Action; 11] = [
    Action::Tick,
    Action::Save,
    Action::RestartEmpty,
    Action::RestartOld,
    Action::Promote,
    Action::Certify,
    Action::Enter,
    Action::Prepare,
    Action::Leave,
    Action::Distrust,
    Action::Serve,
];

impl Action {
    /// The process that acts, and what happens.
    pub(crate) fn told(self) -> (Option<usize>, &'static str) {
        match self {
            Self::Ask(i) => (Some(i), "asks for the lock, or renews it"),
            Self::Release(i) => (Some(i), "gives the lock back"),
            Self::Execute(i) => (Some(i), "has its request executed"),
            Self::Receive(i) => (Some(i), "hears the answer"),
            Self::Wake(i) => (Some(i), "is woken"),
            Self::Write(i) => (Some(i), "sends a write under the lock"),
            Self::Land(i) => (Some(i), "has its write executed"),
            Self::Read(i) => (Some(i), "reads the control log"),
            Self::Tick => (None, "a second passes"),
            Self::Save => (None, "the primary saves a snapshot, or its replica begins to lag"),
            Self::RestartEmpty => (None, "the primary restarts, empty"),
            Self::RestartOld => (None, "the primary restarts with the snapshot, or the replica takes over"),
            Self::Promote => (None, "a replica with everything takes over"),
            Self::Certify => (None, "somebody finds another server, and certifies it"),
            Self::Enter => (None, "somebody takes the fleet to the fallback"),
            Self::Prepare => (None, "the primary forgets its locks, and absorbs the control log"),
            Self::Leave => (None, "the fleet goes back to the primary"),
            Self::Distrust => (None, "the tier that takes over forgets its locks"),
            Self::Serve => (None, "the tier that took over grants locks"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.told().1)
    }
}
