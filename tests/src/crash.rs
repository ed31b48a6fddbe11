//! A sequence of writes to a shared directory, and what the directory holds after each: for a
//! process that is killed at any of its filesystem calls, and for the one that looks afterwards.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use larder::Error;
use larder::contract::{Attempt, Backend, CacheId, Claim, LockBackend, Op, Read, Token};
use larder::testing::dir::Settings;

/// Small enough that a pack of [`LARGE`] bytes makes the log rotate.
const MAX_BYTES: u64 = 1 << 20;
const LARGE: usize = 70_000;
const MEDIUM: usize = 20_000;
/// Stands for locks where caches do.
const LOCKS: &str = "locks";
/// Longer than a test takes.
const LEASE: Duration = Duration::from_secs(600);
const INSTANT: Duration = Duration::from_millis(1);

/// Entries by cache and key, and holders of locks by name.
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
    /// Empties everything but the locks.
    Reset,
    /// Waits for the end of the grace, in which nobody gets a lock.
    Ready,
    /// Asks for a lock, to have it or to stand in line for it.
    Ask(&'static str, u128),
    Release(&'static str, u128),
}

use Write::{Ask, Delete, Purge, Ready, Release, Reset, Set};

/// Each of one call, but for those of locks.
const STEPS: [&[Write]; 19] = [
    &[Set("c", "a", 10)],
    &[Set("c", "b", MEDIUM)],
    &[Set("c", "c", 10), Set("c", "d", MEDIUM), Delete("c", "a"), Set("p", "x", 10), Set("p", "y", MEDIUM)],
    &[Set("c", "e", LARGE)],
    &[Set("c", "a", 10)],
    &[Purge("p")],
    &[Set("c", "b", MEDIUM), Delete("c", "d")],
    &[Set("c", "e", LARGE)],
    &[Delete("c", "e"), Set("p", "x", 10)],
    &[Ready],
    &[Ask("n", 1)],
    &[Ask("n", 2)],
    &[Set("c", "e", LARGE)],
    &[Release("n", 1)],
    &[Ask("n", 2)],
    &[Reset],
    &[Set("c", "a", MEDIUM)],
    &[Release("n", 2)],
    &[Ask("n", 3)],
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
                Reset => state.retain(|(of, _), _| *of == LOCKS),
                Ready => {}
                Ask(name, token) => {
                    state.entry((LOCKS, name)).or_insert_with(|| token.to_le_bytes().into());
                }
                // The second stands in line.
                Release(name, 1) => {
                    state.insert((LOCKS, name), 2_u128.to_le_bytes().into());
                }
                Release(name, _) => {
                    state.remove(&(LOCKS, name));
                }
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
    if let Some(done) = apply_to_all(backend, STEPS.get(step).copied().unwrap_or_default())? {
        return Ok(done);
    }
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
                Reset | Ready | Ask(..) | Release(..) => return None,
            })
        })
        .collect();
    backend.apply(None, &ops).map(drop)
}

/// Makes a step that is no write of entries.
fn apply_to_all(backend: &dyn Backend, writes: &[Write]) -> Result<Option<()>, Error> {
    let [write] = writes else { return Ok(None) };
    let Some(locks) = backend.locks() else { return Ok(None) };
    match *write {
        Set(..) | Delete(..) | Purge(_) => return Ok(None),
        Reset => backend.reset()?,
        Ready => wait_for_grace(backend)?,
        Ask(name, token) => drop(ask(locks, name, token, LEASE)?),
        Release(name, token) => drop(locks.release(name.as_bytes(), Token::from_number(token))?),
    }
    Ok(Some(()))
}

/// Waits until locks are granted, by taking one for an instant.
///
/// # Errors
/// As the backend.
pub fn wait_for_grace(backend: &dyn Backend) -> Result<(), Error> {
    let Some(locks) = backend.locks() else { return Ok(()) };
    while let Attempt::Wait { at_most } | Attempt::Grace { left: at_most } =
        ask(locks, "n ready", 9, INSTANT)?
    {
        locks.park(Token::from_number(9), at_most);
    }
    locks.release(b"ready", Token::from_number(9)).map(drop)
}

/// Asks for a lock, to have it or to stand in line for it.
///
/// # Errors
/// As the backend.
pub fn ask(locks: &dyn LockBackend, name: &str, token: u128, lease: Duration) -> Result<Attempt, Error> {
    let (name, token) = (name.as_bytes(), Token::from_number(token));
    locks.acquire(&Claim { name, token, owner: b"crash", lease, queue: true })
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
    let holder = match backend.locks() {
        Some(locks) => locks.holder(b"n")?,
        None => None,
    };
    state.extend(holder.map(|token| ((LOCKS, "n"), token.number().to_le_bytes().into())));
    Ok(state)
}
