//! Telling the primary what it missed (R10).
//!
//! How far it was told stands in the primary, beside the entries, under the identity of the control log. Telling is one
//! atomic write, may be done by anyone and any number of times.

use std::collections::HashSet;
use std::time::Duration;

use super::{Failover, names};
use crate::bytes::Reader;
use crate::clock::{Millis, millis, wall_clock};
use crate::contract::{CacheId, Change, Op, Position, Read};
use crate::error::Result;

/// How long a node counts as one that uses the primary after it last said so.
const PRESENT: Duration = Duration::from_hours(1);
/// How often a node says so.
pub(super) const SAY: Duration = Duration::from_mins(5);

/// What stands in the primary about one control log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Absorbed {
    position: Position,
    /// When that was written, on the primary's clock.
    written: Millis,
    /// By which node.
    node: u64,
}

impl Absorbed {
    pub(super) fn encode(position: Position, written: Millis, node: u64) -> Vec<u8> {
        let place = [position.id, position.nonce].map(u128::to_le_bytes);
        [place.as_flattened(), [written, node].map(u64::to_le_bytes).as_flattened()].concat()
    }

    fn decode(incarnation: u128, bytes: &[u8]) -> Option<Self> {
        let mut bytes = Reader::new(bytes);
        let position = Position { incarnation, id: bytes.u128().ok()?, nonce: bytes.u128().ok()? };
        let read = Self { position, written: bytes.u64().ok()?, node: bytes.u64().ok()? };
        bytes.is_empty().then_some(read)
    }
}

/// The key under which the primary keeps how far it has taken in a control log.
fn key(control: &Position) -> [u8; 16] {
    control.incarnation.to_be_bytes()
}

impl Failover {
    /// Reads what the primary says of the control log at `control`.
    fn read_absorbed(&self, control: &Position) -> Result<(u128, Option<Absorbed>)> {
        let (cache, key) = (names::absorbed(), key(control));
        let fetched = self.primary.fetch(None, &[Read { cache: &cache, key: &key }])?;
        let entry = fetched.entries.first().and_then(Option::as_deref);
        let incarnation = fetched.delta.position.incarnation;
        let absorbed = entry.and_then(|entry| Absorbed::decode(control.incarnation, entry));
        if let Some(absorbed) = absorbed {
            self.control.absorbed(incarnation, absorbed.position);
        }
        Ok((incarnation, absorbed))
    }

    /// Makes the primary take in the control log to its end, and answers how far that was. A round trip to the primary, two
    /// if there is something to tell, five if all has to be purged.
    pub(super) fn absorb(&self) -> Result<Position> {
        let view = self.control.read(&*self.fallback)?;
        let (incarnation, known) = self.read_absorbed(&view.at)?;
        let since = known.map(|known| known.position);
        let delta = self.fallback.fetch(since, &[])?.delta;
        let all = names::everything();
        let says = !self.shared && known.is_none_or(|known| self.must_say(known));
        if since == Some(delta.position) && !says {
            return Ok(delta.position);
        }
        let complete = !delta.reset && !delta.changes.iter().any(|change| names::of(change) == all.name());
        let told = if complete { invalidations(&delta.changes) } else { self.all_caches()? };
        let now = self.inform(&told, delta.position)?;
        if now != incarnation {
            // Another server answered, or this one after a restart: what it holds is not what was asked about.
            let again = self.all_caches()?;
            self.inform(&again, delta.position)?;
        }
        // For those who cannot ask the primary; it is for people only.
        let _ = self.note(&names::done(), &Absorbed::encode(delta.position, 0, self.node));
        if says && self.has_peers(&view.at)? {
            self.note(&names::peers(), &wall_clock().to_le_bytes())?;
        }
        Ok(delta.position)
    }

    /// Applies invalidations to the primary and says how far it was told. The incarnation under which that was done.
    fn inform(&self, told: &[Invalidation], upto: Position) -> Result<u128> {
        let (cache, key) = (names::absorbed(), key(&upto));
        let entry = Absorbed::encode(upto, self.primary.now(), self.node);
        let mut ops: Vec<Op<'_>> = told.iter().map(Invalidation::op).collect();
        ops.push(Op::Set { cache: &cache, key: &key, entry: &entry, expires: None, guard: None, lock: None });
        let incarnation = self.primary.apply(None, &ops)?.delta.position.incarnation;
        self.control.absorbed(incarnation, upto);
        Ok(incarnation)
    }

    /// A purge of each cache that the primary holds.
    fn all_caches(&self) -> Result<Vec<Invalidation>> {
        let usage = self.primary.usage()?;
        let caches = usage.into_iter().map(|usage| usage.cache).filter(|cache| !cache.is_reserved());
        Ok(caches.map(|cache| Invalidation { cache, key: None }).collect())
    }

    /// What the control log holds that the primary was not told, as far as the fallback alone can say; `None` = too much
    /// to count.
    pub(super) fn waiting(&self, at: &Position) -> Result<Option<usize>> {
        let done = names::done();
        let fetched = self.fallback.fetch(None, &[Read { cache: &done, key: b"" }])?;
        let entry = fetched.entries.first().and_then(Option::as_deref);
        let done = entry.and_then(|entry| Absorbed::decode(at.incarnation, entry));
        let delta = self.fallback.fetch(done.map(|done| done.position), &[])?.delta;
        let data = delta.changes.iter().filter(|change| names::is_data(change));
        Ok((!delta.reset).then(|| data.count()))
    }

    /// Keeps something small in the fallback that is not in its log.
    fn note(&self, cache: &CacheId, entry: &[u8]) -> Result<()> {
        let set = Op::Set { cache, key: b"", entry, expires: None, guard: None, lock: None };
        self.fallback.apply(None, &[set]).map(drop)
    }

    /// Whether this node has to say again that it uses the primary, because its control log is its own (R15).
    fn must_say(&self, absorbed: Absorbed) -> bool {
        self.primary.now().saturating_sub(absorbed.written) >= millis(SAY)
    }

    /// Whether another node was seen to use the primary within the hour, so that nothing may be promised that this node alone
    /// knows of (R15).
    pub(super) fn is_one_of_several(&self) -> Result<bool> {
        let peers = names::peers();
        let fetched = self.fallback.fetch(None, &[Read { cache: &peers, key: b"" }])?;
        let seen = fetched.entries.first().and_then(Option::as_deref).and_then(|entry| entry.try_into().ok());
        Ok(seen.is_some_and(|seen| wall_clock().saturating_sub(u64::from_le_bytes(seen)) < millis(PRESENT)))
    }

    /// Whether other nodes used the primary lately, each with a control log of its own (R15).
    fn has_peers(&self, control: &Position) -> Result<bool> {
        let (cache, own) = (names::absorbed(), key(control));
        let mut keys = Vec::new();
        self.primary.list(&cache, b"", &mut |key| keys.push(key.to_vec()))?;
        keys.retain(|key| *key != own);
        let reads: Vec<Read<'_>> = keys.iter().map(|key| Read { cache: &cache, key }).collect();
        if reads.is_empty() {
            return Ok(false);
        }
        let entries = self.primary.fetch(None, &reads)?.entries;
        let now = self.primary.now();
        let present = |entry: &[u8]| {
            Absorbed::decode(0, entry).is_some_and(|peer| {
                peer.node != self.node && now.saturating_sub(peer.written) < millis(PRESENT)
            })
        };
        Ok(entries.iter().flatten().any(|entry| present(entry)))
    }
}

/// One thing for the primary to forget.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Invalidation {
    cache: CacheId,
    key: Option<Box<[u8]>>,
}

impl Invalidation {
    fn op(&self) -> Op<'_> {
        match &self.key {
            Some(key) => Op::Delete { cache: &self.cache, key },
            None => Op::Purge { cache: &self.cache },
        }
    }
}

/// What changes in the fallback mean for the primary, each once.
fn invalidations(changes: &[Change]) -> Vec<Invalidation> {
    let mut seen = HashSet::new();
    let named = changes.iter().filter_map(|change| {
        let (_, cache) = CacheId::original(names::of(change))?;
        let key = match change {
            Change::Key { key, .. } => Some(key.clone()),
            Change::Cache { .. } => None,
        };
        Some(Invalidation { cache, key })
    });
    named.filter(|invalidation| seen.insert(invalidation.clone())).collect()
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_invalidation_is_told_once_and_flips_are_none() {
        let change = |name: &CacheId, key: &[u8]| Change::Key { cache: name.name().into(), key: key.into() };
        let (logged, unlogged) = (CacheId::stored("c", true), CacheId::stored("c", false));
        let changes = [
            change(&logged.in_epoch(1), b"k"),
            change(&names::mode(), names::MODE_KEY),
            change(&logged.in_epoch(2), b"k"),
            change(&unlogged.in_epoch(2), b"k"),
            Change::Cache { cache: logged.in_epoch(2).name().into() },
        ];
        let key = Some(Box::from(&b"k"[..]));
        let told = invalidations(&changes);
        assert_eq!(
            told,
            [
                Invalidation { cache: logged.clone(), key: key.clone() },
                Invalidation { cache: unlogged, key },
                Invalidation { cache: logged, key: None }
            ]
        );
    }
}
