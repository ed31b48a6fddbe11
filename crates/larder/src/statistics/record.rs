//! What a node tells the others: who it is, and samples of the last hour and day.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counts::{CacheCounts, StoreCounts};
use super::node_file::NodeTotals;
use crate::clock::Millis;

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
/// How many of each are kept.
const MINUTES: Millis = 60;
const HOURS: Millis = 24;

/// What was counted in some time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Sample {
    /// When that time began: milliseconds since 1970 on the backend's clock.
    pub time_ms: Millis,
    /// What was done with the store.
    pub store: StoreCounts,
    /// What was done with each cache, by name.
    pub caches: BTreeMap<String, CacheCounts>,
}

impl Sample {
    /// What was done with all caches together.
    pub fn sum(&self) -> CacheCounts {
        let mut sum = CacheCounts::default();
        self.caches.values().for_each(|counts| sum.add(counts));
        sum
    }

    /// Adds what was counted elsewhere, or later.
    fn add(&mut self, other: &Self) {
        self.store.add(&other.store);
        for (name, counts) in &other.caches {
            self.caches.entry(name.clone()).or_default().add(counts);
        }
    }

    /// What was counted since `before`.
    fn since(&self, before: &Self) -> Self {
        let caches = self.caches.iter().map(|(name, counts)| {
            let before = before.caches.get(name).copied().unwrap_or_default();
            (name.clone(), counts.since(&before))
        });
        Self {
            time_ms: self.time_ms,
            store: self.store.since(&before.store),
            caches: caches.filter(|(_, counts)| *counts != CacheCounts::default()).collect(),
        }
    }
}

/// What is known of one node, as it told once a minute; of the node that asks, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct NodeStatistics {
    /// The name of the host.
    pub node: String,
    /// The version of Larder.
    pub version: String,
    /// The options of the configuration, without secrets.
    pub options: Vec<(String, String)>,
    /// When this was told: milliseconds since 1970 on the backend's clock.
    pub seen_ms: Millis,
    /// By how many milliseconds the node's clock is ahead of the backend's.
    pub clock_ahead_ms: i64,
    /// Who serves it, see [`Tier::name`](crate::contract::Tier::name).
    pub tier: String,
    /// Why it is not served as it should be; empty if all is well.
    pub reason: String,
    /// Processes that are alive and have used the store.
    pub processes: u64,
    /// Bytes of decoded values that they hold.
    pub near_bytes: u64,
    /// How many values these are.
    pub near_entries: u64,
    /// All that was counted since the time of this sample, which is when the node began to count.
    pub total: Sample,
    /// The minutes of the last hour in which anything was done, oldest first.
    pub minutes: Vec<Sample>,
    /// The hours of the last day in which anything was done, oldest first.
    pub hours: Vec<Sample>,
}

impl NodeStatistics {
    /// The options in short: equal where they are equal.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (name, value) in &self.options {
            hasher.update(format!("{name}={value:?} ").as_bytes());
        }
        let hash = hasher.finalize().to_hex();
        hash.get(..8).unwrap_or(&hash).to_owned()
    }

    /// Takes in what the node has counted by now: what it told last must be `self`, or nothing at
    /// all.
    pub(crate) fn count(&mut self, totals: NodeTotals) {
        let NodeTotals { made, processes, near_bytes, near_entries, store, caches, .. } = totals;
        (self.processes, self.near_bytes, self.near_entries) = (processes, near_bytes, near_entries);
        let now = self.seen_ms;
        let total = Sample { time_ms: made, store, caches: caches.into_iter().collect() };
        let is_first = self.total == Sample::default();
        // Of a node that was forgotten nobody knows when it did what it did.
        if !is_first || now.saturating_sub(made) < HOUR {
            let counted = total.since(&self.total);
            add_to(&mut self.minutes, now, MINUTE, &counted);
            add_to(&mut self.hours, now, HOUR, &counted);
        }
        self.total = total;
        self.forget(now);
    }

    /// Takes in what other processes of the same node told, which use another file.
    pub(crate) fn join(&mut self, mut other: Self) {
        if other.seen_ms > self.seen_ms {
            std::mem::swap(self, &mut other);
        }
        self.processes += other.processes;
        self.near_bytes += other.near_bytes;
        self.near_entries += other.near_entries;
        self.total.time_ms = self.total.time_ms.min(other.total.time_ms);
        self.total.add(&other.total);
        for sample in &other.minutes {
            add_to(&mut self.minutes, sample.time_ms, MINUTE, sample);
        }
        for sample in &other.hours {
            add_to(&mut self.hours, sample.time_ms, HOUR, sample);
        }
    }

    /// Drops what is too old at `now`.
    pub(crate) fn forget(&mut self, now: Millis) {
        self.minutes.retain(|sample| sample.time_ms + MINUTES * MINUTE > now);
        self.hours.retain(|sample| sample.time_ms + HOURS * HOUR > now);
    }
}

/// Adds a sample to that of the time in which `now` is.
fn add_to(samples: &mut Vec<Sample>, now: Millis, length: Millis, more: &Sample) {
    let time_ms = now - now % length;
    match samples.binary_search_by_key(&time_ms, |sample| sample.time_ms) {
        Ok(at) => samples.get_mut(at).into_iter().for_each(|sample| sample.add(more)),
        Err(at) => samples.insert(at, Sample { time_ms, ..more.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(requests: u64, hits: u64) -> NodeTotals {
        NodeTotals {
            made: HOUR,
            store: StoreCounts { requests, ..StoreCounts::default() },
            caches: vec![("c".to_owned(), CacheCounts { hits, ..CacheCounts::default() })],
            ..NodeTotals::default()
        }
    }

    fn at(node: &NodeStatistics, seen_ms: Millis, totals: NodeTotals) -> NodeStatistics {
        let mut node = NodeStatistics { seen_ms, ..node.clone() };
        node.count(totals);
        node
    }

    fn requests(samples: &[Sample]) -> Vec<(Millis, u64, u64)> {
        samples.iter().map(|sample| (sample.time_ms, sample.store.requests, sample.sum().hits)).collect()
    }

    #[test]
    fn samples_are_what_was_added_in_their_time_and_end() {
        let start = 10 * HOUR;
        let first = at(&NodeStatistics::default(), start + 5, NodeTotals { made: start, ..totals(1, 10) });
        let second = at(&first, start + MINUTE + 5, totals(4, 40));
        let third = at(&second, start + MINUTE + 7, totals(5, 40));
        assert_eq!(requests(&third.minutes), [(start, 1, 10), (start + MINUTE, 4, 30)]);
        assert_eq!(requests(&third.hours), [(start, 5, 40)]);
        let next_hour = at(&third, start + MINUTES * MINUTE, totals(6, 40));
        assert_eq!(requests(&next_hour.minutes), [(start + MINUTE, 4, 30), (start + HOUR, 1, 0)]);
        assert_eq!(requests(&next_hour.hours), [(start, 5, 40), (start + HOUR, 1, 0)]);
        let next_day = at(&next_hour, start + HOURS * HOUR + 1, totals(6, 40));
        assert_eq!(requests(&next_day.hours).first(), Some(&(start + HOUR, 1, 0)));
        let forgotten = at(&NodeStatistics::default(), start, totals(6, 40));
        assert_eq!((forgotten.hours.len(), forgotten.total.store.requests), (0, 6), "nobody knows when");
    }

    #[test]
    fn processes_of_a_node_with_two_files_are_one_node() {
        let start = 10 * HOUR;
        let young = |requests, hits| NodeTotals { made: start, ..totals(requests, hits) };
        let mut a = at(&NodeStatistics::default(), start + 5, young(1, 10));
        let b = at(&NodeStatistics::default(), start + MINUTE, young(2, 20));
        a.join(NodeStatistics { version: "new".to_owned(), ..b });
        assert_eq!(
            (requests(&a.minutes), &*a.version),
            (vec![(start, 1, 10), (start + MINUTE, 2, 20)], "new")
        );
        assert_eq!((requests(&a.hours), a.total.sum().hits), (vec![(start, 3, 30)], 30));
    }

    #[test]
    fn a_version_that_counts_more_or_less_is_read() {
        #[derive(Serialize)]
        struct Other {
            node: &'static str,
            total: OtherSample,
            news: u64,
        }
        #[derive(Serialize)]
        struct OtherSample {
            store: Vec<u64>,
            caches: BTreeMap<&'static str, Vec<u64>>,
        }
        let total = OtherSample { store: vec![7], caches: [("c", vec![1; 50])].into() };
        let bytes = rmp_serde::to_vec_named(&Other { node: "n", total, news: 1 }).unwrap();
        let read: NodeStatistics = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!((read.node.as_str(), read.total.store.requests, read.total.sum().purges), ("n", 7, 1));
        let whole = rmp_serde::to_vec_named(&read).unwrap();
        assert_eq!(rmp_serde::from_slice::<NodeStatistics>(&whole).unwrap(), read);
    }
}
