//! Certificates, and a server that shows one.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use larder_testkit::{RedisServer, free_port};
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
pub fn authority(directory: &Path, name: &str) -> PathBuf {
    openssl(
        directory,
        &format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem \
             -addext basicConstraints=critical,CA:TRUE"
        ),
    );
    directory.join(format!("{name}.pem"))
}

/// The certificate of `localhost`, by an authority of its own.
pub struct Identity {
    directory: TempDir,
    /// The authority's certificate.
    pub ca: PathBuf,
}

impl Identity {
    /// A new one.
    pub fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let ca = authority(directory.path(), "ours");
        openssl(
            directory.path(),
            "req -newkey rsa:2048 -nodes -subj /CN=server -keyout key.pem -out request.pem",
        );
        std::fs::write(directory.path().join("names"), "subjectAltName=DNS:localhost").unwrap();
        openssl(
            directory.path(),
            "x509 -req -in request.pem -CA ours.pem -CAkey ours.key -CAcreateserial -days 2 -extfile names -out \
             cert.pem",
        );
        Self { directory, ca }
    }

    /// A file of it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A server that shows it, and the port for TLS.
    pub fn server(&self) -> (RedisServer, u16) {
        let port = free_port();
        let text = |name| self.path(name).display().to_string();
        let server = RedisServer::start_with(&[
            "tls-port",
            &port.to_string(),
            "tls-cert-file",
            &text("cert.pem"),
            "tls-key-file",
            &text("key.pem"),
            "tls-ca-cert-file",
            &text("ours.pem"),
            "tls-auth-clients",
            "no",
        ]);
        (server, port)
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}
