//! A server that answers reads and refuses changes: what it would not delete is served by no
//! process of the node, until it was deleted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::thread;
use std::time::{Duration, Instant};

use larder::contract::Tier;
use larder::{Cache, CacheKind, Config, Store};
use larder_testkit::RedisServer;

/// How long anything may take to come right again.
const PATIENCE: Duration = Duration::from_secs(30);

struct Process {
    store: Store,
    cache: Cache,
    session: Cache,
    durable: Cache,
}

impl Process {
    /// A process of this node.
    fn open(url: &str) -> Self {
        let options =
            [("server", url), ("namespace", "refused"), ("read_timeout", "10"), ("connect_timeout", "5")];
        let store = Store::open(&Config::from_options(options).unwrap()).unwrap();
        Self {
            cache: store.cache("c").unwrap(),
            session: store.cache_with("s", CacheKind::Session, None).unwrap(),
            durable: store.cache_with("d", CacheKind::Durable, None).unwrap(),
            store,
        }
    }

    fn all(&self) -> [&Cache; 3] {
        [&self.cache, &self.session, &self.durable]
    }

    /// As the first read of a page: asks the server.
    fn get(&self, cache: usize, key: &str) -> Option<String> {
        let _ = self.store.sync();
        self.all().get(cache).unwrap().get(key).unwrap()
    }

    /// As a page that reads many at once.
    fn get_many(&self, key: &str) -> Option<String> {
        let _ = self.store.sync();
        self.cache.get_many(&[key, "kept"]).unwrap().remove(0)
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Has a server refuse changes, and then take them again.
fn refuses(url: &str, refuse: impl FnOnce(), take: impl FnOnce(), reason: &str) {
    let (a, b) = (Process::open(url), Process::open(url));
    for process in [&a, &b] {
        for (number, cache) in process.all().into_iter().enumerate() {
            for key in ["deleted", "set", "kept"] {
                cache.set(key, "old").unwrap();
                assert_eq!(process.get(number, key).as_deref(), Some("old"));
            }
        }
    }
    a.store.cache("purged").unwrap().set("k", "old").unwrap();
    assert_eq!(b.store.cache("purged").unwrap().get::<String>("k").unwrap().as_deref(), Some("old"));
    refuse();
    for cache in a.all() {
        assert!(cache.delete("deleted").is_err() && cache.set("set", "new").is_err());
    }
    assert!(a.store.cache("purged").unwrap().purge().is_err());
    let late = Process::open(url);
    for process in [&a, &b, &late] {
        for number in 0..3 {
            for _ in 0..2 {
                assert_eq!(
                    (process.get(number, "deleted"), process.get(number, "set")),
                    (None, None),
                    "{number}"
                );
            }
            assert_eq!(process.get(number, "kept").as_deref(), Some("old"), "nobody changed it");
        }
        assert_eq!(process.get_many("deleted"), None);
        assert_eq!(process.store.cache("purged").unwrap().get::<String>("k").unwrap(), None);
        assert!(!process.cache.keys("").unwrap().contains(&b"deleted".to_vec()));
        let health = process.store.health();
        assert!(
            health.refusing
                && health.reason.contains(reason)
                && health.waiting.is_none_or(|waiting| waiting > 0),
            "{health:?}"
        );
        assert_eq!(health.tier, Tier::Primary);
    }
    let events = [&a, &b, &late].map(|process| process.store.events()).concat();
    assert_eq!(events.len(), 1, "once a node: {events:?}");
    take();
    // Whoever comes first makes up for it.
    until("the server has forgotten", || {
        let _ = b.get(0, "kept");
        !b.store.health().refusing
    });
    for process in [&late, &b, &a] {
        for number in 0..3 {
            assert_eq!(
                (process.get(number, "deleted"), process.get(number, "set")),
                (None, None),
                "{number}"
            );
        }
        assert_eq!(process.store.cache("purged").unwrap().get::<String>("k").unwrap(), None);
        for (number, cache) in process.all().into_iter().enumerate() {
            cache.set("set", "newer").unwrap();
            assert_eq!(b.get(number, "set").as_deref(), Some("newer"));
            cache.delete("set").unwrap();
        }
        assert!(!process.store.health().refusing);
    }
    // For other nodes, too, since the server itself forgot.
    let other = Process::open(url);
    assert_eq!(other.get(0, "deleted"), None);
}

#[test]
fn too_few_replicas() {
    let server = RedisServer::start();
    let set = |least: &'static str| {
        let server = &server;
        move || drop(server.tell::<String>(&["CONFIG", "SET", "min-replicas-to-write", least]))
    };
    refuses(&server.unix_url(), set("1"), set("0"), "NOREPLICAS");
}

#[test]
fn no_right_to_run_scripts() {
    let server = RedisServer::start();
    let _: String = server.tell(&["ACL", "SETUSER", "larder", "on", ">pw", "~*", "+@all"]);
    let rule = |rules: [&'static str; 2]| {
        let server = &server;
        move || drop(server.tell::<String>(&["ACL", "SETUSER", "larder", rules[0], rules[1]]))
    };
    let url = format!("redis://larder:pw@127.0.0.1:{}", server.port());
    refuses(&url, rule(["-eval", "-evalsha"]), rule(["+eval", "+evalsha"]), "NOPERM");
}

#[test]
fn a_disk_that_is_full() {
    let server = RedisServer::start();
    let blocked = server.directory().join("dump.rdb");
    let refuse = || {
        // Nothing can be saved in place of a directory.
        std::fs::create_dir_all(blocked.join("x")).unwrap();
        let _: String = server.tell(&["CONFIG", "SET", "save", "900 1"]);
        let _: Result<String, _> = redis::cmd("SAVE").query(&mut server.connect());
        let _: Result<String, _> = redis::cmd("BGSAVE").query(&mut server.connect());
        server.wait_for("INFO", "persistence", "rdb_last_bgsave_status:err");
    };
    let take = || drop(server.tell::<String>(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]));
    refuses(&server.unix_url(), refuse, take, "MISCONF");
}

/// Reads miss on a replica anyway. Once it is a primary again, of the same history, what it refused
/// is deleted first.
#[test]
fn a_replica_for_a_while() {
    let (server, primary) = (RedisServer::start(), RedisServer::start());
    let (a, b) = (Process::open(&server.unix_url()), Process::open(&server.unix_url()));
    a.durable.set("k", "old").unwrap();
    assert_eq!(b.get(2, "k").as_deref(), Some("old"));
    let port = primary.port().to_string();
    // It keeps what it has: the primary is not reached.
    let _: String = server.tell(&["CONFIG", "SET", "masterauth", "wrong"]);
    let _: String = primary.tell(&["CONFIG", "SET", "requirepass", "other"]);
    let _: String = server.tell(&["REPLICAOF", "127.0.0.1", &port]);
    assert!(a.durable.delete("k").is_err());
    assert!(a.durable.get::<String>("k").map_or(true, |value| value.is_none()));
    let _: String = server.tell(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(b.get(2, "k"), None);
    until("forgotten", || b.store.sync().is_ok() && !b.store.health().refusing);
    assert_eq!((a.get(2, "k"), b.get(2, "k")), (None, None));
}

/// Fills are refused as well, but they replace nothing: what is read besides is still served.
#[test]
fn a_fill_that_was_refused_costs_nothing() {
    let server = RedisServer::start();
    let a = Process::open(&server.unix_url());
    a.cache.set("kept", "old").unwrap();
    let _: String = server.tell(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    for number in 0..1100 {
        let key = number.to_string();
        assert_eq!(a.cache.get::<String>(&key).unwrap(), None);
        assert!(a.cache.set(&key, "filled").is_err());
    }
    assert!(!a.store.health().refusing);
    assert_eq!(a.get(0, "kept").as_deref(), Some("old"));
}

#[test]
fn a_reset_that_is_refused_is_a_purge_of_each_cache() {
    let server = RedisServer::start();
    let (a, b) = (Process::open(&server.unix_url()), Process::open(&server.unix_url()));
    for (number, cache) in a.all().into_iter().enumerate() {
        cache.set("k", "old").unwrap();
        assert_eq!(b.get(number, "k").as_deref(), Some("old"));
    }
    let _: String = server.tell(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert!(a.store.reset().is_err());
    for process in [&a, &b] {
        assert_eq!([0, 1, 2].map(|number| process.get(number, "k")), [None, None, None]);
        assert!(process.store.health().refusing);
    }
    let _: String = server.tell(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    until("the server has forgotten", || b.store.sync().is_ok() && !b.store.health().refusing);
    for process in [&a, &b] {
        assert_eq!([0, 1, 2].map(|number| process.get(number, "k")), [None, None, None]);
    }
}

/// More than the node can note: nothing is served until all was purged.
#[test]
fn too_much_is_everything() {
    let server = RedisServer::start();
    let (a, b) = (Process::open(&server.unix_url()), Process::open(&server.unix_url()));
    for process in [&a, &b] {
        process.cache.set("kept", "old").unwrap();
        process.durable.set("kept", "old").unwrap();
    }
    let _: String = server.tell(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    for batch in 0..12 {
        let items: Vec<_> = (0..100).map(|number| (format!("{batch}/{number}"), "new")).collect();
        assert!(a.cache.set_many(&items).is_err());
    }
    assert_eq!((b.get(0, "kept"), b.get(2, "kept")), (None, None));
    assert_eq!(b.store.health().waiting, None);
    let _: String = server.tell(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    until("forgotten", || a.store.sync().is_ok() && !a.store.health().refusing);
    for process in [&a, &b] {
        assert_eq!((process.get(0, "kept"), process.get(2, "kept")), (None, None));
    }
    a.cache.set("kept", "new").unwrap();
    assert_eq!(b.get(0, "kept").as_deref(), Some("new"));
}
