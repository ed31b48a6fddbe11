//! How far the primary was told what it missed, and what that was (R10).

use std::collections::HashSet;

use crate::bytes::Reader;
use crate::clock::Millis;
use crate::contract::{CacheId, Change, Op, Position};

/// What stands in the primary about one control log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Absorbed {
    pub(super) position: Position,
    /// When that was written, on the primary's clock.
    pub(super) written: Millis,
    /// By which node.
    pub(super) node: u64,
}

impl Absorbed {
    pub(super) fn encode(position: Position, written: Millis, node: u64) -> Vec<u8> {
        let place = [position.id, position.nonce].map(u128::to_le_bytes);
        [place.as_flattened(), [written, node].map(u64::to_le_bytes).as_flattened()].concat()
    }

    pub(super) fn decode(incarnation: u128, bytes: &[u8]) -> Option<Self> {
        let mut bytes = Reader::new(bytes);
        let position = Position { incarnation, id: bytes.u128().ok()?, nonce: bytes.u128().ok()? };
        let read = Self { position, written: bytes.u64().ok()?, node: bytes.u64().ok()? };
        bytes.is_empty().then_some(read)
    }
}

/// One thing for the primary to forget.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Invalidation {
    pub(super) cache: CacheId,
    pub(super) key: Option<Box<[u8]>>,
}

impl Invalidation {
    pub(super) fn op(&self) -> Op<'_> {
        match &self.key {
            Some(key) => Op::Delete { cache: &self.cache, key },
            None => Op::Purge { cache: &self.cache },
        }
    }
}

/// What changes in the fallback mean for the primary, each once.
pub(super) fn invalidations(changes: &[Change]) -> Vec<Invalidation> {
    let mut seen = HashSet::new();
    let named = changes.iter().filter_map(|change| {
        let (_, cache) = CacheId::original(change.cache())?;
        let key = match change {
            Change::Key { key, .. } => Some(key.clone()),
            Change::Cache { .. } | Change::Unlisted { .. } => None,
        };
        Some(Invalidation { cache, key })
    });
    named.filter(|invalidation| seen.insert(invalidation.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::names;
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
