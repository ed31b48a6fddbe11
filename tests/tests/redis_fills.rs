//! R31: fills are not waited for, and nothing that is promised depends on that.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use larder::Config;
use larder::engine::{Engine, Handle, Item};
use larder_testkit::{Answers, Proxy, RedisServer};
use larder_tests::text::Text;

struct Worker {
    engine: Engine<Text>,
    cache: Handle,
}

impl Worker {
    /// One whose request has begun and synced; its connection has written before, and syncs happen
    /// only where a test asks for them.
    fn at(url: &str) -> Self {
        let options =
            [("server", url), ("namespace", "fills"), ("max_staleness", "3600"), ("read_timeout", "0.4")];
        let engine = Engine::open(&Config::from_options(options).unwrap(), Text).unwrap();
        let cache = engine.cache("c", true, None).unwrap();
        let worker = Self { engine, cache };
        worker.engine.begin_request();
        worker.set("first", "write");
        worker
    }

    fn get(&self, key: &str) -> Option<String> {
        self.engine.get(&self.cache, key.as_bytes()).unwrap()
    }

    fn set(&self, key: &str, value: &str) {
        let item = Item { key: key.as_bytes(), payload: value.as_bytes(), ttl: None, lock: None };
        self.engine.set_many(&self.cache, &[item]).unwrap();
    }

    /// Finds a key missing and stores what it computes.
    fn fill(&self, key: &str, value: &str) {
        assert_eq!(self.get(key), None);
        self.set(key, value);
    }

    fn delete(&self, key: &str) {
        self.engine.delete_many(&self.cache, &[key.as_bytes()]).unwrap();
    }

    fn next_request(&self) {
        self.engine.end_request();
        self.engine.begin_request();
        // A server that was away is left alone for a moment.
        let synced = (0..100).any(|_| {
            self.engine.sync().is_ok() || {
                std::thread::sleep(Duration::from_millis(50));
                false
            }
        });
        assert!(synced);
    }

    fn trips(&self, act: impl FnOnce()) -> u64 {
        let before = self.engine.backend().round_trips();
        act();
        self.engine.backend().round_trips() - before
    }
}

#[expect(clippy::unnecessary_wraps, reason = "reads like what it is compared with")]
fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Two workers with a server; the second has seen that the cache was emptied.
fn emptied() -> (RedisServer, Worker, Worker) {
    let server = RedisServer::start();
    let (a, b) = (Worker::at(&server.unix_url()), Worker::at(&server.unix_url()));
    a.engine.purge(&a.cache).unwrap();
    b.engine.sync().unwrap();
    (server, a, b)
}

#[test]
fn a_page_of_fills_waits_for_few_answers_and_keeps_what_it_stored() {
    let (_server, a, b) = emptied();
    let keys: Vec<String> = (0..500).map(|number| format!("k{number}")).collect();
    let page = || keys.iter().for_each(|key| b.fill(key, "v"));
    let trips = b.trips(page);
    assert!(trips <= 8, "{trips}");
    b.next_request();
    assert_eq!(b.trips(|| keys.iter().for_each(|key| assert_eq!(b.get(key), some("v")))), 0);
    a.next_request();
    assert!(keys.iter().all(|key| a.get(key) == some("v")), "the end of a request waits for all");
    assert_eq!(b.engine.stats().dropped_fills, 0);
}

/// A slow server: no answer comes before the process is done.
#[test]
fn fills_that_nobody_answers_yet_are_waited_for_now_and_then() {
    let server = RedisServer::start();
    let proxy = Proxy::new(server.port());
    let (a, b) = (Worker::at(&server.unix_url()), Worker::at(&proxy.url()));
    a.engine.purge(&a.cache).unwrap();
    b.engine.sync().unwrap();
    proxy.delay(Duration::from_millis(100));
    let trips = b.trips(|| (0..300).for_each(|number| b.fill(&format!("k{number}"), "v")));
    assert!((1..=6).contains(&trips), "{trips}");
    assert_eq!(b.trips(|| b.engine.end_request()), 1, "it waits for the last ones");
    b.next_request();
    assert_eq!(b.trips(|| (0..300).for_each(|n| assert_eq!(b.get(&format!("k{n}")), some("v")))), 0);
    a.next_request();
    assert!((0..300).all(|number| a.get(&format!("k{number}")) == some("v")));
}

#[test]
fn a_fill_is_dropped_if_its_key_changed_since_the_miss() {
    let (_server, a, b) = emptied();
    assert_eq!((b.get("deleted"), b.get("stored"), b.get("well")), (None, None, None));
    a.delete("deleted");
    a.set("stored", "newer");
    for key in ["deleted", "stored", "well"] {
        b.set(key, "old");
    }
    b.next_request();
    assert_eq!((b.get("deleted"), b.get("stored"), b.get("well")), (None, None, some("old")));
    assert_eq!(b.engine.stats().dropped_fills, 2);
}

/// What this process has seen change since the miss stays its guard, whatever else it has followed.
#[test]
fn a_guard_moves_on_past_no_change_of_its_key() {
    let (_server, a, b) = emptied();
    assert_eq!((b.get("k"), b.get("purged"), b.get("other")), (None, None, None));
    a.delete("k");
    b.engine.sync().unwrap();
    a.set("unrelated", "v");
    b.engine.sync().unwrap();
    b.set("k", "old");
    b.set("other", "v");
    b.engine.sync().unwrap();
    a.next_request();
    assert_eq!((a.get("k"), a.get("other")), (None, some("v")));
    a.engine.purge(&a.cache).unwrap();
    b.engine.sync().unwrap();
    b.set("purged", "old");
    b.next_request();
    a.next_request();
    assert_eq!((a.get("purged"), b.get("purged")), (None, None));
}

#[test]
fn a_purge_in_between_leaves_nothing() {
    let (_server, a, b) = emptied();
    (0..20).for_each(|number| b.fill(&format!("k{number}"), "old"));
    a.engine.purge(&a.cache).unwrap();
    b.next_request();
    (0..20).for_each(|number| assert_eq!(b.get(&format!("k{number}")), None));
}

/// The set was acknowledged: nobody may go on reading what another stored before it from older
/// data.
#[test]
fn a_lost_fill_leaves_no_older_value_of_another() {
    for cut in [false, true] {
        let server = RedisServer::start();
        let proxy = Proxy::new(server.port());
        let (a, b) = (Worker::at(&server.unix_url()), Worker::at(&proxy.url()));
        assert_eq!((a.get("k"), b.get("k")), (None, None));
        a.set("k", "older");
        proxy.stall_requests(true);
        b.set("k", "newer");
        assert_eq!(b.get("k"), some("newer"));
        if cut {
            proxy.cut();
        }
        proxy.stall_requests(false);
        if !cut {
            proxy.answers(Answers::Cut);
            let _ = b.engine.sync();
            proxy.answers(Answers::Pass);
        }
        // The end of the request finds out, and nothing more is asked for on this connection.
        b.engine.end_request();
        a.next_request();
        assert_eq!(a.get("k"), None, "cut: {cut}");
        b.next_request();
        assert_eq!(b.get("k"), None, "cut: {cut}");
    }
}

/// What the server refuses is found out, and the next write is waited for.
#[test]
fn a_refused_fill_is_deleted_and_the_next_one_says_so() {
    let server = RedisServer::start();
    let (a, b) = (Worker::at(&server.unix_url()), Worker::at(&server.unix_url()));
    assert_eq!((b.get("k"), b.get("l"), b.get("m")), (None, None, None));
    let _: redis::Value = server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
    b.set("k", "v");
    b.engine.sync().unwrap();
    let item = Item { key: b"l", payload: b"v", ttl: None, lock: None };
    assert!(b.engine.set_many(&b.cache, &[item]).is_err());
    let _: redis::Value = server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    b.next_request();
    a.next_request();
    assert_eq!((a.get("k"), b.get("k"), b.get("l")), (None, None, None));
    assert_eq!(b.trips(|| b.set("m", "v")), 1);
    b.fill("n", "v");
    b.next_request();
    assert_eq!((b.get("m"), b.get("n")), (some("v"), some("v")));
}

#[test]
fn a_restart_in_between_costs_misses_and_no_more() {
    let mut server = RedisServer::start();
    let (a, b) = (Worker::at(&server.unix_url()), Worker::at(&server.unix_url()));
    (0..20).for_each(|number| b.fill(&format!("k{number}"), "v"));
    server.restart_empty();
    b.next_request();
    assert_eq!(b.get("k1"), None);
    b.set("k1", "again");
    b.next_request();
    a.engine.begin_request();
    assert_eq!(a.get("k1"), some("again"));
}

/// What a reset or a purge has to find.
#[test]
fn a_cache_that_is_filled_again_after_a_reset_is_registered_again() {
    let (server, a, b) = emptied();
    b.fill("k", "v");
    b.next_request();
    a.engine.reset().unwrap();
    b.next_request();
    b.fill("k", "v");
    b.next_request();
    let members: Vec<String> = server.tell(&["HKEYS", "{fills:0}m"]);
    assert!(members.contains(&"l:c".to_owned()), "{members:?}");
    a.engine.reset().unwrap();
    assert_eq!(server.tell::<Vec<String>>(&["KEYS", "{fills:0}*:c"]), Vec::<String>::new());
}

/// Without a request there is nobody who would learn what became of it.
#[test]
fn outside_of_requests_each_write_is_waited_for() {
    let server = RedisServer::start();
    let options = [("server", server.unix_url()), ("namespace", "fills".to_owned())];
    let engine = Engine::open(
        &Config::from_options(options.iter().map(|(name, value)| (*name, value.as_str()))).unwrap(),
        Text,
    )
    .unwrap();
    let worker = Worker { cache: engine.cache("c", true, None).unwrap(), engine };
    worker.set("first", "write");
    assert_eq!(worker.get("k"), None);
    assert_eq!(worker.trips(|| worker.set("k", "v")), 1);
}
