//! What becomes of a lock: decided by the rules on what is known of it, under the append lock if it
//! is to be written. What a decision changes is what the record says.

use std::time::Duration;

use super::wake;
use crate::backend::dir::replica::{Grant, LockChange, LockTable, Party, Seat, with_margin};
use crate::clock::{Millis, wall_clock};
use crate::contract::{Attempt, Handed, LockKind, LockProof, Token};
use crate::lock::rules::{CLAIM, Common, Holder, Row, Turn, Waiter};

/// How long the first in line waits at first before it looks again; later it looks ever more
/// rarely. So does the first in line on each other node.
const FIRST_LOOK: Duration = Duration::from_millis(50);
/// The longest that the first in line waits before it looks again.
const LONGEST_LOOK: Duration = Duration::from_millis(250);
/// How long the others wait before they look in case nobody woke them.
const SELDOM: Duration = Duration::from_secs(1);

/// An attempt to get a lock.
pub(crate) struct Asking {
    pub(crate) name: Box<[u8]>,
    pub(crate) who: Party,
    pub(crate) lease: Millis,
    pub(crate) queue: bool,
}

/// A lock to renew.
pub(crate) struct Renewing {
    pub(crate) name: Box<[u8]>,
    pub(crate) who: Party,
    pub(crate) proof: LockProof,
    pub(crate) believed_until: Millis,
}

/// Changes that are not written yet.
pub(crate) struct Draft {
    table: LockTable,
    changes: Vec<LockChange>,
    /// Whom to wake once they are written.
    wake: Vec<Token>,
    now: Millis,
    /// No fencing number is given again, even one of a history that was lost (R25).
    floor: u64,
}

impl Draft {
    pub(crate) fn new(table: LockTable, floor: u64, now: Millis) -> Self {
        Self { table, changes: Vec::new(), wake: Vec::new(), now, floor }
    }

    /// The changes to be written.
    pub(crate) fn changes(&self) -> &[LockChange] {
        &self.changes
    }

    /// Wakes whom the changes concern, once they are written.
    pub(crate) fn wake(self) {
        self.wake.into_iter().for_each(wake::notify);
    }

    pub(crate) fn acquire(&mut self, asking: &Asking) -> Attempt {
        let (name, who) = (&*asking.name, &asking.who);
        let lease = with_margin(asking.lease);
        let (attempt, handed) =
            self.grant(name, Some(who.token), |turn| turn.acquire(who, lease, asking.queue));
        self.hand_over(handed);
        match attempt {
            Attempt::Mine { .. } => self.wake_next(name, who.process.node),
            Attempt::Wait { at_most } => {
                return Attempt::Wait { at_most: at_most.min(self.look_again(name, who)) };
            }
            Attempt::Grace { .. } => {}
        }
        attempt
    }

    /// Takes the lock from `token`, or from whoever holds it; or takes `token` out of the line.
    pub(crate) fn release(&mut self, name: &[u8], token: Option<Token>) -> bool {
        let row = self.table.get(name);
        let lease = row.and_then(|row| row.holder.as_ref()).map_or(CLAIM, |holder| holder.lease);
        let queue = row.into_iter().flat_map(|row| &row.queue);
        let left = queue.map(|waiter| &waiter.who).find(|who| token == Some(who.token));
        let left = left.map(|who| who.process.node);
        let (held, handed) = self.grant(name, token, |turn| turn.release(token, lease));
        self.hand_over(handed);
        if let Some(node) = left {
            self.wake_next(name, node);
        }
        held
    }

    /// Forgets all locks, since others were kept elsewhere meanwhile.
    pub(crate) fn distrust(&mut self, fence: u64) {
        self.push(LockChange::Distrust { fence });
    }

    /// Renews a lease; whether the lock is still the holder's.
    pub(crate) fn renew(&mut self, lock: &Renewing, lease: Millis) -> bool {
        let (lease, believed) = (with_margin(lease), self.now < lock.believed_until);
        self.turn(&lock.name, Some(lock.proof.token), |turn| {
            let held = turn.renew(&lock.who, lock.proof, believed, lease);
            if held && let Some(holder) = &mut turn.row.holder {
                holder.who.process.claimed = true;
            }
            held
        })
    }

    /// Takes a turn that may grant the lock to somebody new. If it does so with a named one, the
    /// grace is over (R23).
    fn grant<T>(
        &mut self,
        name: &[u8],
        asks: Option<Token>,
        decide: impl FnOnce(&mut Turn<'_, Seat>) -> T,
    ) -> T {
        let before = self.changes.len();
        let answer = self.turn(name, asks, decide);
        let mut new = self.changes.iter().skip(before);
        let granted = new.any(|change| matches!(change, LockChange::Grant { .. }));
        if granted && !self.table.open && LockKind::of(name) == LockKind::Named {
            self.push(LockChange::Common { fence: 0, open: true });
        }
        answer
    }

    /// Decides, by the rules, and notes what that changes.
    fn turn<T>(
        &mut self,
        name: &[u8],
        asks: Option<Token>,
        decide: impl FnOnce(&mut Turn<'_, Seat>) -> T,
    ) -> T {
        let before = self.table.get(name).cloned().unwrap_or_default();
        let mut row = before.clone();
        forget_the_dead(&mut row, asks, self.now);
        let mut common = Common { born: self.table.born(), fence: self.table.fence.max(self.floor) };
        let answer = decide(&mut Turn {
            common: &mut common,
            row: &mut row,
            kind: LockKind::of(name),
            now: self.now,
            stamp: wall_clock().saturating_mul(1_000),
            alive: &|waiter| !wake::is_dead(waiter.who.process.node, waiter.who.token),
        });
        self.note(name, &before, row);
        answer
    }

    /// Notes what makes one row of another.
    fn note(&mut self, name: &[u8], before: &Row<Seat>, after: Row<Seat>) {
        let holder = after.holder.as_ref().map(|holder| holder.who.token);
        let stands = |in_line: &[Waiter<Seat>], token| in_line.iter().any(|waiter| waiter.who.token == token);
        for Waiter { who, .. } in &before.queue {
            if Some(who.token) != holder && !stands(&after.queue, who.token) {
                self.push(LockChange::Leave { name: name.into(), token: who.token });
            }
        }
        match (&before.holder, after.holder) {
            (None, None) => {}
            (Some(_), None) => self.push(LockChange::Free { name: name.into() }),
            (Some(old), Some(new)) if old.who.token == new.who.token && old.fence == new.fence => {
                if *old != new {
                    let lease = Grant::of(&new).lease;
                    self.push(LockChange::Renew { name: name.into(), lease });
                }
            }
            (_, Some(mut new)) => {
                new.who.process.at = wall_clock();
                self.push(LockChange::Grant { name: name.into(), grant: Grant::of(&new) });
            }
        }
        for Waiter { who, .. } in after.queue {
            if !stands(&before.queue, who.token) {
                self.push(LockChange::Wait { name: name.into(), who: unclaimed(who) });
            }
        }
    }

    fn hand_over(&mut self, handed: Option<(Token, Handed)>) {
        self.wake.extend(handed.map(|(token, _)| token));
    }

    /// Wakes who is now the first of its node in line, to look for all of them.
    fn wake_next(&mut self, name: &[u8], node: u64) {
        let queue = self.table.get(name).into_iter().flat_map(|row| &row.queue);
        let next = queue.map(|waiter| &waiter.who).find(|who| who.process.node == node);
        self.wake.extend(next.map(|next| next.token));
    }

    /// After how long to look again if nobody wakes it.
    fn look_again(&self, name: &[u8], who: &Party) -> Duration {
        let Some(row) = self.table.get(name) else { return FIRST_LOOK };
        let queue = || row.queue.iter().map(|waiter| &waiter.who);
        let ahead = || queue().take_while(|party| party.token != who.token);
        let node = who.process.node;
        let looks = |party: &Party| party.process.node == node && !wake::is_dead(node, party.token);
        if node != 0 && ahead().any(looks) {
            return SELDOM;
        }
        let ahead = u32::try_from(ahead().count()).unwrap_or(u32::MAX);
        let held = row.holder.as_ref().map_or(0, |holder| self.now.saturating_sub(holder.since));
        let held = Duration::from_millis(held / 8);
        (held + FIRST_LOOK.saturating_mul(ahead.saturating_add(1))).min(LONGEST_LOOK)
    }

    fn push(&mut self, change: LockChange) {
        self.table.apply(&change, self.now);
        self.changes.push(change);
    }
}

/// Frees locks whose holders died and that nobody waits for.
pub(crate) fn dead_locks(table: &LockTable, now: Millis) -> Vec<LockChange> {
    let rows = table.rows().filter(|(_, row)| row.queue.is_empty());
    let dead = rows.filter(|(_, row)| row.holder.as_ref().is_some_and(|holder| is_over(holder, now)));
    dead.map(|(name, _)| LockChange::Free { name: name.into() }).collect()
}

/// Whether a lock is its holder's no more: not renewed in time, or handed to somebody who has died
/// since.
fn is_over(holder: &Holder<Seat>, now: Millis) -> bool {
    let Seat { node, claimed, .. } = holder.who.process;
    holder.until <= now || (!claimed && wake::is_dead(node, holder.who.token))
}

/// Forgets a holder that is dead, unless it is the one that asks. If it had stood in line and never
/// said that it knows, its node is taken for dead, with all who wait there; who is not stands in
/// line again. The others are taken for alive: who waits says nothing while it does.
fn forget_the_dead(row: &mut Row<Seat>, asks: Option<Token>, now: Millis) {
    let other = |holder: &Holder<Seat>| Some(holder.who.token) != asks && !holder.who.process.claimed;
    if let Some(dead) = row.holder.take_if(|holder| other(holder) && is_over(holder, now)) {
        let node = dead.who.process.node;
        row.queue.retain(|waiter| node == wake::here() || waiter.who.process.node != node);
    }
    row.queue.iter_mut().for_each(|waiter| waiter.seen = now);
}

fn unclaimed(who: Party) -> Party {
    let process = Seat { node: who.process.node, ..Seat::default() };
    Party { process, ..who }
}
