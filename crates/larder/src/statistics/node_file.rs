//! The file in which the processes of one user on this node add up what they counted: one for each
//! place, in the directory of `node_state`.
//!
//! Each process has a *slot*, which it alone writes, with one system call a request. It holds a
//! lock of the kernel on its first byte, which ends with the process, however that ends; who takes
//! the slot next goes on from the numbers there. So nothing that was counted is lost or counted
//! twice, and the file is as large as the most processes that there were at a time.
//!
//! ```text
//! 0     magic 16, name of the file 16, when it was made 8, when its numbers are next told 8, the slot of who told them last 8
//! 4096  the names of caches, 256 bytes each: length 2, name
//! then  slots of 16 KiB: numbers of 8 bytes, those of the process, of the store, and of each cache in the order of the names
//! ```
//!
//! Numbers are little endian. Whoever reads a slot while it is written sees some numbers of now and
//! some of before.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::counts::{CacheCounts, StoreCounts};
use crate::clock::{Millis, wall_clock};
use crate::contract::CacheId;
use crate::node_state::open;
use crate::random::random;

/// Another one for another layout, also of the numbers.
const MAGIC: [u8; 16] = *b"larder counts 1\n";
const HEADER: usize = 56;
/// Where the name of the file stands, and what follows it.
const AFTER_MAGIC: usize = 16;
/// Where it stands when the numbers are next told.
const DUE: u64 = 40;

const NAMES: u64 = 4096;
const NAME: usize = 256;
/// The most caches that are told apart. The last one stands for all others.
const ROWS: usize = 255;
const SLOTS: u64 = NAMES + (NAME * ROWS) as u64;
const SLOT: usize = 16 << 10;
/// The most processes that are counted.
const MAX_SLOTS: u64 = 4096;

/// The numbers of the process: the bytes and the number of the values that it holds.
const GAUGES: usize = 2;
const ROWS_AT: usize = GAUGES + StoreCounts::LEN;
const _: () = assert!((ROWS_AT + ROWS * CacheCounts::LEN) * 8 <= SLOT && CacheId::MAX_NAME + 2 <= NAME);

/// How often the numbers are told.
pub(super) const INTERVAL: Millis = 60_000;
/// So long who told them last comes before the others: it knows best what it was told before.
const PRECEDENCE: Millis = 15_000;
/// After such a time nobody knows for how long nothing happened.
const FORGOTTEN: Millis = 3_600_000;

/// The name for caches that have no row.
pub(super) const OTHERS: &str = "(others)";

/// What all processes of the file counted, and hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeTotals {
    /// The random name of the file.
    pub(crate) file: [u8; 16],
    /// When the file was made, on this node's clock.
    pub(crate) made: Millis,
    /// Processes that are alive.
    pub(crate) processes: u64,
    /// Bytes of the values that they hold.
    pub(crate) near_bytes: u64,
    /// How many values these are.
    pub(crate) near_entries: u64,
    pub(crate) store: StoreCounts,
    /// What was done with each cache, by name.
    pub(crate) caches: Vec<(String, CacheCounts)>,
}

/// The file, open, and the slot of this process.
pub(super) struct NodeFile {
    file: File,
    slot: u64,
    /// What stands in the slot.
    numbers: Vec<u64>,
}

impl NodeFile {
    /// Opens the file at `path`, made if there is none, and takes a slot; `None` if that cannot be.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let file = open(path)?;
        make(&file)?;
        let slot = (0..MAX_SLOTS).find(|slot| set_lock(&file, slot_at(*slot), libc::F_WRLCK))?;
        let mut numbers = read_numbers(&file, slot);
        add_at(&mut numbers, 0, &[0; ROWS_AT]);
        Some(Self { file, slot, numbers })
    }

    /// The row of a cache.
    pub(super) fn row(&self, cache: &str) -> usize {
        let others = ROWS - 1;
        let Some(_lock) = Header::lock(&self.file) else { return others };
        let names = read_names(&self.file);
        if let Some(row) = names.iter().position(|name| name == cache) {
            return row;
        }
        if names.len() >= others {
            return others;
        }
        let Ok(length) = u16::try_from(cache.len()) else { return others };
        let bytes = [&length.to_le_bytes(), cache.as_bytes()].concat();
        match self.file.write_all_at(&bytes, NAMES + (names.len() * NAME) as u64) {
            Ok(()) => names.len(),
            Err(_) => others,
        }
    }

    /// Adds to what stands in the slot, and says what the process holds now.
    pub(super) fn add<'a>(
        &mut self,
        gauges: [u64; GAUGES],
        store: &StoreCounts,
        caches: impl Iterator<Item = (usize, &'a CacheCounts)>,
    ) {
        if let Some(first) = self.numbers.first_chunk_mut() {
            *first = gauges;
        }
        add_at(&mut self.numbers, GAUGES, &store.numbers());
        for (row, counts) in caches {
            add_at(&mut self.numbers, ROWS_AT + row * CacheCounts::LEN, &counts.numbers());
        }
        let mut bytes = Vec::with_capacity(8 * self.numbers.len());
        bytes.extend(self.numbers.iter().flat_map(|number| number.to_le_bytes()));
        // Should it fail, the next time tells more.
        let _ = self.file.write_all_at(&bytes, slot_at(self.slot));
    }

    /// Whether it is this process's turn to tell the numbers, which begins another [`INTERVAL`]; if
    /// not, when to ask again. `now` is on the boot clock.
    pub(super) fn turn(&self, now: Millis) -> Result<(), Millis> {
        let later = Err(now + INTERVAL);
        let Some(_lock) = Header::lock(&self.file) else { return later };
        let mut bytes = [0; 16];
        if self.file.read_exact_at(&mut bytes, DUE).is_err() {
            return later;
        }
        let (due, last) = bytes.split_at(8);
        let [due, last] = [due, last].map(number);
        let known = due <= now + INTERVAL && now - due.min(now) < FORGOTTEN;
        if known && now < due {
            return Err(due);
        }
        let precedes = last != self.slot && is_taken(&self.file, last);
        if known && precedes && now < due + PRECEDENCE {
            return Err(due + PRECEDENCE);
        }
        let next = [now + INTERVAL, if known { self.slot } else { MAX_SLOTS }].map(u64::to_le_bytes);
        if self.file.write_all_at(next.as_flattened(), DUE).is_err() || !known {
            return later;
        }
        Ok(())
    }

    /// What stands in all slots.
    pub(super) fn totals(&self) -> Option<NodeTotals> {
        let mut totals = totals(&self.file)?;
        // One's own lock does not show.
        let [bytes, entries] = *self.numbers.first_chunk()?;
        totals.processes += 1;
        totals.near_bytes += bytes;
        totals.near_entries += entries;
        Some(totals)
    }
}

/// What stands in the file at `path`, for a process that counts nothing there; `None` if there is
/// none.
pub(super) fn read(path: &Path) -> Option<NodeTotals> {
    path.exists().then(|| totals(&open(path)?)).flatten()
}

fn totals(file: &File) -> Option<NodeTotals> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0).ok()?;
    let rest = header.strip_prefix(&MAGIC)?;
    let (name, made) = rest.split_first_chunk()?;
    let mut totals = NodeTotals { file: *name, made: number(made), ..NodeTotals::default() };
    let mut sums = vec![0; ROWS_AT];
    let end = file.metadata().ok()?.len();
    for slot in (0..MAX_SLOTS).take_while(|slot| slot_at(*slot) < end) {
        let numbers = read_numbers(file, slot);
        if is_taken(file, slot)
            && let Some([bytes, entries]) = numbers.first_chunk()
        {
            totals.processes += 1;
            totals.near_bytes = totals.near_bytes.saturating_add(*bytes);
            totals.near_entries = totals.near_entries.saturating_add(*entries);
        }
        add_at(&mut sums, 0, &numbers);
    }
    totals.store = StoreCounts::of(sums.get(GAUGES..)?);
    let mut names = read_names(file);
    names.resize(ROWS - 1, String::new());
    names.push(OTHERS.to_owned());
    let rows = sums.get(ROWS_AT..)?.chunks(CacheCounts::LEN).map(CacheCounts::of);
    let counted = |(name, counts): &(String, CacheCounts)| {
        *counts != CacheCounts::default() && !CacheId::stored(name, true).is_reserved()
    };
    totals.caches = names.into_iter().zip(rows).filter(counted).collect();
    Some(totals)
}

/// The right to change what is not in slots, until dropped.
struct Header<'a>(&'a File);

impl<'a> Header<'a> {
    /// `None` if others have it for longer than that can take.
    fn lock(file: &'a File) -> Option<Self> {
        const TRIES: usize = 100;
        let got = |turn| {
            if turn > 0 {
                std::thread::yield_now();
            }
            set_lock(file, 0, libc::F_WRLCK)
        };
        (0..TRIES).any(got).then_some(Self(file))
    }
}

impl Drop for Header<'_> {
    fn drop(&mut self) {
        set_lock(self.0, 0, libc::F_UNLCK);
    }
}

/// Makes sure that it is such a file.
fn make(file: &File) -> Option<()> {
    let _lock = Header::lock(file)?;
    let mut magic = [0; AFTER_MAGIC];
    if file.read_exact_at(&mut magic, 0).is_ok() {
        return (magic == MAGIC).then_some(());
    }
    let name: [u8; 16] = random().ok()?;
    let made = wall_clock().to_le_bytes();
    let unknown = [u64::MAX, MAX_SLOTS].map(u64::to_le_bytes);
    let header = [&MAGIC[..], &name, &made, unknown.as_flattened()].concat();
    file.write_all_at(&header, 0).ok()
}

fn slot_at(slot: u64) -> u64 {
    SLOTS + slot * SLOT as u64
}

fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn add_at(numbers: &mut Vec<u64>, at: usize, more: &[u64]) {
    if numbers.len() < at + more.len() {
        numbers.resize(at + more.len(), 0);
    }
    for (number, more) in numbers.iter_mut().skip(at).zip(more) {
        *number = number.saturating_add(*more);
    }
}

fn read_numbers(file: &File, slot: u64) -> Vec<u64> {
    let bytes = read_at(file, slot_at(slot), SLOT);
    bytes.chunks_exact(8).take(ROWS_AT + ROWS * CacheCounts::LEN).map(number).collect()
}

fn read_names(file: &File) -> Vec<String> {
    let bytes = read_at(file, NAMES, NAME * ROWS);
    let name = |entry: &[u8]| {
        let (length, name) = entry.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes(*length));
        let name = name.get(..length).filter(|name| !name.is_empty())?;
        Some(String::from_utf8_lossy(name).into_owned())
    };
    bytes.chunks(NAME).map_while(name).collect()
}

/// What there is of so many bytes.
fn read_at(file: &File, at: u64, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; most];
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + read as u64) {
            Ok(more) if more > 0 => read += more,
            _ => break,
        }
    }
    bytes.truncate(read);
    bytes
}

/// A lock on one byte of the file, which belongs to the open file: a forked child has it together
/// with its parent.
fn lock_on(at: u64, kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: libc::c_short::try_from(kind).unwrap_or_default(),
        l_whence: libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: i64::try_from(at).unwrap_or_default(),
        l_len: 1,
        l_pid: 0,
    }
}

fn set_lock(file: &File, at: u64, kind: libc::c_int) -> bool {
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock_on(at, kind))).is_ok()
}

/// Whether another has the slot.
fn is_taken(file: &File, slot: u64) -> bool {
    let mut lock = lock_on(slot_at(slot), libc::F_WRLCK);
    slot < MAX_SLOTS
        && fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock)).is_ok()
        && libc::c_int::from(lock.l_type) != libc::F_UNLCK
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("counts");
        (directory, path)
    }

    fn add(file: &mut NodeFile, cache: &str, hits: u64) {
        let row = file.row(cache);
        let store = StoreCounts { requests: 1, ..StoreCounts::default() };
        let counts = CacheCounts { hits, ..CacheCounts::default() };
        file.add([10 * hits, hits], &store, [(row, &counts)].into_iter());
    }

    fn hits(totals: &NodeTotals) -> Vec<(&str, u64)> {
        totals.caches.iter().map(|(name, counts)| (&**name, counts.hits)).collect()
    }

    #[test]
    fn processes_are_added_up_and_the_dead_are_not_forgotten() {
        let (_directory, path) = place();
        assert_eq!(read(&path), None);
        let mut a = NodeFile::open(&path).unwrap();
        let mut b = NodeFile::open(&path).unwrap();
        add(&mut a, "one", 1);
        add(&mut b, "two", 2);
        add(&mut b, "one", 4);
        let totals = b.totals().unwrap();
        assert_eq!(hits(&totals), [("one", 5), ("two", 2)]);
        assert_eq!(
            (totals.store.requests, totals.processes, totals.near_bytes, totals.near_entries),
            (3, 2, 50, 5)
        );
        drop(a);
        let after = b.totals().unwrap();
        assert_eq!((hits(&after), after.store.requests), (hits(&totals), 3));
        assert_eq!((after.processes, after.near_bytes), (1, 40), "what the dead hold is gone");
        let mut c = NodeFile::open(&path).unwrap();
        assert_eq!(c.slot, 0, "the slot of the dead is used again");
        add(&mut c, "one", 8);
        assert_eq!(hits(&read(&path).unwrap()), [("one", 13), ("two", 2)]);
        assert_eq!((read(&path).unwrap().processes, c.totals().unwrap().processes), (2, 2));
    }

    #[test]
    fn what_is_no_such_file_is_left_alone() {
        let (_directory, path) = place();
        std::fs::write(&path, vec![7; 100_000]).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        assert!(NodeFile::open(&path).is_none() && read(&path).is_none());
        assert_eq!(std::fs::read(&path).unwrap(), vec![7; 100_000]);
    }

    #[test]
    fn caches_beyond_the_rows_are_counted_together_and_those_of_larder_are_not_shown() {
        let (_directory, path) = place();
        let mut file = NodeFile::open(&path).unwrap();
        add(&mut file, "\u{1}own", 1);
        for number in 1..ROWS + 10 {
            add(&mut file, &format!("c{number}"), 1);
        }
        let totals = file.totals().unwrap();
        assert_eq!(totals.caches.len(), ROWS - 1);
        assert_eq!(hits(&totals).last(), Some(&(OTHERS, 11)));
        assert_eq!(
            std::fs::metadata(&path).unwrap().len(),
            SLOTS + 8 * (ROWS_AT + ROWS * CacheCounts::LEN) as u64
        );
    }

    #[test]
    fn one_process_tells_once_a_minute_and_the_same_if_it_lives() {
        let (_directory, path) = place();
        let (a, b) = (NodeFile::open(&path).unwrap(), NodeFile::open(&path).unwrap());
        let begin = 7 * FORGOTTEN;
        assert_eq!(a.turn(begin), Err(begin + INTERVAL), "a node that is new");
        let mut now = begin + INTERVAL;
        assert_eq!((a.turn(now - 1), b.turn(now)), (Err(now), Ok(())));
        assert_eq!(a.turn(now), Err(now + INTERVAL));
        now += INTERVAL;
        assert_eq!(a.turn(now), Err(now + PRECEDENCE));
        assert_eq!(b.turn(now), Ok(()));
        now += INTERVAL + PRECEDENCE;
        assert_eq!(a.turn(now), Ok(()), "one that does nothing waits for nobody");
        drop(a);
        now += INTERVAL;
        assert_eq!(b.turn(now), Ok(()), "nor does a dead one");
        assert_eq!(b.turn(100), Err(100 + INTERVAL), "after a boot");
        assert_eq!(b.turn(100 + INTERVAL), Ok(()));
    }
}
