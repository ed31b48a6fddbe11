//! R26: after an emptying one process computes a value, and the others of its node wait for it.

use std::time::{Duration, Instant};

use larder::Config;
use larder::contract::Backend as _;
use larder::engine::{Engine, Handle, Item, Memories};
use larder_testkit::{Memory, RedisServer};
use tempfile::TempDir;

use super::node::{Node, Text, some};

/// Processes that had `k`, `l` and `m` in memory, and have seen that their cache was purged, in a
/// new request.
fn purged(test: &str) -> [Node; 3] {
    purged_by(test, |a| a.engine.purge(&a.cache).unwrap())
}

fn purged_by(test: &str, empty: impl FnOnce(&Node)) -> [Node; 3] {
    // The table of leases is the node's: each test has a place of its own.
    let namespace = format!("{test}{}", std::process::id());
    let options = [("max_staleness", "3600"), ("namespace", namespace.as_str())];
    let a = Node::new(Memory::default(), &options);
    let all = [Node::new(a.memory.peer(), &options), Node::new(a.memory.peer(), &options), a];
    for node in &all {
        node.engine.begin_request();
        for key in ["k", "l", "m"] {
            node.set(key, "old");
            assert_eq!(node.get(key), some("old"));
        }
    }
    for node in &all {
        node.engine.begin_request();
        for key in ["k", "l", "m"] {
            assert_eq!(node.get(key), some("old"));
        }
    }
    empty(all.first().unwrap());
    for node in &all {
        node.engine.begin_request();
        node.engine.sync().unwrap();
    }
    all
}

impl Node {
    /// Reads, and does something while it waits, if it does. The value, and how often it paused.
    fn wait(&self, key: &str, mut meanwhile: impl FnMut()) -> (Option<String>, usize) {
        let mut pauses = 0;
        let found = self.engine.get_or_wait(&self.cache, key.as_bytes(), &mut || {
            pauses += 1;
            meanwhile();
            true
        });
        (found.unwrap(), pauses)
    }

    /// Reads, and finds that nobody is to be waited for.
    fn misses(&self, key: &str) {
        assert_eq!(self.wait(key, || ()), (None, 0));
    }
}

#[test]
fn one_computes_and_the_others_read_what_it_stored() {
    let [a, b, c] = purged("one");
    assert_eq!(a.trips(|| a.misses("k")), 0);
    let mut stored = false;
    let trips = b.trips(|| {
        let (found, pauses) = b.wait("k", || {
            if !std::mem::replace(&mut stored, true) {
                a.set("k", "new");
            }
        });
        assert_eq!((found, pauses), (some("new"), 1));
    });
    assert_eq!(trips, 1, "it reads the value");
    let stats = b.engine.stats();
    assert_eq!((stats.awaited, stats.shared_fills), (1, 1));
    // As of its last sync the key is missing.
    assert_eq!(c.trips(|| assert_eq!(c.wait("k", || ()), (some("new"), 0))), 1);
    assert_eq!(c.trips(|| assert_eq!(c.wait("k", || ()), (some("new"), 0))), 0, "from memory");
}

#[test]
fn many_keys_are_waited_for_together() {
    let [a, b, c] = purged("many");
    let keys: [&[u8]; 3] = [b"k", b"l", b"m"];
    a.misses("k");
    b.misses("l");
    let mut pauses = 0;
    let trips = c.trips(|| {
        let mut store = || {
            if pauses == 0 {
                a.set("k", "new");
                b.set("l", "new");
            }
            pauses += 1;
            true
        };
        let found = c.engine.get_many_or_wait(&c.cache, &keys, &mut store).unwrap();
        assert_eq!(found, [some("new"), some("new"), None]);
    });
    assert_eq!((trips, pauses), (1, 1));
    c.set("m", "new");
    assert_eq!(a.wait("m", || ()), (some("new"), 0), "it had taken the lease of the third");
}

#[test]
fn what_was_removed_again_is_not_given() {
    let removals: [fn(&Node); 3] = [
        |a| a.engine.purge(&a.cache).unwrap(),
        |a| assert!(a.delete("k")),
        |a| {
            a.memory.reset().unwrap();
            a.engine.sync().unwrap();
        },
    ];
    for (number, remove) in removals.into_iter().enumerate() {
        let [a, b, c] = purged(&format!("removed{number}"));
        a.misses("k");
        let (found, _) = b.wait("k", || {
            a.set("k", "new");
            remove(&a);
        });
        assert_eq!(found, None, "{number}");
        let (found, pauses) = c.wait("k", || b.set("k", "newer"));
        assert_eq!((found, pauses), (some("newer"), 1), "the second has the lease, {number}");
    }
}

#[test]
fn what_is_deleted_instead_is_computed_by_the_next() {
    let [a, b, c] = purged("deleted");
    a.misses("k");
    assert_eq!(b.wait("k", || assert!(!a.delete("k"))), (None, 1));
    assert_eq!(c.wait("k", || b.set("k", "new")), (some("new"), 1));
}

#[test]
fn what_a_request_has_not_stored_is_waited_for_no_more() {
    let [a, b, c] = purged("barren");
    a.misses("k");
    assert_eq!(b.wait("k", || a.engine.end_request()), (None, 1));
    c.misses("k");
    a.engine.begin_request();
    a.misses("k");
    // Until somebody stores it.
    b.set("k", "new");
    c.engine.begin_request();
    assert_eq!(c.wait("k", || ()), (some("new"), 0));
}

#[test]
fn a_request_that_begins_ends_the_one_before() {
    let [a, b, _] = purged("begins");
    a.misses("k");
    assert_eq!(b.wait("k", || a.engine.begin_request()), (None, 1));
}

#[test]
fn a_key_is_waited_for_once_a_request_and_not_for_long() {
    let [a, b, _] = purged("long");
    a.misses("k");
    let begun = Instant::now();
    let (found, pauses) = b.wait("k", || ());
    assert!(found.is_none() && pauses > 0);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    b.misses("k");
    assert_eq!((b.engine.stats().awaited, b.engine.stats().shared_fills), (1, 0));
}

#[test]
fn all_waits_of_a_request_are_bounded_together() {
    let test = format!("budget{}", std::process::id());
    let options = [("max_staleness", "3600"), ("namespace", test.as_str())];
    let a = Node::new(Memory::default(), &options);
    let b = Node::new(a.memory.peer(), &options);
    let keys: Vec<String> = (0..15).map(|i| i.to_string()).collect();
    for node in [&a, &b] {
        node.engine.begin_request();
        for key in &keys {
            node.set(key, "old");
        }
    }
    b.engine.begin_request();
    for key in &keys {
        assert_eq!(a.get(key), b.get(key));
    }
    a.engine.purge(&a.cache).unwrap();
    a.engine.begin_request();
    b.engine.begin_request();
    let begun = Instant::now();
    let waits = |key: &&String| {
        a.misses(key);
        b.wait(key, || ()).1 > 0
    };
    let waited = keys.iter().filter(waits).count();
    assert!((1..=5).contains(&waited), "{waited} keys of 200 ms make 1 s");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn of_two_that_would_wait_for_each_other_one_computes() {
    let [a, b, c] = purged("circle");
    a.misses("k");
    b.misses("l");
    let mut asked = false;
    let (found, _) = a.wait("l", || {
        if !std::mem::replace(&mut asked, true) {
            b.misses("k");
            // Whoever holds nothing may wait for one who waits.
            assert_eq!(c.wait("k", || b.set("k", "new")), (some("new"), 1));
            b.set("l", "new");
        }
    });
    assert_eq!(found, some("new"));
    assert!(asked);
}

#[test]
fn who_holds_the_lock_of_a_key_waits_for_nobody() {
    let server = RedisServer::start();
    let url = server.unix_url();
    let config = Config::from_options([("server", url.as_str()), ("max_staleness", "3600")]).unwrap();
    let open = || Engine::open(&config, Text).unwrap();
    let (a, b) = (open(), open());
    let [for_a, for_b] = [&a, &b].map(|engine| engine.cache("c", true, None).unwrap());
    let item = Item { key: b"k", payload: b"old", ttl: None, lock: None };
    a.begin_request();
    a.set_many(&for_a, &[item]).unwrap();
    b.begin_request();
    for (engine, cache) in [(&a, &for_a), (&b, &for_b)] {
        assert_eq!(engine.get(cache, b"k").unwrap(), some("old"));
    }
    a.purge(&for_a).unwrap();
    a.begin_request();
    assert_eq!(a.get_or_wait(&for_a, b"k", &mut || true).unwrap(), None);
    b.begin_request();
    let name = larder::engine::key_lock(&for_b, b"k").unwrap();
    let token = b.begin_lock(&name, b"b", Duration::from_secs(5)).unwrap();
    while b.advance_lock(token).unwrap().is_none() {}
    let pause = &mut || unreachable!("nobody is waited for");
    assert_eq!(b.get_or_wait(&for_b, b"k", pause).unwrap(), None);
}

#[test]
fn a_wait_ends_when_the_caller_says_so() {
    let [a, b, _] = purged("stop");
    a.misses("k");
    let mut pauses = 0;
    let mut stop = || {
        pauses += 1;
        false
    };
    assert_eq!(b.engine.get_or_wait(&b.cache, b"k", &mut stop).unwrap(), None);
    assert_eq!(pauses, 1);
}

#[test]
fn a_gap_and_a_new_incarnation_are_emptyings_too() {
    let gaps: [fn(&Node); 2] = [
        |a| a.memory.reset().unwrap(),
        |a| {
            for key in ["k", "l", "m", "k"] {
                a.delete(key);
            }
            a.memory.trim(1);
        },
    ];
    for (number, empty) in gaps.into_iter().enumerate() {
        let [_, b, c] = purged_by(&format!("gap{number}"), empty);
        b.misses("k");
        assert_eq!(c.wait("k", || b.set("k", "new")), (some("new"), 1), "{number}");
    }
}

#[test]
fn a_new_generation_is_an_emptying_too() {
    let directory = TempDir::new().unwrap();
    let server = format!("local:{}", directory.path().join("store").display());
    let memories = [Memories::new(), Memories::new()];
    let open = |memories, generation| {
        let options = [("server", server.as_str()), ("generation", generation), ("max_staleness", "3600")];
        let engine = Engine::open_in(memories, &Config::from_options(options).unwrap(), Text).unwrap();
        engine.begin_request();
        let cache = engine.cache("c", true, None).unwrap();
        (engine, cache)
    };
    let set = |(engine, cache): &(Engine<Text>, Handle)| {
        engine.set_many(cache, &[Item { key: b"k", payload: b"v", ttl: None, lock: None }]).unwrap();
    };
    let _before = memories.each_ref().map(|memories| {
        let before = open(memories, "1");
        set(&before);
        before
    });
    let [a, b] = memories.each_ref().map(|memories| open(memories, "2"));
    assert_eq!(a.0.get_or_wait(&a.1, b"k", &mut || true).unwrap(), None);
    let fill = &mut || {
        set(&a);
        true
    };
    assert_eq!(b.0.get_or_wait(&b.1, b"k", fill).unwrap(), some("v"));
}

/// Its memory is empty, but the list of what others held says what they will fill.
#[test]
fn a_new_process_waits_for_what_the_hot_set_names() {
    let test = format!("hot{}", std::process::id());
    let options = [("namespace", test.as_str())];
    let a = Node::new(Memory::default(), &options);
    let keys: Vec<String> = (0..30).map(|i| i.to_string()).collect();
    let writer = Node::new(a.memory.peer(), &options);
    for key in &keys {
        writer.set(key, "old");
    }
    a.engine.begin_request();
    for key in &keys {
        assert_eq!(a.get(key), some("old"));
    }
    assert_eq!(a.get("never"), None);
    a.engine.end_request();
    writer.engine.purge(&writer.cache).unwrap();
    let (b, c) = (Node::new(a.memory.peer(), &options), Node::new(a.memory.peer(), &options));
    for node in [&b, &c] {
        node.engine.begin_request();
        node.engine.get_many(&node.cache, &[]).unwrap();
    }
    b.misses("7");
    assert_eq!(c.wait("7", || b.set("7", "new")), (some("new"), 1));
    b.misses("never");
    c.misses("never");
}

#[test]
fn a_durable_cache_is_no_exception() {
    let [a, b, _] = purged("durable").map(Node::durable);
    for node in [&a, &b] {
        node.set("k", "old");
        node.engine.begin_request();
        assert_eq!(node.get("k"), some("old"));
    }
    a.engine.purge(&a.cache).unwrap();
    for node in [&a, &b] {
        node.engine.begin_request();
        node.engine.sync().unwrap();
    }
    a.misses("k");
    assert_eq!(b.wait("k", || a.set("k", "new")), (some("new"), 1));
}

#[test]
fn nobody_waits_for_what_had_no_value_or_without_requests() {
    let [a, b, _] = purged("none");
    a.misses("other");
    b.misses("other");
    let test = format!("without{}", std::process::id());
    let options = [("max_staleness", "3600"), ("namespace", test.as_str())];
    let a = Node::new(Memory::default(), &options);
    let b = Node::new(a.memory.peer(), &options);
    a.set("k", "old");
    assert_eq!((a.get("k"), b.get("k")), (some("old"), some("old")));
    a.engine.purge(&a.cache).unwrap();
    b.engine.sync().unwrap();
    a.misses("k");
    b.misses("k");
}
