//! What is refused while the fallback is being entered.
//!
//! A page that misses all it reads stores all of it, which a fallback that is not ready refuses; what each set would have
//! replaced in the primary has to be noted (R16). That is a write to the disk each time. But nothing is stored in the
//! primary before the fleet returns to it: once a cache is noted as a whole, nothing more needs to be noted of it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::tiers::{Removals, cache_of};
use crate::contract::{CacheId, Op};

/// So many keys of a cache are noted one by one.
const KEYS: usize = 16;

/// How many keys of each cache this process has noted in an epoch.
#[derive(Default)]
pub(super) struct Refused(Mutex<(u64, HashMap<CacheId, usize>)>);

impl Refused {
    /// Of what was refused in `epoch`, what is not noted yet: a cache as a whole once many of its keys were.
    pub(super) fn shorten<'a>(&self, epoch: u64, mut removals: Removals<'a>) -> Removals<'a> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = |cache| known.1.get(cache).copied().filter(|_| known.0 == epoch).unwrap_or_default();
        removals.ops.retain_mut(|op| {
            let cache = cache_of(op);
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
            let noted = known.1.entry(cache_of(op).clone()).or_default();
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

    #[test]
    fn a_cache_is_noted_as_a_whole_after_many_keys_and_then_no_more_in_this_epoch() {
        let (refused, cache) = (Refused::default(), CacheId::stored("c", true));
        let delete = [Op::Delete { cache: &cache, key: b"k" }];
        let left = |epoch| refused.shorten(epoch, Removals::of(&delete));
        for _ in 0..KEYS {
            let left = left(1);
            assert!(matches!(left.ops.as_slice(), [Op::Delete { .. }]));
            refused.learn(1, &left);
        }
        let whole = left(1);
        assert!(matches!(whole.ops.as_slice(), [Op::Purge { .. }]));
        assert!(matches!(left(1).ops.as_slice(), [Op::Purge { .. }]), "the first was not noted");
        refused.learn(1, &whole);
        assert!(left(1).ops.is_empty());
        assert!(matches!(left(2).ops.as_slice(), [Op::Delete { .. }]));
    }
}
