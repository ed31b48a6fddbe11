//! The conformance suite on stacks: the node tier in front of a shared directory, and of Redis.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use larder::{Backend, Config, open_backend};
use larder_testkit::RedisServer;
use larder_testkit::conformance::{Cost, Fixture};
use tempfile::TempDir;

/// A server, and nodes with a tier each. Handles and peers are on the nodes in turn.
struct Stack {
    server: String,
    cost: Cost,
    nodes: usize,
    turn: AtomicUsize,
    directory: TempDir,
    _redis: Option<RedisServer>,
}

impl Stack {
    fn on_dir(nodes: usize) -> Self {
        let directory = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        let server = format!("dir:{}", directory.path().join("shared").display());
        // An entry that the tier holds costs no more than the sync.
        let cost = Cost { apply: 7, fetch: 3, sync: 3 };
        Self { server, cost, nodes, turn: AtomicUsize::new(0), directory, _redis: None }
    }

    fn on_redis(nodes: usize) -> Self {
        let redis = RedisServer::start();
        let (server, cost) = (redis.unix_url(), Cost { apply: 1, fetch: 1, sync: 1 });
        let directory = TempDir::new().unwrap();
        Self { server, cost, nodes, turn: AtomicUsize::new(0), directory, _redis: Some(redis) }
    }

    fn node_tier(&self) -> String {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.nodes;
        format!("local:{}/node{turn}?size=256M", self.directory.path().display())
    }
}

impl Fixture for Stack {
    fn open(&self) -> Arc<dyn Backend> {
        let tier = self.node_tier();
        let options = [("server", self.server.as_str()), ("node_tier", &tier), ("read_timeout", "30")];
        open_backend(&Config::from_options(options).unwrap()).unwrap()
    }

    fn peer(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tier_peer"));
        command.arg(&self.server).arg(self.node_tier());
        command
    }

    fn cost(&self) -> Cost {
        self.cost
    }
}

mod on_dir {
    use super::Stack;
    larder_testkit::conformance_suite!(Stack::on_dir(1));
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
