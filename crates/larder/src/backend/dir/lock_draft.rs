//! What becomes of a lock: decided on what is known of it, under the append lock if it is to be written.

use std::time::Duration;

use super::bells;
use super::lock_table::{Grant, Holder, LockChange, LockTable, Party};
use crate::clock::wall_clock;
use crate::lock::{Attempt, LockKind, LockProof, Token};

/// How long a lock that was handed over waits for the new holder to say that it is alive. Who waits looks once a second.
const CLAIM: Duration = Duration::from_secs(3);
/// Who is first in line looks at least so often at first, then ever more rarely,
const FIRST_LOOK: Duration = Duration::from_millis(50);
/// as does the first of another node;
const LONGEST_LOOK: Duration = Duration::from_millis(250);
/// the others are woken, and look in case they were not.
const SELDOM: Duration = Duration::from_secs(1);

/// An attempt to get a lock.
pub(super) struct Asking {
    pub(super) name: Box<[u8]>,
    pub(super) who: Party,
    pub(super) lease: Duration,
    pub(super) queue: bool,
}

/// A lock to renew.
pub(super) struct Renewing {
    pub(super) name: Box<[u8]>,
    pub(super) owner: Box<[u8]>,
    pub(super) proof: LockProof,
    pub(super) believed: bool,
}

/// Changes that are not written yet.
pub(super) struct Draft {
    pub(super) table: LockTable,
    pub(super) changes: Vec<LockChange>,
    /// Whose bells to ring once they are written.
    pub(super) wake: Vec<Token>,
    now: Duration,
    /// No fencing number is given again, even one of a history that was lost (R25).
    floor: u64,
}

impl Draft {
    pub(super) fn new(table: LockTable, floor: u64, now: Duration) -> Self {
        Self { table, changes: Vec::new(), wake: Vec::new(), now, floor }
    }

    pub(super) fn acquire(&mut self, asking: &Asking) -> Attempt {
        let name = &*asking.name;
        let holder = self.table.holder(name).cloned();
        if let Some(Holder { grant: Grant { to, fence, .. }, .. }) = &holder
            && to.token == asking.who.token
        {
            let fence = *fence;
            self.push(LockChange::Renew { name: name.into(), lease: asking.lease });
            self.wake_next(name, asking.who.node);
            return Attempt::Mine { fence };
        }
        let held = holder.filter(|holder| !is_over(holder, self.now)).map(|holder| holder.left(self.now));
        let grace = match LockKind::of(name) {
            LockKind::Cache => Duration::ZERO,
            LockKind::Named => self.table.grace(asking.lease, self.now),
        };
        let mut blocked = grace.max(held.unwrap_or_default());
        if blocked.is_zero() {
            if LockKind::of(name) == LockKind::Named && !self.table.open {
                self.push(LockChange::Common { fence: 0, open: true });
            }
            self.bury_holder(name);
            match self.first(name) {
                Some(first) if first.token != asking.who.token => {
                    self.hand_over(name, first);
                    blocked = CLAIM;
                }
                _ => {
                    return Attempt::Mine { fence: self.grant(name, asking.who.clone(), asking.lease, true) };
                }
            }
        }
        let in_line = |party: &Party| party.token == asking.who.token;
        let queued = self.table.get(name).is_some_and(|row| row.queue.iter().any(in_line));
        if asking.queue && !queued {
            self.push(LockChange::Wait { name: name.into(), who: asking.who.clone() });
        }
        if held.is_none() && !grace.is_zero() {
            return Attempt::Grace { left: grace };
        }
        Attempt::Wait { at_most: self.look_again(name, &asking.who).min(blocked) }
    }

    /// Takes the lock from `token`, or from whoever holds it; or takes `token` out of the line.
    pub(super) fn release(&mut self, name: &[u8], token: Option<Token>) -> bool {
        let Some(row) = self.table.get(name) else { return false };
        let holder = row.holder.as_ref().map(|holder| holder.grant.to.token);
        if let Some(party) = row.queue.iter().find(|party| token == Some(party.token)) {
            let (node, token) = (party.node, party.token);
            self.push(LockChange::Leave { name: name.into(), token });
            self.wake_next(name, node);
        }
        let held = holder.is_some_and(|holder| token.is_none_or(|token| token == holder));
        if held {
            self.push(LockChange::Free { name: name.into() });
            if (self.table.open || LockKind::of(name) == LockKind::Cache)
                && let Some(first) = self.first(name)
            {
                self.hand_over(name, first);
            }
        }
        held
    }

    /// Forgets all locks, since others were kept elsewhere meanwhile.
    pub(super) fn distrust(&mut self, fence: u64) {
        self.push(LockChange::Distrust { fence });
    }

    /// Renews a lease; whether the lock is still the holder's.
    pub(super) fn renew(&mut self, lock: &Renewing, lease: Duration) -> bool {
        let name = &*lock.name;
        let LockProof { token, fence } = lock.proof;
        match self.table.holder(name) {
            Some(holder) if holder.grant.to.token == token => {
                self.push(LockChange::Renew { name: name.into(), lease });
                true
            }
            None if lock.believed && !self.table.open && LockKind::of(name) == LockKind::Named => {
                let to = Party { token, owner: lock.owner.clone(), node: 0 };
                let grant = Grant { to, fence, lease, at: wall_clock(), claimed: true };
                self.push(LockChange::Grant { name: name.into(), grant });
                true
            }
            _ => false,
        }
    }

    /// Frees locks whose holders died and that nobody waits for.
    pub(super) fn bury_the_dead(&mut self) {
        let dead = |holder: &Holder| is_over(holder, self.now);
        let rows = self.table.rows().filter(|(_, row)| row.queue.is_empty());
        let names: Vec<Box<[u8]>> = rows
            .filter(|(_, row)| row.holder.as_ref().is_some_and(dead))
            .map(|(name, _)| name.into())
            .collect();
        for name in names {
            self.push(LockChange::Free { name });
        }
    }

    /// Frees a lock whose holder is dead. If it had stood in line and never said that it knows, its node is taken for dead,
    /// with all who wait there; who is not stands in line again.
    fn bury_holder(&mut self, name: &[u8]) {
        let Some(row) = self.table.get(name) else { return };
        let Some(Holder { grant, .. }) = &row.holder else { return };
        let node = grant.to.node;
        let silent = !grant.claimed && node != bells::here();
        let there = row.queue.iter().filter(|party| silent && party.node == node);
        let leave: Vec<_> = there.map(|party| party.token).collect();
        self.push(LockChange::Free { name: name.into() });
        for token in leave {
            self.push(LockChange::Leave { name: name.into(), token });
        }
    }

    /// The first in line who is not known to be dead. The dead before it leave the line.
    fn first(&mut self, name: &[u8]) -> Option<Party> {
        loop {
            let first = self.table.get(name)?.queue.first()?.clone();
            if !bells::is_dead(first.node, first.token) {
                return Some(first);
            }
            self.push(LockChange::Leave { name: name.into(), token: first.token });
        }
    }

    fn hand_over(&mut self, name: &[u8], to: Party) {
        self.wake.push(to.token);
        self.grant(name, to, CLAIM, false);
    }

    fn grant(&mut self, name: &[u8], to: Party, lease: Duration, claimed: bool) -> u64 {
        let at = wall_clock();
        let fence = (self.table.fence.max(self.floor) + 1).max(at.saturating_mul(1_000));
        self.push(LockChange::Grant { name: name.into(), grant: Grant { to, fence, lease, at, claimed } });
        fence
    }

    /// Wakes who is now the first of its node in line, to look for all of them.
    fn wake_next(&mut self, name: &[u8], node: u64) {
        let queue = self.table.get(name).map(|row| row.queue.iter());
        self.wake.extend(queue.into_iter().flatten().find(|party| party.node == node).map(|next| next.token));
    }

    /// After how long to look again if no bell rings.
    fn look_again(&self, name: &[u8], who: &Party) -> Duration {
        let Some(row) = self.table.get(name) else { return FIRST_LOOK };
        let ahead = || row.queue.iter().take_while(|party| party.token != who.token);
        let looks = |party: &Party| party.node == who.node && !bells::is_dead(party.node, party.token);
        if who.node != 0 && ahead().any(looks) {
            return SELDOM;
        }
        let ahead = u32::try_from(ahead().count()).unwrap_or(u32::MAX);
        let held = row.holder.as_ref().map_or(Duration::ZERO, |holder| holder.known_for(self.now));
        (held / 8 + FIRST_LOOK.saturating_mul(ahead.saturating_add(1))).min(LONGEST_LOOK)
    }

    fn push(&mut self, change: LockChange) {
        self.table.apply(&change, self.now);
        self.changes.push(change);
    }
}

/// Whether a lock is its holder's no more: not renewed in time, or handed to somebody who has died since.
fn is_over(holder: &Holder, now: Duration) -> bool {
    let to = &holder.grant.to;
    holder.left(now).is_zero() || (!holder.grant.claimed && bells::is_dead(to.node, to.token))
}
