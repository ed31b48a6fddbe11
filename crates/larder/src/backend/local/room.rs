//! Room for new entries: purged ones, expired ones, then the oldest go.

use std::thread;
use std::time::Duration;

use heed::RwTxn;

use super::bounds::LOW;
use super::environment::Open;
use super::fault::{Fault, damaged};
use super::rows;
use super::tables::{Counters, Tables};
use crate::clock::{self, Millis};

/// How often to evict more and try again before the file is given up. The pauses double from 1 ms:
/// readers end meanwhile, and only then the pages that they saw can be used again.
const ATTEMPTS: u32 = 8;
/// How many purged entries a write removes: enough that clearing keeps pace with writing, little
/// enough that no write takes noticeably longer.
const PURGED_PER_WRITE: usize = 200;
/// How many expired entries a write removes, for the same reason.
const EXPIRED_PER_WRITE: usize = 50;
/// How many entries one transaction evicts.
const EVICTED_AT_ONCE: usize = 100;

/// Runs a writing transaction, evicting and trying again while there is no room for `need` more
/// bytes.
pub(crate) fn with_room<T>(
    open: &Open,
    need: u64,
    mut transact: impl FnMut() -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut full = String::new();
    for attempt in 0..ATTEMPTS {
        match transact() {
            Err(Fault::Full(reason)) => {
                full = reason;
                if attempt > 0 {
                    open.env.clear_stale_readers()?;
                    thread::sleep(Duration::from_millis(1 << (attempt - 1)));
                }
                match make(open, need, attempt) {
                    Ok(()) | Err(Fault::Full(_)) => {}
                    Err(fault) => return Err(fault),
                }
            }
            done => return done,
        }
    }
    Err(Fault::Full(full))
}

/// Evicts the oldest entries, in transactions of their own, until `need` fits. Each further
/// `attempt` leaves less.
pub(super) fn make(open: &Open, need: u64, attempt: u32) -> Result<(), Fault> {
    let share = LOW * u64::from(ATTEMPTS - attempt.min(ATTEMPTS)) / u64::from(ATTEMPTS);
    let target = open.bounds.percent(share).saturating_sub(need);
    let mut at_once = EVICTED_AT_ONCE;
    loop {
        match evict(open, target, at_once) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // Even removing takes pages: fewer for fewer entries.
            Err(Fault::Full(_)) if at_once > 1 => {
                open.env.clear_stale_readers()?;
                at_once = 1;
            }
            Err(fault) => return Err(fault),
        }
    }
}

/// One transaction; says whether there is more to do. What is dead goes before what is only old.
fn evict(open: &Open, target: u64, at_once: usize) -> Result<bool, Fault> {
    let tables = &open.tables;
    let mut txn = open.write()?;
    let mut counters = tables.counters(&txn)?;
    let mut removed = remove_purged(tables, &mut txn, &mut counters, at_once)?;
    removed += remove_expired(tables, &mut txn, &mut counters, clock::wall_clock(), at_once)?;
    while counters.live > target && removed < at_once {
        let Some((_, key)) = tables.ages.first(&txn)? else { break };
        let key = key.to_vec();
        if !rows::remove(tables, &mut txn, &mut counters, &key)? {
            return Err(damaged("an age without an entry"));
        }
        removed += 1;
    }
    tables.put_counters(&mut txn, &counters)?;
    txn.commit()?;
    Ok(removed > 0 && counters.live > target)
}

/// Removes some entries of purged caches and some that expired, as part of every write.
pub(crate) fn sweep(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    counters: &mut Counters,
    now: Millis,
) -> Result<(), Fault> {
    remove_purged(tables, txn, counters, PURGED_PER_WRITE)?;
    remove_expired(tables, txn, counters, now, EXPIRED_PER_WRITE)?;
    Ok(())
}

/// Removes up to `count` entries of one purged cache.
fn remove_purged(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    counters: &mut Counters,
    count: usize,
) -> Result<usize, Fault> {
    let dead = match tables.meta.prefix_iter(txn, b"d")?.next() {
        Some(row) => row?.0.get(1..).map(<[u8]>::to_vec),
        None => None,
    };
    let Some(cache) = dead else { return Ok(0) };
    let mut keys = Vec::new();
    for row in tables.entries.prefix_iter(txn, &cache)?.take(count) {
        keys.push(row?.0.to_vec());
    }
    for key in &keys {
        rows::remove(tables, txn, counters, key)?;
    }
    if keys.len() < count {
        tables.meta.delete(txn, &[b"d", &cache[..]].concat())?;
    }
    Ok(keys.len())
}

/// Removes up to `count` entries whose time is over.
fn remove_expired(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    counters: &mut Counters,
    now: Millis,
    count: usize,
) -> Result<usize, Fault> {
    let mut keys = Vec::new();
    for row in tables.expiries.iter(txn)?.take(count) {
        let (when, key) = row?;
        // The rest of the key is the age.
        let (when, _) = when.split_first_chunk().ok_or_else(|| damaged("expiry"))?;
        if u64::from_be_bytes(*when) > now {
            break;
        }
        keys.push(key.to_vec());
    }
    for key in &keys {
        rows::remove(tables, txn, counters, key)?;
    }
    Ok(keys.len())
}
