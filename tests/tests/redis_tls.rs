//! TLS: who the server is, is always verified.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use larder::{Backend, ErrorKind};
use larder_testkit::{RedisServer, free_port};
use larder_tests::redis::{cache, get, make, open_with, refused, set};
use tempfile::TempDir;

fn openssl(directory: &Path, command: &str) {
    let done = Command::new("openssl")
        .args(command.split_whitespace())
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| unreachable!("these tests need openssl: apt-get install openssl ({error})"));
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
}

/// An authority's certificate, in a directory with its key.
fn authority(directory: &Path, name: &str) -> PathBuf {
    openssl(
        directory,
        &format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem \
             -addext basicConstraints=critical,CA:TRUE"
        ),
    );
    directory.join(format!("{name}.pem"))
}

#[test]
fn a_server_is_trusted_by_its_authority_and_its_name() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let (ours, theirs) = (authority(directory.path(), "ours"), authority(directory.path(), "theirs"));
    openssl(
        directory.path(),
        "req -newkey rsa:2048 -nodes -subj /CN=server -keyout key.pem -out request.pem",
    );
    std::fs::write(at("names"), "subjectAltName=DNS:localhost").unwrap();
    openssl(
        directory.path(),
        "x509 -req -in request.pem -CA ours.pem -CAkey ours.key -CAcreateserial -days 2 -extfile names -out cert.pem",
    );
    let port = free_port().to_string();
    let (certificate, key, ca) = (at("cert.pem"), at("key.pem"), at("ours.pem"));
    let server = RedisServer::start_with(&[
        "tls-port",
        &port,
        "tls-cert-file",
        &certificate,
        "tls-key-file",
        &key,
        "tls-ca-cert-file",
        &ca,
        "tls-auth-clients",
        "no",
    ]);

    let open = |host: &str, ca: Option<&Path>| {
        let (url, ca) = (format!("rediss://{host}:{port}"), ca.map(|ca| ca.display().to_string()));
        let mut options = vec![("read_timeout", "10")];
        options.extend(ca.as_deref().map(|ca| ("ca_file", ca)));
        open_with(&url, &options)
    };
    let backend = open("localhost", Some(&ours));
    make(&backend, set(&cache(), b"k", b"v"));
    assert_eq!(get(&backend, b"k").unwrap(), b"v");

    for (case, backend) in [
        ("another authority", open("localhost", Some(&theirs))),
        ("the system's authorities", open("localhost", None)),
        ("another name", open("127.0.0.1", Some(&ours))),
    ] {
        let (kind, words) = refused(backend.fetch(None, &[]));
        assert_eq!(kind, ErrorKind::Unavailable, "{case}: {words}");
        assert!(words.to_lowercase().contains("certificate"), "{case}: {words}");
    }
    let (kind, words) = refused(open("localhost", Some(Path::new("/nowhere.pem"))).fetch(None, &[]));
    assert_eq!(kind, ErrorKind::Refused, "{words}");
    drop(server);
}
