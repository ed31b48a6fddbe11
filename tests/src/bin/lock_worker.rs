//! A process of the lock checker: takes locks, counts under them, writes down what it saw, until it is killed.
//!
//! Arguments: URL, log, number of locks, milliseconds of work at the most, seed,
//! seconds to wait for an answer, and more options NAME=VALUE.

use std::error::Error;
use std::path::Path;
use std::thread;
use std::time::Duration;

use larder::{CacheOptions, Config, LockGuard, Store};
use larder_tests::locks::{self, Section};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, log, locks, work, seed, timeout, more @ ..] = args.as_slice() else {
        return Err("six arguments".into());
    };
    let own =
        [("server", url.as_str()), ("namespace", "checker"), ("lock_lease", "1"), ("read_timeout", timeout)];
    let more = more.iter().filter_map(|option| option.split_once('='));
    let config = Config::from_options(own.into_iter().chain(more))?;
    let cache = Store::open(&config)?
        .cache_with("counts", CacheOptions { near: false, ..CacheOptions::default() })?;
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
        let Ok(Some(lock)) = cache.lock(format!("n{key}"), "worker", wait) else { continue };
        let mut section = Section { key, fence: lock.fence(), from: locks::now(), until: 0, stored: 0 };
        let believed = |section: &mut Section, lock: &LockGuard| {
            let now = locks::now();
            if lock.is_held() {
                section.until = now;
            }
        };
        believed(&mut section, &lock);
        let name = format!("n{key}");
        if let Ok(count) = cache.get::<u64>(&name) {
            let pause = random.below(1000 * (work + 1));
            if pause > 100 {
                thread::sleep(Duration::from_micros(pause));
            }
            let count = count.unwrap_or(0) + 1;
            if cache.set_locked(&lock, &name, &count).is_ok() {
                section.stored = count;
            }
        }
        believed(&mut section, &lock);
        drop(lock);
        section.append(&mut log)?;
    }
}

/// xorshift64*: any numbers will do.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}
