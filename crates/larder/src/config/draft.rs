//! A configuration that is being read.

use std::time::Duration;

use super::server::Server;
use super::settings::Config;
use crate::error::{Error, Result};

/// What was read so far; the server comes last, since it takes several options.
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) server: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

/// The defaults.
impl Default for Draft {
    fn default() -> Self {
        let config = Config {
            server: Server::Local { path: "/".into(), max_bytes: 0 },
            fallback: None,
            ca_file: None,
            namespace: "larder".into(),
            generation: String::new(),
            code_epoch: None,
            near_bytes: 32 << 20,
            max_staleness: Duration::from_secs(1),
            connect_timeout: Duration::from_millis(250),
            read_timeout: Duration::from_millis(500),
            lock_lease: Duration::from_secs(10),
            lock_wait: Duration::from_mins(1),
            compress_from: Some(16 << 10),
            seal_key: None,
            seal_key_previous: None,
            node_tier: None,
            takes_over: false,
        };
        Self { config, server: None, username: None, password: None }
    }
}

impl Draft {
    /// The configuration, if its options suit each other.
    pub(super) fn finish(self) -> Result<Config> {
        let Self { mut config, server, username, password } = self;
        let server = server.ok_or_else(|| Error::config("option 'server' is missing"))?;
        config.server = Server::parse(&server, username.as_deref(), password.as_deref())?;
        if config.fallback.is_some() && !matches!(config.server, Server::Redis { .. }) {
            return Err(Error::config("option 'fallback' is only for a Redis server"));
        }
        if config.ca_file.is_some() && !config.server.uses_tls() {
            return Err(Error::config("option 'ca_file' is only for a rediss:// server"));
        }
        if config.seal_key_previous.is_some() && config.seal_key.is_none() {
            return Err(Error::config("option 'seal_key_previous' needs a seal_key beside it"));
        }
        if config.node_tier.is_some() && matches!(config.server, Server::Local { .. }) {
            return Err(Error::config(
                "option 'node_tier' is not for a local: server, which is on the node itself",
            ));
        }
        Ok(config)
    }
}
