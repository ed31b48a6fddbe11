//! What the fleet did: each request adds what it did to the node's counts, and once a minute one
//! process of each node tells the others.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::calls::Engine;
use super::handle::{Decode, Handle};
use crate::clock::wall_clock;
use crate::error::Result;
use crate::statistics::{Counted, NodeStatistics, NodeTotals, Reporter};

/// The unlogged cache that holds what each node told.
const CACHE: &str = "nodes";
/// Seconds after which a node that tells nothing is forgotten: a day.
const TTL: i64 = 86_400;

impl<D: Decode> Engine<D> {
    /// A request ends: adds what was counted to the node's counts. No round trip, but once a minute
    /// for one of the node's processes, which tells them: four then.
    pub(super) fn report(&self) {
        let Some(reporter) = &self.memory.reporter else { return };
        self.count_traffic();
        if reporter.report(|known| self.counted(known)) && self.is_there() {
            // What is not told now is told with the next minute's.
            let _ = self.tell(reporter);
        }
    }

    /// What the nodes did that use this place, and are, by name. Of this node as it is now, of the
    /// others as they told within the last minute or so; a node that told nothing for a day is
    /// none. On Redis two round trips, and one for each hundred nodes.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn statistics(&self) -> Result<Vec<NodeStatistics>> {
        let entries = self.own_entries(&self.nodes())?.into_iter();
        let mut told: BTreeMap<Vec<u8>, NodeStatistics> =
            entries.filter_map(|(key, payload)| Some((key, rmp_serde::from_slice(&payload).ok()?))).collect();
        if let Some(reporter) = &self.memory.reporter
            && let Some(totals) = reporter.totals()
        {
            let file = totals.file.to_vec();
            let before = told.remove(&file).unwrap_or_default();
            told.insert(file, self.of_this_node(before, totals));
        }
        let now = self.backend.now();
        let mut nodes: BTreeMap<String, NodeStatistics> = BTreeMap::new();
        for mut statistics in told.into_values() {
            statistics.forget(now);
            match nodes.get_mut(&statistics.node) {
                Some(known) => known.join(statistics),
                None => drop(nodes.insert(statistics.node.clone(), statistics)),
            }
        }
        Ok(nodes.into_values().collect())
    }

    /// Tells the others what this node counted. Some round trips.
    fn tell(&self, reporter: &Reporter) -> Result<()> {
        let Some(totals) = reporter.totals() else { return Ok(()) };
        let (cache, key) = (self.nodes(), totals.file);
        let before = self.own_entry(&cache, &key)?;
        let before = before.and_then(|told| rmp_serde::from_slice(&told).ok()).unwrap_or_default();
        let statistics = self.of_this_node(before, totals);
        let payload = rmp_serde::to_vec_named(&statistics).unwrap_or_default();
        self.put_own(&cache, &[(key.to_vec(), payload)])
    }

    /// What there is to tell of this node now, after what it told before.
    fn of_this_node(&self, before: NodeStatistics, totals: NodeTotals) -> NodeStatistics {
        let health = self.health();
        let (now, here) = (self.backend.now(), wall_clock());
        let mut statistics = NodeStatistics {
            node: crate::node_name::host(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            options: self.memory.options.clone(),
            seen_ms: now,
            clock_ahead_ms: here.cast_signed().saturating_sub(now.cast_signed()),
            tier: health.tier.name().to_owned(),
            reason: health.reason,
            ..before
        };
        statistics.count(totals);
        statistics
    }

    pub(super) fn nodes(&self) -> Handle {
        self.own_cache(CACHE, false, Some(TTL))
    }

    /// Adds what this engine sent and received to what the stores of its place did.
    fn count_traffic(&self) {
        let counters = self.counters();
        let (sent, received) = self.backend.bytes();
        let now = [self.backend.round_trips(), sent, received];
        let to = [&counters.round_trips, &counters.bytes_sent, &counters.bytes_received];
        for ((now, before), to) in now.into_iter().zip(&self.counted_traffic).zip(to) {
            let before = before.swap(now, Ordering::Relaxed);
            to.fetch_add(now.saturating_sub(before), Ordering::Relaxed);
        }
    }

    /// What was counted so far, with the names of all caches but the first ones.
    fn counted(&self, known: usize) -> Counted {
        let store = self.counters().counts();
        let mut state = self.state();
        let request = state.end_request();
        let caches = state.counts().to_vec();
        let near = state.near();
        Counted {
            near_bytes: near.bytes(),
            near_entries: near.entries() as u64,
            store,
            caches,
            names: near.names().skip(known).map(str::to_owned).collect(),
            request,
        }
    }
}
