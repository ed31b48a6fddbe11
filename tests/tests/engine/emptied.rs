//! R30: who saw a cache's purge, and every change since, knows which keys are missing without
//! asking.

use larder::Error;
use larder::contract::Backend as _;
use larder::engine::Item;

use super::node::{Node, some};

/// Two processes; the second has seen the purge of the cache and its next request has begun and
/// synced.
fn purged() -> (Node, Node) {
    let (a, b) = Node::two();
    for i in 0..20 {
        a.set(&format!("k{i}"), "old");
    }
    b.engine.begin_request();
    assert_eq!(b.get("k1"), some("old"));
    a.engine.purge(&a.cache).unwrap();
    b.engine.begin_request();
    b.engine.sync().unwrap();
    (a, b)
}

#[test]
fn a_purged_cache_is_not_asked_for_its_keys() {
    let (a, b) = purged();
    let page = |node: &Node| (0..100).for_each(|i| assert_eq!(node.get(&format!("k{i}")), None));
    assert_eq!(b.trips(|| page(&b)), 0);
    a.engine.begin_request();
    assert_eq!(a.trips(|| page(&a)), 1, "the sync, after its own purge");
    let keys: [&[u8]; 3] = [b"l", b"m", b"n"];
    assert_eq!(b.trips(|| assert_eq!(b.engine.get_many(&b.cache, &keys).unwrap(), [None, None, None])), 0);
    b.engine.begin_request();
    assert_eq!(b.trips(|| page(&b)), 1, "the sync");
    assert_eq!(b.engine.stats().misses, 203);
}

#[test]
fn a_purge_that_was_seen_beside_other_changes_counts() {
    let (a, b) = Node::two();
    b.engine.begin_request();
    assert_eq!(b.get("asks for the hot set"), None);
    a.set("before", "1");
    a.engine.purge(&a.cache).unwrap();
    a.set("since", "2");
    b.engine.begin_request();
    assert_eq!(b.trips(|| assert_eq!(b.get("since"), some("2"))), 1);
    assert_eq!(b.trips(|| assert_eq!((b.get("before"), b.get("never")), (None, None))), 0);
}

/// Once a request, as for single absences: who waited for a lock that Larder knows nothing of sees
/// what its holder stored.
#[test]
fn who_asks_again_in_the_request_asks_the_backend() {
    let (a, b) = purged();
    assert_eq!(b.get("k"), None);
    a.set("k", "v");
    assert_eq!(b.trips(|| assert_eq!(b.get("k"), some("v"))), 1);
    a.set("l", "v");
    assert_eq!(b.get("l"), None, "as of the last sync");
    assert_eq!(b.get("l"), some("v"));
}

#[test]
fn without_requests_every_key_is_asked_for() {
    let (a, b) = Node::two();
    b.engine.sync().unwrap();
    a.engine.purge(&a.cache).unwrap();
    b.engine.sync().unwrap();
    assert_eq!(b.trips(|| (0..5).for_each(|i| assert_eq!(b.get(&format!("k{i}")), None))), 5);
}

#[test]
fn what_was_set_since_is_read() {
    let stores = [
        |a: &Node| a.set("k", "v"),
        |a: &Node| {
            a.set("k", "old");
            a.delete("k");
            a.set("k", "v");
        },
        |a: &Node| {
            a.set("k", "old");
            a.engine.purge(&a.cache).unwrap();
            a.set("k", "v");
        },
        |a: &Node| {
            a.set("k", "v");
            (0..5).for_each(|i| a.set("x", &i.to_string()));
            a.memory.trim(2);
        },
        |a: &Node| {
            a.memory.reset().unwrap();
            a.engine.sync().unwrap();
            a.set("k", "v");
        },
        |a: &Node| (0..1_100).for_each(|i| a.set(["k", "x"][i % 2], "v")),
    ];
    for (number, store) in stores.into_iter().enumerate() {
        let (a, b) = purged();
        store(&a);
        b.engine.begin_request();
        assert_eq!(b.get("k"), some("v"), "{number}");
        b.engine.begin_request();
        assert_eq!(b.get("k"), some("v"), "{number}");
        let (a, b) = purged();
        store(&a);
        b.engine.begin_request();
        assert_eq!(b.engine.get_many(&b.cache, &[b"other", b"k"]).unwrap(), [None, some("v")], "{number}");
    }
}

/// A gap ends the knowledge for good: what was set in it was never told.
#[test]
fn a_gap_ends_it() {
    let (a, b) = purged();
    a.set("in the gap", "v");
    for _ in 0..5 {
        a.set("x", "v");
    }
    a.memory.trim(1);
    b.engine.begin_request();
    b.engine.sync().unwrap();
    assert_eq!(b.trips(|| assert_eq!(b.get("in the gap"), some("v"))), 1);
    assert_eq!(b.trips(|| assert_eq!(b.get("k"), None)), 1);
}

#[test]
fn own_writes_are_read_though_memory_has_evicted_them() {
    let (a, _) = Node::two();
    let b = Node::new(a.memory.peer(), &[("near_bytes", "64K"), ("max_staleness", "3600")]);
    b.engine.begin_request();
    b.engine.purge(&b.cache).unwrap();
    let large = "x".repeat(6_000);
    for i in 0..50 {
        assert_eq!(b.get(&format!("k{i}")), None);
        b.set(&format!("k{i}"), &large);
        b.set(&format!("l{i}"), &large);
    }
    for request in 0..2 {
        for i in 0..50 {
            assert_eq!(b.get(&format!("k{i}")).as_deref(), Some(&*large), "{request}");
            assert_eq!(b.get(&format!("l{i}")).as_deref(), Some(&*large), "{request}");
        }
        b.engine.begin_request();
    }
}

/// R6: the guard of what follows is where the absence was known to hold.
#[test]
fn a_fill_after_it_is_guarded() {
    let (a, b) = purged();
    a.delete("k");
    assert_eq!(b.get("k"), None);
    b.set("k", "computed from what is no longer true");
    assert_eq!(b.get("k"), None);
    assert_eq!(b.engine.stats().dropped_fills, 1);
    b.engine.begin_request();
    assert_eq!(b.get("other"), None);
    b.set("other", "true");
    assert_eq!(b.get("other"), some("true"));
}

#[test]
fn another_cache_is_asked() {
    let (a, b) = purged();
    let of = |node: &Node| node.engine.cache("other", true, None).unwrap();
    let item = Item { key: b"k", payload: b"v", ttl: None, lock: None };
    a.engine.set_many(&of(&a), &[item]).unwrap();
    assert_eq!(b.trips(|| assert_eq!(b.engine.get(&of(&b), b"k").unwrap(), some("v"))), 1);
}

#[test]
fn a_durable_cache_knows_it_too() {
    let (a, b) = Node::two();
    let (a, b) = (a.durable(), b.durable());
    a.set("k", "old");
    b.engine.begin_request();
    assert_eq!(b.get("k"), some("old"));
    a.engine.purge(&a.cache).unwrap();
    a.set("since", "v");
    b.engine.begin_request();
    b.engine.sync().unwrap();
    assert_eq!(b.trips(|| assert_eq!((b.get("k"), b.get("l")), (None, None))), 0);
    assert_eq!(b.get("since"), some("v"));
    b.set("k", "new");
    assert_eq!(b.get("k"), some("new"));
}

#[test]
fn an_outage_ends_nothing_but_is_not_served() {
    let (a, b) = purged();
    b.memory.fail_next(|| Error::unavailable("the test", "it is away"));
    b.engine.begin_request();
    assert!(b.engine.get(&b.cache, b"k").is_err());
    a.set("k", "v");
    let b = Node::new(b.memory.peer(), &[]);
    assert_eq!(b.get("k"), some("v"));
}

/// Another thread's purge that a late answer tells of says nothing of what came after it.
#[test]
fn a_late_answer_of_another_thread_begins_nothing() {
    let (a, b) = Node::two();
    b.engine.begin_request();
    b.engine.sync().unwrap();
    let (other_thread, cache) = (std::sync::Arc::clone(&b.engine), b.cache.clone());
    a.engine.purge(&a.cache).unwrap();
    b.memory.after_next_read(move || {
        let item = Item { key: b"k", payload: b"v", ttl: None, lock: None };
        other_thread.set_many(&cache, &[item]).unwrap();
    });
    b.engine.sync().unwrap();
    b.engine.begin_request();
    assert_eq!(b.get("k"), some("v"));
}

#[test]
fn what_changed_since_is_bounded() {
    let (a, b) = purged();
    for round in 0..40 {
        let keys: Vec<String> = (0..900).map(|i| format!("{round} {i}")).collect();
        let items: Vec<Item<'_>> = keys
            .iter()
            .map(|key| Item { key: key.as_bytes(), payload: b"v", ttl: None, lock: None })
            .collect();
        a.engine.set_many(&a.cache, &items).unwrap();
        b.engine.begin_request();
        b.engine.sync().unwrap();
    }
    assert_eq!(b.trips(|| assert_eq!(b.get("never"), None)), 1, "too much to remember");
    assert_eq!(b.get("0 0"), some("v"));
    a.engine.purge(&a.cache).unwrap();
    b.engine.begin_request();
    b.engine.sync().unwrap();
    assert_eq!(b.trips(|| assert_eq!(b.get("0 0"), None)), 0, "known again");
}

/// A new process knows nothing of purges before it.
#[test]
fn a_new_process_asks() {
    let (a, _) = purged();
    let c = Node::new(a.memory.peer(), &[]);
    c.engine.begin_request();
    c.engine.sync().unwrap();
    assert_eq!(
        c.trips(|| assert_eq!((c.get("k1"), c.get("k2")), (None, None))),
        3,
        "the hot set, and each key"
    );
}
