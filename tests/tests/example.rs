//! The conformance suite on the backend of `examples/backend.rs`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the example's own program is not run here")]
#[path = "../../crates/larder/examples/backend.rs"]
mod journal;

use std::process::Command;
use std::sync::Arc;

use larder::contract::Backend;
use larder_testkit::conformance::Fixture;
use tempfile::TempDir;

struct JournalFixture(TempDir);

impl Fixture for JournalFixture {
    fn open(&self) -> Arc<dyn Backend> {
        Arc::new(journal::Journal::open(&self.0.path().join("journal")).unwrap())
    }

    fn peer(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_journal_peer"));
        command.arg(self.0.path().join("journal"));
        command
    }
}

larder_testkit::conformance_suite!(JournalFixture(TempDir::new().unwrap()));
