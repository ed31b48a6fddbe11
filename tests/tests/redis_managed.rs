//! Servers as services run them, which refuse what `docs/redis.md` lists: all holds there as well,
//! or they are refused for the reason that stands there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;
use std::sync::Arc;

use larder::contract::{Backend, Outcome};
use larder::testing::redis::{Redis, Settings};
use larder::{Config, ErrorKind};
use larder_testkit::conformance::Fixture;
use larder_testkit::{Managed, Refuses};
use larder_tests::redis::{cache, delete, get, here, make, open, refused, set, unlogged};
use redis::Value;

/// All that any service refuses of what Larder asks for, but for what it cannot do without.
const EVERYTHING: Refuses = Refuses {
    commands: &["role", "config", "hpexpireat", "client", "debug", "script"],
    in_scripts: &["time", "info", "role", "config", "scan"],
    undeclared_keys: true,
    facts: &[],
};

struct OnService(Managed);

impl OnService {
    fn start() -> Self {
        Self(Managed::start(EVERYTHING))
    }
}

impl Fixture for OnService {
    fn open(&self) -> Arc<dyn Backend> {
        let url = self.0.url();
        let options = [
            ("server", url.as_str()),
            ("namespace", "conformance"),
            ("read_timeout", "20"),
            ("lock_lease", "1"),
        ];
        Arc::new(Redis::new(Settings::of(&Config::from_options(options).unwrap()).unwrap()))
    }

    fn judges_far_fills(&self) -> bool {
        false
    }

    fn peer(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
        command.arg(format!("server={}", self.0.url()));
        command.args(["namespace=conformance", "read_timeout=20", "lock_lease=1", "--"]);
        command
    }
}

larder_testkit::conformance_suite!(OnService::start());
larder_testkit::lock_conformance_suite!(OnService::start());

/// Nobody could tell when it lost what it acknowledged.
#[test]
fn a_service_that_does_not_say_who_it_is_is_refused() {
    for facts in [&["run_id:"][..], &["master_replid:"]] {
        let service = Managed::start(Refuses { facts, ..Refuses::default() });
        let (kind, words) = refused(open(&service.url()).fetch(None, &[]));
        assert_eq!(kind, ErrorKind::Refused);
        assert!(words.contains("run_id") && words.contains("lost"), "{words}");
    }
}

#[test]
fn what_is_refused_is_told() {
    let facts = open(&Managed::start(EVERYTHING).url()).describe().unwrap();
    assert_eq!(facts.text("refused_commands"), Some("TIME and INFO in scripts, ROLE, HPEXPIREAT"));
}

/// The same as where scripts can compare: a server that has become another is emptied before it
/// serves.
#[test]
fn another_identity_is_noticed_where_scripts_may_not_ask_for_it() {
    let service = Managed::start(EVERYTHING);
    let (reader, cache) = (open(&service.url()), cache());
    make(&reader, set(&cache, b"k", b"old"));
    make(&reader, set(&unlogged(), b"k", b"kept"));
    let position = here(&reader);
    let _: Value = service.server().tell(&["HSET", "{t:0}m", "cert", "of another server"]);
    let late = open(&service.url());
    assert_eq!(get(&late, b"k"), None);
    assert!(late.fetch(Some(position), &[]).unwrap().delta.reset);
    assert_ne!(here(&late).incarnation, position.incarnation);
}

/// What empties everything finds everything there, too.
#[test]
fn a_lost_registry_is_made_again() {
    let service = Managed::start(EVERYTHING);
    let backend = open(&service.url());
    make(&backend, set(&unlogged(), b"k", b"v"));
    let _: Value = service.server().tell(&["DEL", "{t:0}c"]);
    assert_eq!(open(&service.url()).usage().unwrap().len(), 1);
    backend.reset().unwrap();
    assert!(backend.usage().unwrap().is_empty());
}

/// A clock that is a stream takes memory, deletes take none.
#[test]
fn a_full_service_takes_deletes() {
    let service = Managed::start(EVERYTHING);
    let (backend, cache) = (open(&service.url()), cache());
    make(&backend, set(&cache, b"k", b"v"));
    let _: Value = service.server().tell(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(refused(backend.apply(None, &[set(&cache, b"k", b"new")])).0, ErrorKind::Refused);
    assert_eq!(make(&backend, delete(&cache, b"k")), Outcome::Deleted { existed: true });
}
