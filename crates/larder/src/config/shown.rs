//! A configuration for people.

use std::time::Duration;

use super::server::{RedisAddress, Server};
use super::settings::Config;

impl Config {
    /// The options with their values, also those that are the default; of secrets only whether they are set.
    pub fn shown(&self) -> Vec<(String, String)> {
        let secs = |time: Duration| time.as_secs_f64().to_string();
        let path = |path: &std::path::Path| path.display().to_string();
        let options = [
            ("server", self.server.shown()),
            ("fallback", self.fallback.as_ref().map(Server::shown).unwrap_or_default()),
            ("ca_file", self.ca_file.clone().unwrap_or_default()),
            ("namespace", self.namespace()),
            ("code_epoch", self.code_epoch.clone().unwrap_or_default()),
            ("near_bytes", self.near_bytes.to_string()),
            ("max_staleness", secs(self.max_staleness)),
            ("connect_timeout", secs(self.connect_timeout)),
            ("read_timeout", secs(self.read_timeout)),
            ("lock_lease", secs(self.lock_lease)),
            ("lock_wait", secs(self.lock_wait)),
            ("compress_from", self.compress_from.unwrap_or(0).to_string()),
            ("seal_key", if self.seal_key.is_some() { "set" } else { "" }.to_owned()),
            (
                "node_tier",
                self.node_tier
                    .as_ref()
                    .map_or_else(String::new, |(at, most)| format!("local:{}?size={most}", path(at))),
            ),
        ];
        options.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }
}

impl Server {
    /// Its URL without the password.
    fn shown(&self) -> String {
        match self {
            Self::Redis { address, database, username, .. } => {
                let user = username.as_ref().map(|name| format!("{name}@")).unwrap_or_default();
                match address {
                    RedisAddress::Tcp { host, port, tls } => {
                        let scheme = if *tls { "rediss" } else { "redis" };
                        format!("{scheme}://{user}{host}:{port}/{database}")
                    }
                    RedisAddress::Unix(path) => {
                        format!("redis+unix://{user}{}?db={database}", path.display())
                    }
                }
            }
            Self::Local { path, max_bytes } => format!("local:{}?size={max_bytes}", path.display()),
            Self::Dir { path, max_bytes } => format!("dir:{}?size={max_bytes}", path.display()),
        }
    }
}
