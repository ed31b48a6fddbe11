//! Options set one by one, with types.

use std::fmt;
use std::time::Duration;

use super::settings::Config;
use crate::error::Result;

/// Options for a [`Config`], set one by one; the table there says what each means. Of an option
/// that is set twice the last value counts, and an empty text means the default.
///
/// ```
/// use std::time::Duration;
/// let config = larder::Config::builder("redis://localhost")
///     .namespace("shop")
///     .near_bytes(8 << 20)
///     .read_timeout(Duration::from_millis(200))
///     .build()?;
/// assert_eq!(config.read_timeout(), Duration::from_millis(200));
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "nothing is checked before build()"]
pub struct ConfigBuilder {
    options: Vec<(&'static str, String)>,
}

impl ConfigBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self { options: vec![("server", url.to_owned())] }
    }

    /// The user of a Redis server, if it is not in the URL.
    pub fn username(self, name: &str) -> Self {
        self.with("username", name)
    }

    /// The user's password, if it is not in the URL.
    pub fn password(self, password: &str) -> Self {
        self.with("password", password)
    }

    /// The absolute path of a file whose first line is the password.
    pub fn password_file(self, path: &str) -> Self {
        self.with("password_file", path)
    }

    /// A shell command that prints the password.
    pub fn password_command(self, command: &str) -> Self {
        self.with("password_command", command)
    }

    /// The absolute path of a PEM file with the authorities to trust for TLS.
    pub fn ca_file(self, path: &str) -> Self {
        self.with("ca_file", path)
    }

    /// The absolute path of a PEM file with the certificate that this client shows.
    pub fn cert_file(self, path: &str) -> Self {
        self.with("cert_file", path)
    }

    /// The absolute path of a PEM file with the key of that certificate.
    pub fn key_file(self, path: &str) -> Self {
        self.with("key_file", path)
    }

    /// The name that the server's certificate must have, if not the host's.
    pub fn tls_server_name(self, name: &str) -> Self {
        self.with("tls_server_name", name)
    }

    /// The user of the sentinels, whose credentials are not those of the server.
    pub fn sentinel_username(self, name: &str) -> Self {
        self.with("sentinel_username", name)
    }

    /// The password of the sentinels.
    pub fn sentinel_password(self, password: &str) -> Self {
        self.with("sentinel_password", password)
    }

    /// What separates this site's entries from another's: 1 to 100 bytes.
    pub fn namespace(self, name: &str) -> Self {
        self.with("namespace", name)
    }

    /// A suffix of the namespace: a new one starts empty.
    pub fn generation(self, name: &str) -> Self {
        self.with("generation", name)
    }

    /// The version of the application's code: entries of another version are misses.
    pub fn code_epoch(self, name: &str) -> Self {
        self.with("code_epoch", name)
    }

    /// The most memory for decoded values in this process, in bytes.
    pub fn near_bytes(self, bytes: u64) -> Self {
        self.with("near_bytes", bytes)
    }

    /// How long reads go on without asking the backend for changes: at most an hour; zero = each
    /// read asks.
    pub fn max_staleness(self, time: Duration) -> Self {
        self.with("max_staleness", time.as_secs_f64())
    }

    /// How long to wait for a connection: 1 ms to 60 s.
    pub fn connect_timeout(self, time: Duration) -> Self {
        self.with("connect_timeout", time.as_secs_f64())
    }

    /// How long to wait for an answer, to its last byte: 1 ms to 60 s.
    pub fn read_timeout(self, time: Duration) -> Self {
        self.with("read_timeout", time.as_secs_f64())
    }

    /// How long a lock outlives its holder: 1 s to an hour.
    pub fn lock_lease(self, time: Duration) -> Self {
        self.with("lock_lease", time.as_secs_f64())
    }

    /// How long to wait for a lock when the caller does not say: at most an hour.
    pub fn lock_wait(self, time: Duration) -> Self {
        self.with("lock_wait", time.as_secs_f64())
    }

    /// The URL of the directory that takes over while a Redis server is away: a `dir:` that all
    /// nodes share, or a `local:`.
    pub fn fallback(self, url: &str) -> Self {
        self.with("fallback", url)
    }

    /// From how many bytes on payloads are compressed; zero = never.
    pub fn compress_from(self, bytes: u64) -> Self {
        self.with("compress_from", bytes)
    }

    /// The secret of 16 bytes or more that seals entries: those not sealed with it are misses.
    pub fn seal_key(self, secret: &str) -> Self {
        self.with("seal_key", secret)
    }

    /// The secret that sealed entries until now, and goes on to be accepted beside `seal_key`.
    pub fn seal_key_previous(self, secret: &str) -> Self {
        self.with("seal_key_previous", secret)
    }

    /// The URL of a `local:` directory where the processes of this node share what one of them
    /// fetched.
    pub fn node_tier(self, url: &str) -> Self {
        self.with("node_tier", url)
    }

    /// The configuration.
    ///
    /// # Errors
    /// As [`Config::from_options`].
    pub fn build(self) -> Result<Config> {
        Config::from_options(self.options.iter().map(|(name, value)| (*name, value.as_str())))
    }

    fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.options.retain(|(set, _)| *set != name);
        self.options.push((name, value.to_string()));
        self
    }
}

/// Values may be secrets.
impl fmt::Debug for ConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.options.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each option has a method, which does what the option does.
    #[test]
    fn a_builder_sets_every_option() {
        let time = Duration::from_micros(1_234_567);
        let built = Config::builder("rediss-sentinel://h/s")
            .namespace("replaced")
            .username("u")
            .password("")
            .password_file("")
            .password_command("print")
            .ca_file("/ca")
            .cert_file("/cert")
            .key_file("/key")
            .tls_server_name("name")
            .sentinel_username("u")
            .sentinel_password("p")
            .namespace("n")
            .generation("g")
            .code_epoch("e")
            .near_bytes(1)
            .max_staleness(time)
            .connect_timeout(time)
            .read_timeout(time)
            .lock_lease(time)
            .lock_wait(time)
            .fallback("local:/f")
            .compress_from(0)
            .seal_key("0123456789abcdef")
            .seal_key_previous("fedcba9876543210")
            .node_tier("local:/t");
        let mut set: Vec<&str> = built.options.iter().map(|(name, _)| *name).collect();
        let mut all: Vec<&str> = Config::option_names().collect();
        set.sort_unstable();
        all.sort_unstable();
        assert_eq!(set, all);
        let config = built.clone().build().unwrap();
        assert_eq!(
            (config.namespace(), config.near_bytes(), config.compress_from()),
            ("n+g".into(), 1, None)
        );
        assert_eq!((config.read_timeout(), config.lock_wait()), (time, time));
        assert!(!format!("{built:?}").contains("0123"));
        assert!(built.near_bytes(5).build().unwrap() != config);
    }
}
