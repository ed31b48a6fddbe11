//! The server that serves while all is well, and what it was told of what it missed (R10).
//!
//! How far it was told stands in the server, beside the entries, under the identity of the control
//! log. Telling is one atomic write, may be done by anyone and any number of times.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::absorbed::{Absorbed, Invalidation, invalidations};
use super::control::{ControlLog, View};
use super::names;
use crate::breaker::Breaker;
use crate::clock::{boot_millis, millis};
use crate::contract::{Backend, Op, Position, Read};
use crate::error::{Error, Result};
use crate::node_state::NodeState;

/// How long a node counts as one that uses the primary after it last said so.
const PRESENT: Duration = Duration::from_secs(3600);
/// How often a node says so.
const SAY: Duration = Duration::from_secs(300);

/// The server, which is left alone for a moment when it did not answer.
pub(super) struct Primary {
    backend: Arc<dyn Backend>,
    breaker: Breaker,
    node: u64,
    /// When this process last made sure that the server knows of this node, in milliseconds since
    /// the boot; 0 = never.
    said: AtomicU64,
    /// When this process last said that it is about and cannot use the fallback; the same.
    said_barred: AtomicU64,
}

impl Primary {
    /// The server for the node of this number.
    pub(super) fn new(backend: Arc<dyn Backend>, node: u64, breaker: Breaker) -> Self {
        Self { backend, breaker, node, said: AtomicU64::new(0), said_barred: AtomicU64::new(0) }
    }

    /// The server, asked whether it is left alone or not.
    pub(super) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Asks the server, unless it is left alone.
    pub(super) fn call<T>(&self, call: impl FnOnce(&dyn Backend) -> Result<T>) -> Result<T> {
        self.breaker.call(|| call(&*self.backend))
    }

    /// Whether it is left alone.
    pub(super) fn is_left_alone(&self) -> bool {
        self.breaker.is_open()
    }

    /// Leaves it alone for a moment, because of this error.
    pub(super) fn leave_alone(&self, error: &Error) {
        self.breaker.open(error);
    }

    /// It answers: it is not left alone any more.
    pub(super) fn is_back(&self) {
        self.breaker.close();
    }

    /// Since when it has been away, in milliseconds since 1970.
    pub(super) fn away_since(&self) -> Option<u64> {
        self.breaker.away_since()
    }

    /// Why it was last found wanting, by whichever process of the node.
    pub(super) fn why(&self) -> String {
        let reason = self.breaker.reason();
        if reason.is_empty() { "another process found the server away".to_owned() } else { reason }
    }

    /// The numbers that the processes of this node share about it.
    pub(super) fn node(&self) -> &NodeState {
        self.breaker.node()
    }

    /// Makes sure that it has taken in what `view` holds, and knows of this node. Its incarnation;
    /// `None`: look again.
    pub(super) fn prepare(&self, control: &ControlLog, view: &View) -> Result<Option<u128>> {
        let now = boot_millis();
        let said = self.said.load(Ordering::Relaxed);
        let said = said != 0 && (control.is_shared() || now.saturating_sub(said) < millis(SAY));
        if said && let Some(incarnation) = view.ready_primary() {
            return Ok(Some(incarnation));
        }
        self.call(|_| self.absorb(control))?;
        self.said.store(now, Ordering::Relaxed);
        Ok(None)
    }

    /// Makes it take in the control log to its end, and answers how far that was, also while it is
    /// left alone. A round trip to the server, two if there is something to tell, five if all has
    /// to be purged.
    pub(super) fn absorb(&self, control: &ControlLog) -> Result<Position> {
        let view = control.read()?;
        let (incarnation, known) = self.read_absorbed(control, &view.at)?;
        let since = known.map(|known| known.position);
        let delta = control.changes(since)?;
        let all = names::everything();
        let says = !control.is_shared() && known.is_none_or(|known| self.must_say(known));
        if since == Some(delta.position) && !says {
            return Ok(delta.position);
        }
        let complete = !delta.reset && !delta.changes.iter().any(|change| change.cache() == all.name());
        let told = if complete { invalidations(&delta.changes) } else { self.all_caches()? };
        let now = self.inform(control, &told, delta.position)?;
        if now != incarnation {
            // Another server answered, or this one after a restart: what it holds is not what was
            // asked about.
            let again = self.all_caches()?;
            self.inform(control, &again, delta.position)?;
        }
        control.note_absorbed(&Absorbed::encode(delta.position, 0, self.node));
        if says && self.has_peers(&view.at)? {
            control.note_peers()?;
        }
        Ok(delta.position)
    }

    /// Reads what the server says of the control log at `at`.
    fn read_absorbed(&self, control: &ControlLog, at: &Position) -> Result<(u128, Option<Absorbed>)> {
        let (cache, key) = (names::absorbed(), key(at));
        let fetched = self.backend.fetch(None, &[Read { cache: &cache, key: &key }])?;
        let entry = fetched.entries.first().and_then(Option::as_deref);
        let incarnation = fetched.delta.position.incarnation;
        let absorbed = entry.and_then(|entry| Absorbed::decode(at.incarnation, entry));
        if let Some(absorbed) = absorbed {
            control.absorbed(incarnation, absorbed.position);
        }
        Ok((incarnation, absorbed))
    }

    /// Applies invalidations to the server and says how far it was told. The incarnation under
    /// which that was done.
    fn inform(&self, control: &ControlLog, told: &[Invalidation], upto: Position) -> Result<u128> {
        let (cache, key) = (names::absorbed(), key(&upto));
        let entry = Absorbed::encode(upto, self.backend.now(), self.node);
        let mut ops: Vec<Op<'_>> = told.iter().map(Invalidation::op).collect();
        ops.push(Op::Set { cache: &cache, key: &key, entry: &entry, expires: None, guard: None, lock: None });
        let incarnation = self.backend.apply(None, &ops)?.delta.position.incarnation;
        control.absorbed(incarnation, upto);
        Ok(incarnation)
    }

    /// A purge of each cache that it holds.
    fn all_caches(&self) -> Result<Vec<Invalidation>> {
        let usage = self.backend.usage()?;
        let caches = usage.into_iter().map(|usage| usage.cache).filter(|cache| !cache.is_reserved());
        Ok(caches.map(|cache| Invalidation { cache, key: None }).collect())
    }

    /// Whether this node has to say again that it uses the server, because its control log is its
    /// own (R15).
    fn must_say(&self, absorbed: Absorbed) -> bool {
        self.backend.now().saturating_sub(absorbed.written) >= millis(SAY)
    }

    /// Whether other nodes used the server lately, each with a control log of its own (R15).
    fn has_peers(&self, at: &Position) -> Result<bool> {
        let (cache, own) = (names::absorbed(), key(at));
        let mut keys = Vec::new();
        self.backend.list(&cache, b"", &mut |key| keys.push(key.to_vec()))?;
        keys.retain(|key| *key != own);
        let reads: Vec<Read<'_>> = keys.iter().map(|key| Read { cache: &cache, key }).collect();
        if reads.is_empty() {
            return Ok(false);
        }
        let entries = self.backend.fetch(None, &reads)?.entries;
        let now = self.backend.now();
        let present = |entry: &[u8]| {
            Absorbed::decode(0, entry).is_some_and(|peer| {
                peer.node != self.node && now.saturating_sub(peer.written) < millis(PRESENT)
            })
        };
        Ok(entries.iter().flatten().any(|entry| present(entry)))
    }

    /// Says now and then in the server that a process is about that cannot use the fallback, and
    /// knows nothing of the control log. Whether it was said now.
    pub(super) fn say_barred(&self) -> Result<bool> {
        let (now, said) = (boot_millis(), self.said_barred.load(Ordering::Relaxed));
        if said != 0 && now.saturating_sub(said) < millis(SAY) {
            return Ok(false);
        }
        // None of the nodes that have a control log.
        let (cache, node) = (names::absorbed(), !self.node);
        let nowhere = Position { incarnation: 0, id: 0, nonce: 0 };
        let entry = Absorbed::encode(nowhere, self.backend.now(), node);
        let key = [node, 0].map(u64::to_be_bytes);
        let key = key.as_flattened();
        let set = Op::Set { cache: &cache, key, entry: &entry, expires: None, guard: None, lock: None };
        self.call(|server| server.apply(None, &[set]))?;
        self.said_barred.store(now, Ordering::Relaxed);
        Ok(true)
    }
}

/// The key under which the server keeps how far it has taken in a control log.
fn key(control: &Position) -> [u8; 16] {
    control.incarnation.to_be_bytes()
}
