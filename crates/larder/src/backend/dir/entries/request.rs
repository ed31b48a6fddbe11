//! Requests that own what they name: the thread that works on one may outlast who asked.

use crate::clock::Millis;
use crate::contract::{CacheId, Guard, LockProof, Op, Read};

/// Entries to read.
pub(crate) struct Reads(Vec<(CacheId, Box<[u8]>)>);

impl Reads {
    pub(crate) fn new(reads: &[Read<'_>]) -> Self {
        Self(reads.iter().map(|read| (read.cache.clone(), read.key.into())).collect())
    }

    pub(crate) fn list(&self) -> Vec<Read<'_>> {
        self.0.iter().map(|(cache, key)| Read { cache, key }).collect()
    }
}

/// Operations.
pub(crate) struct Ops(Vec<(CacheId, OwnOp)>);

enum OwnOp {
    Set {
        key: Box<[u8]>,
        entry: Box<[u8]>,
        expires: Option<Millis>,
        guard: Option<Guard>,
        lock: Option<LockProof>,
    },
    Delete {
        key: Box<[u8]>,
    },
    Purge,
}

impl Ops {
    pub(crate) fn new(ops: &[Op<'_>]) -> Self {
        let own = |op: &Op<'_>| match *op {
            Op::Set { cache, key, entry, expires, guard, lock } => {
                (cache.clone(), OwnOp::Set { key: key.into(), entry: entry.into(), expires, guard, lock })
            }
            Op::Delete { cache, key } => (cache.clone(), OwnOp::Delete { key: key.into() }),
            Op::Purge { cache } => (cache.clone(), OwnOp::Purge),
        };
        Self(ops.iter().map(own).collect())
    }

    pub(crate) fn list(&self) -> Vec<Op<'_>> {
        self.0.iter().map(|(cache, change)| change.lend(cache)).collect()
    }
}

impl OwnOp {
    fn lend<'a>(&'a self, cache: &'a CacheId) -> Op<'a> {
        match self {
            Self::Set { key, entry, expires, guard, lock } => {
                Op::Set { cache, key, entry, expires: *expires, guard: *guard, lock: *lock }
            }
            Self::Delete { key } => Op::Delete { cache, key },
            Self::Purge => Op::Purge { cache },
        }
    }
}
