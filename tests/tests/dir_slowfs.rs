//! The conformance suite with two nodes that mount one directory as NFS clients do: what each
//! caches, the other does not change there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use larder::Config;
use larder::contract::Backend;
use larder::engine::open_backend;
use larder_testkit::conformance::{Cost, Fixture};
use larder_testkit::slowfs::{self, Behaviour, Node, SlowFs};
use tempfile::TempDir;

/// Handles and peers are on the two nodes in turn. Where there is no FUSE, both are the directory
/// itself.
struct TwoNodes {
    paths: [PathBuf; 2],
    turn: AtomicUsize,
    _mounts: Vec<Node>,
    _directories: [TempDir; 3],
}

impl TwoNodes {
    fn new() -> Self {
        let directories = [(); 3].map(|()| TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap());
        let [exported, first, second] = directories.each_ref().map(TempDir::path);
        let turn = AtomicUsize::new(0);
        if !slowfs::available() {
            let paths = [exported.to_owned(), exported.to_owned()];
            return Self { paths, turn, _mounts: Vec::new(), _directories: directories };
        }
        let export = SlowFs::export(exported).unwrap();
        let mounts = [first, second].map(|path| export.mount(path, Behaviour::default()).unwrap());
        let paths = [first.to_owned(), second.to_owned()];
        Self { paths, turn, _mounts: mounts.into(), _directories: directories }
    }

    fn url(&self) -> String {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % 2;
        format!("dir:{}", self.paths.get(turn).unwrap().join("cache").display())
    }
}

impl Fixture for TwoNodes {
    fn open(&self) -> Arc<dyn Backend> {
        let url = self.url();
        let config =
            Config::from_options([("server", url.as_str()), ("read_timeout", "30"), ("lock_lease", "1")])
                .unwrap();
        open_backend(&config).unwrap()
    }

    fn peer(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
        // A machine that runs many tests at once is slow, which is not what these are about.
        command.arg(format!("server={}", self.url())).args(["read_timeout=30", "--"]);
        command
    }

    fn cost(&self) -> Cost {
        Cost { apply: 7, fetch: 4, sync: 3 }
    }
}

larder_testkit::conformance_suite!(TwoNodes::new());
larder_testkit::lock_conformance_suite!(TwoNodes::new());
