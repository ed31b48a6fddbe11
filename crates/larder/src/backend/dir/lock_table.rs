//! The locks of a namespace. They are made of records alone, so that all processes know the same, but for one thing: when
//! *this* process saw a holder's last sign of life, on its own clock (R20).

use std::collections::BTreeMap;
use std::time::Duration;

use super::wire::{In, Out};
use crate::backend::Op;
use crate::clock::Millis;
use crate::lock::{Token, lock_name};

/// The part of a lease that others wait beyond its end: clocks do not run at exactly the same speed.
const MARGIN: u32 = 8;

/// Who waits for a lock or holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Party {
    pub(super) token: Token,
    pub(super) owner: Box<[u8]>,
    /// Where its bell hangs; 0 = nowhere.
    pub(super) node: u64,
}

/// A lock as it was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) to: Party,
    pub(super) fence: u64,
    pub(super) lease: Duration,
    /// When, on the clock of who granted it: for people only.
    pub(super) at: Millis,
    /// Whether the holder knows. One that stood in line has to say so in time.
    pub(super) claimed: bool,
}

/// What a record says of locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LockChange {
    /// The newest fencing number, and whether what was held before this history began is over (R23).
    Common { fence: u64, open: bool },
    /// Locks were kept elsewhere meanwhile: none of these counts, and what was held there is not over.
    Distrust { fence: u64 },
    /// Somebody stands in line.
    Wait { name: Box<[u8]>, who: Party },
    /// Somebody does not any more.
    Leave { name: Box<[u8]>, token: Token },
    /// The lock has a holder.
    Grant { name: Box<[u8]>, grant: Grant },
    /// The holder is alive.
    Renew { name: Box<[u8]>, lease: Duration },
    /// The lock has no holder.
    Free { name: Box<[u8]> },
}

/// A grant that was not taken back, and when this process saw its last sign of life.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) grant: Grant,
    seen: Duration,
    /// When it saw the grant.
    granted: Duration,
}

impl Holder {
    /// For how long the lock is still the holder's, as far as this process can tell.
    pub(super) fn left(&self, now: Duration) -> Duration {
        (self.seen + with_margin(self.grant.lease)).saturating_sub(now)
    }

    /// How long this process has known of the grant.
    pub(super) fn known_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.granted)
    }
}

/// One lock.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) holder: Option<Holder>,
    pub(super) queue: Vec<Party>,
}

/// All locks that are held or waited for.
#[derive(Clone)]
pub(super) struct LockTable {
    rows: BTreeMap<Box<[u8]>, Row>,
    pub(super) fence: u64,
    pub(super) open: bool,
    /// Since when this process has known this history.
    known_since: Duration,
}

impl LockTable {
    pub(super) fn new(now: Duration) -> Self {
        Self { rows: BTreeMap::new(), fence: 0, open: false, known_since: now }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = (&[u8], &Row)> {
        self.rows.iter().map(|(name, row)| (&**name, row))
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Row> {
        self.rows.get(name)
    }

    pub(super) fn holder(&self, name: &[u8]) -> Option<&Holder> {
        self.get(name)?.holder.as_ref()
    }

    /// Whether an operation shows no lock, or one that is still held (R24).
    pub(super) fn allows(&self, op: &Op<'_>) -> bool {
        let Op::Set { cache, key, lock: Some(proof), .. } = op else { return true };
        let holder = self.holder(&lock_name(cache, key)).map(|holder| &holder.grant);
        holder.is_some_and(|grant| grant.to.token == proof.token && grant.fence == proof.fence)
    }

    /// For how long nobody new gets a named lock, because somebody may hold it from before this history (R23).
    pub(super) fn grace(&self, lease: Duration, now: Duration) -> Duration {
        let over = if self.open { Duration::ZERO } else { self.known_since + with_margin(lease) };
        over.saturating_sub(now)
    }

    /// Takes in a change that was read at `now`.
    pub(super) fn apply(&mut self, change: &LockChange, now: Duration) {
        match change {
            LockChange::Common { fence, open } => {
                self.fence = self.fence.max(*fence);
                self.open |= *open;
            }
            LockChange::Distrust { fence } => {
                *self = Self { fence: self.fence.max(*fence), ..Self::new(now) };
            }
            LockChange::Wait { name, who } => self.row(name).queue.push(who.clone()),
            LockChange::Leave { name, token } => self.row(name).queue.retain(|party| party.token != *token),
            LockChange::Grant { name, grant } => {
                self.fence = self.fence.max(grant.fence);
                let row = self.row(name);
                row.queue.retain(|party| party.token != grant.to.token);
                row.holder = Some(Holder { grant: grant.clone(), seen: now, granted: now });
            }
            LockChange::Renew { name, lease } => {
                if let Some(holder) = &mut self.row(name).holder {
                    holder.grant.lease = *lease;
                    holder.grant.claimed = true;
                    holder.seen = now;
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
    pub(super) fn changes(&self) -> Vec<LockChange> {
        let mut changes = vec![LockChange::Common { fence: self.fence, open: self.open }];
        for (name, row) in &self.rows {
            let grant = row.holder.iter().map(|holder| holder.grant.clone());
            changes.extend(grant.map(|grant| LockChange::Grant { name: name.clone(), grant }));
            let waits = row.queue.iter().cloned();
            changes.extend(waits.map(|who| LockChange::Wait { name: name.clone(), who }));
        }
        changes
    }

    fn row(&mut self, name: &[u8]) -> &mut Row {
        self.rows.entry(name.into()).or_default()
    }
}

fn with_margin(lease: Duration) -> Duration {
    lease + lease / MARGIN
}

const COMMON: u8 = 0;
const WAIT: u8 = 1;
const LEAVE: u8 = 2;
const GRANT: u8 = 3;
const RENEW: u8 = 4;
const FREE: u8 = 5;
const DISTRUST: u8 = 6;

/// Writes changes, their number first.
pub(super) fn write(out: &mut Out, changes: &[LockChange]) {
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
                write_lease(out, grant.lease);
                out.u64(grant.at);
                out.u8(u8::from(grant.claimed));
            }
            LockChange::Renew { name, lease } => {
                out.u8(RENEW);
                out.bytes(name);
                write_lease(out, *lease);
            }
            LockChange::Free { name } => {
                out.u8(FREE);
                out.bytes(name);
            }
        }
    }
}

/// Reads changes; `None` if this version of Larder does not write such ones.
pub(super) fn read(input: &mut In<'_>) -> Option<Vec<LockChange>> {
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
                let (name, to) = (input.bytes()?.into(), read_party(input)?);
                let (fence, lease) = (input.u64()?, Duration::from_millis(input.u64()?));
                let (at, claimed) = (input.u64()?, input.u8()? != 0);
                LockChange::Grant { name, grant: Grant { to, fence, lease, at, claimed } }
            }
            RENEW => {
                LockChange::Renew { name: input.bytes()?.into(), lease: Duration::from_millis(input.u64()?) }
            }
            FREE => LockChange::Free { name: input.bytes()?.into() },
            _ => return None,
        });
    }
    Some(changes)
}

fn write_lease(out: &mut Out, lease: Duration) {
    out.u64(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
}

fn write_party(out: &mut Out, party: &Party) {
    out.u128(party.token.number());
    out.bytes(&party.owner);
    out.u64(party.node);
}

fn read_party(input: &mut In<'_>) -> Option<Party> {
    let token = Token::from_number(input.u128()?);
    Some(Party { token, owner: input.bytes()?.into(), node: input.u64()? })
}
