//! What a server refused to forget: invalidations that this node has to make up for.
//!
//! A server with too few replicas, or that takes no scripts from this user any more, still answers
//! reads. What it then refused to delete is old, and would be read on. So the node notes it, in
//! what its processes share, and none of them serves it until the server has taken the deletions.
//! Should the list be lost or grow too long, it stands for everything.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::bytes::{Malformed, Reader, Writer};
use crate::clock::{boot_millis, millis};
use crate::contract::{CacheId, Change, Op};
use crate::node_state::{NodeState, Page};

/// How long nobody asks again after the server was asked to forget what it had refused to.
const RETRY: Duration = Duration::from_secs(1);
/// The longest reason in a list, in bytes.
const MAX_REASON: usize = 300;
/// The most invalidations in a list.
const MAX_ITEMS: usize = 1000;

/// Set in the word of a list that is not empty.
const SOME: u64 = 1;
/// Set in the word of a list that stands for everything.
const EVERYTHING: u64 = 2;
/// What the word of a list grows by with each change.
const STEP: u64 = 4;

/// Whether the list that `word` belongs to holds anything.
pub(crate) fn holds_any(word: u64) -> bool {
    word & SOME != 0
}

/// The word of the empty list after one with `word`.
fn next(word: u64) -> u64 {
    (word / STEP + 1) * STEP
}

/// Whether a list with the word `new` came after one with `old`.
fn is_newer(new: u64, old: u64) -> bool {
    // A node that lost its numbers begins at zero.
    new == 0 || new / STEP > old / STEP
}

/// One invalidation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Refused {
    cache: CacheId,
    /// `None` = all of the cache.
    key: Option<Box<[u8]>>,
}

impl Refused {
    fn of(op: &Op<'_>) -> Self {
        match *op {
            Op::Set { cache, key, .. } | Op::Delete { cache, key } => {
                Self { cache: cache.clone(), key: Some(key.into()) }
            }
            Op::Purge { cache } => Self { cache: cache.clone(), key: None },
        }
    }

    /// What makes up for it.
    pub(crate) fn op(&self) -> Op<'_> {
        match &self.key {
            Some(key) => Op::Delete { cache: &self.cache, key },
            None => Op::Purge { cache: &self.cache },
        }
    }
}

/// What a node has to make up for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusals {
    /// Tells this list from those before and after it.
    pub(crate) word: u64,
    /// In the words of the server.
    pub(crate) reason: String,
    /// Empty where the list stands for everything.
    pub(crate) items: Vec<Refused>,
}

impl Refusals {
    /// Whether the list stands for everything.
    pub(crate) fn is_everything(&self) -> bool {
        self.word & EVERYTHING != 0
    }

    /// The list of a node.
    pub(crate) fn read(node: &NodeState) -> Self {
        let mut found = None;
        // Read under the lock, and nothing is changed.
        let _: Option<()> = node.update(|page| {
            found = Some(Self::on(page));
            None
        });
        found.unwrap_or_else(|| Self::unreadable(node.read().refused))
    }

    fn unreadable(word: u64) -> Self {
        Self {
            word: word | SOME | EVERYTHING,
            reason: "the list of what was refused is lost".to_owned(),
            items: Vec::new(),
        }
    }

    fn on(page: &Page<'_>) -> Self {
        if !holds_any(page.refused) {
            return Self { word: page.refused, ..Self::default() };
        }
        match page.list().and_then(|list| decode(&list).ok()) {
            Some((reason, items)) => Self { word: page.refused, reason, items },
            None => Self::unreadable(page.refused),
        }
    }

    /// Notes that `ops` were refused for that reason. Whether they are the first.
    pub(crate) fn note(node: &NodeState, ops: &[Op<'_>], reason: &str) -> bool {
        let mut end = reason.len().min(MAX_REASON);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let reason = reason.get(..end).unwrap_or_default();
        let first = node.update(|page| {
            let before = Self::on(page);
            let first = !holds_any(before.word);
            let mut items = before.items;
            let mut known: HashSet<Refused> = items.iter().cloned().collect();
            items.extend(ops.iter().map(Refused::of).filter(|item| known.insert(item.clone())));
            let mut everything = before.word & EVERYTHING != 0 || items.len() > MAX_ITEMS;
            everything = everything || !page.set_list(&encode(reason, &items));
            if everything {
                // If even this cannot be kept, the list cannot be read.
                let _ = page.set_list(&encode(reason, &[]));
            }
            page.refused = next(page.refused) | SOME | if everything { EVERYTHING } else { 0 };
            Some(first)
        });
        first == Some(true)
    }

    /// Whether the caller, alone of the node's processes, is to ask the server now.
    pub(crate) fn claim(&self, node: &NodeState) -> bool {
        let now = boot_millis();
        let retry = millis(RETRY);
        let claimed = node.update(|page| {
            // A time further ahead is of another boot.
            let waits = now < page.retry && page.retry <= now + retry;
            (!waits && page.refused == self.word).then(|| page.retry = now + retry)
        });
        claimed.is_some()
    }

    /// The caller cannot ask the server, so that another may.
    pub(crate) fn release(&self, node: &NodeState) {
        let _ = node.update(|page| (page.refused == self.word).then(|| page.retry = 0));
    }

    /// The server has forgotten all of the list; the word of the empty one. `None`: the list has
    /// grown meanwhile.
    pub(crate) fn settle(&self, node: &NodeState) -> Option<u64> {
        node.update(|page| {
            (page.refused == self.word).then(|| {
                (page.refused, page.retry) = (next(page.refused), 0);
                page.refused
            })
        })
    }

    /// What may not be served.
    pub(crate) fn ban(&self) -> Ban {
        let mut caches: HashMap<Box<str>, Keys> = HashMap::new();
        for Refused { cache, key } in &self.items {
            let keys = caches.entry(cache.name().into()).or_insert_with(|| Some(HashSet::new()));
            match (key, keys.as_mut()) {
                (Some(key), Some(keys)) => {
                    keys.insert(key.clone());
                }
                _ => *keys = None,
            }
        }
        Ban { word: self.word, everything: self.is_everything(), caches }
    }
}

/// Keys of a cache; `None` = all of them.
type Keys = Option<HashSet<Box<[u8]>>>;

/// What may not be served from anywhere. Caches are told apart by their names alone.
#[derive(Debug, Default)]
pub(crate) struct Ban {
    /// That of the list that it is made of.
    word: u64,
    pub(crate) everything: bool,
    caches: HashMap<Box<str>, Keys>,
}

impl Ban {
    pub(crate) fn is_newer_than(&self, other: &Self) -> bool {
        is_newer(self.word, other.word)
    }

    pub(crate) fn is_any(&self) -> bool {
        holds_any(self.word)
    }

    /// The changes that it comes to.
    pub(crate) fn changes(&self) -> impl Iterator<Item = Change> {
        self.caches.iter().flat_map(|(cache, keys)| {
            let whole = keys.is_none().then(|| Change::Cache { cache: cache.clone() });
            let keys =
                keys.iter().flatten().map(|key| Change::Key { cache: cache.clone(), key: key.clone() });
            whole.into_iter().chain(keys)
        })
    }

    pub(crate) fn covers(&self, cache: &str, key: &[u8]) -> bool {
        let keys =
            || self.caches.get(cache).is_some_and(|keys| keys.as_ref().is_none_or(|keys| keys.contains(key)));
        self.everything || keys()
    }
}

fn encode(reason: &str, items: &[Refused]) -> Vec<u8> {
    let mut out = Writer::default();
    out.bytes(reason.as_bytes());
    for Refused { cache, key } in items {
        out.bytes(&[u8::from(cache.logged()), u8::from(key.is_some())]);
        out.bytes(cache.name().as_bytes());
        out.bytes(key.as_deref().unwrap_or_default());
    }
    out.0
}

/// The reverse.
fn decode(bytes: &[u8]) -> Result<(String, Vec<Refused>), Malformed> {
    let mut input = Reader::new(bytes);
    let reason = input.text()?.to_owned();
    let mut items = Vec::new();
    while !input.is_empty() {
        let [logged, has_key] = *input.bytes()? else { return Err(Malformed) };
        let cache = CacheId::stored(input.text()?, logged == 1);
        let key = input.bytes()?;
        items.push(Refused { cache, key: (has_key == 1).then(|| key.into()) });
    }
    Ok((reason, items))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(name: &str) -> CacheId {
        CacheId::stored(name, true)
    }

    #[test]
    fn what_was_refused_is_banned_until_it_is_settled() {
        let (node, c, d) = (NodeState::alone(), cache("c"), cache("d"));
        assert!(!holds_any(Refusals::read(&node).word));
        assert!(Refusals::note(&node, &[Op::Delete { cache: &c, key: b"k" }], "NOREPLICAS"));
        let old = Refusals::read(&node);
        assert!(!Refusals::note(
            &node,
            &[Op::Purge { cache: &d }, Op::Delete { cache: &c, key: b"k" }],
            "NOPERM"
        ));
        let list = Refusals::read(&node);
        assert_eq!((list.items.len(), &*list.reason), (2, "NOPERM"));
        let ban = list.ban();
        assert!(ban.covers("c", b"k") && ban.covers("d", b"any") && !ban.covers("c", b"other"));
        assert!(is_newer(list.word, old.word) && !old.claim(&node));
        assert!(list.claim(&node) && !list.claim(&node), "one asks, once a second");
        list.release(&node);
        assert!(list.claim(&node));
        assert!(old.settle(&node).is_none(), "there is more by now");
        let empty = list.settle(&node).unwrap();
        assert!(!holds_any(empty) && is_newer(empty, list.word));
        assert_eq!(Refusals::read(&node), Refusals { word: empty, ..Refusals::default() });
        assert!(Refusals::note(&node, &[Op::Purge { cache: &c }], "again"));
        assert_eq!(Refusals::read(&node).items.len(), 1);
    }

    #[test]
    fn too_much_is_everything() {
        let (c, key) = (cache("c"), vec![0; 60 << 10]);
        for (count, key) in [(MAX_ITEMS + 1, &b"k"[..]), (2, &key)] {
            let node = NodeState::alone();
            for number in 0..count {
                let key = [key, &number.to_le_bytes()].concat();
                Refusals::note(&node, &[Op::Delete { cache: &c, key: &key }], "NOPERM");
            }
            let list = Refusals::read(&node);
            assert!(list.is_everything() && list.ban().covers("any", b""), "{count}");
            assert_eq!(list.reason, "NOPERM");
            list.settle(&node).unwrap();
            assert!(!holds_any(node.read().refused));
        }
    }

    #[test]
    fn rubbish_is_no_list() {
        let bytes = encode("why", &[Refused { cache: cache("c"), key: None }]);
        for end in 0..bytes.len() {
            if let Ok((reason, items)) = decode(bytes.get(..end).unwrap()) {
                assert!(reason == "why" && items.is_empty());
            }
        }
    }
}
