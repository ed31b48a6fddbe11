//! How fast the processes of a node fetch the hot set: after a loss of all memories each of them
//! wants all of it at once.
//!
//! An account in a small file that they share. Without it each process is on its own.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use crate::clock::{boot_nanos, nanos};
use crate::config::Config;
use crate::node_state::{alone_in_process, directory, locked, open};

/// Bytes that a node fetches a second, after what it may fetch at once.
const BYTES_A_SECOND: u64 = 32 << 20;
/// What it may fetch at once.
const AT_ONCE: u64 = 16 << 20;
/// No turn is further away; what says so is rubbish.
const LONGEST: Duration = Duration::from_secs(60);

/// What has been fetched, as time: bytes take their share of a second.
#[derive(Clone, Copy, Default)]
struct Account {
    /// From when on there is a turn, in nanoseconds of the boot clock.
    free_at: u64,
    /// What the last turn took.
    last: u64,
}

/// A turn that was taken, with what it is expected to take.
pub(super) struct Turn {
    expected: u64,
}

impl Account {
    fn take(&mut self, now: u64, at_once: u64) -> Option<Turn> {
        if (now + 1..now + nanos(LONGEST)).contains(&self.free_at) {
            return None;
        }
        let expected = self.last.min(time(u64::MAX));
        self.free_at = self.free_at.clamp(now.saturating_sub(time(at_once)), now) + expected;
        Some(Turn { expected })
    }

    fn end(&mut self, turn: &Turn, bytes: u64) {
        let took = time(bytes);
        self.free_at = self.free_at.saturating_sub(turn.expected).saturating_add(took);
        // Most of a node with a tier fetch nothing.
        self.last = if bytes == 0 { turn.expected } else { took };
    }
}

/// Nanoseconds that so many bytes take, no more than are believed.
fn time(bytes: u64) -> u64 {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(BYTES_A_SECOND);
    u64::try_from(nanos).unwrap_or(u64::MAX).min(1_000_000_000)
}

/// The turns of the processes that use one place.
pub(super) struct Turns {
    name: String,
    at_once: u64,
}

impl Turns {
    pub(super) fn of(config: &Config) -> Self {
        let name = blake3::hash(format!("hot set of {}", config.place()).as_bytes()).to_hex();
        // What one process put into a node tier the others need not fetch.
        Self { name: name.to_string(), at_once: if config.node_tier().is_some() { 0 } else { AT_ONCE } }
    }

    /// Takes a turn; `None` if it is not this process's yet.
    pub(super) fn take(&self) -> Option<Turn> {
        let _thread = alone_in_process()?;
        let Some(file) = self.file() else { return Some(Turn { expected: 0 }) };
        update(&file, |account| account.take(boot_nanos(), self.at_once))?
    }

    /// Ends a turn that fetched so many bytes.
    pub(super) fn end(&self, turn: &Turn, bytes: u64) {
        if let (Some(_thread), Some(file)) = (alone_in_process(), self.file()) {
            update(&file, |account| account.end(turn, bytes));
        }
    }

    /// Opened anew each time: turns are rare.
    fn file(&self) -> Option<File> {
        open(&directory()?.join(&self.name))
    }
}

fn update<T>(file: &File, change: impl FnOnce(&mut Account) -> T) -> Option<T> {
    locked(file, || {
        let mut account = read(file);
        let said = change(&mut account);
        // Should it fail the others learn nothing.
        let _ = file.write_all_at([account.free_at, account.last].map(u64::to_le_bytes).as_flattened(), 0);
        said
    })
}

/// Nothing if the file is empty.
fn read(file: &File) -> Account {
    let mut numbers = [[0; 8]; 2];
    if file.read_exact_at(numbers.as_flattened_mut(), 0).is_err() {
        return Account::default();
    }
    let [free_at, last] = numbers.map(u64::from_le_bytes);
    Account { free_at, last }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// How many of 64 processes that come at once have fetched after each tenth of a second.
    fn fetched(bytes: u64, at_once: u64) -> Vec<usize> {
        let mut account = Account { last: time(bytes), ..Account::default() };
        let mut fetched = 0;
        let after = |tenth: u64| {
            while fetched < 64
                && let Some(turn) = account.take(100 * SECOND + tenth * SECOND / 10, at_once)
            {
                account.end(&turn, bytes);
                fetched += 1;
            }
            fetched
        };
        (0..100).map(after).collect()
    }

    #[test]
    fn a_node_fetches_so_much_at_once_and_then_so_much_a_second() {
        let fetched = fetched(4 << 20, AT_ONCE);
        assert_eq!((fetched[0], fetched[10], fetched[20]), (5, 13, 21), "{fetched:?}");
        assert_eq!(fetched[99], 64);
    }

    #[test]
    fn with_a_node_tier_one_fetches_for_all() {
        let mut account = Account { last: time(4 << 20), ..Account::default() };
        let now = 100 * SECOND;
        let first = account.take(now, 0).unwrap();
        assert!(account.take(now + 1, 0).is_none(), "the first is at it");
        account.end(&first, 4 << 20);
        let next = account.take(now + SECOND, 0).unwrap();
        account.end(&next, 0);
        assert!(account.take(now + SECOND, 0).is_some(), "it found all in the node");
    }

    #[test]
    fn rubbish_keeps_nobody_away_for_long() {
        for free_at in [u64::MAX, 1_000_000 * SECOND] {
            let mut account = Account { free_at, last: u64::MAX };
            assert!(account.take(100 * SECOND, AT_ONCE).is_some());
            assert!(account.take(102 * SECOND, AT_ONCE).is_some());
        }
    }

    #[test]
    fn the_processes_of_a_node_share_an_account() {
        let name = format!("turns-{}", std::process::id());
        let [one, other] = [(); 2].map(|()| Turns { name: name.clone(), at_once: 0 });
        let turn = one.take().unwrap();
        one.end(&turn, 32 << 20);
        assert!(other.take().is_none());
        let _ = std::fs::remove_file(directory().unwrap().join(name));
    }
}
