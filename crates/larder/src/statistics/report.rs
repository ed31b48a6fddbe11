//! Brings what a process counted into the file of its node.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::counts::{CacheCounts, StoreCounts};
use super::node_file::{INTERVAL, NodeFile, NodeTotals, read};
use crate::clock::{Millis, boot_millis};
use crate::node_state::directory;

/// What a memory counted since it was made, and holds now.
pub(crate) struct Counted {
    pub(crate) near_bytes: u64,
    pub(crate) near_entries: u64,
    pub(crate) store: StoreCounts,
    /// By the numbers of the caches.
    pub(crate) caches: Vec<CacheCounts>,
    /// The names of those that have no row yet.
    pub(crate) names: Vec<String>,
    /// Whether a request is over with this.
    pub(crate) request: bool,
}

/// Brings the counts of one memory into the file. A forked child takes a slot of its own; what it
/// had counted before it first reports is its parent's.
pub(crate) struct Reporter {
    /// Where the file is.
    path: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    process: u32,
    file: Option<NodeFile>,
    /// What has been reported.
    store: StoreCounts,
    caches: Vec<CacheCounts>,
    /// The row of each cache in the file.
    rows: Vec<usize>,
    /// When to ask whose turn it is to tell the numbers, on the boot clock.
    ask: Millis,
}

impl Reporter {
    /// For what `name` names, which must be the same in all processes that are to be counted
    /// together.
    pub(crate) fn new(name: &[u8]) -> Self {
        let name = blake3::hash(name).to_hex();
        let file = format!("counts-{}", name.get(..32).unwrap_or(&name));
        Self {
            path: directory().map(|directory| directory.join(file)),
            state: Mutex::new(State { process: std::process::id(), ..State::default() }),
        }
    }

    /// Reports what was counted since the last time: all that `count` says, which is told how many
    /// caches have a row. Whether it is this process's turn to tell the node's numbers. One system
    /// call, more at the first time and once a minute.
    pub(crate) fn report(&self, count: impl FnOnce(usize) -> Counted) -> bool {
        let Some(path) = &self.path else { return false };
        let state = &mut *self.state();
        let counted = count(state.rows.len());
        let process = std::process::id();
        if state.process != process {
            *state = State { process, store: counted.store, caches: counted.caches, ..State::default() };
            return false;
        }
        let mut store = counted.store.since(&state.store);
        let none = CacheCounts::default();
        let before = state.caches.iter().chain(std::iter::repeat(&none));
        let caches: Vec<CacheCounts> =
            counted.caches.iter().zip(before).map(|(counts, before)| counts.since(before)).collect();
        if store == StoreCounts::default() && caches.iter().all(|counts| *counts == none) {
            return false;
        }
        store.requests = counted.request.into();
        if state.file.is_none() {
            if boot_millis() < state.ask {
                return false;
            }
            state.file = NodeFile::open(path);
            state.ask = if state.file.is_some() { 0 } else { boot_millis() + INTERVAL };
        }
        let Some(file) = &mut state.file else { return false };
        state.rows.extend(counted.names.iter().map(|name| file.row(name)));
        file.add([counted.near_bytes, counted.near_entries], &store, state.rows.iter().copied().zip(&caches));
        state.store = counted.store;
        state.caches = counted.caches;
        let now = boot_millis();
        if now < state.ask {
            return false;
        }
        let turn = file.turn(now);
        state.ask = turn.err().unwrap_or(now + INTERVAL);
        turn.is_ok()
    }

    /// What all processes of this node counted; `None` if none has yet.
    pub(crate) fn totals(&self) -> Option<NodeTotals> {
        let state = self.state();
        match state.file.as_ref().filter(|_| state.process == std::process::id()) {
            Some(file) => file.totals(),
            None => read(self.path.as_deref()?),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
