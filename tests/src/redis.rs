//! Short ways to say what tests of the Redis backend say often.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test fails by panicking")]

use std::process::Command;
use std::sync::Arc;

use larder::contract::{Backend, CacheId, Guard, Op, Outcome, Position, Read};
use larder::testing::redis::{Redis, Settings};
use larder::{Config, Error, ErrorKind};
use larder_testkit::conformance::Fixture;

/// The read timeout of [`open`], in milliseconds.
pub const READ_TIMEOUT: u64 = 400;

/// A handle on the namespace `t` of the server at `url`.
pub fn open(url: &str) -> Redis {
    open_with(url, &[])
}

/// A handle on another namespace, which may be one that the configuration would refuse.
pub fn open_in(url: &str, namespace: &str) -> Redis {
    let mut settings = settings(url, &[]);
    namespace.clone_into(&mut settings.namespace);
    Redis::new(settings)
}

/// A handle with other options.
pub fn open_with(url: &str, options: &[(&str, &str)]) -> Redis {
    Redis::new(settings(url, options))
}

fn settings(url: &str, options: &[(&str, &str)]) -> Settings {
    let mut all = vec![("server", url)];
    let defaults = [("namespace", "t"), ("read_timeout", "0.4"), ("connect_timeout", "1")];
    all.extend(defaults.iter().filter(|(name, _)| !options.iter().any(|(other, _)| other == name)));
    all.extend(options);
    Settings::of(&Config::from_options(all).unwrap()).unwrap()
}

/// A namespace of a server that others use, too, for the conformance suite.
pub struct Site {
    options: Vec<String>,
    peer: &'static str,
}

impl Site {
    /// The namespace of this number; `peer` is the program of that name.
    pub fn new(url: &str, number: usize, peer: &'static str) -> Self {
        let (server, namespace) = (format!("server={url}"), format!("namespace=site{number}"));
        let options = [&*server, &namespace, "read_timeout=10", "connect_timeout=10", "lock_lease=1"];
        Self { options: options.map(str::to_owned).into(), peer }
    }
}

impl Fixture for Site {
    fn open(&self) -> Arc<dyn Backend> {
        let options = self.options.iter().filter_map(|option| option.split_once('='));
        Arc::new(Redis::new(Settings::of(&Config::from_options(options).unwrap()).unwrap()))
    }

    fn peer(&self) -> Command {
        let mut command = Command::new(self.peer);
        command.args(&self.options).arg("--");
        command
    }
}

/// The logged cache of these tests.
pub fn cache() -> CacheId {
    CacheId::new("c", true).unwrap()
}

/// An unlogged cache.
pub fn unlogged() -> CacheId {
    CacheId::new("c", false).unwrap()
}

/// Stores an entry.
pub fn set<'a>(cache: &'a CacheId, key: &'a [u8], entry: &'a [u8]) -> Op<'a> {
    Op::Set { cache, key, entry, expires: None, guard: None, lock: None }
}

/// Stores an entry if nothing happened to it since `guard`.
pub fn fill<'a>(cache: &'a CacheId, key: &'a [u8], entry: &'a [u8], guard: Position) -> Op<'a> {
    let guard = Guard::Fill { missed: guard, value: entry.len() };
    Op::Set { cache, key, entry, expires: None, guard: Some(guard), lock: None }
}

/// Removes an entry.
pub fn delete<'a>(cache: &'a CacheId, key: &'a [u8]) -> Op<'a> {
    Op::Delete { cache, key }
}

/// Does one thing that must succeed.
pub fn make(backend: &Redis, op: Op<'_>) -> Outcome {
    *backend.apply(None, &[op]).unwrap().outcomes.first().unwrap()
}

/// The entry under a key of [`cache`].
pub fn get(backend: &Redis, key: &[u8]) -> Option<Vec<u8>> {
    backend.fetch(None, &[Read { cache: &cache(), key }]).unwrap().entries.pop().flatten()
}

/// The position now.
pub fn here(backend: &Redis) -> Position {
    backend.fetch(None, &[]).unwrap().delta.position
}

/// The kind and the words of an error.
pub fn refused<T>(result: Result<T, Error>) -> (ErrorKind, String) {
    let error = result.err().unwrap();
    (error.kind(), error.to_string())
}

/// The round trips of `work`.
pub fn trips<T>(backend: &Redis, work: impl FnOnce(&Redis) -> T) -> u64 {
    let before = backend.round_trips();
    work(backend);
    backend.round_trips() - before
}
