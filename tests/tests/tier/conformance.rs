//! The conformance suite on stacks: the node tier in front of a shared directory, and of Redis.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use larder::Config;
use larder::contract::Backend;
use larder::engine::open_backend;
use larder_testkit::RedisServer;
use larder_testkit::conformance::{Cost, Fixture};
use larder_testkit::slowfs::{self, Behaviour, Node, SlowFs};
use tempfile::TempDir;

/// A server, and nodes with a tier each. Handles and peers are on the nodes in turn.
struct Stack {
    /// How each node reaches it.
    servers: Vec<String>,
    cost: Cost,
    turn: AtomicUsize,
    /// Before the directory: they are mounted there.
    mounts: Vec<Node>,
    directory: TempDir,
    _redis: Option<RedisServer>,
}

/// What calls on a directory cost. An entry that the tier holds costs no more than the sync.
const DIR: Cost = Cost { apply: 7, fetch: 3, sync: 3 };

impl Stack {
    fn on_dir() -> Self {
        let directory = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        let servers = vec![format!("dir:{}", directory.path().join("shared").display())];
        Self { servers, cost: DIR, turn: AtomicUsize::new(0), mounts: Vec::new(), directory, _redis: None }
    }

    /// Two nodes that mount the directory as NFS clients do. Where there is no FUSE, both are on
    /// the directory itself.
    fn on_mounts() -> Self {
        let mut stack = Self::on_dir();
        let path = |name: &str| stack.directory.path().join(name);
        let mut mounts = Vec::new();
        for name in ["exported", "first", "second"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        let mut places = [path("exported"), path("exported")];
        if slowfs::available() {
            let export = SlowFs::export(&path("exported")).unwrap();
            places = [path("first"), path("second")];
            mounts.extend(places.each_ref().map(|place| export.mount(place, Behaviour::default()).unwrap()));
        }
        stack.servers = places.map(|place| format!("dir:{}", place.join("shared").display())).into();
        stack.mounts = mounts;
        stack
    }

    fn on_redis(nodes: usize) -> Self {
        let redis = RedisServer::start();
        let servers = vec![redis.unix_url(); nodes];
        let cost = Cost { apply: 1, fetch: 1, sync: 1 };
        let (turn, directory) = (AtomicUsize::new(0), TempDir::new().unwrap());
        Self { servers, cost, turn, mounts: Vec::new(), directory, _redis: Some(redis) }
    }

    /// Server and tier of the node whose turn it is.
    fn node(&self) -> (&str, String) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.servers.len();
        let tier = format!("local:{}/node{turn}?size=256M", self.directory.path().display());
        (self.servers[turn].as_str(), tier)
    }
}

impl Fixture for Stack {
    fn open(&self) -> Arc<dyn Backend> {
        let (server, tier) = self.node();
        let options = [("server", server), ("node_tier", &tier), ("read_timeout", "30"), ("lock_lease", "1")];
        open_backend(&Config::from_options(options).unwrap()).unwrap()
    }

    fn peer(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
        let (server, tier) = self.node();
        command.args([
            format!("server={server}"),
            format!("node_tier={tier}"),
            "read_timeout=30".into(),
            "--".into(),
        ]);
        command
    }

    fn cost(&self) -> Cost {
        self.cost
    }
}

mod on_dir {
    use super::Stack;
    larder_testkit::conformance_suite!(Stack::on_dir());
}

mod on_mounts {
    use super::Stack;
    larder_testkit::conformance_suite!(Stack::on_mounts());
    larder_testkit::lock_conformance_suite!(Stack::on_mounts());
}

mod on_redis {
    use super::Stack;
    larder_testkit::conformance_suite!(Stack::on_redis(1));
}

/// Each sees what the other wrote only through the log.
mod two_nodes {
    use super::Stack;
    larder_testkit::conformance_suite!(Stack::on_redis(2));
}
