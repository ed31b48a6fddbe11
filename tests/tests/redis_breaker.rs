//! What one process of a node finds wrong with its own settings, or with one call, costs its
//! neighbours nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::thread;
use std::time::Duration;

use larder::Stats;
use larder::contract::Backend as _;
use larder::contract::Op;
use larder::{Cache, Config, ErrorKind, Store};
use larder_testkit::{Proxy, RedisServer, free_port};
use larder_tests::redis::{cache, open, refused};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Reads of a neighbour, each of which asks the server.
const READS: usize = 100;

struct Process {
    store: Store,
    cache: Cache,
}

/// A process of this node. Those with one URL share what they know of the server.
fn process(url: &str, more: &[(&str, &str)]) -> Process {
    let own = [("server", url), ("namespace", "breaker"), ("read_timeout", "10"), ("connect_timeout", "5")];
    let own = own.into_iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    let store = Store::open(&Config::from_options(own.chain(more.iter().copied())).unwrap()).unwrap();
    let cache = store.cache("c").unwrap();
    Process { store, cache }
}

impl Process {
    fn reads(&self) -> bool {
        self.store.sync().is_ok() && self.cache.get::<u8>("k").is_ok_and(|value| value == Some(1))
    }
}

/// All reads of `neighbour` succeed, while the other does every so often what does not work.
fn spares(neighbour: &Process, mut trouble: impl FnMut()) {
    neighbour.cache.set("k", &1_u8).unwrap();
    let mut read = 0;
    for number in 0..READS {
        if number % 20 == 0 {
            trouble();
        }
        read += usize::from(neighbour.reads());
    }
    assert_eq!(read, READS);
    let Stats { available, .. } = neighbour.store.stats();
    assert!(available);
    let events = neighbour.store.events();
    assert!(!events.iter().any(|line| line.contains("nothing is cached")), "{events:?}");
}

/// Text that cannot be compressed.
fn noise(length: usize) -> String {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b' ' + state.to_be_bytes()[0] % 64)
    };
    (0..length).map(next).collect()
}

#[test]
fn one_who_waits_two_milliseconds() {
    let server = RedisServer::start();
    let proxy = Proxy::new(server.port());
    let neighbour = process(&proxy.url(), &[]);
    assert!(neighbour.cache.set("k", &1_u8).is_ok());
    proxy.delay(Duration::from_millis(20));
    let hasty = process(&proxy.url(), &[("read_timeout", "0.002")]);
    spares(&neighbour, || assert!(hasty.store.sync().is_err()));
}

#[test]
fn an_entry_that_the_server_does_not_take() {
    let server = RedisServer::start();
    let _: String = server.tell(&["CONFIG", "SET", "proto-max-bulk-len", "1048576"]);
    let one = process(&server.tcp_url(), &[("read_timeout", "1")]);
    let (neighbour, large) = (process(&server.tcp_url(), &[]), noise(3 << 20));
    spares(&neighbour, || assert!(one.cache.set("large", &large).is_err()));
    assert!(one.reads(), "nor itself");
    // What no server takes is not sent.
    let (backend, large) = (open(&server.tcp_url()), vec![0; 520 << 20]);
    let op = Op::Set { cache: &cache(), key: b"k", entry: &large, expires: None, guard: None, lock: None };
    let (kind, words) = refused(backend.apply(None, &[op]));
    assert!(kind == ErrorKind::Refused && words.contains("520 MB"), "{words}");
    assert_eq!(backend.round_trips(), 0);
}

#[test]
fn a_large_set_on_a_slow_link() {
    let server = RedisServer::start();
    let proxy = Proxy::new(server.port());
    let (one, neighbour) = (process(&proxy.url(), &[("read_timeout", "0.3")]), process(&proxy.url(), &[]));
    let large = noise(16 << 20);
    assert!(one.cache.set("k", &1_u8).is_ok());
    spares(&neighbour, || {
        assert!(one.reads(), "it is connected");
        proxy.stall_requests(true);
        assert!(one.cache.set("large", &large).is_err());
        assert!(
            one.store.stats().available,
            "it says nothing of the server, to whoever waits as long or shorter"
        );
        proxy.stall_requests(false);
    });
}

#[test]
fn a_connection_that_was_closed_while_nobody_used_it() {
    let server = RedisServer::start();
    let proxy = Proxy::new(server.port());
    let (one, neighbour) = (process(&proxy.url(), &[("read_timeout", "1")]), process(&proxy.url(), &[]));
    assert!(one.cache.set("k", &1_u8).is_ok());
    spares(&neighbour, || {
        proxy.cut();
        // At once, so that nothing can be known of it. A read, a delete and a purge are repeated.
        let _ = one.cache.set("other", &2_u8);
        assert!(one.cache.delete("another").is_ok());
        proxy.cut();
        assert!(one.reads() && neighbour.reads());
        // A set is not, but nothing is sent on a connection that is known to be closed.
        proxy.cut();
        thread::sleep(Duration::from_millis(120));
        assert!(one.cache.set("other", &3_u8).is_ok());
    });
}

#[test]
fn wrong_credentials() {
    let server = RedisServer::start_with(&["requirepass", "sesame"]);
    let (url, password) = (server.tcp_url(), [("password", "sesame")]);
    let (neighbour, wrong) = (process(&url, &password), process(&url, &[("password", "simsalabim")]));
    // What it wants to be deleted is deleted by those who can.
    spares(&neighbour, || {
        assert!(wrong.store.sync().is_err() && wrong.cache.delete("other").is_err());
        assert!(neighbour.store.sync().is_ok() && neighbour.cache.get::<u8>("other").unwrap().is_none());
        neighbour.cache.set("other", &2_u8).unwrap();
        assert_eq!(neighbour.cache.get::<u8>("other").unwrap(), Some(2));
    });
    let said = wrong.store.health();
    assert!(said.reason.contains("WRONGPASS") && !said.reason.contains("simsalabim"), "{said:?}");
    let events = wrong.store.events();
    assert_eq!(events.iter().filter(|line| line.contains("cannot use")).count(), 1, "{events:?}");
}

#[test]
fn no_rights() {
    let server = RedisServer::start();
    let _: String =
        server.tell(&["ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@all", "-eval", "-evalsha"]);
    let neighbour = process(&server.tcp_url(), &[]);
    let reader = process(&server.tcp_url(), &[("username", "reader"), ("password", "pw")]);
    spares(&neighbour, || assert!(reader.cache.set("other", &1_u8).is_err()));
}

#[test]
fn no_descriptors() {
    let server = RedisServer::start();
    let (one, neighbour) = (process(&server.tcp_url(), &[]), process(&server.tcp_url(), &[]));
    let limit = getrlimit(Resource::Nofile);
    spares(&neighbour, || {
        setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..limit }).unwrap();
        let said = one.store.sync();
        setrlimit(Resource::Nofile, limit).unwrap();
        assert!(said.is_err());
    });
}

#[test]
fn that_the_server_is_away_is_everybodys_and_so_is_its_return() {
    let mut server = RedisServer::start();
    let (one, other) = (process(&server.tcp_url(), &[]), process(&server.tcp_url(), &[]));
    assert!(one.cache.set("k", &1_u8).is_ok() && other.reads());
    server.kill();
    assert!(one.store.sync().is_err());
    let trips = other.store.stats().round_trips;
    let said = other.store.sync().unwrap_err();
    assert!(said.to_string().contains("Connection refused"), "{said}");
    assert_eq!(other.store.stats().round_trips, trips, "it was not asked");
    assert!(other.store.health().reason.contains("Connection refused"));
    server.restart();
    one.store.reach().unwrap();
    assert!(other.store.sync().is_ok(), "known to all");
    let events = [one.store.events(), other.store.events()].concat();
    assert_eq!(events.len(), 2, "once a node: {events:?}");
}

#[test]
fn each_reason_comes_with_what_to_do() {
    let server = RedisServer::start_with(&["requirepass", "sesame"]);
    let away = format!("redis://127.0.0.1:{}", free_port());
    let proxy = Proxy::new(server.port());
    proxy.stall_requests(true);
    for (url, more, reason, advice) in [
        (&*away, &[][..], "Connection refused", "port"),
        ("redis://no-such-host.invalid", &[], "lookup", "name"),
        (&server.tcp_url(), &[("password", "x")], "WRONGPASS", "password"),
        (&proxy.url(), &[("read_timeout", "0.2")], "no answer in time", "read_timeout"),
    ] {
        let store = process(url, more).store;
        let error = store.reach().unwrap_err();
        assert!(
            error.to_string().contains(reason) && error.advice().contains(advice),
            "{error} {}",
            error.advice()
        );
        let kept = store.health().reason;
        assert!(kept.contains(reason), "{kept}");
    }
}
