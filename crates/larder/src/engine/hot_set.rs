//! The hot set: which keys a warm process holds, as a list for the next new process.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde_bytes::ByteBuf;

use crate::near::Near;

/// The list holds no more keys than this.
const MAX_KEYS: usize = 5000;
/// The list holds no more than this share of the memory's budget, so that reading it does not evict
/// what it brought.
const SHARE: u64 = 2;
/// How much of the list is fetched in one round trip, in bytes of decoded values.
const BATCH_BYTES: u64 = 16 << 20;
/// No list, forged or not, costs more round trips than this.
const MAX_BATCHES: usize = 4;

/// What an engine remembers of the list.
#[derive(Default)]
pub(super) struct HotSet {
    /// Whether requests are served: a tool that reads a key or two has no use for the list.
    pub(super) serving: bool,
    /// What memory lacks, so that the list is worth its round trips.
    pub(super) wanted: Wanted,
    /// Reads answered by the backend when the list was last fetched or written.
    pub(super) hits_before: u64,
    /// Values that were taken from the node since.
    pub(super) from_node: u64,
    /// How much was listed, and when.
    pub(super) listed: Option<(usize, Duration)>,
}

/// What of the list is to be fetched.
#[derive(Default)]
pub(super) enum Wanted {
    #[default]
    Nothing,
    /// What it names of these caches.
    Of(HashSet<String>),
    All,
}

/// One key with the weight that its value had.
pub(super) struct HotKey {
    pub(super) cache: String,
    pub(super) key: Vec<u8>,
    pub(super) weight: u64,
}

type Listed = BTreeMap<String, Vec<(ByteBuf, u64)>>;

/// The list of what `near` holds.
pub(super) fn list<V: Clone>(near: &Near<V>) -> Vec<u8> {
    let mut listed = Listed::new();
    let mut left = near.budget() / SHARE;
    for (cache, key, weight) in near.iter().take(MAX_KEYS) {
        if weight <= left {
            left -= weight;
            listed.entry(cache.to_owned()).or_default().push((ByteBuf::from(key), weight));
        }
    }
    // Strings, bytes and integers always encode.
    rmp_serde::to_vec(&listed).unwrap_or_default()
}

/// Reads what a list names of some caches into batches, each worth one round trip. Whatever is no
/// list is an empty one.
pub(super) fn batches(list: &[u8], wanted: impl Fn(&str) -> bool) -> Vec<Vec<HotKey>> {
    let listed: Listed = rmp_serde::from_slice(list).unwrap_or_default();
    let keys = listed.into_iter().filter(|(cache, _)| wanted(cache)).flat_map(|(cache, keys)| {
        keys.into_iter().map(move |(key, weight)| HotKey {
            cache: cache.clone(),
            key: key.into_vec(),
            weight,
        })
    });
    let mut batches: Vec<Vec<HotKey>> = Vec::new();
    let mut room = 0;
    for key in keys.take(MAX_KEYS) {
        if key.weight > room {
            if batches.len() == MAX_BATCHES {
                break;
            }
            batches.push(Vec::new());
            room = BATCH_BYTES;
        }
        room = room.saturating_sub(key.weight);
        if let Some(batch) = batches.last_mut() {
            batch.push(key);
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::near::Known;

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let mut near = Near::new(1 << 20);
        for (cache, key) in [("a", &b"1"[..]), ("b", b""), ("b", b"\xff\0")] {
            let number = near.number(cache);
            near.insert(number, key, Known::Value(()), 10, None);
        }
        let batches = batches(&list(&near), |_| true);
        assert_eq!(batches.len(), 1);
        let mut keys: Vec<_> =
            batches[0].iter().map(|hot| (hot.cache.as_str(), hot.key.as_slice())).collect();
        keys.sort_unstable();
        assert_eq!(keys, [("a", &b"1"[..]), ("b", b""), ("b", b"\xff\0")]);
    }

    #[test]
    fn what_is_no_list_is_empty() {
        for bytes in [&b""[..], b"\xc1", b"\xdf\xff\xff\xff\xff", &vec![0x91; 100_000]] {
            assert!(batches(bytes, |_| true).is_empty());
        }
    }

    #[test]
    fn a_list_is_bounded() {
        let mut near = Near::new(64 << 20);
        let number = near.number("c");
        for i in 0..20_000_u32 {
            near.insert(number, &i.to_le_bytes(), Known::Value(()), 2000, None);
        }
        let batches = batches(&list(&near), |_| true);
        assert!(batches.iter().map(Vec::len).sum::<usize>() <= MAX_KEYS);
        assert!(batches.len() <= 4, "{}", batches.len());
    }
}
