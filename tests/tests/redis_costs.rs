//! Round trips, counted.

use larder::contract::{Backend, CacheId, Op, Outcome, Position, Read};
use larder::testing::redis::Redis;
use larder_testkit::RedisServer;
use larder_tests::redis::{cache, delete, fill, get, here, make, open, set, trips};
use redis::Value;

#[test]
fn a_sync_with_reads_and_a_write_are_one_round_trip_each() {
    let server = RedisServer::start();
    let (backend, cache) = (open(&server.unix_url()), cache());
    make(&backend, set(&cache, b"k", b"v"));
    let position = here(&backend);
    assert_eq!(trips(&backend, |backend| backend.fetch(Some(position), &[]).unwrap()), 1);
    assert_eq!(trips(&backend, |backend| backend.fetch(None, &[]).unwrap()), 1);

    let caches: Vec<_> = (0..20).map(|n| CacheId::new(&format!("c{n}"), true).unwrap()).collect();
    let keys: Vec<_> = (0..50).map(|n| format!("k{n}").into_bytes()).collect();
    let reads: Vec<_> =
        caches.iter().flat_map(|cache| keys.iter().map(move |key| Read { cache, key })).collect();
    assert_eq!(trips(&backend, |backend| backend.fetch(Some(position), &reads).unwrap()), 1);

    for op in [
        set(&cache, b"k", b"v"),
        fill(&cache, b"f", b"v", position),
        delete(&cache, b"k"),
        Op::Purge { cache: &cache },
    ] {
        assert_eq!(trips(&backend, |backend| backend.apply(Some(position), &[op]).unwrap()), 1, "{op:?}");
        assert_eq!(trips(&backend, |backend| backend.apply(None, &[op]).unwrap()), 1, "{op:?}");
    }
    let batch: Vec<_> =
        keys.iter().flat_map(|key| caches.iter().map(move |cache| set(cache, key, b"v"))).collect();
    assert_eq!(trips(&backend, |backend| backend.apply(Some(position), &batch).unwrap()), 1);
}

#[test]
fn a_first_use_certifies_and_later_ones_do_not() {
    let server = RedisServer::start();
    let first = open(&server.unix_url());
    // Who are you, certify, fetch.
    assert_eq!(trips(&first, |backend| backend.fetch(None, &[]).unwrap()), 3);
    let second = open(&server.unix_url());
    assert_eq!(trips(&second, |backend| backend.fetch(None, &[]).unwrap()), 2);
    // The server keeps the script after it saw it once.
    assert_eq!(trips(&second, |backend| make(backend, set(&cache(), b"k", b"v"))), 2);
    assert_eq!(trips(&second, |backend| make(backend, set(&cache(), b"k", b"v"))), 1);
    let third = open(&server.unix_url());
    assert_eq!(trips(&third, |backend| make(backend, set(&cache(), b"k", b"v"))), 2);
}

/// However far behind: the log says that it lists too much, then the caches that changed and the
/// entries come together (R29).
#[test]
fn to_be_told_which_caches_changed_is_one_round_trip_more() {
    let server = RedisServer::start();
    let (backend, other, cache) = (open(&server.unix_url()), open(&server.unix_url()), cache());
    let quiet = CacheId::new("quiet", true).unwrap();
    make(&other, set(&quiet, b"k", b"v"));
    let position = here(&backend);
    let keys: Vec<_> = (0..500).map(|n| format!("k{n}").into_bytes()).collect();
    let batch: Vec<_> = keys.iter().map(|key| set(&cache, key, b"v")).collect();
    for writes in [3, 40] {
        for _ in 0..writes {
            other.apply(None, &batch).unwrap();
        }
        let reads = [Read { cache: &quiet, key: b"k" }];
        let behind = |backend: &Redis| {
            let fetched = backend.fetch(Some(position), &reads).unwrap();
            assert!(!fetched.delta.reset && fetched.delta.changes.len() == 1, "{:?}", fetched.delta);
            assert_eq!(fetched.entries, [Some(b"v".to_vec())]);
        };
        assert_eq!(trips(&backend, behind), 2, "{writes}");
        // The server keeps the script by now.
        make(&backend, delete(&cache, b"k"));
        let write = |backend: &Redis| {
            let applied = backend.apply(Some(position), &[delete(&cache, b"k")]).unwrap();
            assert!(!applied.delta.reset, "{:?}", applied.delta);
        };
        assert_eq!(trips(&backend, write), 2, "{writes}");
    }
}

#[test]
fn a_gap_is_three_round_trips_and_certifying_one_more() {
    let server = RedisServer::start();
    let (backend, other, cache) = (open(&server.unix_url()), open(&server.unix_url()), cache());
    make(&other, set(&cache, b"k", b"v"));
    let position = here(&backend);
    let strange = Position { nonce: !position.nonce, ..position };
    let gap = |since| move |backend: &Redis| assert!(backend.fetch(Some(since), &[]).unwrap().delta.reset);
    assert_eq!(trips(&backend, gap(strange)), 3);
    let _: Value = server.tell(&["FLUSHALL"]);
    assert_eq!(trips(&backend, gap(position)), 4);
}

/// Passwords and databases go along with the first question.
#[test]
fn logging_in_costs_nothing() {
    let server = RedisServer::start_with(&["requirepass", "secret"]);
    let url = format!("redis://:secret@127.0.0.1:{}/3", server.port());
    assert_eq!(trips(&open(&url), |backend| backend.fetch(None, &[]).unwrap()), 3);
    assert_eq!(trips(&open(&url), |backend| backend.fetch(None, &[]).unwrap()), 2);
}

#[test]
fn listing_and_usage_come_in_bounded_batches() {
    let server = RedisServer::start();
    let (backend, cache) = (open(&server.unix_url()), cache());
    let keys: Vec<_> = (0..2000).map(|n| format!("key {n} {}", "x".repeat(70)).into_bytes()).collect();
    let ops: Vec<_> = keys.iter().map(|key| set(&cache, key, b"v")).collect();
    assert!(backend.apply(None, &ops).unwrap().outcomes.iter().all(|outcome| *outcome == Outcome::Stored));
    let mut seen = 0;
    let listing = trips(&backend, |backend| backend.list(&cache, b"key 1", &mut |_| seen += 1).unwrap());
    assert!(seen >= 1111, "{seen}");
    assert!((10..40).contains(&listing), "{listing}");
    assert_eq!(trips(&backend, |backend| backend.usage().unwrap()), 3);
    assert_eq!(get(&backend, b"none"), None);
}
