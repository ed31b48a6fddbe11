//! Tries what Larder needs, because no list of rights says it as surely.

use std::time::Instant;

use larder::Store;
use larder::contract::Result;

use super::checks::{Check, refused};

/// Round trips that are timed.
const TRIES: usize = 9;
/// From here on a round trip for each page is felt.
const SLOW_MS: f64 = 5.0;

/// How long a round trip takes.
pub(super) fn round_trip(store: &Store) -> Check {
    let mut times = Vec::with_capacity(TRIES);
    for _ in 0..TRIES {
        let start = Instant::now();
        if let Err(error) = store.sync() {
            return super::checks::unreachable(&error);
        }
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    let median = times.get(TRIES / 2).copied().unwrap_or_default();
    let found = format!("answers in {median:.2} ms (median of {TRIES})");
    if median < SLOW_MS {
        Check::ok("connection", found)
    } else {
        Check::warning(
            "connection",
            found,
            "every request waits for one answer: move the server closer to its users",
        )
    }
}

/// Whether the server has refused changes that this node has still to make up for.
pub(super) fn refusing(store: &Store) -> Option<Check> {
    let health = store.health();
    health.refusing.then(|| {
        Check::problem(
            "changes",
            format!("the server refused to delete: {}", health.reason),
            "let it take changes again: until then this node does not serve what it could not delete",
        )
    })
}

/// Writes, reads, lists, deletes and purges in two caches made for that.
pub(super) fn rights(store: &Store) -> Check {
    let name = format!("doctor-{}", std::process::id());
    match exercise(store, &name, true).and_then(|()| exercise(store, &name, false)) {
        Ok(()) => Check::ok("rights", "writing, reading, listing, deleting and purging work"),
        Err(error) => refused("rights", &error),
    }
}

fn exercise(store: &Store, name: &str, near: bool) -> Result<()> {
    let cache = store.scratch_cache(name, near, 60);
    let done = (|| {
        cache.set("a", &1)?;
        cache.set("b", &2)?;
        store.sync()?;
        cache.get::<i32>("a")?;
        cache.keys("")?;
        cache.delete("a").map(drop)
    })();
    // Whatever happened, nothing stays behind.
    let purged = cache.purge();
    done.and(purged)
}
