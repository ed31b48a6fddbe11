//! R26 among processes: how often a value is computed after a purge, and what that costs those who
//! need not wait.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use larder::{Config, Store};
use larder_testkit::RedisServer;
use tempfile::TempDir;

const NAMESPACE: &str = "fills";

/// A process, see `src/bin/fill_worker.rs`.
struct Worker {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// One on the node whose directory for temporary files this is.
    fn start(server: &RedisServer, node: &Path, keys: usize, cost: u64) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_fill_worker"))
            .args([server.unix_url(), NAMESPACE.to_owned(), keys.to_string(), cost.to_string()])
            .env_remove("XDG_RUNTIME_DIR")
            .env("TMPDIR", node)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, input, output: BufReader::new(output) }
    }

    fn tell(&mut self, command: &str) {
        writeln!(self.input, "{command}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).unwrap() > 0, "the process died");
        line.trim_end().to_owned()
    }

    fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.answer()
    }

    /// Keys waited for, those of them that were found, round trips.
    fn stats(&mut self) -> [u64; 3] {
        let answer = self.ask("stats");
        let mut numbers = answer.split(' ').map(|number| number.parse().unwrap());
        [(); 3].map(|()| numbers.next().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Processes of one node whose memory holds all keys.
struct Fleet {
    server: RedisServer,
    node: TempDir,
    keys: usize,
    workers: Vec<Worker>,
}

impl Fleet {
    fn warm(size: usize, keys: usize, cost: u64) -> Self {
        let (server, node) = (RedisServer::start(), TempDir::new().unwrap());
        let mut workers: Vec<_> =
            (0..size).map(|_| Worker::start(&server, node.path(), keys, cost)).collect();
        workers.first_mut().unwrap().ask("fill");
        let mut fleet = Self { server, node, keys, workers };
        assert_eq!(fleet.pages("page"), vec![0; keys], "nothing is missing");
        fleet
    }

    fn purge(&self) {
        let options = [("server", self.server.unix_url()), ("namespace", NAMESPACE.to_owned())];
        let options = options.iter().map(|(name, value)| (*name, value.as_str()));
        Store::open(&Config::from_options(options).unwrap())
            .unwrap()
            .cache("values")
            .unwrap()
            .purge()
            .unwrap();
    }

    /// All read a page at once, each from another key on. How often each key was computed.
    fn pages(&mut self, command: &str) -> Vec<usize> {
        for (number, worker) in self.workers.iter_mut().enumerate() {
            worker.tell(&format!("{command} {}", number % 3));
        }
        let mut computed = vec![0; self.keys];
        for worker in &mut self.workers {
            for key in worker.answer().split_ascii_whitespace() {
                *computed.get_mut(key.parse::<usize>().unwrap()).unwrap() += 1;
            }
        }
        computed
    }

    /// Commands that the server has executed, but for what this asks.
    fn commands(&self) -> u64 {
        let stats: String = self.server.tell(&["INFO", "commandstats"]);
        let calls = |line: &str| {
            let (name, calls) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let calls = calls.split(',').next()?.parse::<u64>().ok()?;
            (!matches!(name, "info" | "hello" | "client|setinfo")).then_some(calls)
        };
        stats.lines().filter_map(calls).sum()
    }

    fn has_table(&self) -> bool {
        let user = rustix::process::geteuid().as_raw();
        self.node.path().join(format!("larder-{user}")).join("fills").exists()
    }
}

impl Fleet {
    /// Waits that ended without a value.
    fn in_vain(&mut self) -> u64 {
        self.workers.iter_mut().map(Worker::stats).map(|[awaited, found, _]| awaited - found).sum()
    }

    /// Whether no value was computed more than twice but by those who have waited for as long as
    /// anybody may: on a machine that is busy with other things the first may be too late.
    fn computes_at_most_twice(&mut self) -> bool {
        let before = self.in_vain();
        let computed = self.pages("page");
        let in_vain = self.in_vain() - before;
        println!("{} processes: {computed:?}, {in_vain} waits in vain", self.workers.len());
        assert!(computed.iter().all(|count| *count > 0));
        computed.iter().map(|count| count.saturating_sub(2) as u64).sum::<u64>() <= in_vain
    }
}

fn computed_after_a_purge(size: usize) {
    let mut fleet = Fleet::warm(size, 6, 20);
    let tried = (0..3).any(|_| {
        fleet.purge();
        fleet.computes_at_most_twice()
    });
    assert!(tried);
    assert_eq!(fleet.pages("page"), vec![0; fleet.keys]);
}

#[test]
fn eight_processes_compute_each_value_at_most_twice() {
    computed_after_a_purge(8);
}

#[test]
fn sixty_four_processes_compute_each_value_at_most_twice() {
    computed_after_a_purge(64);
}

#[test]
fn two_processes_do_and_so_do_those_of_a_server_that_lost_everything() {
    computed_after_a_purge(2);
    let mut fleet = Fleet::warm(4, 6, 20);
    fleet.server.restart_empty();
    assert!(fleet.computes_at_most_twice());
}

/// Whether one computes what the dead did not. On a machine that is busy with other things waits
/// may end before that.
fn one_takes_over(fleet: &mut Fleet) -> bool {
    fleet.purge();
    let mut holder = fleet.workers.pop().unwrap();
    assert_eq!(holder.ask("get 0"), "true", "it computes");
    for worker in &mut fleet.workers {
        worker.tell("page 0");
    }
    // All wait for it, or will.
    holder.process.kill().unwrap();
    holder.process.wait().unwrap();
    let computed =
        fleet.workers.iter_mut().filter_map(|worker| (worker.answer() == "0").then_some(())).count();
    println!("{computed} computed");
    (1..=2).contains(&computed)
}

#[test]
fn nobody_waits_for_the_dead() {
    let mut fleet = Fleet::warm(10, 1, 20);
    assert!((0..3).any(|_| one_takes_over(&mut fleet)));
}

#[test]
fn what_nobody_stores_is_waited_for_once() {
    let mut fleet = Fleet::warm(8, 4, 1);
    fleet.purge();
    assert_eq!(fleet.pages("barren"), vec![8; 4]);
    let waited: Vec<u64> = fleet.workers.iter_mut().map(|worker| worker.stats()[0]).collect();
    assert!(waited.iter().all(|keys| *keys <= 4), "{waited:?}");
    for _ in 0..3 {
        assert_eq!(fleet.pages("barren"), vec![8; 4]);
    }
    let later: Vec<u64> = fleet.workers.iter_mut().map(|worker| worker.stats()[0]).collect();
    assert_eq!(later, waited, "known to be barren");
}

#[test]
fn warm_pages_cost_nothing_more() {
    let mut fleet = Fleet::warm(2, 6, 1);
    let cost = |fleet: &mut Fleet| {
        let (commands, trips) =
            (fleet.commands(), fleet.workers.iter_mut().map(|it| it.stats()[2]).sum::<u64>());
        assert_eq!(fleet.pages("page"), vec![0; 6]);
        [fleet.commands() - commands, fleet.workers.iter_mut().map(|it| it.stats()[2]).sum::<u64>() - trips]
    };
    cost(&mut fleet);
    let warm = cost(&mut fleet);
    assert_eq!(warm[1], 2, "a sync each");
    assert!(!fleet.has_table(), "nobody has looked for leases");
    fleet.purge();
    fleet.pages("page");
    assert!(fleet.has_table());
    fleet.pages("page");
    assert_eq!(cost(&mut fleet), warm, "nor in the time after a purge");
}
