//! The conformance suite on `local:`.

use std::process::Command;
use std::sync::Arc;

use larder::Config;
use larder::contract::Backend;
use larder_testkit::conformance::Fixture;
use tempfile::TempDir;

struct LocalFixture {
    directory: TempDir,
}

impl LocalFixture {
    fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    fn url(&self) -> String {
        format!("local:{}/store?size=256M", self.directory.path().display())
    }
}

impl Fixture for LocalFixture {
    fn open(&self) -> Arc<dyn Backend> {
        let config = Config::from_options([("server", self.url().as_str()), ("lock_lease", "1")]);
        larder::engine::open_backend(&config.unwrap()).unwrap()
    }

    fn peer(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
        command.arg(format!("server={}", self.url())).args(["lock_lease=1", "--"]);
        command
    }
}

larder_testkit::conformance_suite!(LocalFixture::new());
larder_testkit::lock_conformance_suite!(LocalFixture::new());
