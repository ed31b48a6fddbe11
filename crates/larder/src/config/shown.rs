//! A configuration for people.

use std::time::Duration;

use super::access::PasswordSource;
use super::secret::Secret;
use super::server::{RedisAddress, Server};
use super::settings::Config;

impl Config {
    /// The options with their values, also those that are the default; of secrets only whether they
    /// are set.
    pub fn shown(&self) -> Vec<(String, String)> {
        let secs = |time: Duration| time.as_secs_f64().to_string();
        let path = |path: &std::path::Path| path.display().to_string();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let set = |secret: &Option<Secret>| if secret.is_some() { "set" } else { "" }.to_owned();
        let access = &self.access;
        let (cert, key) = access.identity.clone().unwrap_or_default();
        let password = match &access.password_source {
            None => String::new(),
            Some(PasswordSource::File(file)) => file.clone(),
            Some(PasswordSource::Command(_)) => "command".to_owned(),
        };
        let options = [
            ("server", self.server.shown()),
            ("fallback", self.fallback.as_ref().map(Server::shown).unwrap_or_default()),
            ("password_from", password),
            ("ca_file", text(&access.ca_file)),
            ("cert_file", cert),
            ("key_file", key),
            ("tls_server_name", text(&access.tls_server_name)),
            ("sentinel_username", text(&access.sentinel_username)),
            ("sentinel_password", set(&access.sentinel_password)),
            ("namespace", self.namespace()),
            ("code_epoch", text(&self.code_epoch)),
            ("near_bytes", self.near_bytes.to_string()),
            ("max_staleness", secs(self.max_staleness)),
            ("connect_timeout", secs(self.connect_timeout)),
            ("read_timeout", secs(self.read_timeout)),
            ("lock_lease", secs(self.lock_lease)),
            ("lock_wait", secs(self.lock_wait)),
            ("compress_from", self.compress_from.unwrap_or(0).to_string()),
            ("seal_key", set(&self.seal_key)),
            ("seal_key_previous", set(&self.seal_key_previous)),
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
                let scheme = |tls: &bool| if *tls { "rediss" } else { "redis" };
                let hosts = |hosts: &[(String, u16)]| {
                    hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>().join(",")
                };
                match address {
                    RedisAddress::Tcp { host, port, tls } => {
                        format!("{}://{user}{host}:{port}/{database}", scheme(tls))
                    }
                    RedisAddress::Sentinel { sentinels, service, tls } => {
                        format!("{}-sentinel://{user}{}/{service}/{database}", scheme(tls), hosts(sentinels))
                    }
                    RedisAddress::Cluster { nodes, tls } => {
                        format!("{}-cluster://{user}{}", scheme(tls), hosts(nodes))
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
