//! Locks of both kinds: `cargo run --example locks [URL]`, with `redis://localhost` or the like,
//! else a directory of its own.

use std::thread;
use std::time::Duration;

use larder::{Config, Error, Store};

const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let own = tempfile::tempdir()?;
    let url = std::env::args().nth(1).unwrap_or_else(|| format!("local:{}", own.path().display()));
    let config = Config::builder(&url).namespace("example").build()?;

    // A lock on a key guards that entry: four workers count to 40 together, and lose nothing.
    Store::open(&config)?.cache("counters")?.set("visits", &0)?;
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let config = config.clone();
            thread::spawn(move || count(&config, worker))
        })
        .collect();
    for worker in workers {
        worker.join().map_err(|_| "a worker panicked")??;
    }
    let store = Store::open(&config)?;
    let visits: Option<u32> = store.cache("counters")?.get("visits")?;
    assert_eq!(visits, Some(40));

    // A named lock guards something else, here a file. It has one holder; who is too late has a
    // smaller number.
    let first = store.lock("report.txt", "host 7", PATIENCE)?.ok_or("nobody else is here")?;
    let number = first.fence();
    assert!(store.lock("report.txt", "host 8", Duration::ZERO)?.is_none(), "it is held");
    drop(first);
    let second = store.lock("report.txt", "host 8", PATIENCE)?.ok_or("it was given back")?;
    assert!(second.fence() > number);
    println!("counted to {}; the lock has had the numbers {number} and {}", 40, second.fence());
    Ok(())
}

/// Adds ten, one at a time.
fn count(config: &Config, worker: u32) -> Result<(), Error> {
    // As if it were another process: with its own connection.
    let cache = Store::open(config)?.cache("counters")?;
    for _ in 0..10 {
        let owner = format!("worker {worker}");
        // Released at the end of each round.
        let Some(lock) = cache.lock("visits", &owner, PATIENCE)? else { continue };
        let visits: u32 = cache.get("visits")?.unwrap_or_default();
        cache.set_locked(&lock, "visits", &(visits + 1))?;
    }
    Ok(())
}
