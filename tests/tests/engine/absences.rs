//! What is known to be missing: promise 1 holds for it as for values, and who asks again asks the
//! backend.

use std::sync::Arc;

use larder::contract::Backend as _;
use larder_testkit::Memory;

use super::node::{Node, some};

/// Two processes; the second knows that "k" and "other" are missing, and its next request has
/// begun.
fn known_missing() -> (Node, Node) {
    let (a, b) = Node::two();
    b.engine.begin_request();
    assert_eq!((b.get("k"), b.get("other")), (None, None));
    b.engine.begin_request();
    (a, b)
}

#[test]
fn a_missing_key_is_asked_for_once() {
    let (_, b) = known_missing();
    for _ in 0..3 {
        assert_eq!(b.trips(|| assert_eq!((b.get("k"), b.get("other")), (None, None))), 1, "the sync");
        b.engine.begin_request();
    }
    let both = |b: &Node| b.engine.get_many(&b.cache, &[b"k", b"other"]).unwrap();
    assert_eq!(b.trips(|| assert_eq!(both(&b), [None, None])), 1, "the sync");
    assert_eq!(b.engine.stats().misses, 10);
}

/// Who waited for another's lock between two reads must see what the lock's holder stored, though
/// nobody told Larder.
#[test]
fn a_key_that_missed_in_this_request_is_asked_for_again() {
    let (a, b) = known_missing();
    assert_eq!(b.get("k"), None);
    a.set("k", "v");
    assert_eq!(b.get("k"), some("v"));

    let (a, b) = known_missing();
    assert_eq!(b.engine.get_many(&b.cache, &[b"k", b"other"]).unwrap(), [None, None]);
    a.set("k", "v");
    assert_eq!(b.engine.get_many(&b.cache, &[b"k", b"other"]).unwrap(), [some("v"), None]);
}

#[test]
fn without_requests_every_miss_is_asked_for() {
    let (_, b) = Node::two();
    assert_eq!(b.trips(|| (0..5).for_each(|_| assert_eq!(b.get("k"), None))), 5);
}

#[test]
fn a_request_sees_what_was_stored_before_it_began() {
    let stores = [
        |a: &Node| a.set("k", "v"),
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
    ];
    for store in stores {
        let (a, b) = known_missing();
        store(&a);
        assert_eq!(b.get("k"), some("v"));
        let (a, b) = known_missing();
        store(&a);
        assert_eq!(b.engine.get_many(&b.cache, &[b"other", b"k"]).unwrap(), [None, some("v")]);
    }
}

/// R3: that a key was missing before a sync that saw it stored must not be kept after that sync.
#[test]
fn an_absence_that_was_read_before_a_newer_sync_is_not_kept() {
    let (a, b) = Node::two();
    b.engine.begin_request();
    b.get("other");
    let other_thread = Arc::clone(&b.engine);
    b.memory.after_next_read(move || {
        a.set("k", "v");
        other_thread.sync().unwrap();
    });
    assert_eq!(b.get("k"), None, "the read began before the set");
    b.engine.begin_request();
    assert_eq!(b.get("k"), some("v"));
}

/// R4: what this process writes it reads.
#[test]
fn an_own_set_ends_an_absence() {
    let (_, b) = known_missing();
    b.set("k", "v");
    assert_eq!(b.get("k"), some("v"));
    b.delete("k");
    assert_eq!(b.get("k"), None);
    b.engine.begin_request();
    assert_eq!(b.get("k"), None);
}

/// R6: what follows an absence is a fill, compared with where the absence was known to hold.
#[test]
fn a_fill_after_a_remembered_miss_is_guarded() {
    let misses = [
        |b: &Node| assert_eq!(b.get("k"), None),
        |b: &Node| assert_eq!(b.engine.get_many(&b.cache, &[b"k", b"other"]).unwrap(), [None, None]),
    ];
    for miss in misses {
        let (a, b) = known_missing();
        b.engine.sync().unwrap();
        a.delete("k");
        assert_eq!(b.trips(|| miss(&b)), 0);
        b.set("k", "computed from what is no longer true");
        assert_eq!(b.get("k"), None);
        assert_eq!(b.engine.stats().dropped_fills, 1);

        b.engine.begin_request();
        miss(&b);
        b.set("k", "true");
        assert_eq!(b.get("k"), some("true"));
    }
}

/// An entry that has expired is not remembered as missing: clocks differ.
#[test]
fn an_expired_entry_is_asked_for() {
    let (a, b) = Node::two();
    a.set_for("k", "v", Some(10));
    a.memory.advance(10_000);
    for _ in 0..2 {
        b.engine.begin_request();
        b.get("other");
        assert_eq!(b.trips(|| assert_eq!(b.get("k"), None)), 1);
    }
}

#[test]
fn absences_of_a_durable_cache_are_coherent_and_its_sets_not_guarded() {
    let (a, b) = Node::two();
    let (a, b) = (a.durable(), b.durable());
    b.engine.begin_request();
    assert_eq!(b.get("k"), None);
    b.engine.begin_request();
    assert_eq!(
        b.trips(|| (0..3).for_each(|_| assert_eq!(b.get("k"), None))),
        1,
        "told as often as it is asked"
    );
    a.set("k", "1");
    b.engine.begin_request();
    assert_eq!(b.get("k"), some("1"));
    assert!(b.delete("k"));
    assert_eq!(b.get("k"), None);
    b.engine.begin_request();
    assert_eq!(b.trips(|| assert_eq!(b.get("k"), None)), 1);
    a.delete("k");
    b.set("k", "2");
    a.engine.begin_request();
    assert_eq!(a.get("k"), some("2"));
}

#[test]
fn absences_are_bounded_like_values() {
    let (a, _) = Node::two();
    let b = Node::new(a.memory.peer(), &[("near_bytes", "64K"), ("max_staleness", "3600")]);
    b.engine.begin_request();
    (0..5_000).for_each(|i| assert_eq!(b.get(&format!("k{i}")), None));
    assert!(b.engine.stats().near_bytes <= 64 << 10);
    assert!(b.engine.stats().near_entries > 100);
}

/// The list of what missed in a request is bounded; past its end nobody is told of an absence from
/// memory.
#[test]
fn forgotten_misses_are_asked_for_again() {
    let (a, b) = known_missing();
    assert_eq!(b.get("k"), None);
    for i in 0..300 {
        assert_eq!(b.get(&format!("{i:060000}")), None);
    }
    a.set("k", "v");
    assert_eq!(b.get("k"), some("v"));
}

#[test]
fn a_cold_process_learns_what_is_missing_with_the_hot_set() {
    let a = Node::new(Memory::default(), &[]);
    let page = |node: &Node| {
        node.engine.begin_request();
        (0..30).for_each(|i| assert_eq!(node.get(&format!("k{i}")), some("v")));
        (0..30).for_each(|i| assert_eq!(node.get(&format!("missing {i}")), None));
        node.engine.end_request();
    };
    (0..30).for_each(|i| a.set(&format!("k{i}"), "v"));
    let warm = Node::new(a.memory.peer(), &[]);
    page(&warm);
    let cold = Node::new(a.memory.peer(), &[]);
    assert_eq!(cold.trips(|| page(&cold)), 2, "the list, all it names at once");
}
