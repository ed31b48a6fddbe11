//! Real Redis servers, each with a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, net, thread};

use redis::Connection;
use rustix::process::{Pid, Signal, kill_process};

static SERVERS: AtomicU32 = AtomicU32::new(0);

/// How long a server may take to start or stop, and servers to agree.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes sure that `redis-server` can be run.
///
/// # Panics
/// If it cannot, saying how to install it.
pub fn require_redis() {
    let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    let runs = found.is_ok_and(|status| status.success());
    assert!(runs, "these tests need redis-server: apt-get install redis-server");
}

/// A running server. It listens on a socket in its directory and on a free port of the loopback
/// interface, saves nothing unless told to, and is gone with its directory when dropped.
#[derive(Debug)]
pub struct RedisServer {
    process: Option<Child>,
    directory: PathBuf,
    port: u16,
    options: Vec<String>,
    /// Whether it is a sentinel, which keeps what it knows in its configuration file.
    sentinel: bool,
}

impl RedisServer {
    /// Starts a server.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with more options, as in its configuration file: name, value, name, value.
    ///
    /// # Panics
    /// If the server does not start.
    pub fn start_with(options: &[&str]) -> Self {
        let mut server = Self::prepare();
        server.options = options.iter().map(|&option| option.to_owned()).collect();
        server.run();
        server
    }

    /// Starts a sentinel with these lines of configuration.
    pub fn start_sentinel(lines: &[&str]) -> Self {
        let mut server = Self::prepare();
        server.sentinel = true;
        sure(fs::write(server.configuration(), lines.join("\n")), "write the sentinel's configuration");
        server.run();
        server
    }

    fn prepare() -> Self {
        require_redis();
        let number = SERVERS.fetch_add(1, Ordering::Relaxed);
        let directory = env::temp_dir().join(format!("larder-redis-{}-{number}", std::process::id()));
        sure(fs::create_dir_all(&directory), "make the server's directory");
        Self { process: None, directory, port: free_port(), options: Vec::new(), sentinel: false }
    }

    /// The URL of its socket.
    pub fn unix_url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// The URL of its port.
    pub fn tcp_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it was started and not killed.
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A connection past Larder, to look and to meddle.
    ///
    /// # Panics
    /// If there is none to be had.
    pub fn connect(&self) -> Connection {
        sure(self.try_connect(), "connect to the test's server")
    }

    /// Sends one command past Larder.
    ///
    /// # Panics
    /// If the server refuses it.
    pub fn tell<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut words = redis::Cmd::new();
        for word in command {
            words.arg(word);
        }
        sure(words.query(&mut self.connect()), command.first().copied().unwrap_or_default())
    }

    /// Stops it in its tracks (`SIGSTOP`): connections are taken and bytes buffered, nothing is
    /// executed.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills it (`SIGKILL`).
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // An error means that it is dead already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Writes its content to a file, to be found by [`restart`](Self::restart).
    pub fn save(&self) {
        let _: String = self.tell(&["SAVE"]);
    }

    /// Kills it and starts it with what was saved last.
    pub fn restart(&mut self) {
        self.kill();
        self.run();
    }

    /// Kills it and starts it with nothing.
    pub fn restart_empty(&mut self) {
        self.kill();
        let _ = fs::remove_file(self.directory.join("dump.rdb"));
        self.run();
    }

    /// Adds an option, in force from its next start on.
    pub fn configure(&mut self, name: &str, value: &str) {
        self.options.extend([name.to_owned(), value.to_owned()]);
    }

    /// Makes it a replica and waits until it has all that the primary holds.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn replicate(&self, primary: &Self) {
        self.replicate_through(primary.port);
    }

    /// The same with the port of a proxy for the primary.
    pub fn replicate_through(&self, port: u16) {
        let _: String = self.tell(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
        self.wait_for("INFO", "replication", "master_link_status:up");
    }

    /// Waits until an answer to `command argument` contains `text`.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn wait_for(&self, command: &str, argument: &str, text: &str) {
        wait_until(&format!("{command} {argument} says {text}"), || {
            self.tell::<String>(&[command, argument]).contains(text)
        });
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("s")
    }

    fn configuration(&self) -> PathBuf {
        self.directory.join("sentinel.conf")
    }

    /// The same, if there is one.
    pub(crate) fn try_connect(&self) -> redis::RedisResult<Connection> {
        redis::Client::open(self.unix_url())?.get_connection_with_timeout(Duration::from_secs(5))
    }

    fn run(&mut self) {
        let _ = fs::remove_file(self.socket());
        let log = sure(fs::File::create(self.directory.join("log")), "make the server's log");
        let start = Instant::now();
        let mut command = Command::new("redis-server");
        if self.sentinel {
            command.arg(self.configuration()).arg("--sentinel");
        } else {
            command.args(["--save", "", "--repl-diskless-sync-delay", "0"]);
        }
        let child = command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--unixsocket", &self.socket().display().to_string()])
            .args(["--dir", &self.directory.display().to_string()])
            .args(["--loglevel", "warning"])
            .args(options(&self.options))
            .stdout(log)
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn();
        let mut child = sure(child, "run redis-server");
        // A server that is still loading, or wants a password, answers too.
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            let ended = sure(child.try_wait(), "look after redis-server");
            if ended.is_some() || start.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                unreachable!("redis-server does not start: {log}");
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.process = Some(child);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?));
        let process = process.unwrap_or_else(|| unreachable!("the server runs"));
        sure(kill_process(process, signal), "signal the server");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Waits for something that servers do among themselves.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let port = net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    sure(port, "find a free port").port()
}

fn options(options: &[String]) -> Vec<String> {
    let (names, values) = (options.iter().step_by(2), options.iter().skip(1).step_by(2));
    names.zip(values).flat_map(|(name, value)| [format!("--{name}"), value.clone()]).collect()
}

fn sure<T, E: std::fmt::Display>(result: Result<T, E>, what: &str) -> T {
    result.unwrap_or_else(|error| unreachable!("cannot {what}: {error}"))
}
