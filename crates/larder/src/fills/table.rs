//! The leases of a node: a file of fixed size in this user's directory, read and written in place.
//!
//! As all that [`node_state`](crate::node_state) shares it is a convenience: without the file, or
//! with rubbish in it, everybody computes. It is changed under a lock of the kernel that is held
//! for some microseconds and waited for no longer than [`PATIENCE`]; who waits for a fill reads
//! without the lock.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::rules::{self, Ask, Lease, State};
use crate::clock::{boot_nanos, boottime, nanos};
use crate::node_state::{alone_in_process, directory, open};

const NAME: &str = "fills";
/// A row: two numbers, a time with a mark in its lowest bits, and a checksum.
const ROW: usize = 32;
/// The number of rows in a bucket: a key may stand in any row of its bucket.
const BUCKET: usize = 8;
/// The number of buckets: 512 KiB, of which only what is used takes room.
const BUCKETS: u64 = 2048;
/// The number of buckets for who waits: 512 at once. More do not wait.
const WAITER_BUCKETS: u64 = 64;
/// The offset, in bytes, of the buckets for who waits.
const WAITERS_AT: u64 = BUCKETS * (BUCKET * ROW) as u64;
/// The longest wait for the lock of the file; who waited in vain does not try again for
/// [`rules::KEY_WAIT`].
const PATIENCE: Duration = Duration::from_millis(20);
/// Between two tries. Who sleeps leaves the processor to whoever has the lock.
const STEP: Duration = Duration::from_micros(100);
/// Keys that are asked for under one lock.
const BATCH: usize = 64;

/// One row: of a lease `key` is the key, `who` took it, and `mark` is its state; of a waiter `who`
/// waits for `key` until `at`.
#[derive(Clone, Copy)]
struct Row {
    key: u64,
    who: u64,
    at: Duration,
    mark: u64,
}

impl Row {
    fn encode(self) -> [u8; ROW] {
        let mut bytes = [0; ROW];
        let (body, check) = bytes.split_at_mut(24);
        // Times of less than a century leave two bits.
        let time = nanos(self.at) << 2 | self.mark;
        body.copy_from_slice([self.key, self.who, time].map(u64::to_le_bytes).as_flattened());
        // Rows are never all zeros, as those of an empty file are.
        check.copy_from_slice(&(1 << 32 | u64::from(crc32fast::hash(body))).to_le_bytes());
        bytes
    }

    /// `None` if there is no row, or only a part of it was written yet.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let body = bytes.get(..24)?;
        let check = number(24).filter(|check| *check != 0)?;
        (check == 1 << 32 | u64::from(crc32fast::hash(body))).then_some(())?;
        let time = number(16)?;
        Some(Self { key: number(0)?, who: number(8)?, at: Duration::from_nanos(time >> 2), mark: time & 3 })
    }

    fn lease(self) -> Option<Lease> {
        let state = match self.mark {
            1 => State::Computing,
            2 => State::Ended,
            3 => State::Barren,
            _ => return None,
        };
        Some(Lease { who: self.who, state, at: self.at })
    }
}

fn mark(state: State) -> u64 {
    match state {
        State::Computing => 1,
        State::Ended => 2,
        State::Barren => 3,
    }
}

/// The table, open.
pub(crate) struct Table {
    file: File,
    /// Until when the lock is not tried, in nanoseconds of the boot clock.
    busy_until: AtomicU64,
}

impl Table {
    /// The table of this user's processes; `None` if there can be none.
    pub(crate) fn open() -> Option<Self> {
        let _thread = alone_in_process()?;
        Some(Self { file: open(&directory()?.join(NAME))?, busy_until: AtomicU64::new(0) })
    }

    /// What `me` is to do about keys that it knows, as of `known`, to be missing. Leases that it is
    /// to take are taken. Everything is to be computed if somebody else is at the file for too
    /// long.
    pub(crate) fn ask(&self, me: u64, known: Duration, keys: &[u64]) -> Vec<Ask> {
        let mut answers: Vec<Ask> = keys.iter().map(|&key| self.look(me, known, key)).collect();
        let mut free: Vec<(u64, &mut Ask)> = keys.iter().copied().zip(&mut answers).collect();
        free.retain(|(_, answer)| **answer == Ask::Take);
        for batch in free.chunks_mut(BATCH) {
            let taken = self.locked(|| {
                for (key, answer) in batch.iter_mut() {
                    **answer = self.take(me, known, *key);
                }
            });
            if taken.is_none() {
                for (_, answer) in batch {
                    **answer = Ask::Compute;
                }
            }
        }
        answers
    }

    fn take(&self, me: u64, known: Duration, key: u64) -> Ask {
        let now = boottime();
        let bucket = self.bucket(key);
        match rules::ask(bucket.lease(key), me, known, now, is_dead) {
            Ask::Take if self.put(&bucket, key, Lease { who: me, state: State::Computing, at: now }) => {
                Ask::Take
            }
            Ask::Take => Ask::Compute,
            other => other,
        }
    }

    /// What `me` is to do about one key now, if it does not take the lease.
    pub(crate) fn look(&self, me: u64, known: Duration, key: u64) -> Ask {
        rules::ask(self.bucket(key).lease(key), me, known, boottime(), is_dead)
    }

    /// Announces that `me` waits for a key until then, in a place; `None` if it must not, or
    /// cannot.
    pub(crate) fn begin_wait(&self, me: u64, key: u64, until: Duration) -> Option<u64> {
        self.locked(|| {
            let now = boottime();
            let holder = |key| {
                let lease = self.bucket(key).lease(key)?;
                (lease.state == State::Computing).then_some(lease.who)
            };
            let waits = |who| {
                let waiters = self.waiters(who);
                Some(waiters.rows().flatten().find(|row| row.who == who && row.at > now)?.key)
            };
            if rules::closes_circle(me, key, holder, waits) {
                return None;
            }
            let waiters = self.waiters(me);
            let is_free = |row: Option<Row>| row.is_none_or(|row| row.who == me || row.at <= now);
            let place = waiters.place(waiters.rows().position(is_free)?);
            self.write(place, Row { key, who: me, at: until, mark: 0 }).then_some(place)
        })?
    }

    /// `me` waits no more. Nobody else writes to its place before its time is over.
    pub(crate) fn end_wait(&self, me: u64, place: u64) {
        if Row::decode(&self.read::<ROW>(place)).is_some_and(|row| row.who == me) {
            self.write(place, Row { key: 0, who: 0, at: Duration::ZERO, mark: 0 });
        }
    }

    /// Keys were stored, or removed: whoever waits for them, or knows them to be missing, looks
    /// again.
    pub(crate) fn end(&self, me: u64, keys: &[u64]) {
        for keys in keys.chunks(BATCH) {
            self.locked(|| {
                for &key in keys {
                    let lease = Lease { who: me, state: State::Ended, at: boottime() };
                    self.put(&self.bucket(key), key, lease);
                }
            });
        }
    }

    /// The request of `me` is over: nobody waits for what it has not stored.
    pub(crate) fn give_up(&self, me: u64, keys: &[u64]) {
        for keys in keys.chunks(BATCH) {
            self.locked(|| {
                for &key in keys {
                    let bucket = self.bucket(key);
                    let is_mine = |lease: Lease| lease.who == me && lease.state == State::Computing;
                    if bucket.lease(key).is_some_and(is_mine) {
                        self.put(&bucket, key, Lease { who: me, state: State::Barren, at: boottime() });
                    }
                }
            });
        }
    }

    fn bucket(&self, key: u64) -> Bucket {
        let at = key % BUCKETS * (BUCKET * ROW) as u64;
        Bucket { at, rows: self.read(at) }
    }

    /// Where it stands what `who` waits for. Processes that were started together have different
    /// places.
    fn waiters(&self, who: u64) -> Bucket {
        let at = WAITERS_AT + (who >> 32).wrapping_add(who) % WAITER_BUCKETS * (BUCKET * ROW) as u64;
        Bucket { at, rows: self.read(at) }
    }

    /// Writes a lease over that of the key, or in a free row, or over one that nobody waits for;
    /// false if there is no room.
    fn put(&self, bucket: &Bucket, key: u64, lease: Lease) -> bool {
        let rank = |row: Option<Row>| match row {
            Some(row) if row.key == key => (0, Duration::ZERO),
            Some(Row { mark: 1, at, .. })
                if lease.at.checked_sub(at).is_some_and(|age| age < rules::LIFE) =>
            {
                (3, at)
            }
            Some(row) => (2, row.at),
            None => (1, Duration::ZERO),
        };
        let best = bucket.rows().enumerate().map(|(place, row)| (rank(row), place)).min();
        let Some((_, place)) = best.filter(|((class, _), _)| *class < 3) else { return false };
        let row = Row { key, who: lease.who, at: lease.at, mark: mark(lease.state) };
        self.write(bucket.place(place), row)
    }

    /// Zeros where there is nothing.
    fn read<const BYTES: usize>(&self, at: u64) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let mut read = 0;
        while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, at + read as u64) {
                Ok(more) if more > 0 => read += more,
                _ => break,
            }
        }
        bytes
    }

    fn write(&self, place: u64, row: Row) -> bool {
        self.file.write_all_at(&row.encode(), place).is_ok()
    }

    /// Runs `act` while nobody else changes the table; `None` if somebody is at it for too long.
    fn locked<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        if boot_nanos() < self.busy_until.load(Ordering::Relaxed) {
            return None;
        }
        let _thread = alone_in_process()?;
        let mut until = None;
        while fcntl_lock(&self.file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let now = boottime();
            if now > *until.get_or_insert(now + PATIENCE) {
                self.busy_until.store(nanos(now + rules::KEY_WAIT), Ordering::Relaxed);
                return None;
            }
            std::thread::sleep(STEP);
        }
        let done = act();
        let _ = fcntl_lock(&self.file, FlockOperation::Unlock);
        Some(done)
    }
}

/// The rows in which a key, or a waiter, may stand, as read.
struct Bucket {
    at: u64,
    rows: [u8; BUCKET * ROW],
}

impl Bucket {
    fn rows(&self) -> impl Iterator<Item = Option<Row>> {
        self.rows.chunks_exact(ROW).map(Row::decode)
    }

    /// Where a row stands in the file.
    fn place(&self, number: usize) -> u64 {
        self.at + (number * ROW) as u64
    }

    fn lease(&self, key: u64) -> Option<Lease> {
        self.rows().flatten().find(|row| row.key == key)?.lease()
    }
}

/// What stands for this process, and one of its memories, in the table.
pub(crate) fn name(memory: u32) -> u64 {
    u64::from(std::process::id()) << 32 | u64::from(memory)
}

/// Whether who calls itself so is dead. In a container with process numbers of its own the living
/// may seem dead, and then more than one computes.
fn is_dead(who: u64) -> bool {
    let pid = i32::try_from(who >> 32).ok().and_then(Pid::from_raw);
    pid.is_none_or(|pid| test_kill_process(pid) == Err(Errno::SRCH))
}
