//! Writing: entries first, then the record that makes them count.

use super::failure::{self, Fault, NAME};
use super::files::Files;
use super::follow::{Access, Node};
use super::hold::Hold;
use super::names::{FileId, Kind};
use super::record::{self, Stored};
use crate::contract::{Applied, Op, Outcome, Position, Read, Ruling};
use crate::error::Error;

/// Entries up to this size stand in the log itself, so that who reads of the change has the entry, too,
const SMALL: usize = 8 << 10;
/// as long as those of one write do not make more than this.
const SMALL_IN_RECORD: usize = 48 << 10;
/// A write may bring this share of the size of the whole directory.
const LARGEST_SHARE: u64 = 4;

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

impl Node {
    /// Makes all changes with one record.
    pub(super) fn apply(
        &mut self,
        files: &Files,
        since: Option<Position>,
        ops: &[Op<'_>],
    ) -> Result<Applied, Fault> {
        if ops.is_empty() {
            let delta = self.fetch(files, since, &[])?.delta;
            return Ok(Applied { delta, outcomes: Vec::new() });
        }
        let brought: usize =
            ops.iter().map(|op| if let Op::Set { entry, .. } = op { entry.len() } else { 0 }).sum();
        if brought as u64 > self.max_bytes / LARGEST_SHARE {
            return Err(self.refuse(files, ops));
        }
        let plan = Plan::new(ops);
        let mut pack = None;
        if !plan.pack.is_empty() {
            // Before the lock is taken, so that others need not wait for it.
            if self.log.is_none() {
                drop(self.hold(files, Access::Read, &mut Vec::new())?);
            }
            pack = Some(self.write_pack(files, &plan.pack)?);
        }
        let applied = self.append(files, since, ops, &plan, &mut pack);
        if let Some(unused) = pack {
            // No record names it.
            let _ = files.remove(&unused.path(&self.site.path));
        }
        self.clean(files);
        applied
    }

    fn write_pack(&mut self, files: &Files, content: &[u8]) -> Result<FileId, Fault> {
        let pack = FileId::new(Kind::Pack, self.known()?.segment.number);
        match self.site.write(files, pack, content) {
            Ok(()) => Ok(pack),
            Err(errno) => Err(failure::error(errno).into()),
        }
    }

    /// Takes `pack` if a record names it.
    fn append(
        &mut self,
        files: &Files,
        since: Option<Position>,
        ops: &[Op<'_>],
        plan: &Plan,
        pack: &mut Option<FileId>,
    ) -> Result<Applied, Fault> {
        let hold = self.hold(files, Access::Append, &mut Vec::new())?;
        let number = self.known()?.segment.number;
        if let Some(written) = *pack
            && written.number + 1 < number
        {
            // Cleaning may already take it for left over.
            let _ = files.remove(&written.path(&self.site.path));
            *pack = None;
            *pack = Some(self.write_pack(files, &plan.pack)?);
        }
        if !ops.iter().all(|op| self.known().is_ok_and(|log| log.locks.allows(op))) {
            return Err(Error::lock_lost().into());
        }
        let rulings = self.rulings(files, &hold, ops)?;
        let log = self.known()?;
        let mut delta = log.history.delta(since);
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
                    (Outcome::Deleted { existed: exists.before(op, log) }, *op, Stored::Here)
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
        let body = record::ops_body(&effective, named);
        if let Err(fault) = self.commit(&hold, &body) {
            if matches!(fault, Commit::Unknown(_)) {
                *pack = None;
            }
            return Err(fault.into());
        }
        if used {
            *pack = None;
        }
        delta.position = self.known()?.history.last();
        self.rotate_if_due(files, &hold);
        Ok(Applied { delta, outcomes })
    }

    /// What becomes of each set, under the lock.
    fn rulings(&mut self, files: &Files, hold: &Hold<'_>, ops: &[Op<'_>]) -> Result<Vec<Ruling>, Fault> {
        let mut rulings = Vec::with_capacity(ops.len());
        for op in ops {
            rulings.push(match *op {
                Op::Set { cache, key, entry, guard: Some(guard), .. } if cache.logged() => {
                    let since = self.known()?.history.of_key(guard.position(), cache, key);
                    guard.judge(since, entry, || self.standing(files, hold, Read { cache, key }))?
                }
                _ => Ruling::Store,
            });
        }
        Ok(rulings)
    }

    /// Appends one record, under the lock, and takes it in.
    pub(super) fn commit(&mut self, hold: &Hold<'_>, body: &[u8]) -> Result<(), Commit> {
        self.permit.begin().map_err(Commit::Undone)?;
        let log = self.known().map_err(Commit::Undone)?;
        let nonce = super::random();
        let frame = record::frame(body, log.end, log.last, nonce);
        let open = hold.open();
        if std::mem::take(&mut log.torn) {
            // So that nothing but whole records stands behind this one.
            open.truncate(log.end).map_err(|errno| Commit::Undone(failure::error(errno).into()))?;
        }
        if let Err(errno) = open.write_at(&frame, log.end).and_then(|()| open.sync()) {
            // A part of it, or all, may be there: take it back, so that the refusal is true.
            let error = failure::error(errno);
            return Err(match open.truncate(log.end).and_then(|()| open.sync()) {
                Ok(()) => Commit::Undone(error.into()),
                Err(_) => Commit::Unknown(error),
            });
        }
        log.take_in(body, nonce).map_err(Commit::Undone)?;
        Ok(())
    }

    /// A write that is too large removes what it would have replaced (R16).
    fn refuse(&mut self, files: &Files, ops: &[Op<'_>]) -> Fault {
        let removals: Vec<Op<'_>> = ops
            .iter()
            .map(|op| match *op {
                Op::Set { cache, key, .. } => Op::Delete { cache, key },
                other => other,
            })
            .collect();
        let limit = self.max_bytes / LARGEST_SHARE;
        match self.apply(files, None, &removals) {
            Ok(_) => {
                Error::refused(NAME, format!("a write may bring {limit} bytes at most; raise size=")).into()
            }
            Err(fault) => fault,
        }
    }
}

/// Why a record is not there.
pub(super) enum Commit {
    /// It is surely not there.
    Undone(Fault),
    /// It may be there.
    Unknown(Error),
}

impl From<Commit> for Fault {
    fn from(commit: Commit) -> Self {
        match commit {
            Commit::Undone(fault) => fault,
            Commit::Unknown(error) => Error::unavailable(NAME, error).into(),
        }
    }
}

/// What the operations of a batch did so far, for those behind them.
#[derive(Default)]
struct Existing<'a> {
    keys: std::collections::HashMap<(&'a crate::contract::CacheId, &'a [u8]), bool>,
    purged: std::collections::HashSet<&'a crate::contract::CacheId>,
}

impl<'a> Existing<'a> {
    fn before(&self, op: &Op<'a>, log: &super::log::Log) -> bool {
        let Op::Delete { cache, key } = *op else { return false };
        let known = self.keys.get(&(cache, key)).copied();
        known.unwrap_or_else(|| !self.purged.contains(cache) && log.index.get(cache, key).is_some())
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
