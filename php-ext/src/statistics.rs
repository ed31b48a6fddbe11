//! What the fleet did, as arrays.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::prelude::*;
use ext_php_rs::types::ZendHashTable;
use larder::engine::observe::{CacheCounts, NodeStatistics, Sample};

/// What is known of one node.
pub(crate) fn of_node(node: &NodeStatistics) -> PhpResult<ZBox<ZendHashTable>> {
    let mut array = ZendHashTable::new();
    array.insert("version", node.version.as_str())?;
    array.insert("configuration", node.fingerprint())?;
    let mut options = ZendHashTable::new();
    node.options.iter().try_for_each(|(name, value)| options.insert(name.as_str(), value.as_str()))?;
    array.insert("options", options)?;
    array.insert("seen", whole(node.seen_ms / 1000))?;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds fit for 285,000 years")]
    array.insert("clock_ahead", node.clock_ahead_ms as f64 / 1000.0)?;
    array.insert("tier", node.tier.as_str())?;
    array.insert("reason", node.reason.as_str())?;
    array.insert("processes", whole(node.processes))?;
    array.insert("near_bytes", whole(node.near_bytes))?;
    array.insert("near_entries", whole(node.near_entries))?;
    array.insert("total", of_sample(&node.total)?)?;
    array.insert("minutes", of_samples(&node.minutes)?)?;
    array.insert("hours", of_samples(&node.hours)?)?;
    Ok(array)
}

fn of_samples(samples: &[Sample]) -> PhpResult<ZBox<ZendHashTable>> {
    let mut array = ZendHashTable::new();
    samples.iter().try_for_each(|sample| Ok::<_, PhpException>(array.push(of_sample(sample)?)?))?;
    Ok(array)
}

/// All counts of the store and of all caches together, then those of each cache that is the
/// application's.
fn of_sample(sample: &Sample) -> PhpResult<ZBox<ZendHashTable>> {
    let mut array = ZendHashTable::new();
    array.insert("time", whole(sample.time_ms / 1000))?;
    for (name, count) in sample.store.named().into_iter().chain(sample.sum().named()) {
        array.insert(name, whole(count))?;
    }
    let mut caches = ZendHashTable::new();
    for (name, counts) in &sample.caches {
        caches.insert(name.as_str(), of_cache(counts)?)?;
    }
    array.insert("caches", caches)?;
    Ok(array)
}

fn of_cache(counts: &CacheCounts) -> PhpResult<ZBox<ZendHashTable>> {
    let mut array = ZendHashTable::new();
    counts.named().into_iter().try_for_each(|(name, count)| array.insert(name, whole(count)))?;
    Ok(array)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
