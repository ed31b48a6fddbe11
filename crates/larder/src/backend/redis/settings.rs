//! Where the server is and how to log in.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How to reach one Redis server and which part of it is ours.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the server listens.
    pub address: Address,
    /// The number of the database (0 where the server has only one).
    pub database: i64,
    /// The ACL user; `None` is the server's default user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The site: sites with different namespaces cannot see each other. Any text.
    pub namespace: String,
    /// The longest wait for a connection; also for a free one when all are in use.
    pub connect_timeout: Duration,
    /// The longest wait for the next bytes of an answer, and for the server to take a request.
    pub read_timeout: Duration,
}

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Address {
    /// A host and port.
    Tcp {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
        /// Speak TLS; the server's certificate is always verified.
        tls: Option<Tls>,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

/// How to verify the server's certificate.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// A file of PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// A text that is never printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}
