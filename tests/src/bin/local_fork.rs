//! A process that forks while it holds a store: the first argument is its URL. Ends well if parent and child
//! both see what the other writes.

use std::io;
use std::sync::Arc;

use larder::{Backend, CacheId, Config, Op, Read};

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
    let url = std::env::args().nth(1).unwrap_or_default();
    let config = Config::from_url(&url).map_err(io::Error::other)?;
    let open = || larder::open_backend(&config).map_err(io::Error::other);
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
    Ok(())
}
