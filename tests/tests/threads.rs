//! Threads of Larder take no signals: a program's handlers expect its own threads, and what it
//! blocked is blocked.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;
use std::{fs, thread};

use larder::{Config, Store};
use larder_testkit::RedisServer;
use tempfile::TempDir;

/// All but `SIGKILL` and `SIGSTOP`, and the two that the C library keeps for itself.
const ALL: u64 = !(1 << 8 | 1 << 18 | 1 << 31 | 1 << 32);

/// The threads of this process by number.
fn threads() -> BTreeSet<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks.map(|task| task.unwrap().file_name().into_string().unwrap()).collect()
}

/// Name and blocked signals of a thread; `None` if it has ended.
fn blocked(thread: &str) -> Option<(String, u64)> {
    let status = fs::read_to_string(format!("/proc/self/task/{thread}/status")).ok()?;
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    Some((field("Name:"), u64::from_str_radix(&field("SigBlk:"), 16).unwrap()))
}

fn use_it(url: &str, more: &[(&str, &str)]) -> Store {
    let options = [("server", url), ("read_timeout", "20"), ("lock_lease", "1")];
    let store = Store::open(&Config::from_options(options.into_iter().chain(more.iter().copied())).unwrap());
    let store = store.unwrap();
    let cache = store.cache("c").unwrap();
    cache.set("k", &1).unwrap();
    let lock = cache.lock("k", "test", Duration::from_secs(20)).unwrap().unwrap();
    // Somebody else waits meanwhile, and several ask at once.
    thread::scope(|scope| {
        for number in 0..8 {
            let cache = &cache;
            scope.spawn(move || {
                let wait = Duration::from_millis(if number == 0 { 200 } else { 0 });
                assert!(cache.lock("k", "another", wait).unwrap().is_none());
                cache.get::<i32>(format!("{number}")).unwrap();
            });
        }
    });
    drop(lock);
    store
}

#[test]
fn every_thread_of_ours_blocks_all_signals() {
    let (server, directory) = (RedisServer::start(), TempDir::new().unwrap());
    let at = |name: &str| directory.path().join(name).display().to_string();
    let (dir, local, tier) =
        (format!("dir:{}", at("d")), format!("local:{}", at("l")), format!("local:{}", at("t")));
    fs::create_dir(at("d")).unwrap();
    let before = threads();
    let stores = [
        use_it(&server.unix_url(), &[]),
        use_it(&server.tcp_url(), &[("fallback", &dir)]),
        use_it(&server.tcp_url(), &[("node_tier", &tier), ("namespace", "u")]),
        use_it(&local, &[]),
        use_it(&dir, &[("namespace", "u")]),
    ];
    let ours: Vec<_> = threads().difference(&before).filter_map(|thread| blocked(thread)).collect();
    assert!(!ours.is_empty(), "the lease of a lock is renewed by a thread");
    for (name, signals) in &ours {
        assert_eq!(signals & ALL, ALL, "{name}: {signals:016x}");
    }
    drop(stores);
}

/// A program that asks one question at a time gets no thread for its connections.
#[test]
fn one_user_of_a_connection_needs_no_thread() {
    let server = RedisServer::start();
    let before = threads();
    let store = Store::open(&Config::from_url(&server.tcp_url()).unwrap()).unwrap();
    let cache = store.cache("c").unwrap();
    cache.set("k", &1).unwrap();
    store.sync().unwrap();
    assert_eq!(cache.get("k").unwrap(), Some(1));
    assert_eq!(threads().difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
}
