//! A process of the lock checker: takes locks, counts under them, writes down what it saw, until it
//! is killed.
//!
//! Arguments: URL, log, number of locks, milliseconds of work at the most, seed, seconds to wait
//! for an answer, and more options NAME=VALUE. With `kind=named` the locks are named ones, under
//! which nothing is stored; with `kind=fence` each holder stores its fence, in a cache that is
//! emptied when locks may be lost, in place of the next count.

use std::error::Error;
use std::path::Path;
use std::thread;
use std::time::Duration;

use larder::{CacheKind, Config, LockGuard, Store};
use larder_tests::locks::{self, Section};
use larder_tests::random::Random;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, log, locks, work, seed, timeout, more @ ..] = args.as_slice() else {
        return Err("six arguments".into());
    };
    let own =
        [("server", url.as_str()), ("namespace", "checker"), ("lock_lease", "1"), ("read_timeout", timeout)];
    let more: Vec<_> = more.iter().filter_map(|option| option.split_once('=')).collect();
    let (named, fences) = (more.contains(&("kind", "named")), more.contains(&("kind", "fence")));
    let more = more.into_iter().filter(|(name, _)| *name != "kind");
    let config = Config::from_options(own.into_iter().chain(more))?;
    let store = Store::open(&config)?;
    let kind = if fences { CacheKind::Logged } else { CacheKind::Session };
    let cache = store.cache_with("counts", kind, None)?;
    let mut log = locks::log(Path::new(log))?;
    let (locks, work): (u64, u64) = (locks.parse()?, work.parse()?);
    let mut random = Random(seed.parse()?);
    loop {
        let key = random.below(locks);
        // Most give up soon, or all would end up behind the few holders that are stopped.
        let wait = Duration::from_millis(match random.below(20) {
            0 => 3,
            1..16 => 50,
            _ => 5_000,
        });
        let name = format!("n{key}");
        let got = if named { store.lock(&name, "worker", wait) } else { cache.lock(&name, "worker", wait) };
        let Ok(Some(lock)) = got else { continue };
        let mut section =
            Section { key, fence: lock.fence(), from: locks::now(), until: 0, found: 0, stored: 0 };
        let believed = |section: &mut Section, lock: &LockGuard| {
            let now = locks::now();
            if lock.is_held() {
                section.until = now;
            }
        };
        believed(&mut section, &lock);
        let pause = random.below(1000 * (work + 1));
        let count = if named { None } else { cache.get::<u64>(&name).ok() };
        if pause > 100 {
            thread::sleep(Duration::from_micros(pause));
        }
        if let Some(count) = count {
            section.found = count.unwrap_or(0);
            let number = if fences { section.fence } else { section.found + 1 };
            if cache.set_locked(&lock, &name, &number).is_ok() {
                section.stored = number;
            }
        }
        believed(&mut section, &lock);
        drop(lock);
        section.append(&mut log)?;
    }
}
