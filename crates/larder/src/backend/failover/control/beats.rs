//! Which nodes are alive, and whether they reach the primary (R13).
//!
//! Each node keeps a counter in the fallback that it raises now and then. No clocks are compared: a
//! node counts as dead when whoever looks has seen its counter unchanged for long enough on a clock
//! of its own (R20).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::super::names;
use super::super::rules::Report;
use crate::clock::{boot_millis, boottime, millis, wall_clock};
use crate::contract::{Backend, Op, Read};
use crate::error::Result;
use crate::node_state::NodeState;

/// How often a node that does something raises its counter.
const BEAT: Duration = Duration::from_secs(10);
/// A counter that did not change for so long is a dead node's.
const DEAD: Duration = Duration::from_secs(33);
/// A dead node's counter is thrown away after this, in milliseconds.
const KEPT: u64 = 24 * 3600 * 1000;

/// The counter of this node, and what this process has seen of the others.
pub(super) struct Beats {
    node: u64,
    /// For each node its counter, and when that was first seen.
    seen: Mutex<HashMap<Vec<u8>, (u64, Duration)>>,
}

impl Beats {
    pub(super) fn new(node: u64) -> Self {
        Self { node, seen: Mutex::default() }
    }

    /// What the nodes that are alive said last, this one among them.
    pub(super) fn reports(&self, fallback: &dyn Backend) -> Result<Vec<Report>> {
        let cache = names::beats();
        let mut nodes = Vec::new();
        fallback.list(&cache, b"", &mut |key| nodes.push(key.to_vec()))?;
        let reads: Vec<Read<'_>> = nodes.iter().map(|key| Read { cache: &cache, key }).collect();
        let entries = fallback.fetch(None, &reads)?.entries;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = boottime();
        let mut reports = Vec::new();
        for (node, entry) in nodes.into_iter().zip(entries) {
            let Some((counter, report)) = entry.as_deref().and_then(decode) else { continue };
            let first = match seen.get(&node) {
                Some((known, first)) if *known == counter => *first,
                _ => now,
            };
            let own = node == self.node.to_be_bytes();
            seen.insert(node, (counter, first));
            if own || now.saturating_sub(first) < DEAD {
                reports.push(report);
            }
        }
        Ok(reports)
    }

    /// Tells the others what this node can say of the primary, if that is new, or some time has
    /// passed. A write to the fallback then. `shared` are the numbers that the processes of this
    /// node share about the primary.
    pub(super) fn tell(&self, fallback: &dyn Backend, shared: &NodeState, report: Report) -> Result<()> {
        let (now, code) = (boot_millis(), 1 + u64::from(report == Report::Lost));
        let due = shared.update(|words| {
            let recent = words.told <= now && now - words.told < millis(BEAT);
            (words.report != code || !recent).then(|| (words.told, words.report) = (now, code))
        });
        if due.is_none() {
            return Ok(());
        }
        let (cache, key) = (names::beats(), self.node.to_be_bytes());
        let entry = [now, code].map(u64::to_le_bytes);
        let expires = Some(wall_clock() + KEPT);
        let set = Op::Set {
            cache: &cache,
            key: &key,
            entry: entry.as_flattened(),
            expires,
            guard: None,
            lock: None,
        };
        fallback.apply(None, &[set]).map(drop)
    }
}

fn decode(entry: &[u8]) -> Option<(u64, Report)> {
    let (counter, code) = entry.split_first_chunk()?;
    let report = if u64::from_le_bytes(code.try_into().ok()?) == 2 { Report::Lost } else { Report::Reached };
    Some((u64::from_le_bytes(*counter), report))
}
