//! Entries that somebody without the `seal_key` puts into the server are misses, and counted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use larder::Config;
use larder::engine::{Engine, Handle, Item};
use larder_testkit::RedisServer;
use larder_tests::text::Text;
use redis::Value;

const KEY: (&str, &str) = ("seal_key", "a secret of this site");

/// A process.
struct Site {
    engine: Engine<Text>,
    cache: Handle,
}

impl Site {
    fn open(server: &RedisServer, options: &[(&str, &str)]) -> Self {
        let url = server.unix_url();
        let all = [("server", url.as_str()), ("namespace", "a"), ("read_timeout", "10")];
        let given = |name: &str| options.iter().any(|(other, _)| *other == name);
        let all = all.iter().filter(|(name, _)| !given(name)).chain(options).copied();
        let engine = Engine::open(&Config::from_options(all).unwrap(), Text).unwrap();
        Self { cache: engine.cache("c", true, None).unwrap(), engine }
    }

    fn set(&self, key: &str, value: &str) {
        self.set_in(&self.cache, key, value);
    }

    fn set_in(&self, cache: &Handle, key: &str, value: &str) {
        let item = Item { key: key.as_bytes(), payload: value.as_bytes(), ttl: None, lock: None };
        self.engine.set_many(cache, &[item]).unwrap();
    }
}

/// What a new process reads, and how many entries it could not read.
fn read(server: &RedisServer, options: &[(&str, &str)]) -> (Option<String>, u64) {
    let site = Site::open(server, options);
    (site.engine.get(&site.cache, b"k").unwrap(), site.engine.stats().broken)
}

fn some(value: &str) -> (Option<String>, u64) {
    (Some(value.to_owned()), 0)
}

/// The hash of the entries of `c` in a namespace.
fn hash(server: &RedisServer, namespace: &str) -> String {
    server.tell::<Vec<String>>(&["KEYS", &format!("{{{namespace}:0}}*:c")]).pop().unwrap()
}

fn entry(server: &RedisServer, hash: &str, field: &str) -> Vec<u8> {
    redis::cmd("HGET").arg(hash).arg(field).query(&mut server.connect()).unwrap()
}

fn put(server: &RedisServer, hash: &str, field: &str, entry: &[u8]) {
    let _: Value = redis::cmd("HSET").arg(hash).arg(field).arg(entry).query(&mut server.connect()).unwrap();
}

fn forged(mut entry: Vec<u8>) -> Vec<u8> {
    *entry.last_mut().unwrap() ^= 1;
    entry
}

#[test]
fn a_forged_swapped_or_replayed_entry_is_a_miss_and_counted() {
    let server = RedisServer::start();
    let (a, b) = (Site::open(&server, &[KEY]), Site::open(&server, &[KEY, ("namespace", "b")]));
    let unsealed = Site::open(&server, &[("namespace", "unsealed")]);
    a.set("k", "mine");
    a.set("other", "of another key");
    a.set_in(&a.engine.cache("d", true, None).unwrap(), "k", "of another cache");
    b.set("k", "of another site");
    unsealed.set("k", "of nobody");
    let own = hash(&server, "a");
    let mine = entry(&server, &own, "k");
    assert_eq!(read(&server, &[KEY]), some("mine"));
    for foreign in [
        forged(mine.clone()),
        entry(&server, &own, "other"),
        entry(&server, &own.replace(":c", ":d"), "k"),
        entry(&server, &hash(&server, "b"), "k"),
        entry(&server, &hash(&server, "unsealed"), "k"),
    ] {
        put(&server, &own, "k", &foreign);
        assert_eq!(read(&server, &[KEY]), (None, 1));
    }
    put(&server, &own, "k", &mine);
    assert_eq!(read(&server, &[KEY]), some("mine"));

    // Everything is emptied; somebody puts back what stood there.
    a.engine.reset().unwrap();
    a.set("other", "new");
    put(&server, &hash(&server, "a"), "k", &mine);
    assert_eq!(read(&server, &[KEY]), (None, 1));
}

/// An entry that says that it is of another code epoch is no excuse to believe what it says.
#[test]
fn a_forged_entry_of_another_code_epoch_is_counted() {
    let server = RedisServer::start();
    let epoch = |epoch| [KEY, ("code_epoch", epoch)];
    Site::open(&server, &epoch("4.5")).set("k", "old");
    assert_eq!(read(&server, &epoch("5.0")), (None, 0));
    let own = hash(&server, "a");
    put(&server, &own, "k", &forged(entry(&server, &own, "k")));
    assert_eq!(read(&server, &epoch("5.0")), (None, 1));
}

/// What outlives a change of the server's history is sealed for all of them.
#[test]
fn an_unlogged_entry_outlives_its_incarnation() {
    let server = RedisServer::start();
    let unlogged = |site: &Site| site.engine.cache("u", false, None).unwrap();
    let site = Site::open(&server, &[KEY]);
    site.set_in(&unlogged(&site), "k", "kept");
    let _: Value = server.tell(&["DEL", "{a:0}l"]);
    let later = Site::open(&server, &[KEY]);
    assert_eq!(later.engine.get(&unlogged(&later), b"k").unwrap().as_deref(), Some("kept"));
}

#[test]
fn a_secret_is_changed_without_a_cold_cache() {
    let server = RedisServer::start();
    let both = [("seal_key", "the new secret here"), ("seal_key_previous", KEY.1)];
    Site::open(&server, &[KEY]).set("k", "old");
    assert_eq!(read(&server, &both), some("old"));
    Site::open(&server, &both).set("k", "new");
    assert_eq!(read(&server, &[KEY]), (None, 1));
    assert_eq!(read(&server, &both[..1]), some("new"));
}
