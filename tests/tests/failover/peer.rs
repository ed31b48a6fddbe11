//! Processes of their own that do what they are told.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use larder::contract::Tier;

use crate::support::await_that;

/// A process that does what it is told.
pub(crate) struct Peer {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// `prefix` is what comes before the program.
    pub(crate) fn start(prefix: &[String], options: &[(&str, &str)]) -> Self {
        let program = [env!("CARGO_BIN_EXE_peer").to_owned()];
        let words: Vec<&String> = prefix.iter().chain(&program).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(options.iter().map(|(name, value)| format!("{name}={value}")));
        let mut child =
            command.args(["--", "obey"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, orders, answers: BufReader::new(answers) }
    }

    pub(crate) fn tell(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    /// The next answer; empty if the process ended before.
    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        let _ = self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn ask(&mut self, order: &str) -> String {
        self.tell(order);
        self.answer()
    }

    pub(crate) fn await_tier(&mut self, tier: Tier) {
        await_that(tier.name(), || self.ask("tier") == tier.name());
    }

    /// `SIGKILL`; answers what it had still said.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::iter::from_fn(|| Some(self.answer()).filter(|answer| !answer.is_empty())).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
