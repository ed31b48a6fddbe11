//! What becomes of a lock: rules R22 to R25 of `docs/protocol.md`, without input, output or a
//! clock.
//!
//! `local:` acts on them; the script of the Redis backend states the same rules and is tested
//! against them.

use std::time::Duration;

use crate::clock::Millis;
use crate::contract::{Attempt, Handed, LockKind, LockProof, Token};

/// Who did not ask again for so long is out of the line.
pub const SEEN: Millis = 3_000;
/// How long a lock that was handed over waits for the new holder to say that it is alive.
pub const CLAIM: Millis = 2_000;

/// What all locks of a place share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Common {
    /// When locks may have been lost last.
    pub born: Millis,
    /// The newest fencing number.
    pub fence: u64,
}

/// Who holds a lock or waits for it. `P` is what the place knows of the process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Party<P> {
    /// One attempt to get the lock.
    pub token: Token,
    /// What lists show.
    pub owner: Box<[u8]>,
    /// Of which process.
    pub process: P,
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder<P> {
    /// To whom.
    pub who: Party<P>,
    /// Its number.
    pub fence: u64,
    /// When the lease ends.
    pub until: Millis,
    /// When it was granted, or given back after a loss.
    pub since: Millis,
    /// How long the lease is.
    pub lease: Millis,
}

/// Somebody in line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Waiter<P> {
    /// Who.
    pub who: Party<P>,
    /// When it asked last.
    pub seen: Millis,
}

/// One lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row<P> {
    /// The last grant that was not taken back. Its lease may be over.
    pub holder: Option<Holder<P>>,
    /// Who waits, the first first.
    pub queue: Vec<Waiter<P>>,
}

impl<P> Default for Row<P> {
    fn default() -> Self {
        Self { holder: None, queue: Vec::new() }
    }
}

impl<P> Row<P> {
    /// Whether a write may show this lock: it is still the one of the proof, and none of before a
    /// loss (R24). `born` is that of the [`Common`] part.
    pub fn allows(&self, proof: LockProof, born: Millis) -> bool {
        let shown = |holder: &Holder<P>| holder.who.token == proof.token && holder.fence == proof.fence;
        self.holder.as_ref().is_some_and(|holder| shown(holder) && holder.since >= born)
    }
}

/// One lock at one moment.
pub struct Turn<'a, P> {
    /// What all locks share.
    pub common: &'a mut Common,
    /// The lock.
    pub row: &'a mut Row<P>,
    /// Its kind.
    pub kind: LockKind,
    /// The time at the place.
    pub now: Millis,
    /// Microseconds since 1970 there: fencing numbers are no smaller (R25).
    pub stamp: u64,
    /// Whether somebody in line who asked lately is alive, as far as the place can tell.
    pub alive: &'a dyn Fn(&Waiter<P>) -> bool,
}

impl<P: Clone> Turn<'_, P> {
    /// Asks for the lock. Also says to whom it was handed meanwhile, if to another.
    pub fn acquire(
        &mut self,
        who: &Party<P>,
        lease: Millis,
        queue: bool,
    ) -> (Attempt, Option<(Token, Handed)>) {
        self.settle();
        let (now, born) = (self.now, self.common.born);
        let grace = self.grace(lease);
        let holder = self.row.holder.as_mut();
        if let Some(own) = holder.filter(|holder| holder.who.token == who.token && holder.since >= born) {
            own.until = now + lease;
            own.lease = lease;
            own.who.process = who.process.clone();
            let fence = own.fence;
            self.leave(who.token);
            return (Attempt::Mine { fence }, None);
        }
        let held = self.row.holder.as_ref().filter(|holder| holder.since >= born && holder.until > now);
        let held = held.is_some();
        // Of a named lock an old copy may be right.
        let counts = |holder: &&Holder<P>| self.kind == LockKind::Named || holder.since >= born;
        let mut free_at = self.row.holder.as_ref().filter(counts).map_or(0, |holder| holder.until).max(grace);
        if queue && (now < free_at || !self.row.queue.is_empty()) {
            match self.row.queue.iter_mut().find(|waiter| waiter.who.token == who.token) {
                Some(waiter) => waiter.seen = now,
                None => self.row.queue.push(Waiter { who: who.clone(), seen: now }),
            }
        }
        let mut handed = None;
        if now >= free_at {
            match self.first(Some(who.token)) {
                Some(first) if first.token != who.token => {
                    handed = Some(self.hand_over(first, lease));
                    free_at = now + lease.min(CLAIM);
                }
                _ => return (Attempt::Mine { fence: self.grant(who.clone(), lease) }, None),
            }
        }
        let left = Duration::from_millis(free_at.saturating_sub(now));
        if held || handed.is_some() || now >= free_at {
            (Attempt::Wait { at_most: left }, handed)
        } else {
            (Attempt::Grace { left }, None)
        }
    }

    /// Takes the lock from `token`, or from whoever holds it, and gives it to the next in line, for
    /// `lease` at the most. Whether it was held, and to whom it was given.
    pub fn release(&mut self, token: Option<Token>, lease: Millis) -> (bool, Option<(Token, Handed)>) {
        self.settle();
        if let Some(token) = token {
            self.leave(token);
        }
        let holder = self.row.holder.take_if(|holder| token.is_none_or(|token| token == holder.who.token));
        let Some(holder) = holder else { return (false, None) };
        let mut handed = None;
        if self.now >= self.grace(lease) {
            match self.first(None) {
                Some(first) => handed = Some(self.hand_over(first, lease)),
                None => self.row.queue.clear(),
            }
        }
        (holder.until > self.now, handed)
    }

    /// Renews a lease; whether the lock is still the holder's. `believed` says whether it believed
    /// so.
    pub fn renew(&mut self, who: &Party<P>, proof: LockProof, believed: bool, lease: Millis) -> bool {
        self.settle();
        let (now, born) = (self.now, self.common.born);
        let reclaims = believed && self.kind == LockKind::Named;
        match &mut self.row.holder {
            Some(holder) if holder.who.token == proof.token && (reclaims || holder.since >= born) => {
                holder.until = now + lease;
                holder.since = holder.since.max(born);
                holder.lease = lease;
                true
            }
            holder
                if reclaims
                    && now < born.saturating_add(lease)
                    && holder.as_ref().is_none_or(|old| old.since < born && old.fence < proof.fence) =>
            {
                // The lock was lost here, or an old row of it is left, and nobody got it since
                // (R23).
                let (who, fence) = (who.clone(), proof.fence);
                *holder = Some(Holder { who, fence, until: now + lease, since: now, lease });
                self.common.fence = self.common.fence.max(proof.fence);
                true
            }
            _ => false,
        }
    }

    /// Whose the lock is.
    pub fn holder(&mut self) -> Option<Token> {
        self.settle();
        let holder = self.row.holder.as_ref()?;
        (holder.until > self.now).then_some(holder.who.token)
    }

    /// Times in the future are from before a clock was set back. What is left of a lease is no more
    /// than all of it.
    fn settle(&mut self) {
        let now = self.now;
        self.common.born = self.common.born.min(now);
        if let Some(holder) = &mut self.row.holder {
            holder.since = holder.since.min(now);
            holder.until = holder.until.min(now.saturating_add(holder.lease));
        }
    }

    /// Until when nobody new gets the lock (R23).
    fn grace(&self, lease: Millis) -> Millis {
        match self.kind {
            LockKind::Cache => 0,
            LockKind::Named => self.common.born.saturating_add(lease),
        }
    }

    /// The first in line who is alive, or who asks just now; the dead before it leave the line.
    fn first(&mut self, asking: Option<Token>) -> Option<Party<P>> {
        while let Some(first) = self.row.queue.first() {
            let lately = first.seen <= self.now && first.seen + SEEN >= self.now;
            if lately && (Some(first.who.token) == asking || (self.alive)(first)) {
                return Some(first.who.clone());
            }
            self.row.queue.remove(0);
        }
        None
    }

    /// Gives a free lock to the first in line, for as long as it takes to say that it is alive.
    fn hand_over(&mut self, to: Party<P>, lease: Millis) -> (Token, Handed) {
        let lease = lease.min(CLAIM);
        let token = to.token;
        let fence = self.grant(to, lease);
        (token, Handed { fence, lease: Duration::from_millis(lease) })
    }

    fn grant(&mut self, who: Party<P>, lease: Millis) -> u64 {
        let fence = (self.common.fence + 1).max(self.stamp);
        self.common.fence = fence;
        self.leave(who.token);
        self.row.holder = Some(Holder { who, fence, until: self.now + lease, since: self.now, lease });
        fence
    }

    fn leave(&mut self, token: Token) {
        self.row.queue.retain(|waiter| waiter.who.token != token);
    }
}
