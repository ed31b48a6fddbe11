//! Steps of two processes of a node placed by hand, on a backend in memory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder::Config;
use larder::contract::{
    Applied, Backend, CacheId, CacheUsage, Change, Facts, Fetched, Millis, Op, Position, Read, Result,
};
use larder::engine::Engine;
use larder::testing::tier::{Settings, Tier};
use larder_testkit::Memory;
use tempfile::TempDir;

/// A handle on the server that counts the keys that it was asked for.
struct Server {
    memory: Memory,
    keys: AtomicU64,
}

impl Server {
    fn new(memory: Memory) -> Arc<Self> {
        Arc::new(Self { memory, keys: AtomicU64::new(0) })
    }

    /// Round trips made and keys asked for since the last call.
    fn costs(&self, before: &mut (u64, u64)) -> (u64, u64) {
        let now = (self.memory.round_trips(), self.keys.load(Ordering::Relaxed));
        let costs = (now.0 - before.0, now.1 - before.1);
        *before = now;
        costs
    }
}

impl Backend for Server {
    fn fetch(&self, since: Option<Position>, reads: &[Read<'_>]) -> Result<Fetched> {
        self.keys.fetch_add(reads.len() as u64, Ordering::Relaxed);
        self.memory.fetch(since, reads)
    }

    fn apply(&self, since: Option<Position>, ops: &[Op<'_>]) -> Result<Applied> {
        self.memory.apply(since, ops)
    }

    fn list(&self, cache: &CacheId, prefix: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.memory.list(cache, prefix, visit)
    }

    fn usage(&self) -> Result<Vec<CacheUsage>> {
        self.memory.usage()
    }

    fn reset(&self) -> Result<()> {
        self.memory.reset()
    }

    fn now(&self) -> Millis {
        self.memory.now()
    }

    fn round_trips(&self) -> u64 {
        self.memory.round_trips()
    }

    fn describe(&self) -> Result<Facts> {
        self.memory.describe()
    }
}

/// A process of the node: its handle on the server, and the tier before it.
struct Process {
    server: Arc<Server>,
    tier: Arc<Tier>,
    seen: (u64, u64),
}

impl Process {
    fn new(memory: Memory, node: &Path) -> Self {
        Self::labelled(memory, node, "server")
    }

    fn labelled(memory: Memory, node: &Path, label: &str) -> Self {
        let server = Server::new(memory);
        let settings = Settings { path: node.join("tier"), max_bytes: 64 << 20, label: label.to_owned() };
        let tier = Arc::new(Tier::new(Arc::clone(&server) as Arc<dyn Backend>, settings));
        Self { server, tier, seen: (0, 0) }
    }

    fn sync(&self, since: Option<Position>) -> larder::contract::Delta {
        self.tier.fetch(since, &[]).unwrap().delta
    }

    fn get(&self, key: &str) -> Option<String> {
        let entries = self.tier.fetch(None, &[read(key)]).unwrap().entries;
        entries[0].clone().map(|entry| String::from_utf8(entry).unwrap())
    }

    fn set(&self, key: &str, entry: &str) -> Position {
        apply(&*self.tier, key, entry)
    }

    fn peek(&self, at: Position, key: &str) -> Option<String> {
        self.tier.peek(at, &[read(key)])[0].clone().map(|entry| String::from_utf8(entry).unwrap())
    }

    /// Round trips made and keys asked for since the last call.
    fn costs(&mut self) -> (u64, u64) {
        self.server.costs(&mut self.seen)
    }
}

fn cache() -> &'static CacheId {
    static CACHE: std::sync::LazyLock<CacheId> =
        std::sync::LazyLock::new(|| CacheId::new("c", true).unwrap());
    &CACHE
}

fn read(key: &str) -> Read<'_> {
    Read { cache: cache(), key: key.as_bytes() }
}

fn apply(backend: &dyn Backend, key: &str, entry: &str) -> Position {
    let (key, entry) = (key.as_bytes(), entry.as_bytes());
    let set = Op::Set { cache: cache(), key, entry, expires: None, guard: None, lock: None };
    backend.apply(None, &[set]).unwrap().delta.position
}

fn changed(key: &str) -> Change {
    Change::Key { cache: "c".into(), key: key.as_bytes().into() }
}

/// A server, a node, and two processes on it.
fn node() -> (Memory, TempDir, Process, Process) {
    let (memory, node) = (Memory::default(), TempDir::new().unwrap());
    let processes = [(); 2].map(|()| Process::new(memory.peer(), node.path()));
    let [first, second] = processes;
    (memory, node, first, second)
}

#[test]
fn what_one_fetched_the_other_reads_with_one_sync() {
    let (memory, _node, mut first, mut second) = node();
    let keys: Vec<String> = (0..500).map(|i| format!("k{i}")).collect();
    for key in &keys {
        apply(&memory, key, key);
    }
    let reads: Vec<_> = keys.iter().map(|key| read(key)).collect();
    let expected: Vec<_> = keys.iter().map(|key| Some(key.clone().into_bytes())).collect();
    assert_eq!(first.tier.fetch(None, &reads).unwrap().entries, expected);
    assert_eq!(first.costs(), (1, 500));
    let fetched = second.tier.fetch(None, &reads).unwrap();
    assert_eq!(fetched.entries, expected);
    assert!(fetched.delta.reset);
    assert_eq!(second.costs(), (1, 0));
    // And without any, now that it has asked.
    assert_eq!(second.tier.peek(fetched.delta.position, &reads), expected);
    assert_eq!(second.costs(), (0, 0));
}

#[test]
fn what_one_wrote_the_other_reads() {
    let (_memory, _node, first, mut second) = node();
    first.set("k", "1");
    assert_eq!(second.get("k").as_deref(), Some("1"));
    assert_eq!(second.costs(), (1, 0));
}

#[test]
fn nothing_is_served_before_the_own_sync() {
    let (memory, _node, first, mut second) = node();
    first.set("k", "1");
    apply(&memory, "k", "2");
    assert_eq!(second.get("k").as_deref(), Some("2"), "changed by another node");
    assert_eq!(second.costs(), (2, 1), "the sync says so, then it is fetched");
    memory.apply(None, &[Op::Purge { cache: cache() }]).unwrap();
    assert_eq!(first.get("k"), None);
}

#[test]
fn a_fill_that_was_overtaken_stays_out() {
    let (memory, _node, first, second) = node();
    apply(&memory, "k", "1");
    first.sync(None);
    let overtaking = Arc::clone(&second.tier);
    first.server.memory.after_next_read(move || {
        apply(&*overtaking, "k", "2");
        apply(&*overtaking, "other", "x");
    });
    assert_eq!(first.get("k").as_deref(), Some("1"), "as it was when it was asked");
    for process in [&second, &first] {
        assert_eq!(process.get("k").as_deref(), Some("2"));
    }
}

#[test]
fn a_purge_overtakes_a_fill() {
    let (memory, _node, first, second) = node();
    apply(&memory, "k", "1");
    first.sync(None);
    let overtaking = Arc::clone(&second.tier);
    first.server.memory.after_next_read(move || {
        overtaking.apply(None, &[Op::Purge { cache: cache() }]).unwrap();
    });
    first.get("k");
    assert_eq!(second.get("k"), None);
}

#[test]
fn changes_that_were_overtaken_do_not_bring_the_tier_back() {
    let (memory, _node, first, second) = node();
    let here = first.set("k", "1");
    apply(&memory, "k", "2");
    let overtaking = Arc::clone(&second.tier);
    first.server.memory.after_next_read(move || {
        apply(&*overtaking, "k", "3");
    });
    let overtaken = first.sync(Some(here));
    assert_eq!(overtaken.changes, [changed("k")]);
    assert_eq!(second.get("k").as_deref(), Some("3"));
    // Who was overtaken stands where the tier knows to go on from: no gap, one round trip.
    let trips = first.server.round_trips();
    let delta = first.sync(Some(overtaken.position));
    assert!(!delta.reset);
    assert!(delta.changes.contains(&changed("k")));
    assert_eq!(first.server.round_trips(), trips + 1);
}

#[test]
fn a_newer_answer_enters_though_the_tier_moved() {
    let (memory, _node, mut first, second) = node();
    let here = first.set("k", "1");
    let (elsewhere, overtaking) = (memory.peer(), Arc::clone(&second.tier));
    // The other process moves the tier a bit before this one is answered, by an answer that is
    // older.
    second.server.memory.after_next_read(move || {
        apply(&elsewhere, "k", "2");
    });
    overtaking.fetch(None, &[read("missing")]).unwrap();
    assert_eq!(first.sync(Some(here)).changes, [changed("k")]);
    assert_eq!(second.get("k").as_deref(), Some("2"));
    first.costs();
    assert_eq!(first.get("k").as_deref(), Some("2"));
    assert_eq!(first.costs(), (1, 0));
}

#[test]
fn another_history_empties_the_tier() {
    let (memory, _node, first, second) = node();
    let here = first.set("k", "1");
    first.set("gone", "1");
    memory.reset().unwrap();
    apply(&memory, "k", "2");
    assert_eq!((second.get("k").as_deref(), second.get("gone")), (Some("2"), None));
    assert!(first.sync(Some(here)).reset);
}

/// R29: of a server that lists no more what changed the tier keeps the caches that did not.
#[test]
fn a_tier_far_behind_keeps_the_caches_that_did_not_change() {
    let (memory, _node, mut first, mut second) = node();
    let quiet = CacheId::new("quiet", true).unwrap();
    let of_quiet = [Read { cache: &quiet, key: b"k" }, read("k")];
    let set = Op::Set { cache: &quiet, key: b"k", entry: b"kept", expires: None, guard: None, lock: None };
    let here = first.tier.apply(None, &[set]).unwrap().delta.position;
    first.set("k", "1");
    apply(&memory, "k", "2");
    apply(&memory, "other", "x");
    memory.trim(1);
    first.costs();
    let fetched = first.tier.fetch(Some(here), &of_quiet).unwrap();
    assert_eq!(fetched.entries, [Some(b"kept".to_vec()), Some(b"2".to_vec())]);
    assert_eq!(first.costs(), (2, 1), "the tier had the first, and learned that the second is old");
    let of_the_other = |delta: &larder::contract::Delta| {
        let unlisted = delta.changes.contains(&Change::Unlisted { cache: "c".into() });
        !delta.reset && unlisted && delta.changes.iter().all(|change| change.cache() == "c")
    };
    assert!(of_the_other(&fetched.delta), "{:?}", fetched.delta);
    // The other process, too, which was told nothing of it yet.
    let delta = second.sync(Some(here));
    assert!(of_the_other(&delta), "{delta:?}");
    assert_eq!(second.peek(delta.position, "k").as_deref(), Some("2"));
    assert_eq!(second.costs(), (1, 0));
}

#[test]
fn a_gap_in_the_middle_of_a_reading_gives_what_the_server_has() {
    let (memory, _node, first, second) = node();
    first.set("k", "1");
    memory.apply(None, &[Op::Delete { cache: cache(), key: b"k" }]).unwrap();
    apply(&memory, "other", "x");
    memory.trim(1);
    assert_eq!(second.get("k"), None);
}

#[test]
fn another_incarnation_empties_the_tier_and_late_answers_stay_out() {
    let (memory, _node, first, second) = node();
    first.set("k", "1");
    let (server, overtaking) = (memory.peer(), Arc::clone(&second.tier));
    first.server.memory.after_next_read(move || {
        server.reset().unwrap();
        assert_eq!(overtaking.fetch(None, &[read("k")]).unwrap().entries, [None]);
    });
    assert_eq!(first.get("late"), None);
    assert_eq!(first.get("k"), None);
    assert_eq!(second.get("k"), None);
}

#[test]
fn a_server_restored_from_an_older_copy_is_believed() {
    let (memory, node, first, _second) = node();
    for entry in ["1", "2", "3"] {
        first.set("k", entry);
    }
    drop(memory);
    let restored = Memory::default();
    apply(&restored, "k", "old");
    let process = Process::new(restored.peer(), node.path());
    assert_eq!(process.get("k").as_deref(), Some("old"), "the tier was ahead of it");
}

#[test]
fn servers_in_one_directory_do_not_meet() {
    let (_memory, node, first, _second) = node();
    first.set("k", "1");
    let other = Process::labelled(Memory::default(), node.path(), "other");
    assert_eq!(other.get("k"), None);
    other.set("k", "2");
    assert_eq!(first.get("k").as_deref(), Some("1"));
    // Even if they are taken for one: the server says that its history is another.
    let third = Memory::default();
    third.reset().unwrap();
    apply(&third, "k", "3");
    let mistaken = Process::new(third, node.path());
    assert_eq!(mistaken.get("k").as_deref(), Some("3"));
    assert_eq!(first.get("k").as_deref(), Some("1"));
}

#[test]
fn a_caller_that_the_tier_does_not_know_asks_for_itself() {
    let (memory, _node, mut first, second) = node();
    first.set("k", "1");
    // It went on without the tier.
    let here = apply(&memory, "l", "2");
    apply(&memory, "m", "3");
    first.costs();
    let delta = first.sync(Some(here));
    assert!(!delta.reset && delta.changes.contains(&changed("m")), "{delta:?}");
    assert_eq!(first.costs(), (2, 0));
    first.sync(Some(delta.position));
    assert_eq!(first.costs(), (1, 0), "once");
    // So does one that writes.
    let here = apply(&memory, "l", "4");
    apply(&memory, "n", "5");
    let set = Op::Set { cache: cache(), key: b"o", entry: b"6", expires: None, guard: None, lock: None };
    let delta = second.tier.apply(Some(here), &[set]).unwrap().delta;
    assert!(!delta.reset && delta.changes.contains(&changed("n")), "{delta:?}");
    assert_eq!(first.get("o").as_deref(), Some("6"));
}

#[test]
fn nothing_is_peeked_for_a_caller_that_is_ahead_or_unknown() {
    let (memory, _node, first, second) = node();
    let here = first.set("k", "1");
    assert_eq!(second.peek(here, "k").as_deref(), Some("1"));
    let ahead = apply(&memory, "k", "2");
    assert_eq!(second.peek(ahead, "k"), None, "it knows of a change that the tier does not");
    assert_eq!(second.peek(Position { nonce: 7, ..here }, "k"), None);
    // Behind, the tier may be: what it has is newer.
    second.get("k");
    assert_eq!(first.peek(here, "k").as_deref(), Some("2"));
}

#[test]
fn more_changes_than_the_tier_remembers_name_the_caches() {
    let (_memory, _node, first, mut second) = node();
    let here = first.set("k", "1");
    for writes in [1001, 300] {
        for i in 0..writes {
            first.set(&format!("l{}", i % 7), "x");
        }
        second.costs();
        let delta = second.sync(Some(here));
        assert_eq!((delta.reset, delta.changes), (false, vec![Change::Unlisted { cache: "c".into() }]));
        assert_eq!(second.costs(), (1, 0));
        assert_eq!(second.get("k").as_deref(), Some("1"));
        assert_eq!(second.costs().1, 0);
        let strange = Position { incarnation: !here.incarnation, ..here };
        assert!(second.sync(Some(strange)).reset);
    }
}

#[test]
fn a_new_process_serves_a_page_for_one_round_trip() {
    let (memory, node) = (Memory::default(), TempDir::new().unwrap());
    let engine = || {
        let process = Process::new(memory.peer(), node.path());
        let config = Config::from_url("local:/nowhere").unwrap();
        let engine = Engine::with_backend(process.tier as Arc<dyn Backend>, &config, Bytes);
        let pages = engine.cache("pages", true, None).unwrap();
        (engine, pages, process.server)
    };
    let keys: Vec<String> = (0..100).map(|i| format!("k{i}")).collect();
    let (warm, pages, _) = engine();
    for key in &keys {
        let item =
            larder::engine::Item { key: key.as_bytes(), payload: key.as_bytes(), ttl: None, lock: None };
        warm.set_many(&pages, &[item]).unwrap();
    }
    let (cold, pages, server) = engine();
    for key in &keys {
        assert_eq!(cold.get(&pages, key.as_bytes()).unwrap(), Some(key.as_bytes().to_vec()));
    }
    assert_eq!((server.round_trips(), server.keys.load(Ordering::Relaxed)), (1, 0));
    // What another process changes and stores again, it needs not ask for either.
    let item = larder::engine::Item { key: b"k7", payload: b"new", ttl: None, lock: None };
    warm.set_many(&pages, &[item]).unwrap();
    cold.begin_request();
    assert_eq!(cold.get(&pages, b"k1").unwrap(), Some(b"k1".to_vec()));
    let trips = server.round_trips();
    assert_eq!(cold.get(&pages, b"k7").unwrap(), Some(b"new".to_vec()));
    assert_eq!(server.round_trips(), trips);
    // What the node does not have, it asks for.
    assert_eq!(cold.get(&pages, b"none").unwrap(), None);
    assert_eq!(server.round_trips(), trips + 1);
    // So it does for what the node has and it cannot use, until somebody stores another.
    let k7 = || cold.get(&pages, b"k7").unwrap().unwrap();
    cold.unreadable(&pages, b"k7", cold.position());
    assert_eq!((k7(), server.round_trips()), (b"new".to_vec(), trips + 2));
    cold.unreadable(&pages, b"k7", cold.position());
    warm.set_many(&pages, &[larder::engine::Item { payload: b"repaired", ..item }]).unwrap();
    assert_eq!((k7(), server.round_trips()), (b"repaired".to_vec(), trips + 3));
}

struct Bytes;

impl larder::engine::Decode for Bytes {
    type Value = Vec<u8>;

    fn decode(&self, payload: &[u8]) -> Option<(Self::Value, usize)> {
        Some((payload.to_vec(), payload.len()))
    }
}
