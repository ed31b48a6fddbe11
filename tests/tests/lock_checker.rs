//! Mutual exclusion under fire: sixteen processes that count under locks, killed, stopped and cut
//! off at random.
//!
//! Each has a long run of a hundred thousand sections, which is ignored: `CONTRIBUTING.md` says how
//! to start it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use larder::Config;
use larder::contract::{Attempt, Backend, Claim, Token};
use larder::engine::open_backend;
use larder_testkit::slowfs::{self, Behaviour, Node, Request, SlowFs};
use larder_testkit::{Answers, Cluster, Proxy, RedisServer, Sentinels};
use larder_tests::locks::{SIZE, Section, late_writes, violations};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Sections of a long run.
const LONG: usize = 100_000;
const WORKERS: usize = 16;
const LOCKS: u64 = 8;
/// Rounds after which a stopped process goes on: longer than a lease.
const STOPPED: u32 = 8;

struct Worker {
    child: Child,
    url: String,
    kind: Kind,
    log: PathBuf,
    timeout: &'static str,
    /// For so many rounds.
    stopped: u32,
}

impl Worker {
    fn start(url: &str, kind: Kind, log: PathBuf, number: usize) -> Self {
        // Half of them give a server up after less than a lease, half wait for answers that come
        // after it.
        let timeout = if number % 8 < 4 { "0.3" } else { "3" };
        let child = Self::spawn(url, kind, &log, number, timeout);
        Self { child, url: url.to_owned(), kind, log, timeout, stopped: 0 }
    }

    /// `url` may be followed by options, each after a space.
    fn spawn(url: &str, kind: Kind, log: &Path, seed: usize, timeout: &str) -> Child {
        let mut words = url.split(' ');
        let kind = match kind {
            Kind::CacheWithLosses => "kind=fence",
            Kind::Cache => "kind=count",
            Kind::Named => "kind=named",
        };
        Command::new(env!("CARGO_BIN_EXE_lock_worker"))
            .arg(words.next().unwrap())
            .args([log.to_str().unwrap(), &LOCKS.to_string(), "1", &(seed + 1).to_string(), timeout, kind])
            .args(words)
            .spawn()
            .unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn restart(&mut self, seed: usize) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::spawn(&self.url, self.kind, &self.log, seed, self.timeout);
        self.stopped = 0;
    }

    /// Lets it go on if it was stopped for long enough.
    fn look_after(&mut self) {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        self.stopped = if stat.contains(") T ") { self.stopped + 1 } else { 0 };
        if self.stopped > STOPPED {
            self.signal(Signal::CONT);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the workers lock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Entries. Locks may be lost: only what is written under them counts.
    CacheWithLosses,
    /// Entries, and no lock is lost.
    Cache,
    /// Something outside.
    Named,
}

/// Runs workers on `urls` until they entered enough sections. `harass` is called again and again
/// with a number, in the end with 0.
fn check(urls: &[String], kind: Kind, wanted: usize, mut harass: impl FnMut(usize)) {
    let directory = TempDir::new().unwrap();
    let mut workers: Vec<Worker> = (0..WORKERS)
        .zip(urls.iter().cycle())
        .map(|(at, url)| Worker::start(url, kind, directory.path().join(at.to_string()), at))
        .collect();
    let started = Instant::now();
    let mut round = 0;
    loop {
        thread::sleep(Duration::from_millis(150));
        round += 1;
        harass(round);
        let seed = round.wrapping_mul(7919) % 104_729;
        let victim = workers.get_mut(seed % WORKERS).unwrap();
        match round % 10 {
            0 => victim.restart(seed),
            3 => victim.signal(Signal::STOP),
            _ => {}
        }
        workers.iter_mut().for_each(Worker::look_after);
        let size: u64 = workers.iter().map(|worker| worker.log.metadata().map_or(0, |log| log.len())).sum();
        if size >= (wanted * SIZE) as u64 {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(60 + wanted as u64 / 20),
            "no progress: {size} bytes"
        );
    }
    // Round 0 heals: a worker that waits for a filesystem that hangs could not be ended.
    harass(0);
    let seconds = started.elapsed().as_secs_f64();
    let logs: Vec<PathBuf> = workers.iter().map(|worker| worker.log.clone()).collect();
    drop(workers);
    let sections: Vec<Section> = logs.iter().flat_map(|log| Section::read_all(log).unwrap()).collect();
    let stored = sections.iter().filter(|section| section.stored > 0).count();
    println!("{} sections, {stored} acknowledged writes, {seconds:.0} s", sections.len());
    assert!(
        kind != Kind::Cache || stored * 10 > sections.len() * 8,
        "most sections should be of use: {stored} of {}",
        sections.len()
    );
    for key in 0..LOCKS {
        let of_key = sections.iter().filter(|section| section.key == key).copied().collect();
        let wrong = if kind == Kind::CacheWithLosses { late_writes(of_key) } else { violations(of_key) };
        assert!(wrong.is_empty(), "{} violations, the first: {}", wrong.len(), wrong.first().unwrap());
    }
}

/// The schedule that shows whether a release is one step, which chance finds too seldom: the
/// answers to a holder stay away until its lease is over and another has the lock. Whoever releases
/// by asking whether it is the holder, and then deleting, now deletes another's lock.
fn an_answer_after_the_lease(server: &RedisServer) {
    let open = |url: &str| {
        let options =
            [("server", url), ("namespace", "schedule"), ("lock_lease", "1"), ("read_timeout", "20")];
        open_backend(&Config::from_options(options).unwrap()).unwrap()
    };
    let proxy = Proxy::new(server.port());
    let (slow, quick) = (open(&proxy.url()), open(&server.unix_url()));
    let get = |backend: &dyn Backend, token| {
        let token = Token::from_number(token);
        let lease = Duration::from_secs(1);
        let claim = Claim { name: b"n", token, owner: b"", lease, queue: false };
        let locks = backend.locks().unwrap();
        while !matches!(locks.acquire(&claim).unwrap(), Attempt::Mine { .. }) {
            thread::sleep(Duration::from_millis(5));
        }
    };
    get(&*slow, 1);
    proxy.answers(Answers::Stall);
    thread::scope(|scope| {
        let release = scope.spawn(|| slow.locks().unwrap().release(b"n", Token::from_number(1)));
        get(&*quick, 2);
        proxy.answers(Answers::Pass);
        release.join().unwrap().unwrap();
    });
    assert_eq!(quick.locks().unwrap().holder(b"n").unwrap(), Some(Token::from_number(2)));
}

#[test]
fn redis() {
    let server = RedisServer::start();
    an_answer_after_the_lease(&server);
    on_redis(&server, Kind::Cache, 6_000);
}

#[test]
fn redis_named() {
    on_redis(&RedisServer::start(), Kind::Named, 6_000);
}

/// The server is killed again and again, and comes back empty, or with an old copy.
#[test]
fn redis_that_loses_locks() {
    with_losses(Kind::CacheWithLosses, 2_000);
}

#[test]
fn redis_that_loses_named_locks() {
    with_losses(Kind::Named, 2_000);
}

fn with_losses(kind: Kind, sections: usize) {
    let mut server = RedisServer::start();
    // Named locks have a grace of a second after each loss.
    let every = if kind == Kind::Named { 40 } else { 16 };
    check(&[server.unix_url()], kind, sections, |round| match round % every {
        3 => server.save(),
        8 if round / every % 2 == 0 => server.restart_empty(),
        8 => server.restart(),
        _ => {}
    });
}

/// The primary is replaced again and again, and the new one lacks what the old one had not sent
/// yet.
#[test]
fn sentinel() {
    on_sentinel(Kind::CacheWithLosses, 1_000);
}

#[test]
fn sentinel_named() {
    on_sentinel(Kind::Named, 1_000);
}

fn on_sentinel(kind: Kind, sections: usize) {
    let mut service = Sentinels::start();
    check(&[service.url()], kind, sections, |round| match round % 40 {
        8 => service.fail_over(|_| {}),
        24 => {
            let killed = service.kill_primary();
            service.restart(killed);
        }
        _ => {}
    });
}

/// The node is replaced, and the slot moves.
#[test]
fn cluster() {
    on_cluster(Kind::CacheWithLosses, 1_000);
}

#[test]
fn cluster_named() {
    on_cluster(Kind::Named, 1_000);
}

fn on_cluster(kind: Kind, sections: usize) {
    const META: &str = "{checker:0}m";
    let mut cluster = Cluster::start();
    check(&[cluster.url()], kind, sections, |round| match round % 60 {
        8 => cluster.fail_over(META),
        24 => cluster.begin_move(META, cluster.another(META)).finish(),
        40 => {
            let killed = cluster.kill_owner(META);
            cluster.restart(killed);
        }
        _ => {}
    });
}

/// A server that stalls now and then, and a fallback.
#[test]
fn failover() {
    with_a_fallback(Kind::CacheWithLosses, 1_500);
}

#[test]
fn failover_named() {
    with_a_fallback(Kind::Named, 1_500);
}

fn with_a_fallback(kind: Kind, sections: usize) {
    let server = RedisServer::start();
    let directory = TempDir::new().unwrap();
    let url = format!("{} fallback=local:{}/store?size=64M", server.unix_url(), directory.path().display());
    check(&[url], kind, sections, |round| match round % 60 {
        10 => server.pause(),
        0 | 25 => server.resume(),
        _ => {}
    });
}

fn on_redis(server: &RedisServer, kind: Kind, sections: usize) {
    let proxies: Vec<Proxy> = (0..2).map(|_| Proxy::new(server.port())).collect();
    let mut urls = vec![server.unix_url(); 2];
    urls.extend(proxies.iter().map(Proxy::url));
    check(&urls, kind, sections, |round| {
        let proxy = &proxies[round / 24 % proxies.len()];
        match round % 24 {
            1 => proxy.answers(Answers::Cut),
            3 => proxy.answers(Answers::Half),
            // For longer than a lease: an answer that was true when it was given is not when it
            // comes.
            5 => proxy.answers(Answers::Stall),
            6..14 => {}
            _ => proxies.iter().for_each(|proxy| proxy.answers(Answers::Pass)),
        }
        if round % 60 == 20 {
            server.pause();
            thread::sleep(Duration::from_millis(200));
            server.resume();
        }
    });
}

#[test]
fn local() {
    on_local(Kind::Cache, 6_000);
}

#[test]
fn local_named() {
    on_local(Kind::Named, 6_000);
}

fn on_local(kind: Kind, sections: usize) {
    let directory = TempDir::new().unwrap();
    check(&[format!("local:{}/store?size=64M", directory.path().display())], kind, sections, |_| {});
}

#[test]
fn dir() {
    on_dir(Kind::Cache, 6_000);
}

#[test]
fn dir_named() {
    on_dir(Kind::Named, 4_000);
}

fn on_dir(kind: Kind, sections: usize) {
    let directory = in_memory();
    check(&[format!("dir:{}/store?size=64M", directory.path().display())], kind, sections, |_| {});
}

/// Half of the workers on each of two nodes, whose mounts fail now and then: a history is lost by
/// that, and with it its locks.
#[test]
fn dir_on_two_nodes() {
    on_two_nodes(Kind::CacheWithLosses, 1_500);
}

#[test]
fn dir_on_two_nodes_named() {
    on_two_nodes(Kind::Named, 1_500);
}

fn on_two_nodes(kind: Kind, sections: usize) {
    if !slowfs::available() {
        return;
    }
    let places = [(); 3].map(|()| in_memory());
    let [exported, first, second] = places.each_ref().map(TempDir::path);
    let export = SlowFs::export(exported).unwrap();
    let nodes = [first, second].map(|path| export.mount(path, Behaviour::default()).unwrap());
    let urls = [first, second].map(|path| format!("dir:{}/store?size=64M", path.display()));
    check(&urls, kind, sections, |round| {
        let node = &nodes[round / 8 % 2];
        match round % 8 {
            1 => node.hang(),
            3 => node.fail(Request::Write, Errno::IO.raw_os_error()),
            5 => node.fail(Request::Lock, Errno::NOLCK.raw_os_error()),
            7 => node.fail(Request::Open, Errno::STALE.raw_os_error()),
            _ => nodes.iter().for_each(Node::heal),
        }
    });
}

fn in_memory() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

#[test]
#[ignore = "the long run"]
fn a_hundred_thousand_sections_on_redis() {
    for kind in [Kind::Cache, Kind::Named] {
        on_redis(&RedisServer::start(), kind, LONG);
    }
}

#[test]
#[ignore = "the long run"]
fn a_hundred_thousand_sections_on_redis_that_loses_locks() {
    for kind in [Kind::CacheWithLosses, Kind::Named] {
        with_losses(kind, LONG);
    }
}

#[test]
#[ignore = "the long run"]
fn a_hundred_thousand_sections_on_sentinel() {
    for kind in [Kind::CacheWithLosses, Kind::Named] {
        on_sentinel(kind, LONG);
    }
}

#[test]
#[ignore = "the long run"]
fn a_hundred_thousand_sections_on_cluster() {
    for kind in [Kind::CacheWithLosses, Kind::Named] {
        on_cluster(kind, LONG);
    }
}

#[test]
#[ignore = "the long run"]
fn a_hundred_thousand_sections_on_local() {
    for kind in [Kind::Cache, Kind::Named] {
        on_local(kind, LONG);
    }
}

#[test]
#[ignore = "the long run"]
fn a_hundred_thousand_sections_on_dir() {
    for kind in [Kind::Cache, Kind::Named] {
        on_dir(kind, LONG);
    }
}

#[test]
#[ignore = "the long run"]
fn a_hundred_thousand_sections_through_failover() {
    for kind in [Kind::CacheWithLosses, Kind::Named] {
        with_a_fallback(kind, LONG);
    }
}
