//! A configuration that is being read.

use std::time::Duration;

use super::access::{Access, PasswordSource};
use super::secret::Secret;
use super::server::Server;
use super::settings::Config;
use crate::error::{Error, Result};

/// What was read so far; the server comes last, since it takes several options.
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) server: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) password_file: Option<String>,
    pub(super) password_command: Option<Secret>,
    pub(super) cert_file: Option<String>,
    pub(super) key_file: Option<String>,
}

/// The defaults.
impl Default for Draft {
    fn default() -> Self {
        let config = Config {
            server: Server::Local { path: "/".into(), max_bytes: 0 },
            fallback: None,
            access: Access::default(),
            namespace: "larder".into(),
            generation: String::new(),
            code_epoch: None,
            near_bytes: 32 << 20,
            max_staleness: Duration::from_secs(1),
            connect_timeout: Duration::from_millis(250),
            read_timeout: Duration::from_millis(500),
            lock_lease: Duration::from_secs(10),
            lock_wait: Duration::from_secs(60),
            compress_from: Some(16 << 10),
            seal_key: None,
            seal_key_previous: None,
            node_tier: None,
            takes_over: false,
        };
        Self {
            config,
            server: None,
            username: None,
            password: None,
            password_file: None,
            password_command: None,
            cert_file: None,
            key_file: None,
        }
    }
}

impl Draft {
    /// The configuration, if its options suit each other.
    pub(super) fn finish(self) -> Result<Config> {
        let Self {
            mut config,
            server,
            username,
            password,
            password_file,
            password_command,
            cert_file,
            key_file,
        } = self;
        let server = server.ok_or_else(|| Error::config("option 'server' is missing"))?;
        config.server = Server::parse(&server, username.as_deref(), password.as_deref())?;
        if config.fallback.is_some() && !matches!(config.server, Server::Redis { .. }) {
            return Err(Error::config("option 'fallback' is only for a Redis server"));
        }
        config.access.identity = match (cert_file, key_file) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(_), None) => return Err(Error::config("option 'cert_file' needs option 'key_file'")),
            (None, Some(_)) => return Err(Error::config("option 'key_file' needs option 'cert_file'")),
        };
        config.access.password_source = match (&config.server, password_file, password_command) {
            (_, None, None) => None,
            (Server::Redis { password: None, .. }, Some(file), None) => Some(PasswordSource::File(file)),
            (Server::Redis { password: None, .. }, None, Some(command)) => {
                Some(PasswordSource::Command(command))
            }
            (Server::Redis { .. }, ..) => {
                return Err(Error::config(
                    "give one of the options 'password_file', 'password_command' and 'password' (or the one in the URL)",
                ));
            }
            _ => {
                return Err(Error::config(
                    "options 'password_file' and 'password_command' are only for a Redis server",
                ));
            }
        };
        let Access { ca_file, identity, tls_server_name, .. } = &config.access;
        let of_tls = [
            ("ca_file", ca_file.is_some()),
            ("cert_file", identity.is_some()),
            ("tls_server_name", tls_server_name.is_some()),
        ];
        if let Some((name, _)) = of_tls.iter().find(|(_, given)| *given && !config.server.uses_tls()) {
            return Err(Error::config(format!(
                "option '{name}' is only for TLS, with a server such as rediss://"
            )));
        }
        let Access { sentinel_username, sentinel_password, .. } = &config.access;
        if (sentinel_username.is_some() || sentinel_password.is_some()) && !config.server.has_sentinels() {
            return Err(Error::config(
                "options 'sentinel_username' and 'sentinel_password' are only for redis-sentinel://",
            ));
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
