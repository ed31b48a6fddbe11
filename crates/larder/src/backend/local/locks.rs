//! Locks: a row for each, changed under the write lock (R22 to R25). Times are those of this node's boot clock.
//!
//! The lock of a holder whose process is dead is free at once, that of one that is stopped after its lease.

use std::time::Duration;

use heed::{Env, RwTxn, WithoutTls};

use super::bell::Sleeper;
use super::directory::Before;
use super::environment::Open;
use super::fault::Fault;
use super::lock_row::{Holder, LockRow, Waiter};
use super::process::Process;
use super::tables::{Row, Tables};
use super::{Local, room};
use crate::clock::{self, Millis};
use crate::error::Result;
use crate::lock::{Attempt, Claim, Handed, LockBackend, LockInfo, Renewal, Token};

/// Who did not ask again for so long is out of the line.
const SEEN: Millis = 3_000;
/// How long a lock that was handed over waits for the new holder to say that it is alive.
const CLAIM: Millis = 2_000;
/// How often to evict entries and try again.
const ATTEMPTS: u32 = 3;
/// Since when locks are kept in this file, and the last fencing number.
const BORN: &[u8] = b"b";
const FENCE: &[u8] = b"f";

impl LockBackend for Local {
    fn acquire(&self, claim: &Claim<'_>) -> Result<Attempt> {
        if !self.bells.has(claim.token) {
            // Most locks are free: no pipe is made for nothing.
            let first = Claim { queue: false, ..*claim };
            let attempt = self.change_locks(claim.name, |change| change.acquire(&first))?;
            if !claim.queue || matches!(attempt, Attempt::Mine { .. }) {
                return Ok(attempt);
            }
        }
        self.with(|open| self.bells.hang(&open.path, claim.token))?;
        let attempt = self.change_locks(claim.name, |change| {
            // What is in the pipe after this was granted after this.
            self.bells.drain(claim.token);
            change.acquire(claim)
        })?;
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
        let released = self.change_locks(name, |change| change.release(Some(token)));
        self.bells.take_down(token);
        released
    }

    fn renew(&self, locks: &[Renewal<'_>], lease: Duration) -> Result<Vec<bool>> {
        locks
            .iter()
            .map(|lock| self.change_locks(lock.name, |change| Ok(change.renew(lock, millis(lease)))))
            .collect()
    }

    fn holder(&self, name: &[u8]) -> Result<Option<Token>> {
        self.with(|open| {
            let mut row = LockRow::get(&open.tables, &*open.read()?, &self.settings.namespace, name)?;
            row.drop_dead_holder(now());
            Ok(row.holder.map(|holder| holder.token))
        })
    }

    fn list(&self) -> Result<Vec<LockInfo>> {
        let now = now();
        let rows = self.with(|open| LockRow::all(&open.tables, &*open.read()?, &self.settings.namespace))?;
        Ok(rows.into_iter().filter_map(|row| describe(row, now)).collect())
    }

    fn break_lock(&self, name: &[u8]) -> Result<bool> {
        self.change_locks(name, |change| change.release(None))
    }

    fn distrust(&self, fence: u64) -> Result<()> {
        self.change_locks(b"", |change| {
            let Change { open, txn, now, .. } = change;
            LockRow::forget_all(&open.tables, txn, &self.settings.namespace)?;
            let last = number(open, txn, FENCE)?.unwrap_or(0).max(fence);
            open.tables.locks.put(txn, FENCE, &last.to_le_bytes())?;
            Ok(open.tables.locks.put(txn, BORN, &now.to_le_bytes())?)
        })
    }

    fn another(&self) -> Box<dyn LockBackend> {
        Box::new(Self::new(self.settings.clone()))
    }
}

fn describe(mut row: LockRow, now: Millis) -> Option<LockInfo> {
    row.drop_dead_holder(now);
    let holder = row.holder?;
    Some(LockInfo {
        name: row.name,
        owner: holder.owner,
        fence: holder.fence,
        age: Duration::from_millis(now.saturating_sub(holder.since)),
        left: Duration::from_millis(holder.until.saturating_sub(now)),
        waiters: row.queue.len() as u64,
    })
}

impl Local {
    /// Changes one lock in a transaction of its own, then wakes whom that calls for.
    fn change_locks<T>(
        &self,
        name: &[u8],
        mut work: impl FnMut(&mut Change<'_, '_>) -> Result<T, Fault>,
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
        work: &mut impl FnMut(&mut Change<'_, '_>) -> Result<T, Fault>,
    ) -> Result<(T, Option<(Sleeper, Handed)>), Fault> {
        let namespace = &self.settings.namespace;
        let txn = open.write()?;
        let now = now();
        let born = number(open, &txn, BORN)?.unwrap_or(now);
        let row = LockRow::get(&open.tables, &txn, namespace, name)?;
        let lease = millis(self.settings.lock_lease);
        let mut change = Change { open, txn, row, now, lease, free_from: born + lease, handed: None };
        let done = work(&mut change)?;
        let Change { mut txn, row, handed, .. } = change;
        row.put(&open.tables, &mut txn, namespace)?;
        txn.commit()?;
        Ok((done, handed))
    }
}

/// A change of one lock.
struct Change<'o, 't> {
    open: &'o Open,
    txn: RwTxn<'t>,
    row: LockRow,
    now: Millis,
    lease: Millis,
    /// Before that nobody new gets a lock.
    free_from: Millis,
    /// Whom to wake, and with what.
    handed: Option<(Sleeper, Handed)>,
}

impl Change<'_, '_> {
    fn acquire(&mut self, claim: &Claim<'_>) -> Result<Attempt, Fault> {
        self.row.drop_dead_holder(self.now);
        let until = self.now + millis(claim.lease);
        if let Some(holder) = self.row.holder.as_mut().filter(|holder| holder.token == claim.token) {
            holder.until = until;
            holder.process = Process::this();
            return Ok(Attempt::Mine { fence: holder.fence });
        }
        if claim.queue {
            match self.row.queue.iter_mut().find(|waiter| waiter.token == claim.token) {
                Some(waiter) => waiter.seen = self.now,
                None => self.row.queue.push(self.waiter(claim)),
            }
        }
        let free_at = self.row.holder.as_ref().map_or(0, |holder| holder.until).max(self.free_from);
        if self.now < free_at {
            return Ok(self.wait_until(free_at));
        }
        match self.first(Some(claim.token)) {
            First::Asking | First::Nobody => {
                let asking = self.waiter(claim);
                Ok(Attempt::Mine { fence: self.grant(asking, until)? })
            }
            First::Sleeper(sleeper) => {
                let until = self.hand_over(sleeper)?;
                Ok(self.wait_until(until))
            }
        }
    }

    fn waiter(&self, claim: &Claim<'_>) -> Waiter {
        Waiter { token: claim.token, seen: self.now, process: Process::this(), owner: claim.owner.to_vec() }
    }

    /// Takes the lock from `token`, or from whoever holds it.
    fn release(&mut self, token: Option<Token>) -> Result<bool, Fault> {
        if let Some(token) = token {
            self.row.queue.retain(|waiter| waiter.token != token);
        }
        match &self.row.holder {
            Some(holder) if token.is_none_or(|token| holder.token == token) => {}
            _ => return Ok(false),
        }
        self.row.drop_late_holder(self.now);
        let held = self.row.holder.take().is_some();
        if self.now >= self.free_from
            && let First::Sleeper(sleeper) = self.first(None)
        {
            self.hand_over(sleeper)?;
        }
        Ok(held)
    }

    fn renew(&mut self, lock: &Renewal<'_>, lease: Millis) -> bool {
        self.row.drop_late_holder(self.now);
        let until = self.now + lease;
        match &mut self.row.holder {
            Some(holder) if holder.token == lock.proof.token => {
                holder.until = until;
                true
            }
            None if lock.believed && self.now < self.free_from => {
                self.row.holder = Some(Holder {
                    token: lock.proof.token,
                    fence: lock.proof.fence,
                    until,
                    since: self.now,
                    process: Process::this(),
                    owner: lock.owner.to_vec(),
                });
                true
            }
            _ => false,
        }
    }

    /// The first in line who is alive; it leaves the line, as do the dead before it.
    fn first(&mut self, asking: Option<Token>) -> First {
        while !self.row.queue.is_empty() {
            let waiter = self.row.queue.remove(0);
            if Some(waiter.token) == asking {
                return First::Asking;
            }
            if waiter.seen + SEEN >= self.now
                && let Some(sleeper) = Sleeper::find(&self.open.path, waiter.token)
            {
                return First::Sleeper((waiter, sleeper));
            }
        }
        First::Nobody
    }

    /// Until when the grant lasts.
    fn hand_over(&mut self, (waiter, sleeper): (Waiter, Sleeper)) -> Result<Millis, Fault> {
        let lease = self.lease.min(CLAIM);
        let until = self.now + lease;
        let fence = self.grant(waiter, until)?;
        self.handed = Some((sleeper, Handed { fence, lease: Duration::from_millis(lease) }));
        Ok(until)
    }

    fn grant(&mut self, to: Waiter, until: Millis) -> Result<u64, Fault> {
        let last = number(self.open, &self.txn, FENCE)?.unwrap_or(0);
        let fence = (last + 1).max(clock::wall_clock().saturating_mul(1_000));
        self.open.tables.locks.put(&mut self.txn, FENCE, &fence.to_le_bytes())?;
        let Waiter { token, process, owner, .. } = to;
        self.row.holder = Some(Holder { token, fence, until, since: self.now, process, owner });
        Ok(fence)
    }

    fn wait_until(&self, time: Millis) -> Attempt {
        Attempt::Wait { at_most: Duration::from_millis(time.saturating_sub(self.now)) }
    }
}

/// Who is first in line.
enum First {
    Nobody,
    /// Who asks just now.
    Asking,
    Sleeper((Waiter, Sleeper)),
}

/// Begins a new file. Nobody knows what was held in the one before (R23), unless that was in an earlier boot.
pub(super) fn begin(env: &Env<WithoutTls>, tables: &Tables, before: Before) -> Result<(), Fault> {
    let born = if before == Before::EarlierBoot { 0 } else { now() };
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
