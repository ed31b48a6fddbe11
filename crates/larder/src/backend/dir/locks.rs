//! Locks: records of the log, written under the append lock (R22 to R25).

use std::time::Duration;

use super::append::Commit;
use super::failure::Fault;
use super::files::Files;
use super::follow::{Access, Node};
use super::hold::Hold;
use super::lock_draft::{Asking, Draft, Renewing};
use super::lock_table::{Party, Seat, without_margin};
use super::{Dir, bells, millis, now, record};
use crate::clock::{Millis, wall_clock};
use crate::contract::{Attempt, Claim, Handed, LockBackend, LockInfo, Renewal, Token};
use crate::error::Result;
use crate::lock::rules::{Holder, Row};

impl LockBackend for Dir {
    fn acquire(&self, claim: &Claim<'_>) -> Result<Attempt> {
        // Who stands in line must be seen to be alive from the beginning.
        let node = if claim.queue { self.bells.hang(claim.token) } else { 0 };
        let asking = Asking {
            name: claim.name.into(),
            who: party(claim.token, claim.owner, node),
            lease: millis(claim.lease),
            queue: claim.queue,
        };
        let attempt = self.worker.run(move |node, files| node.acquire(files, &asking))?;
        if matches!(attempt, Attempt::Mine { .. }) {
            self.bells.take_down(claim.token);
        }
        Ok(attempt)
    }

    fn doze(&self, token: Token, at_most: Duration) -> Option<Handed> {
        self.bells.doze(token, at_most);
        None
    }

    fn release(&self, name: &[u8], token: Token) -> Result<bool> {
        let name: Box<[u8]> = name.into();
        let released =
            self.worker.run(move |node, files| node.change(files, |draft| draft.release(&name, Some(token))));
        self.bells.take_down(token);
        released
    }

    fn renew(&self, locks: &[Renewal<'_>], lease: Duration) -> Result<Vec<bool>> {
        let own = |lock: &Renewal<'_>| Renewing {
            name: lock.name.into(),
            who: party(lock.proof.token, lock.owner, 0),
            proof: lock.proof,
            believed_until: millis(lock.believed_until),
        };
        let (locks, lease): (Vec<Renewing>, _) = (locks.iter().map(own).collect(), millis(lease));
        self.worker.run(move |node, files| {
            node.change(files, |draft| locks.iter().map(|lock| draft.renew(lock, lease)).collect())
        })
    }

    fn holder(&self, name: &[u8]) -> Result<Option<Token>> {
        let name: Box<[u8]> = name.into();
        self.worker.run(move |node, files| {
            drop(node.hold(files, Access::Read, &mut Vec::new())?);
            let holder = node.known()?.locks.get(&name).and_then(|row| row.holder.as_ref());
            Ok(holder.filter(|holder| holder.until > now()).map(|holder| holder.who.token))
        })
    }

    fn list(&self) -> Result<Vec<LockInfo>> {
        self.worker.run(|node, files| {
            drop(node.hold(files, Access::Read, &mut Vec::new())?);
            let now = now();
            let held = |(name, row): (&[u8], &Row<Seat>)| {
                let holder = row.holder.as_ref().filter(|holder| holder.until > now)?;
                Some(describe(name, row, holder, now))
            };
            Ok(node.known()?.locks.rows().filter_map(held).collect())
        })
    }

    fn break_lock(&self, name: &[u8]) -> Result<bool> {
        let name: Box<[u8]> = name.into();
        self.worker.run(move |node, files| node.change(files, |draft| draft.release(&name, None)))
    }

    fn distrust(&self, fence: u64) -> Result<()> {
        self.worker.run(move |node, files| node.change(files, |draft| draft.distrust(fence)))
    }

    fn another(&self) -> Box<dyn LockBackend> {
        Box::new(Self::new(&self.settings))
    }
}

fn party(token: Token, owner: &[u8], node: u64) -> Party {
    Party { token, owner: owner.into(), process: Seat { node, claimed: true, at: 0 } }
}

fn describe(name: &[u8], row: &Row<Seat>, holder: &Holder<Seat>, now: Millis) -> LockInfo {
    LockInfo {
        name: name.to_vec(),
        owner: holder.who.owner.to_vec(),
        fence: holder.fence,
        age: Duration::from_millis(wall_clock().saturating_sub(holder.who.process.at)),
        left: Duration::from_millis((holder.until - now).min(without_margin(holder.lease))),
        waiters: row.queue.len() as u64,
    }
}

impl Node {
    /// Asks for a lock. Who stands in line only looks, as long as there is nothing to be written.
    fn acquire(&mut self, files: &Files, asking: &Asking) -> Result<Attempt, Fault> {
        let known = self.log.as_ref().and_then(|log| log.locks.get(&asking.name));
        if known.is_some_and(|row| row.queue.iter().any(|waiter| waiter.who.token == asking.who.token)) {
            drop(self.hold(files, Access::Read, &mut Vec::new())?);
            let mut draft = self.draft()?;
            let attempt = draft.acquire(asking);
            if draft.changes.is_empty() {
                return Ok(attempt);
            }
        }
        self.change(files, |draft| draft.acquire(asking))
    }

    /// Makes a change under the append lock, by one record.
    fn change<T>(&mut self, files: &Files, decide: impl FnOnce(&mut Draft) -> T) -> Result<T, Fault> {
        let hold = self.hold(files, Access::Append, &mut Vec::new())?;
        let mut draft = self.draft()?;
        let answer = decide(&mut draft);
        if !draft.changes.is_empty() {
            self.commit(&hold, &record::locks_body(&draft.changes))?;
            self.rotate_if_due(files, &hold);
            drop(hold);
            draft.wake.into_iter().for_each(bells::ring);
            self.clean(files);
        }
        Ok(answer)
    }

    /// Forgets locks that nobody will ask for any more.
    pub(super) fn bury_the_dead(&mut self, hold: &Hold<'_>) -> Result<(), Commit> {
        let mut draft = self.draft().map_err(Commit::Undone)?;
        draft.bury_the_dead();
        if draft.changes.is_empty() { Ok(()) } else { self.commit(hold, &record::locks_body(&draft.changes)) }
    }

    fn draft(&mut self) -> Result<Draft, Fault> {
        let table = self.known()?.locks.clone();
        self.fence = self.fence.max(table.fence);
        Ok(Draft::new(table, self.fence, now()))
    }
}
