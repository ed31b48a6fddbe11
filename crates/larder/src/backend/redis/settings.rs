//! Where the server is and how to log in.

use std::time::Duration;

use crate::config::{Access, Config, RedisAddress, Secret, Server};

/// How to reach one Redis server and which part of it is ours.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the server listens.
    pub address: RedisAddress,
    /// Who we are, and whom we trust. The server's certificate is always verified.
    pub(super) access: Access,
    /// The number of the database (0 where the server has only one).
    pub database: i64,
    /// The ACL user; `None` is the server's default user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The site: sites with different namespaces cannot see each other. Any text.
    pub namespace: String,
    /// The longest wait for a connection, with looking up the host and TLS; also for a free one
    /// when all are in use. An operation takes no longer than this and the read timeout together.
    pub connect_timeout: Duration,
    /// The longest wait for the server to take a request and to answer it, to the last byte.
    pub read_timeout: Duration,
    /// Whether deletes and purges are sent again to a server that was silent, on a new connection
    /// and within the connect timeout. Not where a fallback notes them.
    pub repeats: bool,
    /// How long a lock outlives its holder.
    pub lock_lease: Duration,
}

impl Settings {
    /// The settings in a configuration; `None` if its server is not a Redis server.
    pub fn of(config: &Config) -> Option<Self> {
        let Server::Redis { address, database, username, password } = config.server() else { return None };
        Some(Self {
            address: address.clone(),
            access: config.access().clone(),
            database: *database,
            username: username.clone(),
            password: password.clone(),
            namespace: config.namespace(),
            connect_timeout: config.connect_timeout(),
            read_timeout: config.read_timeout(),
            repeats: config.fallback().is_none(),
            lock_lease: config.lock_lease(),
        })
    }
}
