//! TLS: who the server is, is always verified.

use std::path::Path;

use larder::ErrorKind;
use larder::contract::Backend;
use larder::testing::redis::Redis;
use larder_testkit::{Answers, Proxy};
use larder_tests::redis::{cache, get, here, make, open_with, refused, set, trips};
use larder_tests::tls::{Identity, authority};

fn open(host: &str, port: u16, ca: Option<&Path>) -> Redis {
    let (url, ca) = (format!("rediss://{host}:{port}"), ca.map(|ca| ca.display().to_string()));
    let mut options = vec![("read_timeout", "10"), ("connect_timeout", "10")];
    options.extend(ca.as_deref().map(|ca| ("ca_file", ca)));
    open_with(&url, &options)
}

#[test]
fn a_server_is_trusted_by_its_authority_and_its_name() {
    let identity = Identity::new();
    let theirs = authority(&identity.path(""), "theirs");
    let (_server, port) = identity.server();
    let open = |host: &str, ca: Option<&Path>| open(host, port, ca);
    let backend = open("localhost", Some(&identity.ca));
    make(&backend, set(&cache(), b"k", b"v"));
    assert_eq!(get(&backend, b"k").unwrap(), b"v");

    for (case, backend) in [
        ("another authority", open("localhost", Some(&theirs))),
        ("the system's authorities", open("localhost", None)),
        ("another name", open("127.0.0.1", Some(&identity.ca))),
    ] {
        let error = backend.fetch(None, &[]).err().unwrap();
        let (words, advice) = (error.to_string(), error.advice());
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{case}: {words}");
        assert!(words.contains("the server's certificate was not accepted"), "{case}: {words}");
        assert!(advice.contains("ca_file") && !advice.contains("firewall"), "{case}: {advice}");
    }
    for (file, says) in [("/nowhere.pem", "No such file"), ("/dev/null", "there is no certificate in it")] {
        let (kind, words) = refused(open("localhost", Some(Path::new(file))).fetch(None, &[]));
        assert_eq!(kind, ErrorKind::Refused, "{words}");
        assert!(words.contains("ca_file") && words.contains(says), "{words}");
    }
}

/// The certificates that are trusted may be exchanged together with the server's.
#[test]
fn a_new_authority_is_trusted_once_the_old_one_fails() {
    let identity = Identity::new();
    let theirs = authority(&identity.path(""), "theirs");
    let file = identity.path("trusted.pem");
    std::fs::copy(&theirs, &file).unwrap();
    let (_server, port) = identity.server();
    let backend = open("localhost", port, Some(&file));
    assert_eq!(refused(backend.fetch(None, &[])).0, ErrorKind::Unavailable);
    std::fs::copy(&identity.ca, &file).unwrap();
    here(&backend);
}

/// What is asked and answered is the same as without TLS, however it comes.
#[test]
fn large_entries_and_quiet_syncs_pass() {
    let identity = Identity::new();
    let (server, port) = identity.server();
    let proxy = Proxy::new(port);
    let backend = open("localhost", proxy.port(), Some(&identity.ca));
    let large: Vec<u8> = (0..1_000_000_u32).map(|n| (n ^ (n >> 8)).to_le_bytes()[0]).collect();
    make(&backend, set(&cache(), b"k", &large));
    assert_eq!(get(&backend, b"k").unwrap(), large);
    let position = here(&backend);
    for _ in 0..3 {
        assert_eq!(trips(&backend, |backend| backend.fetch(Some(position), &[]).unwrap()), 1);
    }
    make(&backend, set(&cache(), b"k", b"v"));
    let delta = backend.fetch(Some(position), &[]).unwrap().delta;
    assert!(!delta.reset && delta.changes.len() == 1, "{delta:?}");
    proxy.answers(Answers::Garbage);
    assert_eq!(refused(backend.apply(None, &[set(&cache(), b"k", b"w")])).0, ErrorKind::Unavailable);
    proxy.answers(Answers::Pass);
    assert!(get(&backend, b"k").is_some());
    drop(server);
}

/// A server that speaks no TLS is not taken for one whose certificate is bad.
#[test]
fn a_server_without_tls_is_named_as_such() {
    let identity = Identity::new();
    let (server, _) = identity.server();
    let (kind, words) = refused(open("localhost", server.port(), Some(&identity.ca)).fetch(None, &[]));
    assert_eq!(kind, ErrorKind::Unavailable, "{words}");
    assert!(words.contains("TLS") && !words.contains("certificate"), "{words}");
}
