//! Mutual exclusion under fire: sixteen processes that count under locks, killed, stopped and cut off at random.
//!
//! `LARDER_SECTIONS=100000 cargo test -p larder-tests --test lock_checker` is the long run; without it a short one is
//! made.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use larder_testkit::slowfs::{self, Behaviour, Node, Request, SlowFs};
use larder_testkit::{Answers, Proxy, RedisServer};
use larder_tests::locks::{Section, violations};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const WORKERS: usize = 16;
const LOCKS: u64 = 8;

struct Worker {
    child: Child,
    url: String,
    log: PathBuf,
    stopped: bool,
}

impl Worker {
    fn start(url: &str, log: PathBuf, seed: usize) -> Self {
        let child = Self::spawn(url, &log, seed);
        Self { child, url: url.to_owned(), log, stopped: false }
    }

    fn spawn(url: &str, log: &std::path::Path, seed: usize) -> Child {
        Command::new(env!("CARGO_BIN_EXE_lock_worker"))
            .args([url, log.to_str().unwrap(), &LOCKS.to_string(), "1", &(seed + 1).to_string()])
            .spawn()
            .unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn restart(&mut self, seed: usize) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::spawn(&self.url, &self.log, seed);
        self.stopped = false;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs workers on `urls` until they entered enough sections, `few` if the environment does not say how many. `harass` is
/// called again and again with a number.
fn check(urls: &[String], few: usize, mut harass: impl FnMut(usize)) {
    let wanted: usize = std::env::var("LARDER_SECTIONS").map_or(few, |count| count.parse().unwrap());
    let directory = TempDir::new().unwrap();
    let mut workers: Vec<Worker> = (0..WORKERS)
        .zip(urls.iter().cycle())
        .map(|(at, url)| Worker::start(url, directory.path().join(at.to_string()), at))
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
            3 => {
                victim.signal(Signal::STOP);
                victim.stopped = true;
            }
            // The stopped ones slept for a second and more, which is a lease.
            _ if round % 12 == 11 => {
                for worker in workers.iter_mut().filter(|worker| worker.stopped) {
                    worker.signal(Signal::CONT);
                    worker.stopped = false;
                }
            }
            _ => {}
        }
        let size: u64 = workers.iter().map(|worker| worker.log.metadata().map_or(0, |log| log.len())).sum();
        if size >= wanted as u64 * 40 {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(60 + wanted as u64 / 20),
            "no progress: {size} bytes"
        );
    }
    let seconds = started.elapsed().as_secs_f64();
    let logs: Vec<PathBuf> = workers.iter().map(|worker| worker.log.clone()).collect();
    drop(workers);
    let sections: Vec<Section> = logs.iter().flat_map(|log| Section::read_all(log).unwrap()).collect();
    let stored = sections.iter().filter(|section| section.stored > 0).count();
    println!("{} sections, {stored} acknowledged writes, {seconds:.0} s", sections.len());
    assert!(
        stored * 10 > sections.len() * 8,
        "most sections should be of use: {stored} of {}",
        sections.len()
    );
    for key in 0..LOCKS {
        let wrong = violations(sections.iter().filter(|section| section.key == key).copied().collect());
        assert!(wrong.is_empty(), "{} violations, the first: {}", wrong.len(), wrong.first().unwrap());
    }
}

#[test]
fn redis() {
    let server = RedisServer::start();
    let proxies: Vec<Proxy> = (0..4).map(|_| Proxy::new(server.port())).collect();
    let mut urls = vec![server.unix_url(); 4];
    urls.extend(proxies.iter().map(Proxy::url));
    check(&urls, 6_000, |round| {
        let proxy = &proxies[round % proxies.len()];
        match round % 24 {
            2 => proxy.answers(Answers::Cut),
            10 => proxy.answers(Answers::Half),
            18 => proxy.answers(Answers::Stall),
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
    let directory = TempDir::new().unwrap();
    check(&[format!("local:{}/store?size=64M", directory.path().display())], 6_000, |_| {});
}

#[test]
fn dir() {
    let directory = in_memory();
    check(&[format!("dir:{}/store?size=64M", directory.path().display())], 6_000, |_| {});
}

/// Half of the workers on each of two nodes, whose mounts fail now and then.
#[test]
fn dir_on_two_nodes() {
    if !slowfs::available() {
        return;
    }
    let places = [(); 3].map(|()| in_memory());
    let [exported, first, second] = places.each_ref().map(TempDir::path);
    let export = SlowFs::export(exported).unwrap();
    let nodes = [first, second].map(|path| export.mount(path, Behaviour::default()).unwrap());
    let urls = [first, second].map(|path| format!("dir:{}/store?size=64M", path.display()));
    check(&urls, 1_500, |round| {
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
