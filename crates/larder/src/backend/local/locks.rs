//! Locks: a row for each, changed under the write lock (R22 to R25). Times are those of this node's boot clock.
//!
//! The lock of a holder whose process is dead is free at once, that of one that is stopped after its lease.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use heed::{Env, RwTxn, WithoutTls};

use super::bell::Sleeper;
use super::directory::Before;
use super::environment::Open;
use super::fault::Fault;
use super::lock_row::LockRow;
use super::process::Process;
use super::tables::{Row, Tables};
use super::{Local, room};
use crate::clock::{self, Millis};
use crate::contract::{Attempt, Claim, Handed, LockBackend, LockInfo, LockKind, Renewal, Token};
use crate::error::Result;
use crate::lock::rules::{Common, Party, Turn, Waiter};

/// How often to evict entries and try again.
const ATTEMPTS: u32 = 3;
/// When locks may have been lost last, and the last fencing number.
const BORN: &[u8] = b"b";
const FENCE: &[u8] = b"f";

impl LockBackend for Local {
    fn acquire(&self, claim: &Claim<'_>) -> Result<Attempt> {
        if !self.bells.has(claim.token) {
            // Most locks are free: no pipe is made for nothing.
            let first = Claim { queue: false, ..*claim };
            let attempt = self.attempt(&first)?;
            if !claim.queue || matches!(attempt, Attempt::Mine { .. }) {
                return Ok(attempt);
            }
        }
        self.with(|open| self.bells.hang(&open.path, claim.token))?;
        let attempt = self.attempt(claim)?;
        if matches!(attempt, Attempt::Mine { .. }) {
            self.bells.take_down(claim.token);
        }
        Ok(attempt)
    }

    fn doze(&self, token: Token, at_most: Duration) -> Option<Handed> {
        let handed = self.bells.doze(token, at_most);
        if handed.is_some() {
            self.bells.take_down(token);
        }
        handed
    }

    fn release(&self, name: &[u8], token: Token) -> Result<bool> {
        let released = self.change_locks(name, |change| {
            let lease = change.lease;
            Ok(change.turn(|turn| turn.release(Some(token), lease)))
        });
        self.bells.take_down(token);
        released
    }

    fn renew(&self, locks: &[Renewal<'_>], lease: Duration) -> Result<Vec<bool>> {
        locks
            .iter()
            .map(|lock| {
                let who = party(lock.proof.token, lock.owner);
                self.change_locks(lock.name, |change| {
                    let believed = change.now < millis(lock.believed_until);
                    let renewed = change.turn(|turn| turn.renew(&who, lock.proof, believed, millis(lease)));
                    Ok((renewed, None))
                })
            })
            .collect()
    }

    fn holder(&self, name: &[u8]) -> Result<Option<Token>> {
        self.with(|open| {
            let mut lock = LockRow::get(&open.tables, &*open.read()?, &self.settings.namespace, name)?;
            lock.drop_dead_holder();
            let holder = lock.row.holder.filter(|holder| holder.until > now());
            Ok(holder.map(|holder| holder.who.token))
        })
    }

    fn list(&self) -> Result<Vec<LockInfo>> {
        let now = now();
        let rows = self.with(|open| LockRow::all(&open.tables, &*open.read()?, &self.settings.namespace))?;
        Ok(rows.into_iter().filter_map(|row| describe(row, now)).collect())
    }

    fn break_lock(&self, name: &[u8]) -> Result<bool> {
        self.change_locks(name, |change| {
            let lease = change.lease;
            Ok(change.turn(|turn| turn.release(None, lease)))
        })
    }

    fn distrust(&self, fence: u64) -> Result<()> {
        self.change_locks(b"", |change| {
            LockRow::forget_all(&change.open.tables, &mut change.txn, &self.settings.namespace)?;
            change.common = Common { born: change.now, fence: change.common.fence.max(fence) };
            Ok(((), None))
        })
    }

    fn another(&self) -> Box<dyn LockBackend> {
        Box::new(Self::new(self.settings.clone()))
    }
}

fn describe(mut lock: LockRow, now: Millis) -> Option<LockInfo> {
    lock.drop_dead_holder();
    let holder = lock.row.holder.filter(|holder| holder.until > now)?;
    Some(LockInfo {
        name: lock.name,
        owner: holder.who.owner.into(),
        fence: holder.fence,
        age: Duration::from_millis(now.saturating_sub(holder.since)),
        left: Duration::from_millis(holder.until.saturating_sub(now)),
        waiters: lock.row.queue.len() as u64,
    })
}

impl Local {
    fn attempt(&self, claim: &Claim<'_>) -> Result<Attempt> {
        let who = party(claim.token, claim.owner);
        self.change_locks(claim.name, |change| {
            // What is in the pipe after this was granted after this.
            self.bells.drain(claim.token);
            Ok(change.turn(|turn| turn.acquire(&who, millis(claim.lease), claim.queue)))
        })
    }

    /// Takes a turn at one lock in a transaction of its own, then wakes whom that calls for.
    fn change_locks<T>(
        &self,
        name: &[u8],
        mut work: impl FnMut(&mut Change<'_, '_>) -> Result<(T, Woken), Fault>,
    ) -> Result<T> {
        self.with(|open| {
            let _guard = open.lock.acquire()?;
            open.still_named()?;
            let mut full = String::new();
            for attempt in 0..ATTEMPTS {
                match self.change_once(open, name, &mut work) {
                    Ok((done, handed)) => {
                        open.committed()?;
                        if let Some((sleeper, handed)) = handed {
                            sleeper.wake(handed);
                        }
                        return Ok(done);
                    }
                    Err(Fault::Full(reason)) => {
                        full = reason;
                        open.env.clear_stale_readers()?;
                        room::make(open, 1 << 16, attempt)?;
                    }
                    Err(fault) => return Err(fault),
                }
            }
            Err(Fault::Full(full))
        })
    }

    fn change_once<T>(
        &self,
        open: &Open,
        name: &[u8],
        work: &mut impl FnMut(&mut Change<'_, '_>) -> Result<(T, Woken), Fault>,
    ) -> Result<(T, Option<(Sleeper, Handed)>), Fault> {
        let namespace = &self.settings.namespace;
        let txn = open.write()?;
        let now = now();
        let before = Common {
            born: number(open, &txn, BORN)?.unwrap_or(now),
            fence: number(open, &txn, FENCE)?.unwrap_or(0),
        };
        let lock = LockRow::get(&open.tables, &txn, namespace, name)?;
        let lease = millis(self.settings.lock_lease);
        let awake = RefCell::default();
        let mut change = Change { open, txn, common: before, lock, now, lease, awake: &awake };
        let (done, woken) = work(&mut change)?;
        let Change { mut txn, common, lock, .. } = change;
        for (key, old, new) in [(BORN, before.born, common.born), (FENCE, before.fence, common.fence)] {
            if old != new {
                open.tables.locks.put(&mut txn, key, &new.to_le_bytes())?;
            }
        }
        lock.put(&open.tables, &mut txn, namespace)?;
        txn.commit()?;
        let handed = woken.and_then(|(token, handed)| Some((awake.take().remove(&token)?, handed)));
        Ok((done, handed))
    }
}

/// To whom a lock was handed, and what.
type Woken = Option<(Token, Handed)>;

/// A change of one lock.
struct Change<'o, 't> {
    open: &'o Open,
    txn: RwTxn<'t>,
    common: Common,
    lock: LockRow,
    now: Millis,
    lease: Millis,
    /// Who was found to be alive.
    awake: &'o RefCell<HashMap<Token, Sleeper>>,
}

impl Change<'_, '_> {
    /// Decides, by the rules.
    fn turn<T>(&mut self, decide: impl FnOnce(&mut Turn<'_, Process>) -> T) -> T {
        self.lock.drop_dead_holder();
        let alive = |waiter: &Waiter<Process>| {
            let sleeper = Sleeper::find(&self.open.path, waiter.who.token);
            sleeper.is_some_and(|sleeper| {
                self.awake.borrow_mut().insert(waiter.who.token, sleeper);
                true
            })
        };
        decide(&mut Turn {
            kind: LockKind::of(&self.lock.name),
            common: &mut self.common,
            row: &mut self.lock.row,
            now: self.now,
            stamp: clock::wall_clock().saturating_mul(1_000),
            alive: &alive,
        })
    }
}

fn party(token: Token, owner: &[u8]) -> Party<Process> {
    Party { token, owner: owner.into(), process: Process::this() }
}

/// Begins a new file. Nobody knows what was held in the one before (R23), unless that was in an earlier boot, or none was there
/// for so long.
pub(super) fn begin(env: &Env<WithoutTls>, tables: &Tables, before: Before) -> Result<(), Fault> {
    let born = match before {
        Before::EarlierBoot => 0,
        Before::Nothing(since) => since.min(now()),
        Before::Same | Before::Unknown => now(),
    };
    let mut txn = env.write_txn()?;
    tables.locks.put(&mut txn, BORN, &born.to_le_bytes())?;
    Ok(txn.commit()?)
}

fn number(open: &Open, txn: &RwTxn<'_>, key: &[u8]) -> Result<Option<u64>, Fault> {
    open.tables.locks.get(txn, key)?.map(|row| Row(row).u64()).transpose()
}

fn now() -> Millis {
    millis(clock::boottime())
}

fn millis(time: Duration) -> Millis {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
