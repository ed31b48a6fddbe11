//! A sequence of writes to a shared directory, and what the directory holds after each: for a process that is killed
//! at any of its filesystem calls, and for the one that looks afterwards.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use larder::dir::Settings;
use larder::{Backend, CacheId, Error, Op, Read};

/// Small enough that a pack of [`LARGE`] bytes makes the log rotate.
const MAX_BYTES: u64 = 1 << 20;
const LARGE: usize = 70_000;
const MEDIUM: usize = 20_000;

/// Entries by cache and key, with their length; the bytes follow from step and length.
pub type State = BTreeMap<(&'static str, &'static str), Vec<u8>>;

/// The settings that writer and reader use.
pub fn settings(path: &Path) -> Settings {
    Settings {
        path: path.join("cache"),
        namespace: "site".to_owned(),
        max_bytes: MAX_BYTES,
        wait: Duration::from_secs(10),
    }
}

enum Write {
    Set(&'static str, &'static str, usize),
    Delete(&'static str, &'static str),
    Purge(&'static str),
}

use Write::{Delete, Purge, Set};

const STEPS: [&[Write]; 9] = [
    &[Set("c", "a", 10)],
    &[Set("c", "b", MEDIUM)],
    &[Set("c", "c", 10), Set("c", "d", MEDIUM), Delete("c", "a"), Set("p", "x", 10), Set("p", "y", MEDIUM)],
    &[Set("c", "e", LARGE)],
    &[Set("c", "a", 10)],
    &[Purge("p")],
    &[Set("c", "b", MEDIUM), Delete("c", "d")],
    &[Set("c", "e", LARGE)],
    &[Delete("c", "e"), Set("p", "x", 10)],
];

/// How many steps there are.
pub const COUNT: usize = STEPS.len();

fn content(step: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251 + step).to_le_bytes()[0]).collect()
}

/// What stands after so many steps.
pub fn after(steps: usize) -> State {
    let mut state = State::new();
    for (step, writes) in STEPS.iter().enumerate().take(steps) {
        for write in *writes {
            match *write {
                Set(cache, key, length) => {
                    state.insert((cache, key), content(step, length));
                }
                Delete(cache, key) => {
                    state.remove(&(cache, key));
                }
                Purge(cache) => state.retain(|(of, _), _| *of != cache),
            }
        }
    }
    state
}

/// Makes one step.
///
/// # Errors
/// As the backend.
pub fn apply(backend: &dyn Backend, step: usize) -> Result<(), Error> {
    let caches = BTreeMap::from([("c", CacheId::new("c", true)?), ("p", CacheId::new("p", true)?)]);
    let writes = STEPS.get(step).copied().unwrap_or_default();
    let contents: Vec<Vec<u8>> = writes
        .iter()
        .map(|write| if let Set(_, _, length) = write { content(step, *length) } else { Vec::new() })
        .collect();
    let ops: Vec<Op<'_>> = writes
        .iter()
        .zip(&contents)
        .filter_map(|(write, entry)| {
            Some(match *write {
                Set(cache, key, _) => {
                    let (cache, key) = (caches.get(cache)?, key.as_bytes());
                    Op::Set { cache, key, entry, expires: None, guard: None, lock: None }
                }
                Delete(cache, key) => Op::Delete { cache: caches.get(cache)?, key: key.as_bytes() },
                Purge(cache) => Op::Purge { cache: caches.get(cache)? },
            })
        })
        .collect();
    backend.apply(None, &ops).map(drop)
}

/// What a handle reads.
///
/// # Errors
/// As the backend.
pub fn read(backend: &dyn Backend) -> Result<State, Error> {
    let mut state = State::new();
    for (name, keys) in [("c", &["a", "b", "c", "d", "e"][..]), ("p", &["x", "y"])] {
        let cache = CacheId::new(name, true)?;
        for &key in keys {
            let read = Read { cache: &cache, key: key.as_bytes() };
            if let Some(entry) = backend.fetch(None, &[read])?.entries.pop().flatten() {
                state.insert((name, key), entry);
            }
        }
    }
    Ok(state)
}
