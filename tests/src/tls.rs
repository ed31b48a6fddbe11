//! Certificates, and a server that shows one.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use larder_testkit::{RedisServer, free_port};
use tempfile::TempDir;

/// How keys are made.
const KEY: &str = "-newkey rsa:2048 -nodes";

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
            "req -x509 {KEY} -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem \
             -addext basicConstraints=critical,CA:TRUE"
        ),
    );
    directory.join(format!("{name}.pem"))
}

/// Certificates by an authority of their own: that of the server `localhost`, and those of clients.
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
        let identity = Self { directory, ca };
        identity.issue("server", 2);
        identity
    }

    /// A certificate for so many days, `NAME.pem`, with its key, `NAME.key`; in place of those of
    /// that name.
    pub fn issue(&self, name: &str, days: i32) {
        let directory = self.directory.path();
        openssl(directory, &format!("req {KEY} -subj /CN={name} -keyout new.key -out request.pem"));
        std::fs::write(directory.join("names"), "subjectAltName=DNS:localhost").unwrap();
        openssl(
            directory,
            &format!(
                "x509 -req -in request.pem -CA ours.pem -CAkey ours.key -CAcreateserial -days {days} -extfile names \
                 -out new.pem"
            ),
        );
        for kind in ["pem", "key"] {
            std::fs::rename(self.path(&format!("new.{kind}")), self.path(&format!("{name}.{kind}"))).unwrap();
        }
    }

    /// A file of it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A server that shows it, and the port for TLS.
    pub fn server(&self) -> (RedisServer, u16) {
        self.server_with(&[])
    }

    /// The same with more options.
    pub fn server_with(&self, more: &[&str]) -> (RedisServer, u16) {
        let port = free_port();
        let (number, files) =
            (port.to_string(), ["server.pem", "server.key", "ours.pem"].map(|name| self.text(name)));
        let [certificate, key, ca] = &files;
        let mut options = vec!["tls-port", &number, "tls-cert-file", certificate, "tls-key-file", key];
        options.extend(["tls-ca-cert-file", ca, "tls-auth-clients", "no"]);
        options.extend(more);
        (RedisServer::start_with(&options), port)
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}
