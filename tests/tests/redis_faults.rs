//! What goes wrong with a server or on the way to it: the right kind of error in bounded time,
//! nothing half done, and all well again afterwards.

use std::thread;
use std::time::Duration;

use larder::ErrorKind;
use larder::contract::{Backend, CacheId, Change, Guard, Op, Outcome, Read};
use larder::testing::redis::Redis;
use larder_testkit::{Answers, Proxy, RedisServer, free_port};
use larder_tests::redis::{cache, delete, get, here, make, open, open_in, open_with, refused, set, unlogged};
use redis::Value;

const HASH_OF_OTHER: &str = "other";

fn fetch_error(backend: &Redis) -> (ErrorKind, String) {
    refused(backend.fetch(None, &[Read { cache: &cache(), key: b"k" }]))
}

/// The key that holds a cache's hash.
fn hash(server: &RedisServer, cache: &str) -> String {
    format!("{{t:0}}{}:{cache}", server.tell::<String>(&["HGET", "{t:0}m", "inc"]))
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    for url in [
        format!("redis://127.0.0.1:{}", free_port()),
        "redis://no-such-host.invalid".to_owned(),
        "redis+unix:///nowhere/at/all".to_owned(),
    ] {
        let backend = open(&url);
        assert_eq!(fetch_error(&backend).0, ErrorKind::Unavailable, "{url}");
        assert_eq!(
            refused(backend.apply(None, &[delete(&cache(), b"k")])).0,
            ErrorKind::Unavailable,
            "{url}"
        );
    }
}

#[test]
fn wrong_credentials_are_refused_in_the_servers_words() {
    let server = RedisServer::start_with(&["requirepass", "correct horse"]);
    let (wrong, none) = (format!("redis://:sesame@127.0.0.1:{}", server.port()), server.tcp_url());
    for (url, code) in [(wrong, "WRONGPASS"), (none, "NOAUTH")] {
        let backend = open(&url);
        for _ in 0..2 {
            let (kind, words) = fetch_error(&backend);
            assert_eq!(kind, ErrorKind::Refused, "{words}");
            assert!(words.contains(code) && !words.contains("sesame"), "{words}");
        }
        assert!(!format!("{backend:?}").contains("sesame"));
    }
    let right = open(&format!("redis://:correct%20horse@127.0.0.1:{}", server.port()));
    make(&right, set(&cache(), b"k", b"v"));
    assert_eq!(get(&right, b"k").unwrap(), b"v");
}

/// The permissions that `docs/redis.md` names suffice for everything, and nothing else is in reach.
#[test]
fn the_documented_permissions_suffice() {
    let docs = include_str!("../../docs/redis.md");
    let line = docs.lines().find_map(|line| line.strip_prefix("ACL SETUSER larder ")).unwrap();
    let rules = line.replace("<password>", "pw").replace("<namespace>", "t");
    let server = RedisServer::start();
    let rules: Vec<_> = ["ACL", "SETUSER", "larder"].into_iter().chain(rules.split_whitespace()).collect();
    let _: Value = server.tell(&rules);
    let url = format!("redis://larder:pw@127.0.0.1:{}", server.port());
    let (backend, cache) = (open(&url), cache());

    make(&backend, set(&cache, b"k", b"v"));
    let expires = Some(backend.now() + 60_000);
    make(&backend, Op::Set { cache: &cache, key: b"t", entry: b"v", expires, guard: None, lock: None });
    let expires = Some(1);
    make(
        &backend,
        Op::Set {
            cache: &cache,
            key: b"gone",
            entry: b"v",
            expires,
            guard: Some(Guard::Exchange(here(&backend))),
            lock: None,
        },
    );
    make(&backend, set(&cache, b"t", b"v"));
    make(&backend, set(&unlogged(), b"k", b"v"));
    assert_eq!(make(&backend, delete(&cache, b"k")), Outcome::Deleted { existed: true });
    backend.list(&cache, b"", &mut |_| {}).unwrap();
    assert_eq!(backend.usage().unwrap().len(), 2);
    assert_eq!(make(&backend, Op::Purge { cache: &cache }), Outcome::Purged);
    backend.describe().unwrap();
    backend.reset().unwrap();
    assert!(backend.usage().unwrap().is_empty());

    let (kind, words) = refused(open_with(&url, &[("namespace", "u")]).fetch(None, &[]));
    assert_eq!(kind, ErrorKind::Refused);
    assert!(words.contains("NOPERM"), "{words}");
    let _: Value = server.tell(&["ACL", "SETUSER", "larder", "-hset"]);
    let (kind, words) = refused(backend.apply(None, &[set(&cache, b"k", b"v")]));
    assert_eq!(kind, ErrorKind::Refused);
    // Redis 7.0 and later versions word it differently.
    assert!(words.contains("can't run this command") || words.contains("no permissions to run"), "{words}");
}

#[test]
fn a_full_server_refuses_sets_and_takes_deletes() {
    let server = RedisServer::start();
    let (backend, cache) = (open(&server.unix_url()), cache());
    make(&backend, set(&cache, b"k", b"v"));
    make(&backend, set(&cache, b"kept", b"v"));
    let position = here(&backend);
    let _: Value = server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
    let batch = [delete(&cache, b"kept"), set(&cache, b"more", b"v")];
    let (kind, words) = refused(backend.apply(Some(position), &batch));
    assert_eq!(kind, ErrorKind::Refused, "{words}");
    assert!(words.contains("OOM"), "{words}");
    assert_eq!(get(&backend, b"kept").unwrap(), b"v", "all or nothing");
    assert_eq!(here(&backend), position, "and nothing logged");
    assert_eq!(make(&backend, delete(&cache, b"k")), Outcome::Deleted { existed: true });
    assert_eq!(backend.fetch(Some(position), &[]).unwrap().delta.changes.len(), 1);
    assert_eq!(make(&backend, Op::Purge { cache: &cache }), Outcome::Purged);
    assert_eq!(get(&backend, b"kept"), None);
    let _: Value = server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    make(&backend, set(&cache, b"k", b"again"));
}

#[test]
fn a_replica_is_refused() {
    let (primary, replica) = (RedisServer::start(), RedisServer::start());
    make(&open(&primary.unix_url()), set(&cache(), b"k", b"v"));
    replica.replicate(&primary);
    let backend = open(&replica.unix_url());
    let (kind, words) = fetch_error(&backend);
    assert_eq!(kind, ErrorKind::Refused);
    assert!(words.contains("READONLY"), "{words}");
    assert_eq!(refused(backend.apply(None, &[delete(&cache(), b"k")])).0, ErrorKind::Refused);
}

#[test]
fn a_server_that_still_loads_is_unavailable_and_then_empty() {
    let mut server = RedisServer::start_with(&["loading-process-events-interval-bytes", "1024"]);
    make(&open(&server.unix_url()), set(&cache(), b"k", b"v"));
    for number in 0..40 {
        let _: Value = server.tell(&["SET", &format!("ballast{number}"), &"x".repeat(2000)]);
    }
    server.save();
    server.configure("key-load-delay", "30000");
    server.restart();
    let backend = open_with(&server.unix_url(), &[("read_timeout", "5")]);
    let (kind, words) = fetch_error(&backend);
    assert_eq!(kind, ErrorKind::Unavailable);
    assert!(words.contains("LOADING"), "{words}");
    server.wait_for("INFO", "persistence", "\nloading:0");
    assert_eq!(get(&backend, b"k"), None);
}

#[test]
fn a_stalled_server_is_unavailable_until_it_resumes() {
    let server = RedisServer::start();
    let (backend, fresh) = (open(&server.unix_url()), open(&server.tcp_url()));
    make(&backend, set(&cache(), b"k", b"v"));
    server.pause();
    assert_eq!(fetch_error(&backend).0, ErrorKind::Unavailable);
    assert_eq!(fetch_error(&fresh).0, ErrorKind::Unavailable);
    server.resume();
    assert_eq!(get(&backend, b"k").unwrap(), b"v");
    assert_eq!(get(&fresh, b"k").unwrap(), b"v");
}

#[test]
fn broken_answers_are_errors_and_the_next_request_is_well() {
    let server = RedisServer::start();
    let proxy = Proxy::new(server.port());
    let (backend, cache) = (open(&proxy.url()), cache());
    make(&backend, set(&cache, b"k", b"v"));
    for (answers, expected) in [
        (Answers::Half, ErrorKind::Unavailable),
        (Answers::Cut, ErrorKind::Unavailable),
        (Answers::Stall, ErrorKind::Unavailable),
        (Answers::Garbage, ErrorKind::Foreign),
    ] {
        proxy.answers(answers);
        assert_eq!(fetch_error(&backend).0, expected, "{answers:?}");
        assert_eq!(refused(backend.apply(None, &[set(&cache, b"k", b"v")])).0, expected, "{answers:?}");
        proxy.answers(Answers::Pass);
        assert_eq!(get(&backend, b"k").unwrap(), b"v", "{answers:?}");
    }
}

/// Kept connections die when a server restarts or closes them; a read finds out and connects anew.
#[test]
fn a_connection_that_died_in_the_pool_costs_no_error() {
    let server = RedisServer::start();
    let proxy = Proxy::new(server.port());
    let backend = open(&proxy.url());
    make(&backend, set(&cache(), b"k", b"v"));
    proxy.cut();
    assert_eq!(get(&backend, b"k").unwrap(), b"v");
    proxy.cut();
    assert_eq!(backend.usage().unwrap().len(), 1);
    proxy.cut();
    assert!(backend.describe().unwrap().text("redis_version").is_some());
    proxy.cut();
    backend.reset().unwrap();
    assert_eq!(get(&backend, b"k"), None);
}

#[test]
fn foreign_keys_are_refused_and_nothing_is_half_done() {
    let server = RedisServer::start();
    let (backend, cache) = (open(&server.unix_url()), cache());
    let other = CacheId::new(HASH_OF_OTHER, true).unwrap();
    make(&backend, set(&cache, b"k", b"v"));
    let position = here(&backend);
    let _: Value = server.tell(&["SET", &hash(&server, HASH_OF_OTHER), "mine"]);
    let (kind, words) = refused(backend.fetch(None, &[Read { cache: &other, key: b"k" }]));
    assert_eq!(kind, ErrorKind::Foreign, "{words}");
    let batch = [set(&cache, b"k", b"new"), set(&other, b"k", b"new")];
    let (kind, words) = refused(backend.apply(None, &batch));
    assert_eq!(kind, ErrorKind::Foreign, "{words}");
    assert_eq!(get(&backend, b"k").unwrap(), b"v");
    assert_eq!(here(&backend), position);

    // What becomes of Larder's other keys: redis_states.rs.
}

#[test]
fn sites_on_one_server_do_not_touch_each_other() {
    let server = RedisServer::start();
    let names = ["a", "a*", "*", "a:0}x", "{a:0}", "A", "a%2a"];
    let sites: Vec<_> = names.map(|name| open_in(&server.unix_url(), name)).into();
    let _: Value = server.tell(&["SET", "somebody else's", "v"]);
    for (site, name) in sites.iter().zip(names) {
        make(site, set(&cache(), b"k", name.as_bytes()));
        make(site, set(&unlogged(), b"k", name.as_bytes()));
    }
    for (site, name) in sites.iter().zip(names) {
        assert_eq!(get(site, b"k").unwrap(), name.as_bytes());
        assert_eq!(site.usage().unwrap().len(), 2);
        site.reset().unwrap();
        assert_eq!(get(site, b"k"), None);
        assert!(site.usage().unwrap().is_empty());
    }
    // For each site its meta key, its log, its registry and where its locks stand.
    assert_eq!(server.tell::<usize>(&["DBSIZE"]), 1 + 4 * names.len());
}

/// At each write to an unlogged cache, and now and then in a logged one.
#[test]
fn expired_entries_are_swept_and_renewed_ones_are_not() {
    let server = RedisServer::start();
    let backend = open(&server.unix_url());
    here(&backend);
    let now = backend.now();
    let keys: Vec<_> = (0..30_u8).map(|n| [b'k', n]).collect();
    for (cache, writes) in [(unlogged(), 3), (cache(), 500)] {
        let dated = |key, expires| Op::Set {
            cache: &cache,
            key,
            entry: b"v",
            expires: Some(expires),
            guard: None,
            lock: None,
        };
        let ops: Vec<_> = keys.iter().map(|key| dated(key, now - 5_000)).collect();
        backend.apply(None, &ops).unwrap();
        make(&backend, dated(b"later", now + 3_600_000));
        // The sweep comes before the operations and takes 20 at a time, oldest first.
        backend.apply(None, &[set(&cache, &keys[29], b"v"), dated(&keys[28], now + 3_600_000)]).unwrap();
        let hash = if cache.logged() { hash(&server, "c") } else { "{t:0}u:c".to_owned() };
        let left = || server.tell::<usize>(&["HLEN", &hash]);
        for _ in 0..writes {
            if left() > 4 {
                make(&backend, set(&cache, b"live", b"v"));
            }
        }
        assert!(left() <= 4, "later, live and the two that were renewed");
        let kept =
            |key: &[u8]| backend.fetch(None, &[Read { cache: &cache, key }]).unwrap().entries[0].is_some();
        assert!(kept(&keys[28]) && kept(b"later"));
        // A logged cache may lose one that was renewed without a date.
        assert!(kept(&keys[29]) || cache.logged());
    }
}

#[test]
fn logged_hashes_may_be_evicted_and_control_keys_may_not() {
    let server = RedisServer::start();
    let backend = open(&server.unix_url());
    let expires = Some(backend.now() + 3_600_000);
    make(&backend, Op::Set { cache: &cache(), key: b"k", entry: b"v", expires, guard: None, lock: None });
    make(&backend, set(&unlogged(), b"k", b"v"));
    for key in server.tell::<Vec<String>>(&["KEYS", "*"]) {
        let volatile = server.tell::<i64>(&["TTL", &key]) > 0;
        assert_eq!(volatile, key.contains(":c") && !key.contains("u:"), "{key}");
    }
}

#[test]
fn more_threads_than_connections() {
    let server = RedisServer::start();
    let backend = open_with(&server.unix_url(), &[("connect_timeout", "10"), ("read_timeout", "10")]);
    thread::scope(|scope| {
        for thread in 0..40_u8 {
            let backend = &backend;
            scope.spawn(move || {
                for _ in 0..20 {
                    make(backend, set(&cache(), &[thread], &[thread]));
                    assert_eq!(get(backend, &[thread]).unwrap(), [thread]);
                }
            });
        }
    });
    let clients = server.tell::<String>(&["CLIENT", "LIST"]).lines().count();
    assert!(clients <= 17, "{clients}");
}

#[test]
fn a_large_batch_keeps_the_log_small() {
    let server = RedisServer::start();
    let times = [("connect_timeout", "10"), ("read_timeout", "10")];
    let (backend, cache) = (open_with(&server.unix_url(), &times), cache());
    let keys: Vec<_> = (0..100_u8).map(|n| vec![n; 60_000]).collect();
    let position = here(&backend);
    for _ in 0..20 {
        let ops: Vec<_> = keys.iter().map(|key| delete(&cache, key)).collect();
        backend.apply(None, &ops).unwrap();
    }
    assert!(server.tell::<u64>(&["MEMORY", "USAGE", "{t:0}l"]) < 1 << 20);
    // Names that were not listed cost others what they know of that cache.
    let changed = Change::Unlisted { cache: cache.name().into() };
    assert_eq!(backend.fetch(Some(position), &[]).unwrap().delta.changes, [changed]);
}

#[test]
fn a_forked_child_has_connections_of_its_own() {
    let server = RedisServer::start();
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_redis_fork")).arg(server.unix_url()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A slow server is no dead one.
#[test]
fn answers_within_the_timeout_are_waited_for() {
    let server = RedisServer::start();
    let proxy = Proxy::new(server.port());
    let backend = open_with(&proxy.url(), &[("read_timeout", "10")]);
    proxy.delay(Duration::from_millis(50));
    make(&backend, set(&cache(), b"k", b"v"));
    assert_eq!(get(&backend, b"k").unwrap(), b"v");
}
