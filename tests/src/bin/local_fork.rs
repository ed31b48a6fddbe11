//! A process that forks while it holds a store: the first argument is its URL, the second that of a
//! node tier, if any. Ends well if parent and child both see what the other writes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use larder::Config;
use larder::contract::{Backend, CacheId, Op, Read};
use rustix::process::{Pid, Signal, kill_process};

struct Shared {
    backend: Arc<dyn Backend>,
    cache: CacheId,
}

impl Shared {
    fn put(&self, key: &str, number: u32) {
        let set = Op::Set {
            cache: &self.cache,
            key: key.as_bytes(),
            entry: &number.to_le_bytes(),
            expires: None,
            guard: None,
            lock: None,
        };
        let applied = self.backend.apply(None, &[set]);
        assert!(applied.is_ok(), "{applied:?}");
    }

    fn get(&self, key: &str) -> Option<u32> {
        let fetched = self.backend.fetch(None, &[Read { cache: &self.cache, key: key.as_bytes() }]);
        let entry = fetched.ok().and_then(|mut fetched| fetched.entries.pop().flatten());
        entry.and_then(|entry| entry.try_into().ok()).map(u32::from_le_bytes)
    }

    fn count(&self, key: &str) {
        for number in 1..=500 {
            self.put(key, number);
            assert_eq!(self.get(key), Some(number));
        }
    }
}

/// Runs `child` in a child process while `parent` runs here.
fn forked(child: impl FnOnce(), parent: impl FnOnce()) {
    match fork::fork() {
        Ok(fork::Fork::Child) => {
            child();
            // Exits as PHP does, running what exits run.
            std::process::exit(0);
        }
        Ok(fork::Fork::Parent(child)) => {
            parent();
            assert_eq!(fork::waitpid(child).ok(), Some(0), "the child failed");
        }
        Err(error) => unreachable!("cannot fork: {error}"),
    }
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (url, tier) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    let config =
        Config::from_options([("server", url.as_str()), ("node_tier", &tier)]).map_err(io::Error::other)?;
    let open = || larder::engine::open_backend(&config).map_err(io::Error::other);
    let cache = CacheId::new("c", true).map_err(io::Error::other)?;
    let shared = Shared { backend: open()?, cache: cache.clone() };

    // Before the first use.
    forked(|| shared.count("child 1"), || shared.count("parent 1"));
    assert_eq!(shared.get("child 1"), Some(500));

    // After it, both at once; a grandchild too.
    shared.put("before", 7);
    forked(
        || {
            assert_eq!(shared.get("before"), Some(7));
            shared.count("child 2");
            forked(|| shared.count("grandchild"), || shared.count("child 2"));
        },
        || shared.count("parent 2"),
    );
    assert_eq!(shared.get("child 2"), Some(500));
    assert_eq!(shared.get("grandchild"), Some(500));

    // A child that opens a handle of its own, and drops it, leaves the parent's locks alone.
    forked(
        || {
            let own = Shared { backend: open().unwrap_or_else(|_| Arc::clone(&shared.backend)), cache };
            own.count("child 3");
            drop(own);
        },
        || shared.count("parent 3"),
    );
    forked(|| {}, || shared.count("parent 4"));
    shared.count("parent 5");
    assert_eq!(shared.get("child 3"), Some(500));
    killed_children_hold_nothing(&*shared.backend, &shared.cache)
}

/// Children killed in the middle of reading: had they read through the parent's handle, their
/// snapshots would count as the parent's for as long as that lives, and the file would fill up with
/// what they saw.
fn killed_children_hold_nothing(backend: &dyn Backend, cache: &CacheId) -> io::Result<()> {
    let put = |key: &[u8], entry: &[u8]| {
        backend.apply(None, &[Op::Set { cache, key, entry, expires: None, guard: None, lock: None }])
    };
    let before = put(b"large", &vec![1; 3_000_000]).map_err(io::Error::other)?.delta.position;
    let mut children = Vec::new();
    for _ in 0..4 {
        match fork::fork()? {
            fork::Fork::Child => loop {
                let read = backend.fetch(None, &[Read { cache, key: b"large" }; 4]);
                assert!(read.is_ok(), "{read:?}");
            },
            fork::Fork::Parent(child) => children.push(child),
        }
    }
    std::thread::sleep(Duration::from_millis(100));
    for child in children {
        let pid = Pid::from_raw(child).ok_or(io::ErrorKind::InvalidInput)?;
        kill_process(pid, Signal::KILL)?;
        fork::waitpid(child)?;
    }
    let mut after = before;
    for i in 0..60_u8 {
        after = put(&[i], &vec![i; 2_000_000]).map_err(io::Error::other)?.delta.position;
    }
    assert_eq!(after.incarnation, before.incarnation, "the file was given up");
    Ok(())
}
