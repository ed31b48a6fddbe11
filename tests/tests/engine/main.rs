//! The reader's side of the protocol, each step placed exactly where it hurts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod absences;
mod emptied;
mod fills;
mod memories;
mod node;

use std::sync::Arc;
use std::time::{Duration, Instant};

use larder::contract::{Backend as _, CacheId};
use larder::engine::Item;
use larder::{Error, ErrorKind};
use larder_testkit::Memory;

use node::{Node, some};

#[test]
fn hits_after_a_sync_cost_no_round_trip() {
    let (a, b) = Node::two();
    for i in 0..200 {
        a.set(&format!("k{i}"), "v");
    }
    let page = |node: &Node| {
        node.engine.begin_request();
        (0..200).for_each(|i| assert_eq!(node.get(&format!("k{i}")), some("v")));
    };
    assert_eq!(b.trips(|| page(&b)), 201, "cold: 200 values and no hot set yet");
    assert_eq!(b.trips(|| page(&b)), 1, "warm");
    a.set("k7", "v");
    assert_eq!(b.trips(|| page(&b)), 2, "one value changed");
}

#[test]
fn writes_cost_one_round_trip_each() {
    let (a, _) = Node::two();
    assert_eq!(a.trips(|| a.set("k", "v")), 1);
    assert_eq!(a.trips(|| assert_eq!(a.get("k"), some("v"))), 0, "own write");
    assert_eq!(a.trips(|| assert!(a.delete("k"))), 1);
    assert_eq!(a.trips(|| a.engine.purge(&a.cache).unwrap()), 1);
}

#[test]
fn a_batch_costs_one_round_trip() {
    let (a, b) = Node::two();
    let keys: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    let refs: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    let items: Vec<Item<'_>> =
        refs.iter().map(|key| Item { key, payload: key, ttl: None, lock: None }).collect();
    assert_eq!(a.trips(|| a.engine.set_many(&a.cache, &items).unwrap()), 1);
    assert_eq!(b.trips(|| assert_eq!(b.engine.get_many(&b.cache, &refs).unwrap().len(), 100)), 1);
    assert_eq!(
        b.trips(|| assert!(b.engine.get_many(&b.cache, &refs).unwrap().iter().all(Option::is_some))),
        0
    );
}

#[test]
fn a_request_sees_what_was_acknowledged_before_it_began() {
    let (a, b) = Node::two();
    a.set("k", "old");
    assert_eq!(b.get("k"), some("old"));
    a.set("k", "new");
    assert_eq!(b.get("k"), some("old"), "the same request, no sync point yet");
    b.engine.begin_request();
    assert_eq!(b.get("k"), some("new"));
    a.delete("k");
    b.engine.sync().unwrap();
    assert_eq!(b.get("k"), None);
    a.set("k", "again");
    a.engine.purge(&a.cache).unwrap();
    b.engine.begin_request();
    assert_eq!(b.get("k"), None);
}

#[test]
fn zero_staleness_asks_at_every_read() {
    let a = Node::new(Memory::default(), &[("max_staleness", "0")]);
    let b = Node::new(a.memory.peer(), &[("max_staleness", "0")]);
    for i in 0..10 {
        a.set("k", &i.to_string());
        assert_eq!(b.trips(|| assert_eq!(b.get("k"), Some(i.to_string()))), if i == 0 { 1 } else { 2 });
        assert_eq!(b.trips(|| assert_eq!(b.get("k"), Some(i.to_string()))), 1);
    }
}

#[test]
fn no_read_is_older_than_max_staleness_though_that_is_shorter_than_a_tick_of_the_kernels_clock() {
    for (option, staleness) in [("0.0005", Duration::from_micros(500)), ("0.012", Duration::from_millis(12))]
    {
        let a = Node::new(Memory::default(), &[]);
        let b = Node::new(a.memory.peer(), &[("max_staleness", option)]);
        for i in 0..200 {
            a.set("k", &i.to_string());
            std::thread::sleep(staleness);
            assert_eq!(b.get("k"), Some(i.to_string()), "{option} s");
        }
    }
}

/// R1, R2: in another history nothing is true that is in memory.
#[test]
fn another_history_empties_memory() {
    let (a, b) = Node::two();
    a.set("k", "old");
    b.get("k");
    a.memory.reset().unwrap();
    b.engine.begin_request();
    assert_eq!(b.get("k"), None);
    assert_eq!(b.engine.stats().resets, 1);
}

/// R3: a value read before a sync that saw it change must not be kept after that sync.
#[test]
fn a_value_read_before_a_newer_sync_is_not_kept() {
    let (a, b) = Node::two();
    a.set("k", "v1");
    b.engine.sync().unwrap();
    let (peer, other_thread) = (a.memory.clone(), Arc::clone(&b.engine));
    let entry = a.memory.raw(&CacheId::new("c", true).unwrap(), b"k").unwrap();
    b.memory.after_next_read(move || {
        let cache = CacheId::new("c", true).unwrap();
        let op = larder::contract::Op::Set {
            cache: &cache,
            key: b"k",
            entry: &entry[..0],
            expires: None,
            guard: None,
            lock: None,
        };
        peer.apply(None, &[op]).unwrap();
        other_thread.sync().unwrap();
    });
    assert_eq!(b.get("k"), some("v1"), "the read began before the change");
    assert_eq!(b.get("k"), None, "and was not kept");
}

/// R3: a batch looks at memory after the answer's changes.
#[test]
fn a_batch_does_not_mix_old_memory_with_new_entries() {
    let (a, b) = Node::two();
    a.set("k1", "old");
    a.set("k2", "old");
    b.get("k1");
    a.engine
        .set_many(
            &a.cache,
            &[
                Item { key: b"k1", payload: b"new", ttl: None, lock: None },
                Item { key: b"k2", payload: b"new", ttl: None, lock: None },
            ],
        )
        .unwrap();
    let read = b.engine.get_many(&b.cache, &[b"k1", b"k2"]).unwrap();
    assert_eq!(read, [some("new"), some("new")]);
}

/// R4: what a process writes it reads, whatever was in memory or under way.
#[test]
fn own_writes_are_read() {
    let (a, b) = Node::two();
    for value in ["1", "2"] {
        a.set("k", value);
        assert_eq!(a.get("k"), some(value));
    }
    b.set("k", "3");
    a.set("other", "x");
    assert_eq!(a.get("k"), some("3"), "a write is a sync point");
    a.delete("k");
    assert_eq!(a.get("k"), None);
}

/// R4 with threads: a read that was under way while another thread wrote must not come back into
/// memory.
#[test]
fn a_read_under_way_does_not_hide_an_own_write() {
    let (a, b) = Node::two();
    a.set("k", "old");
    b.engine.sync().unwrap();
    let (engine, cache) = (Arc::clone(&b.engine), b.cache.clone());
    b.memory.after_next_read(move || {
        engine.set_many(&cache, &[Item { key: b"k", payload: b"new", ttl: None, lock: None }]).unwrap();
    });
    b.get("k");
    assert_eq!(b.get("k"), some("new"));
}

/// A fill may carry what its process has just committed. If another stored what it computed before
/// that, it must not stand.
#[test]
fn a_fill_that_lost_against_another_leaves_neither() {
    let (a, b) = Node::two();
    for key in ["k", "l"] {
        assert_eq!(a.get(key), None);
        b.set(key, "before");
        assert_eq!(a.trips(|| a.set(key, "committed since")), 1);
        assert_eq!(a.get(key), None);
        b.engine.begin_request();
        assert_eq!(b.get(key), None, "nor in another's memory");
        b.set(key, "after");
        assert_eq!(a.get(key), some("after"));
    }
    assert_eq!(a.engine.stats().dropped_fills, 2);
}

#[test]
fn of_two_fills_of_one_value_the_first_stands() {
    let (a, b) = Node::two();
    for ttl in [None, Some(100)] {
        assert_eq!((a.get("k"), b.get("k")), (None, None));
        b.set_for("k", "same", ttl);
        a.memory.advance(7);
        a.set_for("k", "same", ttl);
        assert_eq!(a.get("k"), some("same"));
        assert_eq!(b.trips(|| assert_eq!(b.get("k"), some("same"))), 0, "nothing was told");
        b.delete("k");
        a.engine.begin_request();
        b.engine.begin_request();
    }
}

/// R6: a value computed before an invalidation does not come back after it.
#[test]
fn a_fill_that_lost_against_a_change_is_dropped() {
    let (a, b) = Node::two();
    for invalidate in [
        (|b: &Node| assert!(!b.delete("k"))) as fn(&Node),
        |b| b.engine.purge(&b.cache).unwrap(),
        |b| b.memory.reset().unwrap(),
    ] {
        a.engine.begin_request();
        assert_eq!(a.get("k"), None);
        invalidate(&b);
        a.set("k", "computed from what is no longer true");
        assert_eq!(a.get("k"), None);
        b.engine.begin_request();
        assert_eq!(b.get("k"), None);
        a.set("k", "true");
        a.delete("k");
    }
    assert_eq!(a.engine.stats().dropped_fills, 3);
}

#[test]
fn a_fill_is_kept_when_something_else_changed() {
    let (a, b) = Node::two();
    assert_eq!(a.get("k"), None);
    b.set("other", "x");
    a.set("k", "v");
    assert_eq!(a.get("k"), some("v"));
    b.engine.begin_request();
    assert_eq!(b.get("k"), some("v"));
}

#[test]
fn a_set_after_a_hit_or_an_own_write_is_not_guarded() {
    let (a, b) = Node::two();
    a.get("k");
    a.set("k", "1");
    b.set("k", "2");
    a.set("k", "3");
    assert_eq!(a.get("k"), some("3"));
    a.get("gone");
    a.delete("gone");
    a.set("gone", "4");
    assert_eq!(a.get("gone"), some("4"));
}

/// What was missing, then found, is known: a set after that replaces it, also if it changes once
/// more.
#[test]
fn a_hit_ends_the_miss() {
    let (a, b) = Node::two();
    for found in [(|a| assert_eq!(a.get("k"), some("2"))) as fn(&Node), |a: &Node| {
        assert_eq!(a.engine.get_many(&a.cache, &[b"x", b"k"]).unwrap(), [None, some("2")]);
    }] {
        a.delete("k");
        a.engine.begin_request();
        assert_eq!(a.get("k"), None);
        b.set("k", "2");
        found(&a);
        b.set("k", "3");
        a.set("k", "4");
        assert_eq!(a.get("k"), some("4"));
    }
    assert_eq!(a.engine.stats().dropped_fills, 0);
}

/// A fill that was dropped counts as stored before the change; the next set is no fill.
#[test]
fn a_dropped_fill_ends_the_miss() {
    let (a, b) = Node::two();
    a.get("k");
    b.set("k", "1");
    a.set("k", "lost");
    assert!(!b.delete("k"), "neither is left");
    a.set("k", "2");
    assert_eq!(a.get("k"), some("2"));
    assert_eq!(a.engine.stats().dropped_fills, 1);
}

/// A sync that another thread sent before the request began is not the request's.
#[test]
fn a_request_that_begins_while_another_thread_syncs_asks_anew() {
    let (a, b) = Node::two();
    a.set("k", "old");
    let (engine, other) = (Arc::clone(&a.engine), Node::new(a.memory.peer(), &[]));
    a.memory.after_next_read(move || {
        other.set("k", "new");
        engine.begin_request();
    });
    a.engine.sync().unwrap();
    assert_eq!(a.get("k"), some("new"));
    drop(b);
}

#[test]
fn an_unlogged_cache_leaves_the_logged_one_of_its_name_alone() {
    let (a, b) = Node::two();
    let unlogged = a.engine.cache("c", false, None).unwrap();
    a.get("k");
    b.delete("k");
    a.engine.set_many(&unlogged, &[Item { key: b"k", payload: b"v", ttl: None, lock: None }]).unwrap();
    a.set("k", "computed from what is no longer true");
    assert_eq!(a.get("k"), None);
}

#[test]
fn the_last_of_a_batch_stands_in_memory_as_in_the_backend() {
    let (a, _) = Node::two();
    let item = |ttl| Item { key: b"k", payload: b"v", ttl, lock: None };
    a.engine.set_many(&a.cache, &[item(None), item(Some(-1))]).unwrap();
    assert_eq!(a.get("k"), None);
}

#[test]
fn a_time_to_live_of_zero_is_for_ever() {
    let (a, b) = Node::two();
    let expiring = a.engine.cache("c", true, Some(-1)).unwrap();
    a.engine.set_many(&expiring, &[Item { key: b"k", payload: b"v", ttl: Some(0), lock: None }]).unwrap();
    assert_eq!((a.get("k"), b.get("k")), (some("v"), some("v")));
    let forever = a.engine.cache("c", true, Some(0)).unwrap();
    a.engine.set_many(&forever, &[Item { key: b"k", payload: b"w", ttl: None, lock: None }]).unwrap();
    b.engine.begin_request();
    assert_eq!((a.get("k"), b.get("k")), (some("w"), some("w")));
}

#[test]
fn misses_are_forgotten_when_a_request_begins() {
    let (a, b) = Node::two();
    a.get("k");
    b.set("k", "1");
    a.engine.begin_request();
    a.set("k", "2");
    assert_eq!(a.get("k"), some("2"));
}

#[test]
fn while_the_backend_is_away_nothing_is_served_and_nothing_is_acknowledged() {
    let (a, _) = Node::two();
    a.set("k", "v");
    a.memory.fail_with(Some(away));
    a.engine.begin_request();
    for _ in 0..50 {
        assert_eq!(a.engine.get(&a.cache, b"k").unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(a.engine.delete_many(&a.cache, &[b"k"]).is_err());
    }
    assert_eq!(a.trips(|| drop(a.engine.purge(&a.cache))), 0, "asked once, then left alone");
    assert!(!a.engine.stats().available);
}

fn away() -> Error {
    Error::unavailable("the test", "it is away")
}

#[test]
fn a_set_that_is_refused_deletes_what_it_would_have_replaced_which_is_a_sync_point() {
    let (a, b) = Node::two();
    for key in ["k", "changed", "quiet"] {
        a.set(key, "1");
        assert_eq!(b.get(key), some("1"));
    }
    b.set("changed", "2");
    a.memory.fail_next(|| Error::refused("the test", "it is full"));
    let item = Item { key: b"k", payload: b"2", ttl: None, lock: None };
    assert_eq!(a.engine.set_many(&a.cache, &[item]).unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(a.trips(|| assert_eq!(a.get("quiet"), some("1"))), 0);
    assert_eq!(a.get("changed"), some("2"));
    b.engine.begin_request();
    assert_eq!(b.get("k"), None);
}

#[test]
fn a_broken_entry_is_a_miss() {
    let (a, _) = Node::two();
    let cache = CacheId::new("c", true).unwrap();
    a.set("k", "v");
    a.set("broken", "!");
    let good = a.memory.raw(&cache, b"k").unwrap();
    let newer: Vec<u8> = std::iter::once(2).chain(good[1..].iter().copied()).collect();
    for bytes in [&b""[..], b"x", &good[..good.len() - 1], &newer] {
        a.memory.plant(&cache, b"k", bytes);
        a.engine.begin_request();
        let b = Node::new(a.memory.peer(), &[]);
        assert_eq!(b.get("k"), None, "{bytes:?}");
        assert_eq!(b.engine.stats().broken, 1);
    }
    assert_eq!(a.get("broken"), None);
}

#[test]
fn an_entry_expires_in_memory_and_in_the_backend() {
    let (a, b) = Node::two();
    a.set_for("k", "v", Some(10));
    assert_eq!((a.get("k"), b.get("k")), (some("v"), some("v")));
    a.memory.advance(9_999);
    assert_eq!((a.get("k"), b.get("k")), (some("v"), some("v")));
    a.memory.advance(1);
    assert_eq!((a.get("k"), b.get("k")), (None, None));
    for ttl in [-1, -5, i64::MIN] {
        a.set("k", "v");
        a.set_for("k", "v", Some(ttl));
        assert_eq!(a.get("k"), None, "expired at once");
    }
    a.set_for("k", "v", Some(i64::MAX));
    assert_eq!(a.get("k"), some("v"));
}

#[test]
fn unlogged_caches_are_not_kept_in_memory() {
    let (a, b) = Node::two();
    let sessions = |node: &Node| node.engine.cache("c", false, None).unwrap();
    a.engine.set_many(&sessions(&a), &[Item { key: b"k", payload: b"1", ttl: None, lock: None }]).unwrap();
    assert_eq!(b.engine.get(&sessions(&b), b"k").unwrap(), some("1"));
    a.engine.set_many(&sessions(&a), &[Item { key: b"k", payload: b"2", ttl: None, lock: None }]).unwrap();
    assert_eq!(b.engine.get(&sessions(&b), b"k").unwrap(), some("2"), "in the same request");
    assert_eq!(b.engine.stats().near_entries, 0);
    assert_eq!(b.get("k"), None, "another cache than the logged one of this name");
}

#[test]
fn a_key_that_is_too_long_is_refused_by_name() {
    let (a, _) = Node::two();
    let long = vec![b'x'; larder::engine::MAX_KEY + 1];
    for error in [
        a.engine.get(&a.cache, &long).unwrap_err(),
        a.engine.delete_many(&a.cache, &[&long]).unwrap_err(),
        a.engine.set_many(&a.cache, &[Item { key: &long, payload: b"", ttl: None, lock: None }]).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.to_string().contains("key"), "{error}");
    }
    let longest = "x".repeat(larder::engine::MAX_KEY);
    a.set(&longest, "v");
    assert_eq!(a.get(&longest), some("v"));
    a.set("", "empty");
    assert_eq!(a.get(""), some("empty"));
}

/// A new process fetches what a warm one listed in a handful of round trips, not one by one.
#[test]
fn a_cold_process_fetches_the_hot_set_at_once() {
    let (a, b) = Node::two();
    (0..300).for_each(|i| a.set(&format!("k{i}"), "v"));
    let page = |node: &Node| {
        node.engine.begin_request();
        (0..300).for_each(|i| assert_eq!(node.get(&format!("k{i}")), some("v")));
        node.engine.end_request();
    };
    assert_eq!(b.trips(|| page(&b)), 302, "the list, 300 values, the list again");
    assert_eq!(b.trips(|| page(&b)), 1, "warm");
    let cold = Node::new(a.memory.peer(), &[]);
    a.set("k7", "v");
    assert_eq!(cold.trips(|| page(&cold)), 2, "the list, all values at once");

    // No cache of an application is the list's, whatever it is called.
    let reserved = a.memory.usage().unwrap().into_iter().map(|usage| usage.cache).find(CacheId::is_reserved);
    let hot = reserved.unwrap();
    assert_eq!(CacheId::new(hot.name(), false).unwrap_err().kind(), ErrorKind::Value);
    // In MessagePack: {"": [["k", 1]]}, and no cache has an empty name.
    let forged = Item { key: b"keys", payload: b"\x81\xa0\x91\x92\xc4\x01k\x01", ttl: None, lock: None };
    for name in ["hot", "larder/hot"] {
        let cache = a.engine.cache(name, false, None).unwrap();
        a.engine.set_many(&cache, &[forged]).unwrap();
        a.engine.set_many(&a.engine.cache(name, true, None).unwrap(), &[forged]).unwrap();
        let cold = Node::new(a.memory.peer(), &[]);
        assert_eq!(cold.trips(|| page(&cold)), 2, "{name}");
        a.engine.purge(&cache).unwrap();
    }
    let cold = Node::new(a.memory.peer(), &[]);
    assert_eq!(cold.trips(|| page(&cold)), 2, "nor purged with one");

    let cache = a.engine.cache("c", false, None).unwrap();
    a.engine.set_many(&cache, &[forged]).unwrap();
    let forged = a.memory.raw(cache.id(), b"keys").unwrap();
    for (list, what) in [(&b"no list"[..], "a bad list only costs time"), (&forged, "so does a forged one")] {
        a.memory.plant(&hot, b"keys", list);
        let cold = Node::new(a.memory.peer(), &[]);
        assert_eq!(cold.trips(|| page(&cold)), 302, "{what}");
    }
}

/// What a node fetches at once is bounded: who has no turn yet fetches the list later.
#[test]
fn a_large_hot_set_is_fetched_in_turns() {
    // The processes of a place share an account.
    let namespace = format!("turns{}", std::process::id());
    let options = [("namespace", &*namespace), ("near_bytes", "128M"), ("max_staleness", "3600")];
    let a = Node::new(Memory::default(), &options);
    let mut random = 1_u64;
    for i in 0..20 {
        let numbers: Vec<String> = (0..64 << 10)
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                format!("{random:016x}")
            })
            .collect();
        a.set(&format!("k{i}"), &numbers.concat());
    }
    let listing = Node::new(a.memory.peer(), &options);
    listing.engine.begin_request();
    (0..20).for_each(|i| assert!(listing.get(&format!("k{i}")).is_some()));
    listing.engine.end_request();
    for _ in 0..3 {
        let cold = Node::new(a.memory.peer(), &options);
        let begun = Instant::now();
        while cold.engine.stats().near_entries < 20 {
            assert!(begun.elapsed() < Duration::from_secs(30), "it has no turn");
            cold.engine.begin_request();
            assert!(cold.get("k0").is_some());
            cold.engine.end_request();
        }
    }
}

/// R29: what was not changed stays; of what may have been, the list says what is worth fetching at
/// once.
#[test]
fn far_behind_only_the_caches_that_changed_are_read_again() {
    let (a, b) = Node::two();
    let other = |node: &Node| node.engine.cache("other", true, None).unwrap();
    (0..300).for_each(|i| a.set(&format!("k{i}"), "v"));
    let elsewhere = |key: &[u8]| {
        let item = Item { key, payload: b"v", ttl: None, lock: None };
        a.engine.set_many(&other(&a), &[item]).unwrap();
    };
    elsewhere(b"k");
    let page = |node: &Node| {
        node.engine.begin_request();
        (0..300).for_each(|i| assert_eq!(node.get(&format!("k{i}")), some("v")));
        assert_eq!(node.engine.get(&other(node), b"k").unwrap(), some("v"));
        node.engine.end_request();
    };
    page(&b);
    for _ in 0..20 {
        for i in 0..1_000_u32 {
            elsewhere(&i.to_be_bytes());
        }
        a.memory.trim(10);
    }
    assert_eq!(b.trips(|| page(&b)), 2, "the sync, and the value of the cache that changed");
    a.memory.trim(1);
    a.set("k7", "new");
    a.set("k7", "v");
    a.memory.trim(1);
    assert_eq!(b.trips(|| page(&b)), 3, "the sync, the list, all values");
    assert_eq!(b.engine.stats().resets, 0);
}

/// R6, R29: a guard from before the gap fails where its cache changed, and holds in others.
#[test]
fn a_fill_that_waited_through_a_gap_is_stored_if_its_cache_did_not_change() {
    let (a, b) = Node::two();
    let other = |node: &Node| node.engine.cache("other", true, None).unwrap();
    b.engine.begin_request();
    assert_eq!((b.get("k"), b.engine.get(&other(&b), b"k").unwrap()), (None, None));
    (0..5).for_each(|_| a.set("x", "v"));
    a.memory.trim(1);
    b.engine.sync().unwrap();
    let item = Item { key: b"k", payload: b"v", ttl: None, lock: None };
    b.engine.set_many(&other(&b), &[item]).unwrap();
    b.set("k", "perhaps from before a change");
    assert_eq!(b.engine.stats().dropped_fills, 1);
    b.engine.begin_request();
    assert_eq!((b.get("k"), b.engine.get(&other(&b), b"k").unwrap()), (None, some("v")));
}

/// R6: what was read and cannot be used is missing, as of when it was read.
#[test]
fn what_follows_a_value_that_cannot_be_used_is_a_fill() {
    let (a, b) = Node::two();
    let read = |what: &str| {
        a.set("k", what);
        b.engine.begin_request();
        assert_eq!(b.get("k"), some(what));
        b.engine.position()
    };
    let unreadable = |at| b.engine.unreadable(&b.cache, b"k", at);

    // Nothing changes: the fill stands.
    unreadable(read("1"));
    assert_eq!(b.trips(|| b.set("k", "computed")), 1);
    assert_eq!((b.get("k"), b.engine.stats().dropped_fills), (some("computed"), 0));

    // It was deleted since, though this process has heard of that by now.
    let at = read("2");
    assert!(a.delete("k"));
    b.engine.sync().unwrap();
    unreadable(at);
    b.set("k", "of before");
    assert_eq!((b.get("k"), b.engine.stats().dropped_fills), (None, 1));
    a.engine.begin_request();
    assert_eq!(a.get("k"), None);

    // Who asks again asks the backend, and sees what another stored; what is stored then is no
    // fill.
    unreadable(read("3"));
    a.set("k", "repaired");
    assert_eq!(b.trips(|| assert_eq!(b.get("k"), some("repaired"))), 1);
    a.set("k", "newer");
    b.set("k", "newest");
    assert_eq!((b.get("k"), b.engine.stats().dropped_fills), (some("newest"), 1));
    assert_eq!((b.engine.stats().broken, b.engine.stats().misses), (3, 4));
}

/// A process is warm before its first request, and a tool for which no request begins can do it,
/// too.
#[test]
fn a_process_can_be_warmed_before_it_is_asked() {
    let (a, b) = Node::two();
    assert_eq!(a.engine.warm(|_, _| ()).unwrap(), 0, "nobody has listed anything");
    (0..300).for_each(|i| a.set(&format!("k{i}"), "v"));
    b.engine.begin_request();
    (0..300).for_each(|i| assert_eq!(b.get(&format!("k{i}")), some("v")));
    b.engine.end_request();
    assert!(a.delete("k7"));
    let cold = Node::new(a.memory.peer(), &[]);
    let mut seen = Vec::new();
    assert_eq!(
        cold.trips(|| assert_eq!(cold.engine.warm(|asked, all| seen.push((asked, all))).unwrap(), 299)),
        2
    );
    assert_eq!(seen, [(300, 300)]);
    cold.engine.begin_request();
    cold.engine.sync().unwrap();
    assert_eq!(cold.trips(|| (8..300).for_each(|i| assert_eq!(cold.get(&format!("k{i}")), some("v")))), 0);
    assert_eq!(cold.get("k7"), None);
}

/// During a deployment nodes of two versions of the code use one cache.
#[test]
fn nodes_of_different_code_share_invalidations_not_entries() {
    let old = Node::new(Memory::default(), &[("code_epoch", "1")]);
    let new = Node::new(old.memory.peer(), &[("code_epoch", "2")]);
    old.set("k", "old");
    assert_eq!(new.get("k"), None);
    new.set("k", "new");
    assert_eq!(new.get("k"), some("new"));
    old.engine.begin_request();
    assert_eq!(old.get("k"), None, "nor the other way round");
    assert!(old.delete("k"));
    new.engine.begin_request();
    assert_eq!(new.get("k"), None, "an invalidation is for all");
    assert_eq!(old.engine.stats().broken + new.engine.stats().broken, 0);
    let (old, new) = (old.durable(), new.durable());
    old.set("k", "kept");
    assert_eq!(new.get("k"), some("kept"), "what must not get lost is for all, too");
}

/// A durable cache is read from memory, coherent between processes, and its entries outlive a reset
/// of identity.
#[test]
fn a_durable_cache_is_kept_in_memory_and_coherent() {
    let (a, b) = Node::two();
    let (a, b) = (a.durable(), b.durable());
    assert_eq!(b.get("k"), None);
    assert_eq!(a.trips(|| a.set("k", "1")), 1);
    b.set("k", "2");
    assert_eq!(
        b.trips(|| assert_eq!(b.get("k"), some("2"), "not dropped, though a wrote after b's miss")),
        0
    );
    assert_eq!(a.get("k"), some("1"), "the same request");
    a.engine.begin_request();
    assert_eq!(a.trips(|| assert_eq!(a.get("k"), some("2"))), 2);
    assert_eq!(a.trips(|| assert_eq!(a.get("k"), some("2"))), 0);
    assert!(b.delete("k"));
    a.engine.begin_request();
    assert_eq!(a.get("k"), None);
    a.set("k", "3");
    b.get("k");
    b.engine.purge(&b.cache).unwrap();
    a.engine.begin_request();
    assert_eq!(a.get("k"), None);
    assert!(a.engine.cache("~d", true, None).is_err(), "reserved");
}
