//! Locks on all backends: what each promises, and each fault with what it must not lead to.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use larder::{Cache, CacheKind, Config, ErrorKind, Store};
use larder_testkit::{Answers, Proxy, RedisServer};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const LEASE: Duration = Duration::from_secs(1);
const AT_ONCE: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(30);

fn store(url: &str) -> Store {
    store_with(url, "1")
}

fn store_with(url: &str, lease: &str) -> Store {
    let options = [
        ("server", url),
        ("namespace", "checker"),
        ("lock_lease", lease),
        ("read_timeout", "1"),
        ("connect_timeout", "2"),
    ];
    Store::open(&Config::from_options(options).unwrap()).unwrap()
}

fn cache(url: &str) -> Cache {
    cache_of(&store(url))
}

fn cache_of(store: &Store) -> Cache {
    store.cache_with("counts", CacheKind::Session, None).unwrap()
}

/// A place for locks, past the first grace of named ones.
struct Place {
    url: String,
    server: Option<RedisServer>,
    #[expect(dead_code, reason = "removed when it is dropped")]
    directory: TempDir,
}

impl Place {
    fn redis() -> Self {
        let server = RedisServer::start();
        Self::ready(server.unix_url(), Some(server))
    }

    fn local() -> Self {
        let directory = TempDir::new().unwrap();
        let url = format!("local:{}/store?size=64M", directory.path().display());
        Self { directory, ..Self::ready(url, None) }
    }

    fn dir() -> Self {
        // In memory if possible: a disk that syncs would be waited for at each step.
        let directory = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        let url = format!("dir:{}/store?size=64M", directory.path().display());
        Self { directory, ..Self::ready(url, None) }
    }

    fn ready(url: String, server: Option<RedisServer>) -> Self {
        let directory = TempDir::new().unwrap();
        let place = Self { url, server, directory };
        assert!(store(&place.url).lock("ready", "test", LONG).unwrap().is_some());
        place
    }

    fn cache(&self) -> Cache {
        cache(&self.url)
    }

    /// A process that holds the lock on `n0` for as long as it lives, most of the time.
    fn holder(&self, kind: &str) -> Holder {
        let log = TempDir::new().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_lock_worker"))
            .args([&self.url, log.path().join("log").to_str().unwrap(), "1", "100000000", "7", "0.3", kind])
            .spawn()
            .unwrap();
        let holder = Holder { child, _log: log };
        while !store(&self.url).locks().unwrap().iter().any(|lock| lock.owner == b"worker") {
            thread::sleep(Duration::from_millis(5));
        }
        holder
    }
}

struct Holder {
    child: Child,
    _log: TempDir,
}

impl Holder {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a test on all backends.
fn all(test: fn(&Place)) {
    test(&Place::redis());
    test(&Place::local());
    test(&Place::dir());
}

#[test]
fn one_holder_fences_that_grow_and_release_by_drop() {
    all(|place| {
        let (a, b) = (place.cache(), place.cache());
        let first = a.lock("k", "a", AT_ONCE).unwrap().unwrap();
        assert!(b.lock("k", "b", AT_ONCE).unwrap().is_none());
        assert!(b.lock("other", "b", AT_ONCE).unwrap().is_some());
        assert!(first.is_held() && first.confirm().unwrap());
        let fence = first.fence();
        drop(first);
        let second = b.lock("k", "b", AT_ONCE).unwrap().unwrap();
        assert!(second.fence() > fence);
    });
}

#[test]
fn an_owner_does_not_get_its_own_lock_twice() {
    all(|place| {
        let cache = place.cache();
        let _held = cache.lock("k", "same", AT_ONCE).unwrap().unwrap();
        assert!(cache.lock("k", "same", Duration::from_millis(50)).unwrap().is_none());
    });
}

#[test]
fn keys_and_owners_are_any_bytes() {
    all(|place| {
        let cache = place.cache();
        let keys: [&[u8]; 6] = [b"", b"\0", b"a\nb \xff", b"{x}:*", &vec![b'k'; 60_000], b"%s %d"];
        let held: Vec<_> = keys.iter().map(|key| cache.lock(key, key, AT_ONCE).unwrap().unwrap()).collect();
        for key in keys {
            assert!(cache.lock(key, b"", AT_ONCE).unwrap().is_none());
        }
        let mut listed = store(&place.url).locks().unwrap();
        listed.sort_by_key(|lock| lock.fence);
        for (lock, key) in listed.iter().zip(keys) {
            assert_eq!(larder::contract::parse_lock_name(&lock.name), Some(("counts", key)));
            assert_eq!(lock.owner, key);
        }
        assert_eq!(listed.len(), held.len());
    });
}

#[test]
fn first_come_first_served_and_who_gave_up_is_passed_over() {
    all(|place| {
        let held = place.cache().lock("k", "first", AT_ONCE).unwrap().unwrap();
        let got = Arc::new(std::sync::Mutex::new(Vec::new()));
        let waiters: Vec<_> = (0..6)
            .map(|number| {
                let (cache, got) = (place.cache(), Arc::clone(&got));
                let wait = if number == 2 { Duration::from_millis(1) } else { LONG };
                let waiter = thread::spawn(move || {
                    // Kept until the number is written down.
                    let lock = cache.lock("k", "waiter", wait).unwrap();
                    if lock.is_some() {
                        got.lock().unwrap().push(number);
                    }
                });
                let waiting = || store(&place.url).locks().unwrap().first().unwrap().waiters;
                let wanted = if number < 2 { number + 1 } else { number.max(2) };
                while number != 2 && waiting() < wanted {
                    thread::sleep(Duration::from_millis(2));
                }
                if number == 2 {
                    waiter.join().unwrap();
                    return thread::spawn(|| ());
                }
                waiter
            })
            .collect();
        drop(held);
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert_eq!(*got.lock().unwrap(), [0, 1, 3, 4, 5]);
    });
}

#[test]
fn two_hundred_waiters() {
    all(|place| {
        let held = place.cache().lock("k", "first", AT_ONCE).unwrap().unwrap();
        let count = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let caches: Vec<Cache> = (0..20).map(|_| place.cache()).collect();
        let waiters: Vec<_> = (0..200)
            .zip(caches.iter().cycle().cloned())
            .map(|(_, cache)| {
                let count = Arc::clone(&count);
                thread::spawn(move || {
                    let _lock = cache.lock("k", "waiter", 4 * LONG).unwrap().unwrap();
                    count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                })
            })
            .collect();
        while store(&place.url).locks().unwrap().first().is_none_or(|lock| lock.waiters < 200) {
            thread::sleep(Duration::from_millis(5));
        }
        drop(held);
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 200);
    });
}

#[test]
fn a_living_holder_keeps_its_lock_for_many_leases() {
    all(|place| {
        let (a, b) = (place.cache(), place.cache());
        let held = a.lock("k", "a", AT_ONCE).unwrap().unwrap();
        assert!(b.lock("k", "b", 4 * LEASE).unwrap().is_none());
        assert!(held.is_held() && held.confirm().unwrap());
        a.set_locked(&held, "k", &1).unwrap();
    });
}

/// `cargo test -p larder-tests --test locks -- --ignored`
#[test]
#[ignore = "takes three minutes"]
fn a_living_holder_keeps_its_lock_for_a_minute_with_a_lease_of_two_seconds() {
    all(|place| {
        let (a, b) = (store_with(&place.url, "2"), store_with(&place.url, "2"));
        let [a, b] = [a, b].map(|store| store.cache("long").unwrap());
        let held = a.lock("k", "a", LONG).unwrap().unwrap();
        assert!(b.lock("k", "b", Duration::from_secs(60)).unwrap().is_none());
        assert!(held.is_held() && held.confirm().unwrap());
        a.set_locked(&held, "k", &1).unwrap();
    });
}

#[test]
fn a_killed_holders_lock_is_free_within_a_lease() {
    all(|place| {
        let mut holder = place.holder("kind=cache");
        holder.child.kill().unwrap();
        holder.child.wait().unwrap();
        // The last attempt is made when the wait is over, and so is the lease then. On a shared
        // directory a lease begins when the waiter first sees it.
        let wait = if place.url.starts_with("dir:") { 3 * LEASE } else { LEASE + LEASE / 20 };
        assert!(place.cache().lock("n0", "next", wait).unwrap().is_some());
    });
}

#[test]
fn a_holder_paused_beyond_its_lease_finds_out() {
    all(|place| {
        let holder = place.holder("kind=cache");
        holder.signal(Signal::STOP);
        let cache = place.cache();
        let lock = cache.lock("n0", "next", 5 * LEASE).unwrap().unwrap();
        cache.set_locked(&lock, "n0", &7_u64).unwrap();
        holder.signal(Signal::CONT);
        assert!(
            cache.lock("n0", "next", 2 * LEASE).unwrap().is_none(),
            "it must not renew what is another's"
        );
        assert!(lock.confirm().unwrap());
    });
}

#[test]
fn a_write_under_a_lost_or_foreign_lock_is_refused() {
    all(|place| {
        let (a, b) = (place.cache(), place.cache());
        let lost = a.lock("k", "a", AT_ONCE).unwrap().unwrap();
        a.set_locked(&lost, "k", &1).unwrap();
        assert_eq!(a.set_locked(&lost, "other", &1).unwrap_err().kind(), ErrorKind::LockLost);
        let name = store(&place.url).locks().unwrap().pop().unwrap().name;
        assert!(store(&place.url).break_lock(&name).unwrap());
        assert!(!store(&place.url).break_lock(&name).unwrap());
        assert_eq!(a.set_locked(&lost, "k", &2).unwrap_err().kind(), ErrorKind::LockLost);
        assert!(!lost.is_held() && !lost.confirm().unwrap());
        let next = b.lock("k", "b", AT_ONCE).unwrap().unwrap();
        assert_eq!(a.set_locked(&lost, "k", &3).unwrap_err().kind(), ErrorKind::LockLost);
        drop(lost);
        assert!(next.confirm().unwrap(), "a release by another takes nothing");
        assert_eq!(b.get::<i32>("k").unwrap(), Some(1));
    });
}

#[test]
fn getting_a_lock_is_a_sync_point() {
    all(|place| {
        let (a, b) = (store(&place.url), store(&place.url));
        let (a, b) = (a.cache("c").unwrap(), b.cache("c").unwrap());
        a.set("k", &1).unwrap();
        assert_eq!(b.get("k").unwrap(), Some(1));
        a.set("k", &2).unwrap();
        let _lock = b.lock("k", "b", AT_ONCE).unwrap().unwrap();
        assert_eq!(b.get("k").unwrap(), Some(2));
    });
}

#[test]
fn a_server_restarted_empty_gives_no_named_lock_to_a_second() {
    let mut place = Place::redis();
    let (a, b) = (store(&place.url), store(&place.url));
    let held = a.lock("k", "a", AT_ONCE).unwrap().unwrap();
    let fence = held.fence();
    place.server.as_mut().unwrap().restart_empty();
    assert!(b.lock("k", "b", 3 * LEASE).unwrap().is_none(), "its holder lives");
    assert!(held.confirm().unwrap());
    drop(held);
    assert!(b.lock("k", "b", 3 * LEASE).unwrap().unwrap().fence() > fence);
}

/// Why a write under a lock is refused. It may also be that its connection is gone, which tells
/// nothing.
fn refused(cache: &Cache, lock: &larder::LockGuard) -> ErrorKind {
    loop {
        match cache.set_locked(lock, "k", &2).unwrap_err().kind() {
            ErrorKind::Unavailable => thread::sleep(Duration::from_millis(10)),
            kind => return kind,
        }
    }
}

/// R23, R24: nobody waits for a cache lock because the server lost locks, and who held one before
/// writes nothing more.
#[test]
fn a_server_restarted_empty_gives_a_cache_lock_at_once() {
    let mut place = Place::redis();
    let open = || store_with(&place.url, "30").cache("counts").unwrap();
    let (a, b) = (open(), open());
    let held = a.lock("k", "a", AT_ONCE).unwrap().unwrap();
    a.set_locked(&held, "k", &1).unwrap();
    place.server.as_mut().unwrap().restart_empty();
    let next = b.lock("k", "b", AT_ONCE).unwrap().unwrap();
    assert!(next.fence() > held.fence());
    assert_eq!(refused(&a, &held), ErrorKind::LockLost);
    drop(next);
    assert_eq!(a.set_locked(&held, "k", &3).unwrap_err().kind(), ErrorKind::LockLost);
    assert!(!held.confirm().unwrap() && !held.is_held());
    assert_eq!(b.get::<i32>("k").unwrap(), None);
}

/// A place that may have lost locks says so, and until when, to who does not wait as long.
#[test]
fn a_grace_is_told_with_its_end() {
    let mut place = Place::redis();
    place.server.as_mut().unwrap().restart_empty();
    let store = store_with(&place.url, "5");
    for wait in [AT_ONCE, LEASE] {
        let error = store.lock("k", "b", wait).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Grace, "{error}");
        let left = error.grace_until().unwrap().saturating_duration_since(Instant::now());
        assert!(left > Duration::from_secs(1) && left <= Duration::from_secs(5), "{left:?}");
        assert!(error.to_string().contains("nobody new gets this one for another"), "{error}");
    }
    assert!(store.lock("k", "b", LONG).unwrap().is_some(), "who waits long enough gets it");
}

/// Where there never were locks none were lost: nobody waits, for either kind. What was flushed was
/// lost.
#[test]
fn a_place_that_never_was_gives_locks_at_once() {
    let server = RedisServer::start();
    let directory = TempDir::new().unwrap();
    // Locks of a server, or of a directory, before this one would be over by then.
    thread::sleep(LEASE + Duration::from_millis(2_100));
    for url in [server.unix_url(), format!("local:{}/store?size=64M", directory.path().display())] {
        assert!(cache(&url).lock("k", "a", AT_ONCE).unwrap().is_some(), "{url}");
        assert!(store(&url).lock("k", "a", AT_ONCE).unwrap().is_some(), "{url}");
    }
    let _: redis::Value = server.tell(&["FLUSHALL"]);
    let store = store_with(&server.unix_url(), "30");
    assert_eq!(store.lock("k", "b", AT_ONCE).unwrap_err().kind(), ErrorKind::Grace);
    assert!(store.cache("counts").unwrap().lock("k", "b", AT_ONCE).unwrap().is_some());
}

#[test]
fn a_server_restored_old_does_not_bring_a_former_holder_back() {
    let mut place = Place::redis();
    let server = place.server.as_ref().unwrap();
    let holder = place.holder("kind=named");
    server.save();
    holder.signal(Signal::STOP);
    let store = store(&place.url);
    let lock = store.lock("n0", "next", 5 * LEASE).unwrap().unwrap();
    place.server.as_mut().unwrap().restart();
    holder.signal(Signal::CONT);
    let start = Instant::now();
    while start.elapsed() < 2 * LEASE {
        let held = lock.confirm();
        assert!(held.is_err() || held.unwrap());
        thread::sleep(Duration::from_millis(20));
    }
}

/// The same for a cache lock: neither may write, and the next has it at once.
#[test]
fn a_server_restored_old_knows_no_holder_of_a_cache_lock() {
    let mut place = Place::redis();
    let open = || store_with(&place.url, "30").cache("counts").unwrap();
    let (a, b) = (open(), open());
    let held = a.lock("k", "a", AT_ONCE).unwrap().unwrap();
    a.set_locked(&held, "k", &1).unwrap();
    place.server.as_ref().unwrap().save();
    place.server.as_mut().unwrap().restart();
    assert_eq!(refused(&a, &held), ErrorKind::LockLost, "the copy may be an old one");
    let next = b.lock("k", "b", AT_ONCE).unwrap().unwrap();
    b.set_locked(&next, "k", &3).unwrap();
    drop(held);
    assert!(next.confirm().unwrap());
}

#[test]
fn locks_that_were_evicted_are_not_given_away() {
    let place = Place::redis();
    let (a, b) = (store(&place.url), store(&place.url));
    let held = a.lock("k", "a", AT_ONCE).unwrap().unwrap();
    let _: u64 = place.server.as_ref().unwrap().tell(&["DEL", "{checker:0}k"]);
    assert!(b.lock("k", "b", 3 * LEASE).unwrap().is_none());
    assert!(held.confirm().unwrap());
}

/// A server's clock that is set back gives no number twice; one that is set on ends a lease early,
/// which its holder finds out before it can do harm. A node's clock is not looked at: only the time
/// since its boot, which nobody sets.
#[test]
fn a_servers_clock_that_jumps_leaves_one_holder() {
    let place = Place::redis();
    let server = place.server.as_ref().unwrap();
    let (a, b) = (place.cache(), place.cache());
    let later = larder_tests::locks::now() / 1_000 + 4_000_000_000_000_000;
    let _: u64 = server.tell(&["HSET", "{checker:0}m", "fence", &later.to_string()]);
    let held = a.lock("k", "a", AT_ONCE).unwrap().unwrap();
    assert!(held.fence() > later, "as if it had been set back since the last grant");

    let name = "ucounts\0k";
    let row: String = server.tell(&["HGET", "{checker:0}k", name]);
    let mut words: Vec<&str> = row.split(' ').collect();
    words[2] = "1";
    let _: u64 = server.tell(&["HSET", "{checker:0}k", name, &words.join(" ")]);
    let next = b.lock("k", "b", AT_ONCE).unwrap().unwrap();
    assert!(next.fence() > held.fence());
    assert_eq!(a.set_locked(&held, "k", &1).unwrap_err().kind(), ErrorKind::LockLost);
    assert!(!held.confirm().unwrap() && next.confirm().unwrap());
}

#[test]
fn an_answer_that_was_cut_off_is_asked_for_again() {
    let place = Place::redis();
    let proxy = Proxy::new(place.server.as_ref().unwrap().port());
    let cache = cache(&proxy.url());
    drop(cache.lock("warm", "a", AT_ONCE).unwrap());
    for answers in [Answers::Cut, Answers::Half] {
        proxy.answers(answers);
        let mended = thread::scope(|scope| {
            let attempt = scope.spawn(|| cache.lock("k", "a", AT_ONCE));
            thread::sleep(Duration::from_millis(1));
            proxy.answers(Answers::Pass);
            attempt.join().unwrap()
        });
        // Whether it got through or not: nobody holds the lock whom nobody knows of, for longer
        // than a lease.
        drop(mended);
        assert!(place.cache().lock("k", "b", 2 * LEASE).unwrap().is_some());
    }
}

/// The lease is longer than anybody here waits.
#[test]
fn what_was_given_back_while_the_server_was_away_is_free_when_it_answers() {
    let server = RedisServer::start();
    let proxy = Proxy::new(server.port());
    let open = |url: &str| store_with(url, "60");
    let stores = [(); 3].map(|()| open(&proxy.url()));
    let [holder, waiter, named] = &stores;
    let held = cache_of(holder).lock("k", "holder", AT_ONCE).unwrap().unwrap();
    // A server that has just begun to run has a grace for named locks.
    let _: u64 = server.tell(&["HSET", "{checker:0}m", "born", "1"]);
    let outside = holder.lock("k", "holder", AT_ONCE).unwrap().unwrap();
    thread::scope(|scope| {
        let patient = scope.spawn(|| named.lock("k", "waiter", LONG).map(|lock| lock.is_some()));
        let waiting = scope.spawn(|| cache_of(waiter).lock("k", "waiter", LONG).map(|lock| lock.is_some()));
        let direct = open(&server.tcp_url());
        while direct.locks().unwrap().iter().map(|lock| lock.waiters).sum::<u64>() < 2 {
            thread::sleep(Duration::from_millis(5));
        }
        proxy.stall_requests(true);
        proxy.cut();
        assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(!patient.is_finished(), "who waits for a named lock has more patience");
        assert_eq!(patient.join().unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    });
    drop((held, outside));
    proxy.cut();
    proxy.stall_requests(false);
    let next = open(&server.tcp_url());
    assert!(cache_of(&next).lock("k", "next", LONG).unwrap().is_some());
    assert!(next.lock("k", "next", LONG).unwrap().is_some());
}

/// R24: a grant whose answer comes when the lease is over, and another has the lock, is not
/// believed.
#[test]
fn an_answer_that_comes_after_the_lease_is_not_believed() {
    let place = Place::redis();
    let proxy = Proxy::new(place.server.as_ref().unwrap().port());
    let url = proxy.url();
    let patient =
        [("server", url.as_str()), ("namespace", "checker"), ("lock_lease", "1"), ("read_timeout", "20")];
    let late = Store::open(&Config::from_options(patient).unwrap()).unwrap().cache("counts").unwrap();
    let quick = store(&place.url).cache("counts").unwrap();
    drop(late.lock("warm", "a", AT_ONCE).unwrap());
    proxy.answers(Answers::Stall);
    thread::scope(|scope| {
        let attempt = scope.spawn(|| late.lock("k", "a", AT_ONCE));
        while !store(&place.url).locks().unwrap().iter().any(|lock| lock.owner == b"a") {
            thread::sleep(Duration::from_millis(5));
        }
        let held = quick.lock("k", "b", LONG).unwrap().unwrap();
        proxy.answers(Answers::Pass);
        let got = attempt.join().unwrap().ok().flatten();
        assert!(held.confirm().unwrap());
        assert!(!got.is_some_and(|lock| lock.is_held()));
    });
}

#[test]
fn a_stalled_server_costs_a_waiter_no_place_and_a_holder_no_lock() {
    let place = Place::redis();
    let (a, b) = (place.cache(), place.cache());
    let held = a.lock("k", "a", AT_ONCE).unwrap().unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| b.lock("k", "b", LONG).unwrap().unwrap().fence());
        while store(&place.url).locks().unwrap().first().is_none_or(|lock| lock.waiters < 1) {
            thread::sleep(Duration::from_millis(5));
        }
        let server = place.server.as_ref().unwrap();
        server.pause();
        thread::sleep(2 * LEASE);
        server.resume();
        // The lease was over when the server went on: whoever came first has the lock, and only
        // that one.
        let kept = held.confirm();
        let fence = held.fence();
        drop(held);
        assert!(waiter.join().unwrap() > fence);
        drop(kept);
    });
}

#[test]
fn a_released_lock_is_free_after_a_waiter_was_killed() {
    all(|place| {
        let held = place.cache().lock("n0", "test", AT_ONCE).unwrap().unwrap();
        let log = TempDir::new().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_lock_worker"))
            .args([&place.url, log.path().join("log").to_str().unwrap(), "1", "100000000", "7", "0.3"])
            .spawn()
            .unwrap();
        while store(&place.url).locks().unwrap().first().is_none_or(|lock| lock.waiters < 1) {
            thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        drop(held);
        assert!(place.cache().lock("n0", "next", 4 * LEASE).unwrap().is_some());
    });
}
