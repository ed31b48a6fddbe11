//! What a write that failed must not leave (R16), and how much of that is noted while the fallback
//! is being entered.
//!
//! A page that misses all it reads stores all of it, which a fallback that is not ready refuses;
//! what each set would have replaced in the primary has to be noted. That is a write to the disk
//! each time. But nothing is stored in the primary before the fleet returns to it: once a cache is
//! noted as a whole, nothing more needs to be noted of it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::contract::{CacheId, Op};

/// What a batch must at least undo if it did not succeed (R16).
pub(super) struct Removals<'a> {
    pub(super) ops: Vec<Op<'a>>,
    /// Whether the batch had sets.
    pub(super) had_sets: bool,
}

impl<'a> Removals<'a> {
    /// A set that did not happen must not leave what it would have replaced. One with a guard would
    /// have replaced nothing.
    pub(super) fn of(ops: &[Op<'a>]) -> Self {
        let removal = |op: &Op<'a>| match *op {
            Op::Set { cache, guard: Some(_), .. } if cache.logged() => None,
            Op::Set { cache, key, .. } => Some(Op::Delete { cache, key }),
            other => Some(other),
        };
        let had_sets = ops.iter().any(|op| matches!(op, Op::Set { .. }));
        Self { ops: ops.iter().filter_map(removal).collect(), had_sets }
    }
}

/// So many keys of a cache are noted one by one.
const KEYS: usize = 16;

/// How many keys of each cache this process has noted in an epoch.
#[derive(Default)]
pub(super) struct Noted(Mutex<(u64, HashMap<CacheId, usize>)>);

impl Noted {
    /// Of what was refused in `epoch`, what is not noted yet: a cache as a whole once many of its
    /// keys were.
    pub(super) fn shorten<'a>(&self, epoch: u64, mut removals: Removals<'a>) -> Removals<'a> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = |cache| known.1.get(cache).copied().filter(|_| known.0 == epoch).unwrap_or_default();
        removals.ops.retain_mut(|op| {
            let cache = op.cache();
            let noted = noted(cache);
            if noted == KEYS {
                *op = Op::Purge { cache };
            }
            noted <= KEYS
        });
        removals
    }

    /// So much was noted.
    pub(super) fn learn(&self, epoch: u64, removals: &Removals<'_>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != epoch {
            *known = (epoch, HashMap::new());
        }
        for op in &removals.ops {
            let noted = known.1.entry(op.cache().clone()).or_default();
            *noted = match op {
                Op::Purge { .. } => usize::MAX,
                Op::Set { .. } | Op::Delete { .. } if *noted < KEYS => *noted + 1,
                Op::Set { .. } | Op::Delete { .. } => *noted,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Guard, Position};

    #[test]
    fn a_fill_that_failed_removes_nothing_and_an_overwrite_does() {
        let (logged, unlogged) = (CacheId::stored("c", true), CacheId::stored("c", false));
        let guard = Some(Guard::Exchange(Position { incarnation: 1, id: 1, nonce: 1 }));
        let set = |cache, guard| Op::Set { cache, key: b"k", entry: b"", expires: None, guard, lock: None };
        let ops =
            [set(&logged, guard), set(&logged, None), set(&unlogged, guard), Op::Purge { cache: &logged }];
        let removals = Removals::of(&ops);
        assert!(removals.had_sets);
        assert_eq!(removals.ops.len(), 3);
        assert!(matches!(removals.ops.first(), Some(Op::Delete { cache, .. }) if cache.logged()));
    }

    #[test]
    fn a_cache_is_noted_as_a_whole_after_many_keys_and_then_no_more_in_this_epoch() {
        let (noted, cache) = (Noted::default(), CacheId::stored("c", true));
        let delete = [Op::Delete { cache: &cache, key: b"k" }];
        let left = |epoch| noted.shorten(epoch, Removals::of(&delete));
        for _ in 0..KEYS {
            let left = left(1);
            assert!(matches!(left.ops.as_slice(), [Op::Delete { .. }]));
            noted.learn(1, &left);
        }
        let whole = left(1);
        assert!(matches!(whole.ops.as_slice(), [Op::Purge { .. }]));
        assert!(matches!(left(1).ops.as_slice(), [Op::Purge { .. }]), "the first was not noted");
        noted.learn(1, &whole);
        assert!(left(1).ops.is_empty());
        assert!(matches!(left(2).ops.as_slice(), [Op::Delete { .. }]));
    }
}
