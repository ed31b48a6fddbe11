//! The conformance suite on a shared directory of this machine.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;
use std::sync::Arc;

use larder::Config;
use larder::contract::Backend;
use larder::engine::open_backend;
use larder_testkit::conformance::{Cost, Fixture};
use tempfile::TempDir;

struct Plain {
    directory: TempDir,
}

impl Plain {
    fn new() -> Self {
        // In memory if possible: a disk that syncs would be waited for some hundred thousand times.
        let directory = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        Self { directory }
    }

    fn url(&self) -> String {
        format!("dir:{}", self.directory.path().join("cache").display())
    }
}

impl Fixture for Plain {
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
        // open, lock, pread, pwrite, fdatasync, unlock, close; open, pread, pread, close; open,
        // pread, close.
        Cost { apply: 7, fetch: 4, sync: 3 }
    }
}

larder_testkit::conformance_suite!(Plain::new());
larder_testkit::lock_conformance_suite!(Plain::new());
