//! What the server refused to forget is served by no process of this node, until it is made up for.

use std::sync::atomic::Ordering;

use super::calls::Engine;
use super::handle::{Decode, Handle};
use crate::breaker::{Breaker, Pass};
use crate::contract::DURABLE;
use crate::contract::{CacheId, Health, Op};
use crate::error::{Error, ErrorKind, Result};
use crate::refusals::{Refusals, holds_any};

impl<D: Decode> Engine<D> {
    /// Before a call: learns what may not be served.
    ///
    /// # Errors
    /// If the backend, asked again to forget it, is unavailable.
    pub(super) fn heed_refusals(&self, breaker: &Breaker, pass: &Pass) -> Result<()> {
        let known = self.refused.load(Ordering::Relaxed);
        if pass.refused == known && !holds_any(known) { Ok(()) } else { self.learn_refusals(breaker, pass) }
    }

    #[cold]
    fn learn_refusals(&self, breaker: &Breaker, pass: &Pass) -> Result<()> {
        if pass.refused == self.refused.load(Ordering::Relaxed) && pass.waits() {
            return Ok(());
        }
        let node = breaker.node();
        let mut list = Refusals::read(node);
        if holds_any(list.word) && list.claim(node) {
            match self.make_up(&list) {
                Ok(()) => {
                    if let Some(word) = list.settle(node) {
                        breaker.tell("the server has now deleted what it had refused to delete".to_owned());
                        list = Refusals { word, ..Refusals::default() };
                    }
                }
                Err(error) => {
                    if !error.blame().is_server() {
                        // Another process may fare better.
                        list.release(node);
                    }
                    if error.kind() == ErrorKind::Unavailable {
                        return Err(error);
                    }
                }
            }
        }
        self.refused.store(list.word, Ordering::Relaxed);
        self.state().heed(list.ban());
        Ok(())
    }

    /// Has the backend forget all of the list.
    fn make_up(&self, list: &Refusals) -> Result<()> {
        if !list.is_everything() {
            let ops: Vec<Op<'_>> = list.items.iter().map(|item| item.op()).collect();
            return self.backend.apply(None, &ops).map(drop);
        }
        let caches = self.all_caches()?;
        let ops: Vec<Op<'_>> = caches.iter().map(|cache| Op::Purge { cache }).collect();
        self.backend.apply(None, &ops).map(drop)
    }

    /// The caches that hold entries, and the logs of durable ones, in which their purges are
    /// logged.
    fn all_caches(&self) -> Result<Vec<CacheId>> {
        let mut caches: Vec<CacheId> = self.backend.usage()?.into_iter().map(|usage| usage.cache).collect();
        caches.retain(|cache| !cache.is_reserved());
        let logs = caches.iter().filter(|cache| cache.name().starts_with(DURABLE));
        let logs: Vec<CacheId> = logs.map(|cache| CacheId::stored(cache.name(), true)).collect();
        caches.extend(logs);
        Ok(caches)
    }

    /// After a reset that failed: as if each cache had been purged.
    pub(super) fn note_reset_refused(&self, error: &Error) {
        if error.kind() == ErrorKind::Refused
            && let Ok(caches) = self.all_caches()
        {
            let ops: Vec<Op<'_>> = caches.iter().map(|cache| Op::Purge { cache }).collect();
            self.note_refused(&ops, error);
        }
    }

    /// After a write that failed: notes what it should have removed, if the server itself is there.
    pub(super) fn note_refused(&self, ops: &[Op<'_>], error: &Error) {
        let Some(breaker) = &self.breaker else { return };
        let noted = match error.kind() {
            // Whoever had a set refused removes what is under its key.
            ErrorKind::Refused => ops.iter().all(|op| !matches!(op, Op::Set { .. })),
            ErrorKind::Unavailable => !error.blame().is_server(),
            ErrorKind::Config
            | ErrorKind::Value
            | ErrorKind::Foreign
            | ErrorKind::LockLost
            | ErrorKind::Grace => false,
        };
        // A guarded set would have replaced nothing. What cannot be said of a server that refuses
        // may be said of one that this process did not reach: others store meanwhile, and what an
        // unlogged cache holds must not get lost.
        let unreached = error.kind() == ErrorKind::Unavailable;
        let removes = |op: &&Op<'_>| match op {
            Op::Set { cache, guard, .. } if cache.logged() => guard.is_none(),
            Op::Set { cache, .. } | Op::Delete { cache, .. } | Op::Purge { cache } => {
                cache.logged() || !unreached
            }
        };
        let removals: Vec<Op<'_>> = ops.iter().filter(removes).copied().collect();
        if noted && !removals.is_empty() && Refusals::note(breaker.node(), &removals, &error.to_string()) {
            let what = if unreached { "this process cannot make changes" } else { "changes are refused" };
            breaker.tell(format!("{what}, and what they change is not served: {error}"));
        }
    }

    /// Whether an entry may not be served.
    pub(super) fn is_refused(&self, cache: &Handle, key: &[u8]) -> bool {
        holds_any(self.refused.load(Ordering::Relaxed)) && self.state().is_banned(cache.number, key)
    }

    /// How a store is served that refuses.
    pub(super) fn refusing(&self) -> Option<Health> {
        let list = Refusals::read(self.breaker.as_ref()?.node());
        let waiting = (!list.is_everything()).then_some(list.items.len() as u64);
        let health = Health { waiting, reason: list.reason, refusing: true, ..Health::default() };
        holds_any(list.word).then_some(health)
    }
}
