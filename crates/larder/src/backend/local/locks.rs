//! Locks: a row for each, changed under the write lock (R22 to R25). Times are those of this node's
//! boot clock.
//!
//! The lock of a holder whose process is dead is free at once, that of one that is stopped after
//! its lease.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use heed::RwTxn;

use super::backend::Local;
use super::environment::Open;
use super::fault::Fault;
use super::lock_row::{self, LockRow};
use super::process::ProcessId;
use super::room;
use super::wake::Sleeper;
use crate::clock::{self, Millis, boot_millis, millis};
use crate::contract::{Attempt, Claim, Handed, LockBackend, LockInfo, LockKind, Renewal, Token};
use crate::error::Result;
use crate::lock::rules::{Common, Party, Turn, Waiter};

/// How often to evict entries and try again.
const ATTEMPTS: u32 = 3;

impl LockBackend for Local {
    fn acquire(&self, claim: &Claim<'_>) -> Result<Attempt> {
        if !self.pipes.has(claim.token) {
            // Most locks are free: no pipe is made for nothing.
            let first = Claim { queue: false, ..*claim };
            let attempt = self.attempt(&first)?;
            if !claim.queue || matches!(attempt, Attempt::Mine { .. }) {
                return Ok(attempt);
            }
        }
        self.handle.with(|open| self.pipes.open(&open.path, claim.token))?;
        let attempt = self.attempt(claim)?;
        if matches!(attempt, Attempt::Mine { .. }) {
            self.pipes.close(claim.token);
        }
        Ok(attempt)
    }

    fn park(&self, token: Token, at_most: Duration) -> Option<Handed> {
        let handed = self.pipes.park(token, at_most);
        if handed.is_some() {
            self.pipes.close(token);
        }
        handed
    }

    fn release(&self, name: &[u8], token: Token) -> Result<bool> {
        let released = self.change_locks(name, |change| {
            let lease = change.lease;
            Ok(change.turn(|turn| turn.release(Some(token), lease)))
        });
        self.pipes.close(token);
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
        self.handle.with(|open| {
            let mut lock = LockRow::get(&open.tables, &*open.read()?, &self.settings.namespace, name)?;
            lock.drop_dead_holder();
            let holder = lock.row.holder.filter(|holder| holder.until > boot_millis());
            Ok(holder.map(|holder| holder.who.token))
        })
    }

    fn list(&self) -> Result<Vec<LockInfo>> {
        let now = boot_millis();
        let rows =
            self.handle.with(|open| LockRow::all(&open.tables, &*open.read()?, &self.settings.namespace))?;
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
            self.pipes.drain(claim.token);
            Ok(change.turn(|turn| turn.acquire(&who, millis(claim.lease), claim.queue)))
        })
    }

    /// Takes a turn at one lock in a transaction of its own, then wakes whom that calls for.
    fn change_locks<T>(
        &self,
        name: &[u8],
        mut work: impl FnMut(&mut LockEdit<'_, '_>) -> Result<(T, Woken), Fault>,
    ) -> Result<T> {
        self.handle.with(|open| {
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
        work: &mut impl FnMut(&mut LockEdit<'_, '_>) -> Result<(T, Woken), Fault>,
    ) -> Result<(T, Option<(Sleeper, Handed)>), Fault> {
        let namespace = &self.settings.namespace;
        let txn = open.write()?;
        let now = boot_millis();
        let before = lock_row::common(&open.tables, &txn, now)?;
        let lock = LockRow::get(&open.tables, &txn, namespace, name)?;
        let lease = millis(self.settings.lock_lease);
        let awake = RefCell::default();
        let mut change = LockEdit { open, txn, common: before, lock, now, lease, awake: &awake };
        let (done, woken) = work(&mut change)?;
        let LockEdit { mut txn, common, lock, .. } = change;
        lock_row::put_common(&open.tables, &mut txn, before, common)?;
        lock.put(&open.tables, &mut txn, namespace)?;
        txn.commit()?;
        let handed = woken.and_then(|(token, handed)| Some((awake.take().remove(&token)?, handed)));
        Ok((done, handed))
    }
}

/// To whom a lock was handed, and what.
type Woken = Option<(Token, Handed)>;

/// A change of one lock.
struct LockEdit<'o, 't> {
    open: &'o Open,
    txn: RwTxn<'t>,
    common: Common,
    lock: LockRow,
    now: Millis,
    lease: Millis,
    /// Who was found to be alive.
    awake: &'o RefCell<HashMap<Token, Sleeper>>,
}

impl LockEdit<'_, '_> {
    /// Decides, by the rules.
    fn turn<T>(&mut self, decide: impl FnOnce(&mut Turn<'_, ProcessId>) -> T) -> T {
        self.lock.drop_dead_holder();
        let alive = |waiter: &Waiter<ProcessId>| {
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

fn party(token: Token, owner: &[u8]) -> Party<ProcessId> {
    Party { token, owner: owner.into(), process: ProcessId::this() }
}
