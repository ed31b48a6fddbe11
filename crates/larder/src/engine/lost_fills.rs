//! What an engine has to ask about fills that were not waited for, and those that were lost.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use crate::contract::CacheId;

/// The most lost fills that are remembered; past that their caches are purged.
const MAX_LOST: usize = 4096;

/// The cache and the key of a lost fill; the cache alone if too many of it were lost.
pub(super) type Lost = (CacheId, Option<Box<[u8]>>);

/// What an engine has to ask about.
#[derive(Default)]
pub(super) struct LostFills {
    /// Fills were sent, and not all of them were told of.
    pub(super) any: AtomicBool,
    lost: Mutex<Vec<Lost>>,
}

impl LostFills {
    pub(super) fn take(&self) -> Vec<Lost> {
        std::mem::take(&mut *self.lost.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn add(&self, more: Vec<Lost>) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.extend(more);
        if lost.len() > MAX_LOST {
            let caches: HashSet<CacheId> = lost.drain(..).map(|(cache, _)| cache).collect();
            lost.extend(caches.into_iter().map(|cache| (cache, None)));
        }
    }
}
