//! R29: a worker that was idle while much happened elsewhere keeps what did not change, on every
//! backend.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::thread::sleep;
use std::time::{Duration, Instant};

use larder::Config;
use larder::engine::{Decode, Engine, Handle, Item};
use larder_testkit::RedisServer;
use tempfile::TempDir;

/// Values that the worker holds in memory.
const VALUES: usize = 300;
/// Changes that others make between two of its requests.
const CHANGES: usize = 20_000;

struct Bytes;

impl Decode for Bytes {
    type Value = Vec<u8>;

    fn decode(&self, payload: &[u8]) -> Option<(Vec<u8>, usize)> {
        Some((payload.to_vec(), payload.len()))
    }
}

/// What a request costs.
#[derive(Clone, Copy)]
struct Costs {
    /// The sync of one that is far behind.
    behind: u64,
    /// To read values of one cache, many at once.
    read: u64,
}

struct Worker {
    engine: Engine<Bytes>,
    config: Handle,
    other: Handle,
}

impl Worker {
    fn open(options: &[(&str, &str)]) -> Self {
        let staleness = [("max_staleness", "3600"), ("namespace", "far"), ("read_timeout", "20")];
        let options = Config::from_options(options.iter().chain(&staleness).copied()).unwrap();
        let engine = Engine::open(&options, Bytes).unwrap();
        let [config, other] = ["config", "other"].map(|name| engine.cache(name, true, None).unwrap());
        Self { engine, config, other }
    }

    fn fill(&self, cache: &Handle, values: usize) {
        let keys: Vec<[u8; 4]> = (0..u32::try_from(values).unwrap()).map(u32::to_be_bytes).collect();
        let item = |key| Item { key, payload: b"a value", ttl: None, lock: None };
        for keys in keys.chunks(500) {
            let items: Vec<Item<'_>> = keys.iter().map(|key| item(key.as_slice())).collect();
            self.engine.set_many(cache, &items).unwrap();
        }
    }

    /// A request that reads all values of `config`, one by one, and one of the other cache; its
    /// round trips.
    fn page(&self) -> u64 {
        let before = self.engine.backend().round_trips();
        self.engine.begin_request();
        self.engine.sync().unwrap();
        for key in (0..u32::try_from(VALUES).unwrap()).map(u32::to_be_bytes) {
            assert_eq!(self.engine.get(&self.config, &key).unwrap().unwrap(), b"a value");
        }
        let trips = self.engine.backend().round_trips() - before;
        assert_eq!(self.engine.get(&self.other, b"k").unwrap().unwrap(), b"a value");
        self.engine.end_request();
        trips
    }
}

fn keeps_what_did_not_change(options: &[(&str, &str)], costs: Costs) {
    let (worker, writer) = (Worker::open(options), Worker::open(options));
    writer.fill(&writer.config, VALUES);
    let item = Item { key: b"k", payload: b"a value", ttl: None, lock: None };
    writer.engine.set_many(&writer.other, &[item]).unwrap();
    worker.page();
    worker.page();
    for _ in 0..2 {
        for changes in [1_001, CHANGES] {
            writer.fill(&writer.other, changes);
            let trips = worker.page();
            println!("{trips} round trips after {changes} changes elsewhere");
            assert!(trips <= costs.behind, "{trips} round trips after {changes} changes elsewhere");
        }
    }
    // Of the cache that changed, all is read again: the list of hot keys, and these.
    writer.fill(&writer.config, VALUES);
    writer.fill(&writer.other, CHANGES);
    let held = worker.engine.stats().resets;
    let trips = worker.page();
    println!("{trips} round trips for the cache that changed");
    assert!(trips <= costs.behind + costs.read, "{trips} round trips for the cache that changed");
    assert_eq!((held, worker.engine.stats().resets), (0, 0), "never was all lost");
}

/// Of too many changes the busy cache is named; what changed in others is listed, so that the rest
/// of those stays.
fn keeps_the_rest_of_quiet_caches(options: &[(&str, &str)], behind: u64) {
    let (worker, writer) = (Worker::open(options), Worker::open(options));
    writer.fill(&writer.config, VALUES);
    let set = |cache, key: &[u8]| {
        let item = Item { key, payload: b"a value", ttl: None, lock: None };
        writer.engine.set_many(cache, &[item]).unwrap();
    };
    set(&writer.other, b"k");
    worker.page();
    worker.page();
    set(&writer.config, b"elsewhere");
    writer.fill(&writer.other, 3_000);
    set(&writer.config, b"elsewhere");
    let trips = worker.page();
    assert!(trips <= behind, "{trips} round trips");
}

#[test]
fn on_redis() {
    let server = RedisServer::start();
    keeps_what_did_not_change(&[("server", &server.unix_url())], Costs { behind: 2, read: 2 });
}

#[test]
fn on_local() {
    let place = TempDir::new().unwrap();
    let server = format!("local:{}", place.path().join("store").display());
    keeps_what_did_not_change(&[("server", &server)], Costs { behind: 1, read: 2 });
    keeps_the_rest_of_quiet_caches(&[("server", &server)], 1);
}

/// A sync is three calls of the filesystem if the log is where it was. Here it went on in other
/// files, the older of which are gone.
#[test]
fn on_dir() {
    let place = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
    let server = format!("dir:{}", place.path().join("store").display());
    keeps_what_did_not_change(&[("server", &server)], Costs { behind: 8, read: 24 });
    keeps_the_rest_of_quiet_caches(&[("server", &server)], 8);
}

#[test]
fn behind_a_node_tier() {
    let (server, place) = (RedisServer::start(), TempDir::new().unwrap());
    let tier = format!("local:{}?size=256M", place.path().join("tier").display());
    let server = server.unix_url();
    let options = [("server", &*server), ("node_tier", &tier)];
    keeps_what_did_not_change(&options, Costs { behind: 2, read: 3 });
    keeps_the_rest_of_quiet_caches(&options, 1);
}

#[test]
fn with_a_fallback() {
    let (server, place) = (RedisServer::start(), TempDir::new().unwrap());
    let fallback = format!("local:{}", place.path().join("fallback").display());
    let options = [("server", server.unix_url()), ("fallback", fallback)];
    let options: Vec<(&str, &str)> = options.iter().map(|(name, value)| (*name, value.as_str())).collect();
    keeps_what_did_not_change(&options, Costs { behind: 2, read: 2 });
}

/// While the fallback serves. Round trips are calls that it served.
#[test]
fn in_the_fallback() {
    let place = TempDir::new().unwrap();
    let fallback = format!("local:{}", place.path().join("fallback").display());
    let options = [("server", "redis://127.0.0.1:1"), ("fallback", &fallback)];
    let entering = Worker::open(&options);
    let begun = Instant::now();
    while entering.engine.sync().is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not take over");
        sleep(Duration::from_millis(20));
    }
    keeps_what_did_not_change(&options, Costs { behind: 2, read: 3 });
}
