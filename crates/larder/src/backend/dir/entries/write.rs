//! Writing: entries first, then the record that makes them count.

use std::collections::{HashMap, HashSet};

use super::read::{fetch, standing};
use super::upkeep::Upkeep;
use crate::backend::dir::fs::{self, Fault, FileId, FileKind, Hold, NAME};
use crate::backend::dir::log::{Commit, Log};
use crate::backend::dir::replica::{Index, Stored, ops_body};
use crate::contract::{Applied, CacheId, Op, Outcome, Position, Read, Ruling};
use crate::error::Error;

/// Entries up to this size stand in the log itself, so that who reads of the change has the entry,
/// too.
const SMALL: usize = 8 << 10;
/// The most bytes of entries in one record; further ones do not stand there even if they are small.
const SMALL_IN_RECORD: usize = 48 << 10;

/// Where the entries of a write go.
struct Plan {
    stored: Vec<Stored>,
    /// The content of the pack.
    pack: Vec<u8>,
}

impl Plan {
    fn new(ops: &[Op<'_>]) -> Self {
        let mut plan = Self { stored: Vec::with_capacity(ops.len()), pack: Vec::new() };
        let mut here = 0;
        for op in ops {
            let Op::Set { entry, .. } = op else {
                plan.stored.push(Stored::Here);
                continue;
            };
            if entry.len() <= SMALL && here + entry.len() <= SMALL_IN_RECORD {
                here += entry.len();
                plan.stored.push(Stored::Here);
            } else {
                plan.stored.push(Stored::Pack(plan.pack.len() as u64));
                plan.pack.extend_from_slice(entry);
            }
        }
        plan
    }
}

/// Makes all changes with one record.
pub(crate) fn apply(
    log: &mut Log,
    upkeep: &mut Upkeep,
    since: Option<Position>,
    ops: &[Op<'_>],
) -> Result<Applied, Fault> {
    if ops.is_empty() {
        let delta = fetch(log, since, &[])?.delta;
        return Ok(Applied { delta, outcomes: Vec::new() });
    }
    let brought: usize =
        ops.iter().map(|op| if let Op::Set { entry, .. } = op { entry.len() } else { 0 }).sum();
    if brought as u64 > upkeep.largest_write() {
        return Err(refuse(log, upkeep, ops));
    }
    let plan = Plan::new(ops);
    let mut pack = None;
    if !plan.pack.is_empty() {
        // Before the lock is taken, so that others need not wait for it.
        if !log.is_known() {
            drop(log.follow()?);
        }
        pack = Some(write_pack(log, &plan.pack)?);
    }
    let applied = append(log, upkeep, since, ops, &plan, &mut pack);
    if let Some(unused) = pack {
        // No record names it.
        let _ = log.site().remove(unused);
    }
    upkeep.clean(log);
    applied
}

fn write_pack(log: &Log, content: &[u8]) -> Result<FileId, Fault> {
    let pack = FileId::new(FileKind::Pack, log.known()?.segment().number)?;
    match log.site().create_with(pack, content) {
        Ok(()) => Ok(pack),
        Err(errno) => Err(fs::error(errno).into()),
    }
}

/// Takes `pack` if a record names it.
fn append(
    log: &mut Log,
    upkeep: &Upkeep,
    since: Option<Position>,
    ops: &[Op<'_>],
    plan: &Plan,
    pack: &mut Option<FileId>,
) -> Result<Applied, Fault> {
    let hold = log.lock()?;
    if let Some(written) = *pack
        && written.number + 1 < log.known()?.segment().number
    {
        // Cleaning may already take it for left over.
        let _ = log.site().remove(written);
        *pack = None;
        *pack = Some(write_pack(log, &plan.pack)?);
    }
    let replica = log.known()?.replica();
    if !ops.iter().all(|op| replica.locks().allows(op)) {
        return Err(Error::lock_lost().into());
    }
    let rulings = rulings(log, &hold, ops)?;
    let mut delta = replica.history().delta(since);
    let mut outcomes = Vec::with_capacity(ops.len());
    let mut effective = Vec::with_capacity(ops.len());
    let mut exists = Existing::default();
    for ((op, ruling), stored) in ops.iter().zip(rulings).zip(&plan.stored) {
        let (outcome, op, stored) = match (*op, ruling) {
            (Op::Set { .. }, Ruling::Drop) => (Outcome::Dropped, *op, *stored),
            (Op::Set { cache, key, .. }, Ruling::Clear) => {
                (Outcome::Cleared, Op::Delete { cache, key }, Stored::Here)
            }
            (Op::Set { .. }, Ruling::Store) => (Outcome::Stored, *op, *stored),
            (Op::Delete { .. }, _) => {
                (Outcome::Deleted { existed: exists.before(op, replica.index()) }, *op, Stored::Here)
            }
            (Op::Purge { .. }, _) => (Outcome::Purged, *op, Stored::Here),
        };
        outcomes.push(outcome);
        if outcome != Outcome::Dropped {
            exists.note(&op);
            effective.push((op, stored));
        }
    }
    if effective.is_empty() {
        return Ok(Applied { delta, outcomes });
    }
    let used = effective.iter().any(|(_, stored)| matches!(stored, Stored::Pack(_)));
    let named = pack.filter(|_| used).map(|pack| (pack, plan.pack.len() as u64));
    let body = ops_body(&effective, named);
    if let Err(fault) = log.commit(&hold, &body) {
        if matches!(fault, Commit::Unknown(_)) {
            *pack = None;
        }
        return Err(fault.into());
    }
    if used {
        *pack = None;
    }
    delta.position = log.known()?.replica().history().last();
    upkeep.rotate_if_due(log, &hold);
    Ok(Applied { delta, outcomes })
}

/// What becomes of each set, under the lock.
fn rulings(log: &Log, hold: &Hold, ops: &[Op<'_>]) -> Result<Vec<Ruling>, Fault> {
    let mut rulings = Vec::with_capacity(ops.len());
    for op in ops {
        rulings.push(match *op {
            Op::Set { cache, key, entry, guard: Some(guard), .. } if cache.logged() => {
                let since = log.known()?.replica().history().of_key(guard.position(), cache, key);
                guard.judge(since, entry, || standing(log, hold, Read { cache, key }))?
            }
            _ => Ruling::Store,
        });
    }
    Ok(rulings)
}

/// A write that is too large removes what it would have replaced (R16).
fn refuse(log: &mut Log, upkeep: &mut Upkeep, ops: &[Op<'_>]) -> Fault {
    let removals: Vec<Op<'_>> = ops
        .iter()
        .map(|op| match *op {
            Op::Set { cache, key, .. } => Op::Delete { cache, key },
            other => other,
        })
        .collect();
    let limit = upkeep.largest_write();
    match apply(log, upkeep, None, &removals) {
        Ok(_) => Error::refused(NAME, format!("a write may bring {limit} bytes at most; raise size=")).into(),
        Err(fault) => fault,
    }
}

/// What the operations of a batch did so far, for those behind them.
#[derive(Default)]
struct Existing<'a> {
    keys: HashMap<(&'a CacheId, &'a [u8]), bool>,
    purged: HashSet<&'a CacheId>,
}

impl<'a> Existing<'a> {
    fn before(&self, op: &Op<'a>, index: &Index) -> bool {
        let Op::Delete { cache, key } = *op else { return false };
        let known = self.keys.get(&(cache, key)).copied();
        known.unwrap_or_else(|| !self.purged.contains(cache) && index.get(cache, key).is_some())
    }

    fn note(&mut self, op: &Op<'a>) {
        match *op {
            Op::Set { cache, key, .. } => {
                self.keys.insert((cache, key), true);
            }
            Op::Delete { cache, key } => {
                self.keys.insert((cache, key), false);
            }
            Op::Purge { cache } => {
                self.keys.retain(|(of, _), _| *of != cache);
                self.purged.insert(cache);
            }
        }
    }
}
