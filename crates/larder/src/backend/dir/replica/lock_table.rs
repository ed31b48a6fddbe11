//! The locks of a namespace. They are made of records alone, so that all processes know the same,
//! but for one thing: when *this* process saw a holder's last sign of life, on its own clock (R20).
//! All times in the table are of that clock.

use std::collections::BTreeMap;

use crate::bytes::{Malformed, Reader, Writer};
use crate::clock::Millis;
use crate::contract::{Op, Token, lock_name};
use crate::lock::rules::{self, Holder, Row, Waiter};

/// The part of a lease that others wait beyond its end: clocks do not run at exactly the same
/// speed.
const MARGIN: u64 = 8;

/// What is known of the process of who waits for a lock or holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seat {
    /// The node on which it can be woken; 0 = none.
    pub(crate) node: u64,
    /// Whether a holder knows that it is one. One that stood in line has to say so in time.
    pub(crate) claimed: bool,
    /// When it became the holder, on the clock of who granted it: for people only.
    pub(crate) at: Millis,
}

/// Who waits for a lock or holds it.
pub(crate) type Party = rules::Party<Seat>;

/// A lock as it was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) to: Party,
    pub(crate) fence: u64,
    pub(crate) lease: Millis,
}

/// What a record says of locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LockChange {
    /// The newest fencing number, and whether what was held before this history began is over
    /// (R23).
    Common { fence: u64, open: bool },
    /// Locks were kept elsewhere meanwhile: none of these counts, and what was held there is not
    /// over.
    Distrust { fence: u64 },
    /// Somebody stands in line.
    Wait { name: Box<[u8]>, who: Party },
    /// Somebody does not any more.
    Leave { name: Box<[u8]>, token: Token },
    /// The lock has a holder.
    Grant { name: Box<[u8]>, grant: Grant },
    /// The holder is alive.
    Renew { name: Box<[u8]>, lease: Millis },
    /// The lock has no holder.
    Free { name: Box<[u8]> },
}

/// All locks that are held or waited for.
#[derive(Clone)]
pub(crate) struct LockTable {
    /// Leases in it are as long as others wait.
    rows: BTreeMap<Box<[u8]>, Row<Seat>>,
    pub(crate) fence: u64,
    pub(crate) open: bool,
    /// Since when this process has known this history.
    known_since: Millis,
}

impl LockTable {
    pub(crate) fn new(now: Millis) -> Self {
        Self { rows: BTreeMap::new(), fence: 0, open: false, known_since: now }
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (&[u8], &Row<Seat>)> {
        self.rows.iter().map(|(name, row)| (&**name, row))
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<&Row<Seat>> {
        self.rows.get(name)
    }

    /// Whether an operation shows no lock, or one that is still held (R24).
    pub(crate) fn allows(&self, op: &Op<'_>) -> bool {
        let Op::Set { cache, key, lock: Some(proof), .. } = op else { return true };
        // All rows are of this history.
        self.get(&lock_name(cache, key)).is_some_and(|row| row.allows(*proof, 0))
    }

    /// When locks may have been lost last, as long as somebody may hold one from before this
    /// history (R23).
    pub(crate) fn born(&self) -> Millis {
        if self.open { 0 } else { self.known_since }
    }

    /// Takes in a change that was read at `now`.
    pub(crate) fn apply(&mut self, change: &LockChange, now: Millis) {
        match change {
            LockChange::Common { fence, open } => {
                self.fence = self.fence.max(*fence);
                self.open |= *open;
            }
            LockChange::Distrust { fence } => {
                *self = Self { fence: self.fence.max(*fence), ..Self::new(now) };
            }
            LockChange::Wait { name, who } => {
                self.row(name).queue.push(Waiter { who: who.clone(), seen: now });
            }
            LockChange::Leave { name, token } => {
                self.row(name).queue.retain(|waiter| waiter.who.token != *token);
            }
            LockChange::Grant { name, grant: Grant { to, fence, lease } } => {
                self.fence = self.fence.max(*fence);
                let (lease, row) = (with_margin(*lease), self.row(name));
                row.queue.retain(|waiter| waiter.who.token != to.token);
                let (who, until) = (to.clone(), now + lease);
                row.holder = Some(Holder { who, fence: *fence, until, since: now, lease });
            }
            LockChange::Renew { name, lease } => {
                if let Some(holder) = &mut self.row(name).holder {
                    holder.lease = with_margin(*lease);
                    holder.until = now + holder.lease;
                    holder.who.process.claimed = true;
                }
            }
            LockChange::Free { name } => self.row(name).holder = None,
        }
        if let LockChange::Leave { name, .. } | LockChange::Renew { name, .. } | LockChange::Free { name } =
            change
            && self.get(name).is_some_and(|row| row.holder.is_none() && row.queue.is_empty())
        {
            self.rows.remove(name);
        }
    }

    /// The changes that make this table of an empty one.
    pub(crate) fn changes(&self) -> Vec<LockChange> {
        let mut changes = vec![LockChange::Common { fence: self.fence, open: self.open }];
        for (name, row) in &self.rows {
            let grant = row.holder.iter().map(Grant::of);
            changes.extend(grant.map(|grant| LockChange::Grant { name: name.clone(), grant }));
            let waits = row.queue.iter().map(|waiter| waiter.who.clone());
            changes.extend(waits.map(|who| LockChange::Wait { name: name.clone(), who }));
        }
        changes
    }

    fn row(&mut self, name: &[u8]) -> &mut Row<Seat> {
        self.rows.entry(name.into()).or_default()
    }
}

impl Grant {
    /// What a record says of a holder.
    pub(crate) fn of(holder: &Holder<Seat>) -> Self {
        let lease = without_margin(holder.lease);
        Self { to: holder.who.clone(), fence: holder.fence, lease }
    }
}

/// How long others wait for a holder that has a lease.
pub(crate) fn with_margin(lease: Millis) -> Millis {
    lease.saturating_add(lease / MARGIN)
}

/// The reverse, exactly.
pub(crate) fn without_margin(lease: Millis) -> Millis {
    lease - lease / (MARGIN + 1)
}

const COMMON: u8 = 0;
const WAIT: u8 = 1;
const LEAVE: u8 = 2;
const GRANT: u8 = 3;
const RENEW: u8 = 4;
const FREE: u8 = 5;
const DISTRUST: u8 = 6;

/// Writes changes, their number first.
pub(super) fn write(out: &mut Writer, changes: &[LockChange]) {
    out.count(changes.len());
    for change in changes {
        match change {
            LockChange::Common { fence, open } => {
                out.u8(COMMON);
                out.u64(*fence);
                out.u8(u8::from(*open));
            }
            LockChange::Distrust { fence } => {
                out.u8(DISTRUST);
                out.u64(*fence);
            }
            LockChange::Wait { name, who } => {
                out.u8(WAIT);
                out.bytes(name);
                write_party(out, who);
            }
            LockChange::Leave { name, token } => {
                out.u8(LEAVE);
                out.bytes(name);
                out.u128(token.number());
            }
            LockChange::Grant { name, grant } => {
                out.u8(GRANT);
                out.bytes(name);
                write_party(out, &grant.to);
                out.u64(grant.fence);
                out.u64(grant.lease);
                out.u64(grant.to.process.at);
                out.u8(u8::from(grant.to.process.claimed));
            }
            LockChange::Renew { name, lease } => {
                out.u8(RENEW);
                out.bytes(name);
                out.u64(*lease);
            }
            LockChange::Free { name } => {
                out.u8(FREE);
                out.bytes(name);
            }
        }
    }
}

/// Reads changes.
///
/// # Errors
/// If this version of Larder does not write such ones.
pub(super) fn read(input: &mut Reader<'_>) -> Result<Vec<LockChange>, Malformed> {
    let mut changes = Vec::new();
    for _ in 0..input.u32()? {
        changes.push(match input.u8()? {
            COMMON => LockChange::Common { fence: input.u64()?, open: input.u8()? != 0 },
            DISTRUST => LockChange::Distrust { fence: input.u64()? },
            WAIT => LockChange::Wait { name: input.bytes()?.into(), who: read_party(input)? },
            LEAVE => {
                LockChange::Leave { name: input.bytes()?.into(), token: Token::from_number(input.u128()?) }
            }
            GRANT => {
                let (name, mut to) = (input.bytes()?.into(), read_party(input)?);
                let (fence, lease) = (input.u64()?, input.u64()?);
                (to.process.at, to.process.claimed) = (input.u64()?, input.u8()? != 0);
                LockChange::Grant { name, grant: Grant { to, fence, lease } }
            }
            RENEW => LockChange::Renew { name: input.bytes()?.into(), lease: input.u64()? },
            FREE => LockChange::Free { name: input.bytes()?.into() },
            _ => return Err(Malformed),
        });
    }
    Ok(changes)
}

fn write_party(out: &mut Writer, party: &Party) {
    out.u128(party.token.number());
    out.bytes(&party.owner);
    out.u64(party.process.node);
}

fn read_party(input: &mut Reader<'_>) -> Result<Party, Malformed> {
    let token = Token::from_number(input.u128()?);
    let owner = input.bytes()?.into();
    Ok(Party { token, owner, process: Seat { node: input.u64()?, ..Seat::default() } })
}
