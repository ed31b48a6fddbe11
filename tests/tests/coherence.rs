//! Promise 1 under load and faults: eight processes and more, random operations, one checker
//! (`larder_tests::coherence`).
//!
//! The long runs: `cargo test -p larder-tests --test coherence -- --ignored --nocapture`. With
//! `FLOODS=1` in the environment more than 1,000 changes lie between most requests of a process.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use larder::Config;
use larder::engine::open_backend;
use larder_testkit::slowfs::{self, Behaviour, Node, Request, SlowFs};
use larder_testkit::{Cluster, Proxy, RedisServer, Sentinels};
use larder_tests::coherence::{Crew, Seat, Summary};
use redis::Value;
use rustix::io::Errno;
use tempfile::TempDir;

/// Processes that work at once.
const WORKERS: usize = 8;
const READ_TIMEOUT: &str = "read_timeout=0.4";

/// The short runs, part of every test run.
const SHORT: Duration = Duration::from_secs(9);
/// The long ones are made of rounds, until they are long enough.
const ROUND: Duration = Duration::from_secs(45);
const LONG_OPERATIONS: u64 = 1_000_000;

/// Workers that reach the store at these URLs in turn. Two of four rely on the syncs of their
/// requests alone, one syncs at every read, one often.
fn seats(urls: &[String]) -> Vec<Seat> {
    let worker = |seat: usize| {
        let staleness = ["3600", "0.01", "3600", "0"][(seat / urls.len()) % 4];
        let url = &urls[seat % urls.len()];
        let options =
            [format!("server={url}"), format!("max_staleness={staleness}"), READ_TIMEOUT.to_owned()];
        Seat { program: vec![env!("CARGO_BIN_EXE_coherence_worker").to_owned()], options: options.into() }
    };
    (0..WORKERS).map(worker).collect()
}

/// One round on Redis, half of the workers on its socket, half through a proxy.
fn on_redis(time: Duration) -> Summary {
    let mut server = RedisServer::start();
    let proxy = Proxy::new(server.port());
    let mut crew = Crew::new(seats(&[server.unix_url(), proxy.url()]), time);
    crew.work(Duration::from_millis(500), |crew| match crew.below(12) {
        0..3 => proxy.cut(),
        3 => {
            let _: Value = server.tell(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
        4..6 => {
            let keep = crew.below(20) + 1;
            let log = server.tell::<Vec<String>>(&["KEYS", "*l"]);
            for log in log.iter().filter(|name| name.ends_with("}l")) {
                let _: Value = server.tell(&["XTRIM", log, "MAXLEN", &keep.to_string()]);
            }
        }
        6 => {
            let _: Value = server.tell(&["FLUSHALL"]);
        }
        7 => server.save(),
        8 => server.restart(),
        9 => server.restart_empty(),
        10 => {
            // Longer than the workers wait, so that what they sent is executed late, if it is.
            server.pause();
            sleep(Duration::from_millis(300 + 200 * u64::from(crew.below(2) == 0)));
            server.resume();
        }
        _ => crew.kill_one(),
    });
    crew.judge()
}

/// One round on a primary that is replaced again and again, by its sentinels.
fn on_sentinel(time: Duration) -> Summary {
    let mut service = Sentinels::start();
    let mut crew = Crew::new(seats(&[service.url()]), time);
    crew.work(Duration::from_millis(500), |crew| match crew.below(6) {
        0 => service.fail_over(|_| {}),
        1 => {
            let killed = service.kill_primary();
            service.restart(killed);
        }
        2 => {
            let _: Value =
                service.server(service.await_primary()).tell(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
        3 => {
            let number = crew.below(3);
            let sentinel = &mut service.sentinels()[number];
            sentinel.pause();
            sleep(Duration::from_millis(300));
            sentinel.resume();
        }
        _ => crew.kill_one(),
    });
    crew.judge()
}

/// One round on a cluster: the slot moves to and fro, and its node is replaced.
fn on_cluster(time: Duration) -> Summary {
    let mut cluster = Cluster::start();
    let mut crew = Crew::new(seats(&[cluster.url()]), time);
    let key = format!("{{{}:0}}m", Config::from_url(&cluster.url()).unwrap().namespace());
    crew.work(Duration::from_millis(500), |crew| match crew.below(6) {
        0 => cluster.fail_over(&key),
        1 => {
            let killed = cluster.kill_owner(&key);
            cluster.restart(killed);
        }
        2 | 3 => {
            let moving = cluster.begin_move(&key, cluster.another(&key));
            for _ in 0..crew.below(4) {
                moving.keys(1);
                sleep(Duration::from_millis(20));
            }
            moving.finish();
        }
        4 => {
            let _: Value =
                cluster.server(cluster.await_owner(&key)).tell(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
        _ => crew.kill_one(),
    });
    crew.judge()
}

/// One round on a directory.
fn on_local(time: Duration) -> Summary {
    let place = TempDir::new().unwrap();
    let path = place.path().join("store");
    let url = format!("local:{}", path.display());
    let config = Config::from_url(&url).unwrap();
    let mut crew = Crew::new(seats(&[url]), time);
    crew.work(Duration::from_millis(150), |crew| match crew.below(10) {
        0 => open_backend(&config).unwrap().reset().unwrap(),
        1 => drop(fs::remove_file(path.join("data.mdb"))),
        2 => drop(fs::remove_dir_all(&path)),
        _ => crew.kill_one(),
    });
    crew.judge()
}

/// One round on Redis behind the tiers of two nodes, which are wiped as well.
fn on_tier(time: Duration) -> Summary {
    let mut server = RedisServer::start();
    let place = TempDir::new().unwrap();
    let tiers = ["first", "second"].map(|node| place.path().join(node));
    let mut seats = seats(&[server.unix_url(), server.tcp_url()]);
    for (number, seat) in seats.iter_mut().enumerate() {
        seat.options.push(format!("node_tier=local:{}?size=4M", tiers[number % 2].display()));
    }
    let mut crew = Crew::new(seats, time);
    crew.work(Duration::from_millis(200), |crew| {
        let tier = &tiers[crew.below(2)];
        match crew.below(16) {
            0 => drop(fs::remove_file(tier.join("data.mdb"))),
            1 => drop(fs::remove_dir_all(tier)),
            2 => {
                let keep = crew.below(20) + 1;
                let log = server.tell::<Vec<String>>(&["KEYS", "*l"]);
                for log in log.iter().filter(|name| name.ends_with("}l")) {
                    let _: Value = server.tell(&["XTRIM", log, "MAXLEN", &keep.to_string()]);
                }
            }
            3 => {
                let _: Value = server.tell(&["FLUSHALL"]);
            }
            4 => server.save(),
            5 => server.restart(),
            6 => {
                let _: Value = server.tell(&["CLIENT", "KILL", "TYPE", "normal"]);
            }
            _ => crew.kill_one(),
        }
    });
    crew.judge()
}

/// How the workers reach a shared directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is one of this machine.
    Plain,
    /// Half of them on each of two nodes that mount it; where there is no FUSE, as if it were
    /// plain.
    Mounted,
    /// As mounted, each node with a tier.
    Tiered,
}

/// One round on a shared directory.
fn on_dir(way: Way, time: Duration) -> Summary {
    let places = [(); 5].map(|()| TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap());
    let [exported, first, second, tiers @ ..] = places.each_ref().map(TempDir::path);
    let export = SlowFs::export(exported).unwrap();
    let nodes: Vec<_> = if way != Way::Plain && slowfs::available() {
        [first, second].map(|path| export.mount(path, Behaviour::default()).unwrap()).into()
    } else {
        Vec::new()
    };
    let urls = match nodes.as_slice() {
        [] => [exported; 2],
        _ => [first, second],
    };
    let urls = urls.map(|path| format!("dir:{}/cache", path.display()));
    let tiers = tiers.map(|tier| tier.join("tier"));
    let mut seats = seats(&urls);
    for (number, seat) in seats.iter_mut().enumerate().filter(|_| way == Way::Tiered) {
        seat.options.push(format!("node_tier=local:{}?size=4M", tiers[number % 2].display()));
    }
    let config = Config::from_options([("server", urls[0].as_str()), ("read_timeout", "5")]).unwrap();
    let mut crew = Crew::new(seats, time);
    crew.work(Duration::from_millis(200), |crew| {
        let node = nodes.get(crew.below(2));
        match (crew.below(14), node) {
            (0, _) => open_backend(&config).unwrap().reset().unwrap(),
            (1, _) => drop(fs::remove_dir_all(exported.join("cache"))),
            (fault @ 2..7, Some(node)) => disturb(crew, node, fault),
            (7..9, _) if way == Way::Tiered => {
                let tier = &tiers[crew.below(2)];
                let _ = fs::remove_file(tier.join("data.mdb"));
                if crew.below(2) == 0 {
                    let _ = fs::remove_dir_all(tier);
                }
            }
            _ => crew.kill_one(),
        }
    });
    crew.judge()
}

/// Lets a mount fail for a while, in one of five ways.
fn disturb(crew: &mut Crew, node: &Node, fault: usize) {
    let errno = [Errno::NOSPC, Errno::IO, Errno::STALE, Errno::ACCESS][crew.below(4)];
    match fault {
        2 => node.fail(Request::Write, errno.raw_os_error()),
        3 => node.fail(Request::Read, errno.raw_os_error()),
        4 => node.fail(Request::Open, errno.raw_os_error()),
        5 => node.fail(Request::Lock, errno.raw_os_error()),
        _ => node.hang(),
    }
    sleep(Duration::from_millis(50 + crew.below(200) as u64));
    node.heal();
}

/// A run proves something only if much was read from what others wrote.
fn proves_something(summary: &Summary, operations: u64) {
    println!("{summary:?}");
    assert!(summary.operations >= operations, "{summary:?}");
    assert!(summary.hits > summary.reads / 4 && summary.hits < summary.reads, "{summary:?}");
    assert!(summary.hits_of_others > summary.hits / 10, "{summary:?}");
    assert!(summary.fills_read > summary.hits / 100, "{summary:?}");
}

fn long(round: impl Fn(Duration) -> Summary) {
    let mut all = Summary::default();
    while all.operations < LONG_OPERATIONS {
        all += round(ROUND);
        println!("{all:?}");
    }
    proves_something(&all, LONG_OPERATIONS);
}

#[test]
fn no_process_reads_what_was_overwritten_on_redis() {
    proves_something(&on_redis(SHORT), 5_000);
}

#[test]
fn no_process_reads_what_was_overwritten_on_sentinel() {
    proves_something(&on_sentinel(SHORT), 500);
}

#[test]
fn no_process_reads_what_was_overwritten_on_cluster() {
    proves_something(&on_cluster(SHORT), 500);
}

#[test]
fn no_process_reads_what_was_overwritten_on_local() {
    proves_something(&on_local(SHORT), 5_000);
}

#[test]
fn no_process_reads_what_was_overwritten_on_a_plain_dir() {
    proves_something(&on_dir(Way::Plain, SHORT), 5_000);
}

#[test]
fn no_process_reads_what_was_overwritten_on_dir() {
    proves_something(&on_dir(Way::Mounted, SHORT), 5_000);
}

#[test]
fn no_process_reads_what_was_overwritten_behind_a_node_tier_of_dir() {
    proves_something(&on_dir(Way::Tiered, SHORT), 5_000);
}

#[test]
fn no_process_reads_what_was_overwritten_behind_a_node_tier() {
    proves_something(&on_tier(SHORT), 5_000);
}

#[test]
#[ignore = "the long run: a million operations"]
fn a_million_operations_behind_a_node_tier() {
    long(on_tier);
}

#[test]
#[ignore = "the long run: a million operations"]
fn a_million_operations_on_a_plain_dir() {
    long(|time| on_dir(Way::Plain, time));
}

#[test]
#[ignore = "the long run: a million operations"]
fn a_million_operations_on_dir() {
    long(|time| on_dir(Way::Mounted, time));
}

#[test]
#[ignore = "the long run: a million operations"]
fn a_million_operations_behind_a_node_tier_of_dir() {
    long(|time| on_dir(Way::Tiered, time));
}

#[test]
#[ignore = "the long run: a million operations"]
fn a_million_operations_on_redis() {
    long(on_redis);
}

#[test]
#[ignore = "the long run: a million operations"]
fn a_million_operations_on_sentinel() {
    long(on_sentinel);
}

#[test]
#[ignore = "the long run: a million operations"]
fn a_million_operations_on_cluster() {
    long(on_cluster);
}

#[test]
#[ignore = "the long run: a million operations"]
fn a_million_operations_on_local() {
    long(on_local);
}
