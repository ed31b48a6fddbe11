//! The node of a cluster that has the slot of the namespace.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use larder::ErrorKind;
use larder::contract::{Backend, Op, Read};
use larder::testing::redis::Redis;
use larder_testkit::conformance;
use larder_testkit::{Cluster, free_port};
use larder_tests::redis::{Site, cache, delete, get, here, make, open_with, refused, set, trips, unlogged};

/// How long anything may take to come right again.
const PATIENCE: Duration = Duration::from_secs(60);
/// A key of the namespace.
const META: &str = "{t:0}m";

#[test]
fn conformance() {
    let (cluster, number) = (Cluster::start(), AtomicUsize::new(0));
    conformance::run_all(|| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        Site::new(&cluster.url(), number, env!("CARGO_BIN_EXE_peer"))
    });
}

fn open(url: &str) -> Redis {
    open_with(url, &[("read_timeout", "2"), ("connect_timeout", "2")])
}

fn fetch(backend: &Redis) -> larder::contract::Result<Option<Vec<u8>>> {
    let fetched = backend.fetch(None, &[Read { cache: &cache(), key: b"k" }]);
    fetched.map(|mut fetched| fetched.entries.pop().flatten())
}

/// Asks until the answer is no error.
fn await_get(backend: &Redis) -> Option<Vec<u8>> {
    let start = Instant::now();
    loop {
        match fetch(backend) {
            Ok(entry) => return entry,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_slot_moves_to_a_node_that_was_added() {
    let mut cluster = Cluster::start();
    let dead =
        format!("redis-cluster://127.0.0.1:{},{}", free_port(), &cluster.url()["redis-cluster://".len()..]);
    let (backend, idle) = (open(&cluster.url()), open(&dead));
    let node = || backend.describe().unwrap().text("node").unwrap().to_owned();
    let address = |number: usize, cluster: &Cluster| format!("127.0.0.1:{}", cluster.server(number).port());
    make(&backend, set(&cache(), b"k", b"v"));
    make(&backend, set(&unlogged(), b"session", b"v"));
    let position = here(&backend);
    assert_eq!(trips(&backend, |backend| backend.fetch(Some(position), &[]).unwrap()), 1);
    assert_eq!(get(&idle, b"k").unwrap(), b"v");
    assert_eq!(node(), address(cluster.await_owner(META), &cluster));

    let new = cluster.add();
    let moving = cluster.begin_move(META, new);
    let mut refusals = 0;
    loop {
        // Nothing is both acknowledged and lost, and nothing read that was deleted.
        match fetch(&backend) {
            Ok(entry) => assert_eq!(entry.unwrap(), b"v"),
            Err(error) => {
                refusals += 1;
                assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
            }
        }
        let (kind, words) = refused(backend.apply(None, &[delete(&cache(), b"other")]));
        assert!(kind == ErrorKind::Refused && words.contains("its slot is being moved"), "{words}");
        if moving.keys(1) == 0 {
            break;
        }
    }
    assert!(refusals > 0);
    moving.finish();
    // No call fails: the old node says where to go, which a set follows, too.
    make(&idle, set(&cache(), b"k", b"w"));
    assert_eq!(fetch(&backend).unwrap().unwrap(), b"w");
    make(&backend, Op::Purge { cache: &cache() });
    assert_eq!(node(), address(new, &cluster));
    // A namespace that moved is another's: logged caches are emptied, and durable entries come
    // along.
    let kept = backend.fetch(None, &[Read { cache: &unlogged(), key: b"session" }]).unwrap();
    assert_eq!(kept.entries, [Some(b"v".to_vec())]);
}

#[test]
fn a_node_is_replaced() {
    let mut cluster = Cluster::start();
    let backend = open(&cluster.url());
    make(&backend, set(&cache(), b"k", b"v"));
    // In peace: the old node runs on, and the connection to it, too.
    cluster.fail_over(META);
    assert_eq!(fetch(&backend).unwrap(), None, "another server's entries do not count");
    make(&backend, set(&cache(), b"k", b"w"));
    // By force.
    let killed = cluster.kill_owner(META);
    assert_eq!(await_get(&backend), None);
    make(&backend, set(&cache(), b"k", b"x"));
    cluster.restart(killed);
    assert_eq!(get(&open(&cluster.url()), b"k").unwrap(), b"x");
}
