//! The node tier: what one process of a node fetched from a slow backend, the others get from the
//! node's own disk.
//!
//! It stands in front of any backend and is kept coherent by that backend's own log (R21). A *node
//! cache*, in the file of a `local:` directory that all processes of the node share, holds entries,
//! the position that the backend stood at while they were current, and the changes that led there.
//! It is never trusted by itself:
//!
//! - Each call makes its own request to the backend, from where the node cache stands. What the
//!   answer does not name as changed is as the node cache has it; so an entry is served only after
//!   the caller's own sync, and only if the backend still knows the node cache's position, whatever
//!   is in the file.
//! - The changes that the caller gets are those from its position to the node cache's, which the
//!   node cache knows, and those of the answer. A caller of whose position the node cache knows
//!   nothing asks the backend for them first: one round trip more.
//! - What the answer brought goes into the node cache in one transaction, and only where it
//!   belongs: if another process moved the node cache meanwhile, changes that are older stay out,
//!   and entries that are.
//! - [`peek`](Backend::peek) serves from the node cache without a round trip, to a caller that just
//!   asked: if the node cache knows the caller's position, it stands there or further on.
//!
//! Unlogged caches pass through. A node cache that fails is left alone for a while, and the backend
//! is asked as if there were none.

mod cooldown;
mod node_cache;

use std::path::PathBuf;
use std::sync::Arc;

use self::cooldown::Cooldown;
use self::node_cache::{Look, NodeCache, Step};
use crate::clock::Millis;
use crate::config::Config;
use crate::contract::{
    Applied, Backend, CacheId, CacheUsage, Change, Delta, Facts, Fetched, Health, LockBackend, Op, Outcome,
    Position, Read, listed,
};
use crate::error::Result;

/// Looks at the node cache by one fetch: what vanished from it by the first answer is fetched by
/// the second, and should other processes change everything meanwhile, the last asks the backend
/// for all.
const LOOKS: usize = 3;

/// What a [`Tier`] is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A directory as that of `local:`, on this node's own disk.
    pub path: PathBuf,
    /// The bound of its file, in bytes.
    pub max_bytes: u64,
    /// What tells the backend behind from others whose tiers are in the same directory.
    pub label: String,
}

impl Settings {
    /// The settings in a configuration, if it has a node tier.
    pub fn of(config: &Config) -> Option<Self> {
        let (path, max_bytes) = config.node_tier()?;
        let label = format!("{:?} {}", config.server(), config.namespace());
        Some(Self { path: path.to_owned(), max_bytes, label })
    }
}

/// A backend behind a node cache. Round trips are those of the backend.
pub struct Tier {
    backend: Arc<dyn Backend>,
    cache: NodeCache,
    cooldown: Cooldown,
}

/// What is known before the backend is asked.
struct Start {
    /// Where the node cache stands.
    seen: Option<Position>,
    /// Where to ask from.
    since: Option<Position>,
    /// The changes from the caller's position to there; `None`: the caller has to forget
    /// everything.
    changes: Option<Vec<Change>>,
    /// What the node cache holds of what the caller reads, as of `since`.
    entries: Vec<Option<Vec<u8>>>,
}

impl Tier {
    /// Puts a tier in front of a backend. Its directory is opened when it is first used.
    pub fn new(backend: Arc<dyn Backend>, settings: Settings) -> Self {
        let Settings { path, max_bytes, label } = settings;
        Self { backend, cache: NodeCache::new(path, max_bytes, label), cooldown: Cooldown::default() }
    }

    fn look(&self, since: Option<Position>, reads: &[Read<'_>]) -> Option<Look> {
        self.cooldown.unless_failed(|| self.cache.look(since, reads, self.backend.now())).flatten()
    }

    fn start(&self, caller: Option<Position>, reads: &[Read<'_>]) -> Result<Start> {
        let Some(look) = self.look(caller, reads) else {
            let (changes, entries) = (caller.map(|_| Vec::new()), vec![None; reads.len()]);
            return Ok(Start { seen: None, since: caller, changes, entries });
        };
        let changes = match (caller, look.changes) {
            (Some(caller), None) => {
                let delta = self.backend.fetch(Some(caller), &[])?.delta;
                let leads_on = !delta.reset
                    && delta.position.incarnation == look.at.incarnation
                    && delta.position.id >= look.at.id;
                leads_on.then_some(delta.changes)
            }
            (_, changes) => changes,
        };
        Ok(Start { seen: Some(look.at), since: Some(look.at), changes, entries: look.entries })
    }

    fn settle(&self, start: &Start, delta: &Delta, own: &[Op<'_>], fills: &[(Read<'_>, &[u8])]) {
        if start.seen == Some(delta.position) && own.is_empty() && fills.is_empty() {
            return;
        }
        let step = Step { seen: start.seen, delta, own, fills };
        self.cooldown.unless_failed(|| self.cache.settle(&step));
    }
}

impl Start {
    /// What the caller is told, who asked by an answer that says `delta`.
    fn told(self, delta: Delta) -> Delta {
        let changes = self.changes.filter(|_| !delta.reset).map(|mut changes| {
            changes.extend(delta.changes);
            changes
        });
        let changes = changes.and_then(listed);
        Delta { reset: changes.is_none(), changes: changes.unwrap_or_default(), position: delta.position }
    }
}

impl Backend for Tier {
    fn fetch(&self, since: Option<Position>, reads: &[Read<'_>]) -> Result<Fetched> {
        let mut looks = 0;
        loop {
            looks += 1;
            let mut start = self.start(since, reads)?;
            if looks == LOOKS {
                start.entries.fill(None);
            }
            let lacking = reads.iter().zip(&start.entries).filter(|(_, entry)| entry.is_none());
            let asked: Vec<Read<'_>> = lacking.map(|(read, _)| *read).collect();
            let answer = self.backend.fetch(start.since, &asked)?;
            let fills: Vec<_> = asked
                .iter()
                .zip(&answer.entries)
                .filter(|(read, _)| read.cache.logged())
                .filter_map(|(read, entry)| Some((*read, entry.as_deref()?)))
                .collect();
            self.settle(&start, &answer.delta, &[], &fills);
            let gone = |(read, entry): (&Read<'_>, &Option<Vec<u8>>)| {
                entry.is_some() && (answer.delta.reset || is_changed(&answer.delta.changes, read))
            };
            if reads.iter().zip(&start.entries).any(gone) {
                continue;
            }
            let mut fetched = answer.entries.into_iter();
            let mut entries = std::mem::take(&mut start.entries);
            for entry in entries.iter_mut().filter(|entry| entry.is_none()) {
                *entry = fetched.next().flatten();
            }
            return Ok(Fetched { delta: start.told(answer.delta), entries });
        }
    }

    fn apply(&self, since: Option<Position>, ops: &[Op<'_>]) -> Result<Applied> {
        let start = self.start(since, &[])?;
        let Applied { delta, outcomes } = self.backend.apply(start.since, ops)?;
        let own: Vec<_> = ops.iter().zip(&outcomes).filter_map(|(op, outcome)| made(op, *outcome)).collect();
        self.settle(&start, &delta, &own, &[]);
        Ok(Applied { delta: start.told(delta), outcomes })
    }

    fn peek(&self, at: Position, reads: &[Read<'_>]) -> Vec<Option<Vec<u8>>> {
        let look = self.look(Some(at), reads).filter(|look| look.changes.is_some());
        look.map_or_else(|| vec![None; reads.len()], |look| look.entries)
    }

    fn list(&self, cache: &CacheId, prefix: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.backend.list(cache, prefix, visit)
    }

    fn usage(&self) -> Result<Vec<CacheUsage>> {
        self.backend.usage()
    }

    fn reset(&self) -> Result<()> {
        self.backend.reset()
    }

    fn locks(&self) -> Option<&dyn LockBackend> {
        self.backend.locks()
    }

    fn copes_with_outages(&self) -> bool {
        self.backend.copes_with_outages()
    }

    fn health(&self) -> Health {
        self.backend.health()
    }

    fn reach(&self) -> Result<()> {
        self.backend.reach()
    }

    fn events(&self) -> Vec<String> {
        self.backend.events()
    }

    fn now(&self) -> Millis {
        self.backend.now()
    }

    fn round_trips(&self) -> u64 {
        self.backend.round_trips()
    }

    fn bytes(&self) -> (u64, u64) {
        self.backend.bytes()
    }

    fn describe(&self) -> Result<Facts> {
        let mut facts = self.backend.describe()?;
        match self.cache.describe() {
            Ok(more) => {
                more.into_iter().for_each(|(name, fact)| facts.push(format!("node tier: {name}"), fact));
            }
            Err(error) => facts.push("node tier", format!("unusable: {error}")),
        }
        facts.push("node tier: calls without it", self.cooldown.skipped());
        Ok(facts)
    }
}

/// What an operation did to a logged cache.
fn made<'a>(op: &Op<'a>, outcome: Outcome) -> Option<Op<'a>> {
    let (Op::Set { cache, .. } | Op::Delete { cache, .. } | Op::Purge { cache }) = *op;
    match (*op, outcome) {
        _ if !cache.logged() => None,
        (_, Outcome::Dropped) => None,
        (Op::Set { cache, key, .. }, Outcome::Cleared) => Some(Op::Delete { cache, key }),
        (op, _) => Some(op),
    }
}

fn is_changed(changes: &[Change], read: &Read<'_>) -> bool {
    changes.iter().any(|change| change.touches(read.cache.name(), read.key))
}
