//! Proving who we are: passwords and certificates that change while a server is in use.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use larder::ErrorKind;
use larder::contract::Backend;
use larder::testing::redis::Redis;
use larder_testkit::{Proxy, RedisServer};
use larder_tests::redis::{cache, get, here, make, open_with, refused, set};
use larder_tests::tls::Identity;
use redis::Value;
use tempfile::TempDir;

/// The options of a test that waits for its server and nothing else.
const PATIENT: [(&str, &str); 2] = [("read_timeout", "10"), ("connect_timeout", "10")];

fn change_password(server: &RedisServer, to: &str) {
    let _: Value = server.tell(&["ACL", "SETUSER", "bob", "reset", "on", &format!(">{to}"), "~*", "+@all"]);
    let _: Value = server.tell(&["CLIENT", "KILL", "USER", "bob"]);
}

fn write(path: &Path, password: &str) {
    fs::write(path, format!("{password}\nwhat follows is no part of it\n")).unwrap();
}

#[test]
fn a_password_file_is_read_for_each_connection() {
    let (server, place) = (RedisServer::start(), TempDir::new().unwrap());
    let path = place.path().join("password");
    let options = [("username", "bob"), ("password_file", path.to_str().unwrap())];
    let backend = open_with(&server.unix_url(), &options);
    let (kind, words) = refused(backend.fetch(None, &[]));
    assert!(kind == ErrorKind::Refused && words.contains("password_file"), "{words}");
    for password in ["first-secret", "second-secret"] {
        change_password(&server, password);
        write(&path, password);
        here(&backend);
    }
    change_password(&server, "third-secret");
    let (kind, words) = refused(backend.fetch(None, &[]));
    assert_eq!(kind, ErrorKind::Refused);
    assert!(words.contains("WRONGPASS") && !words.contains("secret"), "{words}");
}

/// It is not run for each connection, but again once the server takes its password no longer.
#[test]
fn a_password_command_is_run_when_need_be() {
    let (server, place) = (RedisServer::start(), TempDir::new().unwrap());
    let (path, runs) = (place.path().join("password"), place.path().join("runs"));
    let command = format!("echo run >> {}; cat {}", runs.display(), path.display());
    let backend = open_with(&server.unix_url(), &[("username", "bob"), ("password_command", &command)]);
    let runs = || fs::read_to_string(&runs).unwrap().lines().count();
    change_password(&server, "first");
    write(&path, "first");
    here(&backend);
    let _: Value = server.tell(&["CLIENT", "KILL", "USER", "bob"]);
    here(&backend);
    assert_eq!(runs(), 1);
    change_password(&server, "second");
    write(&path, "second");
    here(&backend);
    assert_eq!(runs(), 2);
    change_password(&server, "third");
    assert_eq!(refused(backend.fetch(None, &[])).0, ErrorKind::Refused);
    assert_eq!(runs(), 3, "once for each operation");
}

#[test]
fn a_password_command_that_hangs_ends_in_time() {
    let server = RedisServer::start();
    let options = [("password_command", "sleep 100"), ("connect_timeout", "0.2")];
    let (kind, words) = refused(open_with(&server.unix_url(), &options).fetch(None, &[]));
    assert!(kind == ErrorKind::Refused && words.contains("longer than connect_timeout"), "{words}");
}

fn open(identity: &Identity, port: u16, client: Option<&str>) -> Redis {
    let files =
        client.map(|name| [identity.text(&format!("{name}.pem")), identity.text(&format!("{name}.key"))]);
    let ca = identity.text("ours.pem");
    let mut options = Vec::from(PATIENT);
    options.extend([("ca_file", &*ca), ("username", "bob"), ("password", "secret")]);
    if let Some([certificate, key]) = &files {
        options.extend([("cert_file", &**certificate), ("key_file", key)]);
    }
    open_with(&format!("rediss://localhost:{port}"), &options)
}

/// Both sides' certificates are renewed while they are in use.
#[test]
fn certificates_are_renewed_under_way() {
    let identity = Identity::new();
    identity.issue("client", 2);
    let (server, port) = identity.server_with(&["tls-auth-clients", "yes"]);
    change_password(&server, "secret");
    let (kind, words) = refused(open(&identity, port, None).fetch(None, &[]));
    assert!(kind == ErrorKind::Unavailable && words.contains("ertificate"), "{words}");

    let backend = open(&identity, port, Some("client"));
    make(&backend, set(&cache(), b"k", b"v"));
    let reconnect = || {
        let _: Value = server.tell(&["CLIENT", "KILL", "USER", "bob"]);
        assert_eq!(get(&backend, b"k").unwrap(), b"v");
    };
    for name in ["server", "client"] {
        identity.issue(name, 2);
        reconnect();
    }
    let _: Value = server.tell(&[
        "CONFIG",
        "SET",
        "tls-cert-file",
        &identity.text("server.pem"),
        "tls-key-file",
        &identity.text("server.key"),
    ]);
    reconnect();

    // Between the two steps of a renewal the pair that was read before goes on.
    fs::copy(identity.path("server.key"), identity.path("client.key")).unwrap();
    reconnect();
    // One that has run out was read again: the server no longer takes it.
    identity.issue("client", -1);
    let _: Value = server.tell(&["CLIENT", "KILL", "USER", "bob"]);
    let (kind, words) = refused(backend.fetch(None, &[]));
    assert!(kind == ErrorKind::Unavailable && words.contains("ertificate"), "{words}");
    identity.issue("client", 2);
    reconnect();
}

#[test]
fn the_servers_name_may_be_given() {
    let identity = Identity::new();
    let (_server, port) = identity.server();
    let (url, ca) = (format!("rediss://127.0.0.1:{port}"), identity.text("ours.pem"));
    let with = |name: &str| {
        let mut options = Vec::from(PATIENT);
        options.extend([("ca_file", ca.as_str()), ("tls_server_name", name)]);
        open_with(&url, &options)
    };
    here(&with("localhost"));
    let (_, words) = refused(with("other.example").fetch(None, &[]));
    assert!(words.contains("the server's certificate was not accepted"), "{words}");
}

/// A session is resumed by a new connection, for which the server need not show its certificate
/// again.
#[test]
fn a_session_is_resumed() {
    let identity = Identity::new();
    let (_server, port) = identity.server_with(&["tls-protocols", "TLSv1.2"]);
    let proxy = Proxy::new(port);
    let mut options = Vec::from(PATIENT);
    let ca = identity.text("ours.pem");
    options.push(("ca_file", &ca));
    let backend = open_with(&format!("rediss://localhost:{}", proxy.port()), &options);
    let received = || {
        let before = proxy.bytes_received();
        here(&backend);
        proxy.bytes_received() - before
    };
    let first = received();
    proxy.cut();
    let second = received();
    let certificate = fs::metadata(identity.path("server.pem")).unwrap().len();
    assert!(second + certificate / 2 < first, "{second} of {first} bytes");
}
