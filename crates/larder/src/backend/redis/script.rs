//! A script, to be sent by its hash or whole.

use redis::{Cmd, cmd};

/// One script.
#[derive(Debug)]
pub(super) struct Script {
    text: &'static str,
    compiled: redis::Script,
}

impl Script {
    pub(super) fn new(text: &'static str) -> Self {
        Self { text, compiled: redis::Script::new(text) }
    }

    pub(super) fn cached(&self) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(self.compiled.get_hash());
        command
    }

    /// Makes the server keep the script, too.
    pub(super) fn whole(&self) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(self.text);
        command
    }
}
