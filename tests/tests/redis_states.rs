//! Every state of Larder's own keys that a person, an eviction or another program can make: it
//! heals, or the error says which key is foreign. Never is anything old served, and never is it so
//! for ever.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::thread;
use std::time::Duration;

use larder::contract::{Attempt, Backend, Change, Claim, Delta, LockBackend, Op, Read, Token};
use larder::testing::redis::Redis;
use larder::{Error, ErrorKind};
use larder_testkit::RedisServer;
use larder_tests::redis::{cache, delete, fill, get, here, make, open, set, unlogged};
use redis::Value;

const LEASE: Duration = Duration::from_millis(300);
const META: &str = "{t:0}m";
const LOG: &str = "{t:0}l";
const REGISTRY: &str = "{t:0}c";
const LOCKS: &str = "{t:0}k";
const QUEUE: &str = "{t:0}q:lc\0held";
const ROW: &str = "lc\0held";
/// A lock that has a grace after a loss.
const NAMED: &str = "nother";
const HOLDER: &str = "00000000000000000000000000000001";

/// What is done to the keys, word by word.
type Damage = &'static [&'static [&'static str]];

/// States that must heal by themselves.
const HEALED: [(&str, Damage); 34] = [
    ("the log is empty", &[&["XTRIM", LOG, "MAXLEN", "0"]]),
    ("the log is gone", &[&["DEL", LOG]]),
    ("the log expires", &[&["PEXPIRE", LOG, "1"]]),
    ("a foreign record in the log", &[&["XADD", LOG, "*", "a", "b"]]),
    ("a record with one field too few", &[&["XADD", LOG, "*", "n", "0123456789abcdef", "c", "1"]]),
    ("a count that is none", &[&["XADD", LOG, "*", "n", "0123456789abcdef", "c", "x", "v", ""]]),
    ("names that are none", &[&["XADD", LOG, "*", "n", "0123456789abcdef", "c", "1", "v", "xyz"]]),
    (
        "a foreign record at the end of all ids",
        &[&["XADD", LOG, "18446744073709551615-18446744073709551615", "a", "b"]],
    ),
    (
        "all records deleted",
        &[&["XTRIM", LOG, "MAXLEN", "0"], &["XADD", LOG, "*", "n", "0123456789abcdef", "c", "0", "v", ""]],
    ),
    ("the incarnation is garbage", &[&["HSET", META, "inc", "garbage"]]),
    ("the incarnation is in capitals", &[&["HSET", META, "inc", "ABCDEFABCDEFABCDEFABCDEFABCDEFAB"]]),
    ("the incarnation is another", &[&["HSET", META, "inc", "abcdefabcdefabcdefabcdefabcdefab"]]),
    ("the incarnation is gone", &[&["HDEL", META, "inc"]]),
    ("the certificate is gone", &[&["HDEL", META, "cert"]]),
    ("the certificate is garbage", &[&["HSET", META, "cert", "garbage"]]),
    ("the birth is gone", &[&["HDEL", META, "born"]]),
    ("the birth is garbage", &[&["HSET", META, "born", "garbage"]]),
    ("the birth is in the future", &[&["HSET", META, "born", "99999999999999"]]),
    ("the fence is garbage", &[&["HSET", META, "fence", "garbage"]]),
    ("the fence is beyond all numbers", &[&["HSET", META, "fence", "99999999999999999999999"]]),
    ("the place of the sweep is garbage", &[&["HSET", META, "swept", "garbage"]]),
    ("the meta key is gone", &[&["DEL", META]]),
    ("the meta key expires", &[&["PEXPIRE", META, "1"]]),
    ("the registry is gone", &[&["DEL", REGISTRY]]),
    ("the registry has foreign members", &[&["SADD", REGISTRY, "x", "what:is this", "\u{1}"]]),
    ("the locks are gone", &[&["DEL", LOCKS]]),
    ("the locks expire", &[&["PEXPIRE", LOCKS, "1"]]),
    ("the locks have lost their mark", &[&["HDEL", LOCKS, ""]]),
    ("the lock's row is garbage", &[&["HSET", LOCKS, ROW, "garbage"]]),
    ("the lock's row is of the future", &[&["HSET", LOCKS, ROW, "1 1 99999999999999 99999999999998 300 x"]]),
    ("the lock's row has no lease", &[&["HSET", LOCKS, ROW, "1 1 99999999999999 1 x"]]),
    ("the lock's row has endless numbers", &[&["HSET", LOCKS, ROW, "1 99999999999999999999 9 9 300 x"]]),
    ("the queue is garbage", &[&["HSET", QUEUE, "#", "x", "nobody", "garbage", HOLDER, "1"]]),
    ("everything is gone", &[&["FLUSHALL"]]),
];

/// Keys of another type, which are another program's: named, and left alone.
const FOREIGN: [(&str, Damage); 8] = [
    (META, &[&["SET", META, "x"]]),
    (LOG, &[&["SET", LOG, "x"]]),
    (REGISTRY, &[&["SET", REGISTRY, "x"]]),
    (REGISTRY, &[&["DEL", REGISTRY], &["HSET", REGISTRY, "a", "b"]]),
    (LOG, &[&["DEL", LOG], &["HSET", LOG, "a", "b"]]),
    (LOCKS, &[&["SET", LOCKS, "x"]]),
    (QUEUE, &[&["SET", QUEUE, "x"]]),
    ("{t:0}u:c", &[&["SET", "{t:0}u:c", "x"]]),
];

fn token(number: u128) -> Token {
    Token::from_number(number)
}

fn claim(number: u128) -> Claim<'static> {
    claim_of(ROW, number)
}

fn claim_of(name: &str, number: u128) -> Claim<'_> {
    Claim { name: name.as_bytes(), token: token(number), owner: b"me", lease: LEASE, queue: true }
}

/// A namespace in use: an entry that a reader knows, another that is unlogged, a lock that is held
/// and waited for.
fn in_use<'a>(server: &'a RedisServer, writer: &'a Redis, reader: &'a Redis) -> larder::contract::Position {
    let _: Value = server.tell(&["FLUSHALL"]);
    while !matches!(writer.acquire(&claim(1)).unwrap(), Attempt::Mine { .. }) {
        thread::sleep(Duration::from_millis(10));
    }
    assert!(!matches!(reader.acquire(&claim(2)).unwrap(), Attempt::Mine { .. }));
    make(writer, set(&cache(), b"k", b"old"));
    make(writer, set(&unlogged(), b"session", b"old"));
    for cache in [cache(), unlogged()] {
        let expires = Some(writer.now() + 3_600_000);
        make(writer, Op::Set { cache: &cache, key: b"t", entry: b"v", expires, guard: None, lock: None });
    }
    assert_eq!(get(reader, b"k").unwrap(), b"old");
    here(reader)
}

fn damage(server: &RedisServer, damage: Damage) {
    for words in damage {
        let _: Value = server.tell(words);
    }
    thread::sleep(Duration::from_millis(3));
}

/// Whether a reader who knows `k` learns that it must forget it.
fn forgets(delta: &Delta) -> bool {
    let changes =
        [Change::Key { cache: "c".into(), key: (*b"k").into() }, Change::Unlisted { cache: "c".into() }];
    delta.reset || changes.iter().any(|change| delta.changes.contains(change))
}

fn lock_is_had_again(backend: &dyn LockBackend, state: &str) {
    for name in [ROW, NAMED] {
        let had = (0..100).any(|_| {
            thread::sleep(LEASE / 20);
            matches!(backend.acquire(&claim_of(name, 3)).unwrap(), Attempt::Mine { .. })
        });
        assert!(had, "{state}: nobody gets the lock {name:?}");
        assert!(backend.release(name.as_bytes(), token(3)).unwrap(), "{state}");
    }
}

#[test]
fn every_damage_heals_and_nothing_old_is_served() {
    let server = RedisServer::start();
    for (state, how) in HEALED {
        heals(&server, state, &|| damage(&server, how));
    }
}

/// A server with a policy of `allkeys-*` may evict anything, as if somebody had deleted it.
#[test]
fn each_key_may_be_evicted() {
    let server = RedisServer::start();
    let (writer, reader) = (open(&server.unix_url()), open(&server.unix_url()));
    // The incarnation is another each time.
    let keys = || {
        let incarnation: String = server.tell(&["HGET", META, "inc"]);
        let keys: Vec<String> = server.tell(&["KEYS", "*"]);
        let mut keys: Vec<_> = keys.iter().map(|key| key.replace(&incarnation, "inc")).collect();
        keys.sort_unstable();
        (incarnation, keys)
    };
    in_use(&server, &writer, &reader);
    let (_, all) = keys();
    // Where fields expire by themselves there are two less.
    assert!(all.len() >= 7, "{all:?}");
    for (number, key) in all.iter().enumerate() {
        heals(&server, key, &|| {
            let (incarnation, now) = keys();
            assert_eq!(now, all);
            let _: Value = server.tell(&["DEL", &now[number].replace("inc", &incarnation)]);
        });
    }
}

/// Whatever happens to a namespace in use, all goes on, and nothing that is old is served.
fn heals(server: &RedisServer, state: &str, damage: &dyn Fn()) {
    println!("{state}");
    let url = server.unix_url();
    let (writer, reader) = (open(&url), open(&url));
    let position = in_use(server, &writer, &reader);
    damage();
    writer.apply(None, &[delete(&cache(), b"k")]).unwrap();
    let delta = reader.fetch(Some(position), &[]).unwrap().delta;
    assert!(forgets(&delta), "{state}: {delta:?}");
    assert_eq!(get(&reader, b"k"), None, "{state}");
    make(&writer, set(&cache(), b"k", b"new"));
    assert_eq!(get(&reader, b"k").unwrap(), b"new", "{state}");

    let position = in_use(server, &writer, &reader);
    damage();
    let filled = writer.apply(Some(position), &[fill(&cache(), b"k", b"new", position)]).unwrap();
    let read = reader.fetch(Some(position), &[Read { cache: &cache(), key: b"k" }]).unwrap();
    let known = filled.outcomes == [larder::contract::Outcome::Dropped];
    assert!(known || forgets(&read.delta), "{state}: {filled:?} {read:?}");
    lock_is_had_again(&writer, state);
    writer.usage().unwrap();
    Backend::list(&writer, &cache(), b"", &mut |_| {}).unwrap();

    // What empties everything finds everything.
    in_use(server, &writer, &reader);
    damage();
    writer.reset().unwrap();
    let session = [Read { cache: &unlogged(), key: b"session" }];
    assert_eq!(reader.fetch(None, &session).unwrap().entries, [None], "{state}");
    let usage = reader.usage().unwrap();
    assert!(usage.is_empty(), "{state}: {usage:?}");
}

/// An error that names the key is the one thing that may come of it; and it is over as soon as the
/// key is gone.
#[test]
fn a_key_of_another_type_is_named_and_left_alone() {
    let server = RedisServer::start();
    let url = server.unix_url();
    for (key, how) in FOREIGN {
        println!("{key}");
        let (writer, reader) = (open(&url), open(&url));
        let position = in_use(&server, &writer, &reader);
        let fresh = open(&url);
        damage(&server, how);
        let before: String = server.tell(&["TYPE", key]);
        let session = unlogged();
        let mut errors: Vec<Error> = Vec::new();
        for backend in [&writer, &fresh] {
            errors.extend(backend.apply(None, &[set(&session, b"session", b"new")]).err());
            errors.extend(backend.apply(None, &[set(&cache(), b"k", b"new")]).err());
            errors.extend(backend.fetch(Some(position), &[Read { cache: &session, key: b"session" }]).err());
            errors.extend(backend.acquire(&claim(3)).err());
            errors.extend(backend.reset().err());
            errors.extend(backend.usage().err());
        }
        assert!(!errors.is_empty(), "{key}");
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Foreign, "{key}: {error}");
            assert!(error.to_string().contains(&key.as_bytes().escape_ascii().to_string()), "{key}: {error}");
        }
        if key != "{t:0}u:c" {
            // The cache's own key was emptied with all caches.
            assert_eq!(server.tell::<String>(&["TYPE", key]), before, "{key}: it is not ours");
        }
        let _: Value = server.tell(&["DEL", key]);
        make(&writer, set(&cache(), b"k", b"again"));
        let delta = reader.fetch(Some(position), &[]).unwrap().delta;
        assert!(forgets(&delta), "{key}: {delta:?}");
        assert_eq!(get(&reader, b"k").unwrap(), b"again", "{key}");
        lock_is_had_again(&writer, key);
    }
}

/// The server's clock was set back by an hour: whatever time stands there is in the future.
#[test]
fn a_clock_that_was_set_back_keeps_no_lock_for_longer_than_a_lease() {
    let server = RedisServer::start();
    let backend = open(&server.unix_url());
    for kind in ["held", "born", "held and born", "waited for"] {
        in_use(&server, &backend, &backend);
        let ahead = |time: &str| (time.parse::<u64>().unwrap() + 3_600_000).to_string();
        if kind.contains("held") {
            let row: String = server.tell(&["HGET", LOCKS, ROW]);
            let words: Vec<&str> = row.split(' ').collect();
            let row = [words[0], words[1], &ahead(words[2]), &ahead(words[3]), words[4], words[5]].join(" ");
            let _: Value = server.tell(&["HSET", LOCKS, ROW, &row]);
        }
        if kind.contains("born") {
            let born: String = server.tell(&["HGET", META, "born"]);
            let _: Value = server.tell(&["HSET", META, "born", &ahead(&born)]);
        }
        if kind == "waited for" {
            let _: Value = server.tell(&["HSET", QUEUE, &token(2).to_string(), "1 99999999999999 gone"]);
        }
        lock_is_had_again(&backend, kind);
    }
}
