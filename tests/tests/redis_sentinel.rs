//! The primary that sentinels name.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use larder::ErrorKind;
use larder::contract::Backend;
use larder::testing::redis::Redis;
use larder_testkit::conformance;
use larder_testkit::{RedisServer, Sentinels, free_port};
use larder_tests::redis::{Site, cache, delete, get, make, open_with, refused, set};
use larder_tests::tls::Identity;
use redis::Value;

/// How long anything may take to come right again.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn conformance() {
    let (service, number) = (Sentinels::start(), AtomicUsize::new(0));
    conformance::run_all(|| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        Site::new(&service.url(), number, env!("CARGO_BIN_EXE_peer"))
    });
}

fn open(url: &str) -> Redis {
    open_with(url, &[("read_timeout", "2"), ("connect_timeout", "2")])
}

/// Asks until the answer is no error.
fn await_get(backend: &Redis) -> Option<Vec<u8>> {
    let start = Instant::now();
    loop {
        match backend.fetch(None, &[larder::contract::Read { cache: &cache(), key: b"k" }]) {
            Ok(mut fetched) => return fetched.entries.pop().flatten(),
            Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_primary_is_replaced() {
    let mut service = Sentinels::start();
    let backend = open(&service.url());
    let node = || backend.describe().unwrap().text("node").unwrap().to_owned();
    let address = |number: usize, service: &Sentinels| format!("127.0.0.1:{}", service.server(number).port());
    make(&backend, set(&cache(), b"k", b"v"));
    assert_eq!(node(), address(service.await_primary(), &service));
    // In peace: the old primary runs on as if nothing had happened, and the connection to it, too.
    let before = service.await_primary();
    service.fail_over(|service| {
        assert_eq!(await_get(&backend), None);
        assert_ne!(node(), address(before, service), "the sentinels have spoken");
    });
    assert_eq!(await_get(&backend), None, "another server's entries do not count");
    assert_eq!(node(), address(service.await_primary(), &service));
    make(&backend, set(&cache(), b"k", b"w"));
    // By force.
    let killed = service.kill_primary();
    assert_eq!(await_get(&backend), None);
    make(&backend, set(&cache(), b"k", b"x"));
    service.restart(killed);
    assert_eq!(get(&backend, b"k").unwrap(), b"x");

    // Sentinels that are gone are not missed, as long as there is one.
    for number in 0..service.sentinels().len() {
        let another = open(&service.url());
        assert_eq!(get(&another, b"k").unwrap(), b"x", "without {number}");
        service.sentinels().get_mut(number).unwrap().kill();
    }
    let (kind, words) = refused(open(&service.url()).fetch(None, &[]));
    assert!(kind == ErrorKind::Unavailable && words.contains("no sentinel tells the primary"), "{words}");
    assert_eq!(get(&backend, b"k").unwrap(), b"x", "who knows the primary needs none");
}

/// Something that answers as a sentinel does: always the same.
fn says(primary: u16, epoch: u32) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (primary, epoch) = (primary.to_string(), epoch.to_string());
    let subscribed = "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n";
    let answer = format!(
        "*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{primary}\r\n*2\r\n$12\r\nconfig-epoch\r\n${}\r\n{epoch}\r\n{subscribed}{subscribed}",
        primary.len(),
        epoch.len()
    );
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut request = [0; 4096];
            if client.read(&mut request).is_ok_and(|read| read > 0) {
                let _ = client.write_all(answer.as_bytes());
            }
            // It goes on to hold the connection.
            let _ = client.read(&mut request);
        }
    });
    port
}

fn url(sentinels: &[u16]) -> String {
    let hosts: Vec<String> = sentinels.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("redis-sentinel://{}/larder", hosts.join(","))
}

#[test]
fn most_sentinels_are_believed_and_then_the_newest() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    make(&open(&new.unix_url()), set(&cache(), b"k", b"new"));
    let (stale, one, two) = (says(old.port(), 3), says(new.port(), 4), says(new.port(), 4));
    let nobody = free_port();
    for sentinels in [vec![stale, one, two], vec![stale, nobody, one], vec![nobody, one, stale], vec![one]] {
        assert_eq!(get(&open(&url(&sentinels)), b"k").unwrap(), b"new", "{sentinels:?}");
    }
    // One of them never answers.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent = silent.local_addr().map(|address| (address.port(), silent)).unwrap();
    assert_eq!(get(&open(&url(&[silent.0, one, two])), b"k").unwrap(), b"new");
    assert_eq!(old.tell::<usize>(&["DBSIZE"]), 0, "nobody asked it");
}

#[test]
fn a_server_that_is_a_replica_is_never_read() {
    let (primary, replica) = (RedisServer::start(), RedisServer::start());
    make(&open(&primary.unix_url()), set(&cache(), b"k", b"v"));
    replica.replicate(&primary);
    let backend = open(&url(&[says(replica.port(), 1)]));
    assert!(refused(backend.fetch(None, &[])).1.contains("READONLY"));
    assert_eq!(refused(backend.apply(None, &[delete(&cache(), b"k")])).0, ErrorKind::Refused);
    // One that is demoted while a connection is kept.
    let _: Value = replica.tell(&["REPLICAOF", "NO", "ONE"]);
    make(&backend, set(&cache(), b"k", b"w"));
    replica.replicate(&primary);
    assert!(refused(backend.fetch(None, &[])).1.contains("READONLY"));
}

/// Sentinels have credentials of their own; TLS is spoken with both.
#[test]
fn sentinels_have_credentials_of_their_own() {
    let identity = Identity::new();
    identity.issue("client", 2);
    let (server, port) = identity.server_with(&["tls-auth-clients", "yes", "port", "0"]);
    let _: Value = server.tell(&["ACL", "SETUSER", "bob", "on", ">secret", "~*", "+@all"]);
    let tls = ["cert", "key", "ca-cert"].map(|kind| {
        let file = match kind {
            "cert" => "server.pem",
            "key" => "server.key",
            _ => "ours.pem",
        };
        format!("tls-{kind}-file {}", identity.text(file))
    });
    let sentinel_port = free_port();
    let listens = format!("tls-port {sentinel_port}");
    let monitors = format!("sentinel monitor larder 127.0.0.1 {port} 1");
    let mut lines: Vec<&str> = tls.iter().map(String::as_str).collect();
    lines.extend([
        "tls-auth-clients yes",
        "tls-replication yes",
        &listens,
        "requirepass sentinels-secret",
        &monitors,
    ]);
    let _sentinel = RedisServer::start_sentinel(&lines);
    let url = format!("rediss-sentinel://bob:secret@localhost:{sentinel_port}/larder");
    let files = ["ours.pem", "client.pem", "client.key"].map(|name| identity.text(name));
    let [ca, certificate, key] = &files;
    let mut options = vec![
        ("ca_file", ca.as_str()),
        ("cert_file", certificate),
        ("key_file", key),
        ("tls_server_name", "localhost"),
        ("connect_timeout", "10"),
    ];
    let (kind, words) = refused(open_with(&url, &options).fetch(None, &[]));
    assert!(kind == ErrorKind::Refused && words.contains("sentinel_password"), "{words}");
    options.push(("sentinel_password", "sentinels-secret"));
    make(&open_with(&url, &options), set(&cache(), b"k", b"v"));
}
