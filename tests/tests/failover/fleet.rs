//! Two nodes on one server and one shared directory: partitions, votes, leases.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use larder::contract::{Backend as _, CacheId, Op, Read, Tier};
use larder_testkit::{Proxy, RedisServer};
use tempfile::TempDir;

use crate::support::{await_that, failover};

struct Node {
    proxy: Proxy,
    backend: larder::testing::failover::Failover,
}

struct Fleet {
    directory: TempDir,
    _server: RedisServer,
    nodes: [Node; 2],
}

impl Fleet {
    fn new() -> Self {
        let (server, directory) = (RedisServer::start(), TempDir::new().unwrap());
        let nodes = ["a", "b"].map(|name| {
            let proxy = Proxy::new(server.port());
            let fallback = format!("dir:{}", directory.path().join("shared").display());
            let backend = failover(&proxy.url(), &fallback, name);
            backend.fetch(None, &[]).unwrap();
            Node { proxy, backend }
        });
        Self { directory, _server: server, nodes }
    }
}

fn cache() -> CacheId {
    CacheId::new("c", true).unwrap()
}

impl Node {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        let fetched = self.backend.fetch(None, &[Read { cache: &cache(), key: key.as_bytes() }]);
        fetched.ok()?.entries.pop().flatten()
    }

    fn set(&self, key: &str, entry: &str) -> bool {
        let (cache, key, entry) = (cache(), key.as_bytes(), entry.as_bytes());
        let set = Op::Set { cache: &cache, key, entry, expires: None, guard: None, lock: None };
        self.backend.apply(None, &[set]).is_ok()
    }

    fn delete(&self, key: &str) -> bool {
        self.backend.apply(None, &[Op::Delete { cache: &cache(), key: key.as_bytes() }]).is_ok()
    }

    fn cut_off(&self, off: bool) {
        self.proxy.stall_requests(off);
    }
}

fn await_tier(fleet: &Fleet, tier: Tier) {
    for node in &fleet.nodes {
        await_that(tier.name(), || node.backend.health().tier == tier);
    }
}

#[test]
fn a_lost_server_is_replaced_by_the_directory_for_all_nodes() {
    let fleet = Fleet::new();
    let [a, b] = &fleet.nodes;
    assert!(a.set("k", "old") && a.set("k2", "old"));
    assert_eq!(b.get("k").unwrap(), b"old");
    a.cut_off(true);
    b.cut_off(true);
    await_tier(&fleet, Tier::Fallback);
    assert_eq!((a.get("k"), b.get("k")), (None, None));
    assert!(a.set("k", "new") && b.delete("k2"));
    assert_eq!(b.get("k").unwrap(), b"new");
    a.cut_off(false);
    b.cut_off(false);
    await_tier(&fleet, Tier::Primary);
    for node in &fleet.nodes {
        assert_ne!(node.get("k").as_deref(), Some(&b"old"[..]));
        assert_eq!(node.get("k2"), None);
        assert_eq!(node.backend.events().len(), 2);
    }
}

/// R13, and the bound on staleness: a node that was cut off has no cache, and what it invalidates
/// is gone for all after a lease.
#[test]
fn a_minority_runs_without_cache_and_its_invalidations_arrive() {
    let fleet = Fleet::new();
    let [a, b] = &fleet.nodes;
    // So that both are known to be alive.
    assert!(a.set("k", "old"));
    assert_eq!(b.get("k").unwrap(), b"old");
    a.cut_off(true);
    assert!(!a.delete("k"), "not at once, so it is not promised");
    assert_eq!(a.get("k"), None);
    thread::sleep(Duration::from_millis(2200));
    assert_eq!(b.get("k"), None, "a lease later nobody serves it");
    assert_eq!((a.backend.health().tier, b.backend.health().tier), (Tier::None, Tier::Primary));
    a.cut_off(false);
    await_tier(&fleet, Tier::Primary);
    assert!(a.set("k", "new"));
    assert_eq!(b.get("k").unwrap(), b"new");
}

/// R8, R13: who cannot read the control log stops serving from the server within a lease.
#[test]
fn r8_without_the_control_log_nothing_is_served_after_a_lease() {
    let fleet = Fleet::new();
    let [a, _] = &fleet.nodes;
    assert!(a.set("k", "v"));
    let (place, aside) = (fleet.directory.path().join("shared"), fleet.directory.path().join("aside"));
    fs::rename(&place, &aside).unwrap();
    fs::write(&place, b"in the way").unwrap();
    thread::sleep(Duration::from_millis(2100));
    assert_eq!((a.get("k"), a.delete("k"), a.set("k", "w")), (None, false, false));
    fs::remove_file(&place).unwrap();
    fs::rename(&aside, &place).unwrap();
    await_that("the directory is back", || a.set("k", "new"));
    assert_eq!(a.get("k").unwrap(), b"new");
}

/// R16: a page that stores much while the fallback is not ready yet; of what it would have replaced
/// nothing comes back.
#[test]
fn r16_what_is_refused_on_the_way_to_the_fallback_removes() {
    let fleet = Fleet::new();
    let [a, b] = &fleet.nodes;
    let keys: Vec<String> = (0..40).map(|n| format!("k{n}")).collect();
    assert!(keys.iter().all(|key| a.set(key, "old")));
    assert!(b.get("k0").is_some());
    a.cut_off(true);
    b.cut_off(true);
    await_that("both lost it", || {
        let _ = (a.get("k"), b.get("k"));
        let entering =
            a.backend.apply(None, &[]).is_err_and(|error| error.to_string().contains("takes over"));
        entering && !a.set("k0", "new")
    });
    for key in &keys {
        // The last ones may be stored.
        let _ = a.set(key, "new");
    }
    await_tier(&fleet, Tier::Fallback);
    a.cut_off(false);
    b.cut_off(false);
    await_tier(&fleet, Tier::Primary);
    for key in &keys {
        assert_ne!(b.get(key).as_deref(), Some(&b"old"[..]), "{key}");
    }
}

/// R11, R9: the fallback serves nobody before each node's lease has run out.
#[test]
fn r9_the_fallback_serves_only_after_a_lease() {
    let fleet = Fleet::new();
    let [a, b] = &fleet.nodes;
    assert!(a.set("k", "v") && b.get("k").is_some());
    a.cut_off(true);
    b.cut_off(true);
    let entered = Instant::now();
    await_that("both lost it", || {
        let _ = (a.get("k"), b.get("k"));
        a.set("k", "new")
    });
    assert!(entered.elapsed() >= Duration::from_secs(2), "a lease had not passed");
}
