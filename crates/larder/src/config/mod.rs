//! Configuration: one set of named options, the same in PHP, Rust, the command line and Moodle's form.

mod parse;
mod secret;
mod server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
pub use secret::Secret;
pub use server::{RedisAddress, Server};

/// How to reach a store and how to use it.
///
/// | option | meaning | default |
/// |---|---|---|
/// | `server` | URL of the backend, see [`Server`] | required |
/// | `username`, `password` | credentials, if they are not in the URL | none |
/// | `ca_file` | PEM file with the authorities to trust for `rediss://` | the system's |
/// | `namespace` | what separates one site's entries from another's: 1 to 100 bytes | `larder` |
/// | `generation` | a suffix of the namespace: a new one starts empty | none |
/// | `code_epoch` | a name for the version of the application's code: entries of another version are misses | none |
/// | `near_bytes` | the most memory that a process may hold decoded values in; of several stores the largest counts for all together; a single value has up to half of it | `32M` |
/// | `max_staleness` | seconds a process may go on without asking the backend for changes | `1` |
/// | `connect_timeout` | seconds to wait for a connection: the host's addresses, one of them, TLS | `0.25` |
/// | `read_timeout` | seconds to wait for an answer, to its last byte; no operation takes longer than both together | `0.5` |
/// | `lock_lease` | seconds after which a dead holder's lock is free | `10` |
/// | `lock_wait` | seconds to wait for a lock when the caller does not say | `60` |
/// | `fallback` | what takes over while a Redis server is away: the URL of a `dir:` that all nodes share, or a `local:` for a single node | none |
/// | `compress_from` | payloads of so many bytes or more are compressed when it pays; `0` = never | `16K` |
/// | `node_tier` | `local:/path[?size=1G]`: a directory of this node's own disk, where its processes share what one of them fetched | none |
/// | `seal_key` | secret of 16 bytes or more: entries not sealed with it are misses | none |
///
/// Sizes take the suffixes `K`, `M` and `G`. An empty value means the default.
///
/// ```
/// let config = larder::Config::from_options([("server", "local:/var/cache/larder"), ("near_bytes", "8M")])?;
/// assert_eq!(config.near_bytes(), 8 << 20);
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    server: Server,
    fallback: Option<Server>,
    ca_file: Option<String>,
    namespace: String,
    generation: String,
    code_epoch: Option<String>,
    near_bytes: u64,
    max_staleness: Duration,
    connect_timeout: Duration,
    read_timeout: Duration,
    lock_lease: Duration,
    lock_wait: Duration,
    compress_from: Option<usize>,
    seal_key: Option<Secret>,
    node_tier: Option<(PathBuf, u64)>,
    /// Whether this is the configuration of a fallback.
    takes_over: bool,
}

/// What stands behind the namespace of a fallback.
const FALLBACK: &str = "fallback";

/// See [`Config::identity`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    server: Server,
    fallback: Option<Server>,
    ca_file: Option<String>,
    namespace: String,
    seal_key: Option<Secret>,
    code_epoch: Option<String>,
}

impl Identity {
    /// Whether it is the same place with another generation or code epoch: what is read here was read there under the same keys.
    pub(crate) fn succeeds(&self, other: &Self) -> bool {
        let base = |of: &Self| of.namespace.split('+').next().map(str::to_owned);
        let rest = |of: &Self| (of.server.clone(), of.fallback.clone(), of.seal_key.clone());
        self != other && base(self) == base(other) && rest(self) == rest(other)
    }
}

/// The longest `namespace`, `generation` and `code_epoch`, in bytes.
const MAX_NAMESPACE: usize = 100;
/// The shortest secret that is worth the name, in bytes.
const MIN_SEAL_KEY: usize = 16;

/// The most bytes of a decoded value that `near_bytes` have room for: half of them. A larger one would push out nearly all others.
pub(crate) fn largest_near_value(near_bytes: u64) -> u64 {
    near_bytes / 2
}

impl Config {
    /// The defaults for the server at `url`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the URL is not one of a [`Server`].
    pub fn from_url(url: &str) -> Result<Self> {
        Self::from_options([("server", url)])
    }

    /// Reads named options; see the table above.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), naming the option, if one is unknown, given twice, or has
    /// a value that it cannot have.
    pub fn from_options<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut config = Self {
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
            node_tier: None,
            takes_over: false,
        };
        let (mut server, mut username, mut password) = (None, None, None);
        let mut seen = Vec::new();
        for (name, value) in options {
            if seen.contains(&name) {
                return Err(Error::config(format!("option '{name}' is given twice")));
            }
            seen.push(name);
            if value.is_empty() && NAMES.contains(&name) {
                continue;
            }
            match name {
                "server" => server = Some(value),
                "username" => username = Some(value),
                "password" => password = Some(value),
                "ca_file" => config.ca_file = Some(parse::absolute(name, value)?),
                "namespace" => config.namespace = parse::label(name, value, MAX_NAMESPACE)?,
                "generation" => config.generation = parse::label(name, value, MAX_NAMESPACE)?,
                "code_epoch" => config.code_epoch = Some(parse::label(name, value, MAX_NAMESPACE)?),
                "near_bytes" => config.near_bytes = parse::bytes(name, value)?,
                "max_staleness" => config.max_staleness = parse::seconds(name, value, 0.0, 3600.0)?,
                "connect_timeout" => config.connect_timeout = parse::seconds(name, value, 0.001, 60.0)?,
                "read_timeout" => config.read_timeout = parse::seconds(name, value, 0.001, 60.0)?,
                "lock_lease" => config.lock_lease = parse::seconds(name, value, 1.0, 3600.0)?,
                "lock_wait" => config.lock_wait = parse::seconds(name, value, 0.0, 3600.0)?,
                "fallback" => config.fallback = Some(Server::parse_fallback(value)?),
                "compress_from" => {
                    let bytes = usize::try_from(parse::bytes(name, value)?).unwrap_or(usize::MAX);
                    config.compress_from = (bytes > 0).then_some(bytes);
                }
                "seal_key" if value.len() < MIN_SEAL_KEY => {
                    return Err(Error::config(format!(
                        "option 'seal_key' must have {MIN_SEAL_KEY} bytes or more"
                    )));
                }
                "seal_key" => config.seal_key = Some(Secret::new(value)),
                "node_tier" => config.node_tier = Some(Server::parse_node_tier(value)?),
                unknown => {
                    return Err(Error::config(format!(
                        "there is no option '{}'; the options are {}",
                        unknown.escape_debug(),
                        NAMES.join(", ")
                    )));
                }
            }
        }
        let server = server.ok_or_else(|| Error::config("option 'server' is missing"))?;
        config.server = Server::parse(server, username, password)?;
        if config.fallback.is_some() && !matches!(config.server, Server::Redis { .. }) {
            return Err(Error::config("option 'fallback' is only for a Redis server"));
        }
        if config.ca_file.is_some() && !config.server.uses_tls() {
            return Err(Error::config("option 'ca_file' is only for a rediss:// server"));
        }
        if config.node_tier.is_some() && matches!(config.server, Server::Local { .. }) {
            return Err(Error::config(
                "option 'node_tier' is not for a local: server, which is on the node itself",
            ));
        }
        Ok(config)
    }

    /// The backend.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// What takes over while the server is away: a `dir:` or `local:`.
    pub fn fallback(&self) -> Option<&Server> {
        self.fallback.as_ref()
    }

    /// The same for a backend that takes over, whose entries are kept apart from those of a store that is there by itself.
    pub(crate) fn for_fallback(&self, server: Server) -> Self {
        Self { server, fallback: None, ca_file: None, takes_over: true, ..self.clone() }
    }

    /// Whether this is the configuration of a fallback.
    pub(crate) fn takes_over(&self) -> bool {
        self.takes_over
    }

    /// What processes have to have in common to share what they know of the server. No secrets.
    pub(crate) fn place(&self) -> String {
        match &self.server {
            Server::Redis { address, database, .. } => {
                format!("{address:?} {database} {} {:?}", self.namespace(), self.fallback)
            }
            server => format!("{server:?} {}", self.namespace()),
        }
    }

    /// What stores of one process have to have in common to share their memory: all that decides which entries they see.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            server: self.server.without_size(),
            fallback: self.fallback.as_ref().map(Server::without_size),
            ca_file: self.ca_file.clone(),
            namespace: self.namespace(),
            seal_key: self.seal_key.clone(),
            code_epoch: self.code_epoch.clone(),
        }
    }

    /// The same number in all processes that see the same entries, whatever their other options are.
    pub(crate) fn place_hash(&self) -> [u8; 32] {
        let Identity { server, fallback, namespace, seal_key, code_epoch, .. } = self.identity();
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{server:?} {fallback:?} {namespace:?} {code_epoch:?} ").as_bytes());
        hasher.update(seal_key.as_ref().map_or("", Secret::reveal).as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// Authorities to trust for TLS, if not the system's.
    pub fn ca_file(&self) -> Option<&str> {
        self.ca_file.as_deref()
    }

    /// The namespace with the generation in it: another one for each pair of the two, and for a fallback.
    ///
    /// A plus sign joins the parts. One within a part becomes `=`, which no part can contain. A generation that is called as
    /// the mark of a fallback gets a tilde before it.
    pub fn namespace(&self) -> String {
        let part = |part: &str| part.replace('+', "=");
        let mut joined = part(&self.namespace);
        if !self.generation.is_empty() {
            joined.push_str(if self.generation == FALLBACK { "+~" } else { "+" });
            joined.push_str(&part(&self.generation));
        }
        if self.takes_over {
            joined.push('+');
            joined.push_str(FALLBACK);
        }
        joined
    }

    /// The version of the application's code, if it is told.
    pub fn code_epoch(&self) -> Option<&str> {
        self.code_epoch.as_deref()
    }

    /// Memory for decoded values in a process, in bytes.
    pub fn near_bytes(&self) -> u64 {
        self.near_bytes
    }

    /// The most bytes of a decoded value that this process keeps in memory.
    pub fn largest_near_value(&self) -> u64 {
        largest_near_value(self.near_bytes)
    }

    /// How long reads may go on without asking the backend for changes; zero = never.
    pub fn max_staleness(&self) -> Duration {
        self.max_staleness
    }

    /// How long to wait for a connection.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// How long to wait for an answer.
    pub fn read_timeout(&self) -> Duration {
        self.read_timeout
    }

    /// How long a lock outlives its holder.
    pub fn lock_lease(&self) -> Duration {
        self.lock_lease
    }

    /// How long to wait for a lock when the caller does not say.
    pub fn lock_wait(&self) -> Duration {
        self.lock_wait
    }

    /// From how many bytes on payloads are compressed.
    pub fn compress_from(&self) -> Option<usize> {
        self.compress_from
    }

    /// The secret that seals entries.
    pub fn seal_key(&self) -> Option<&Secret> {
        self.seal_key.as_ref()
    }

    /// The directory of the node tier and its bound in bytes.
    pub fn node_tier(&self) -> Option<(&Path, u64)> {
        self.node_tier.as_ref().map(|(path, max_bytes)| (path.as_path(), *max_bytes))
    }
}

/// Every option's name.
pub const NAMES: [&str; 17] = [
    "server",
    "username",
    "password",
    "ca_file",
    "namespace",
    "generation",
    "code_epoch",
    "near_bytes",
    "max_staleness",
    "connect_timeout",
    "read_timeout",
    "lock_lease",
    "lock_wait",
    "fallback",
    "compress_from",
    "seal_key",
    "node_tier",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(options: &[(&str, &str)]) -> String {
        Config::from_options(options.iter().copied()).unwrap_err().to_string()
    }

    #[test]
    fn unknown_and_bad_options_are_refused_by_name() {
        let server = ("server", "local:/x");
        for (option, named) in [
            (("nearbytes", "1"), "nearbytes"),
            (("near_bytes", "lots"), "near_bytes"),
            (("near_bytes", "-1"), "near_bytes"),
            (("near_bytes", "99999999999999999999G"), "near_bytes"),
            (("max_staleness", "NaN"), "max_staleness"),
            (("max_staleness", "inf"), "max_staleness"),
            (("read_timeout", "0"), "read_timeout"),
            (("connect_timeout", "1e9"), "connect_timeout"),
            (("namespace", "a\0b"), "namespace"),
            (("namespace", "a{b}"), "namespace"),
            (("generation", "a/b"), "generation"),
            (("code_epoch", "a/b"), "code_epoch"),
            (("seal_key", "short"), "seal_key"),
            (("fallback", "dir:/x"), "fallback"),
            (("lock_lease", "0"), "lock_lease"),
            (("ca_file", "relative.pem"), "ca_file"),
            (("server", "local:/y"), "server"),
            (("node_tier", "local:/y"), "node_tier"),
        ] {
            assert!(refusal(&[server, option]).contains(named), "{option:?}");
        }
        for url in ["redis://h", "dir:relative", "local:/x?size=1"] {
            assert!(refusal(&[("server", "redis://h"), ("fallback", url)]).contains("'fallback'"), "{url}");
        }
        assert!(refusal(&[]).contains("server"));
    }

    #[test]
    fn a_node_tier_is_a_local_directory() {
        let server = ("server", "redis://h");
        let config = Config::from_options([server, ("node_tier", "local:/x?size=64M")]).unwrap();
        assert_eq!(config.node_tier(), Some((Path::new("/x"), 64 << 20)));
        for bad in ["dir:/x", "redis://h", "/x", "local:x", "local:/x?size=1", "local:/x?color=red"] {
            assert!(refusal(&[server, ("node_tier", bad)]).contains("option 'node_tier'"), "{bad}");
        }
    }

    #[test]
    fn an_empty_value_means_the_default() {
        let config =
            Config::from_options([("server", "local:/x"), ("near_bytes", ""), ("password", "")]).unwrap();
        assert_eq!(config, Config::from_url("local:/x").unwrap());
        assert!(refusal(&[("server", "local:/x"), ("typo", "")]).contains("typo"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = Config::from_options([
            ("server", "redis://bob:hunter2222@host"),
            ("seal_key", "0123456789abcdefSECRET"),
        ])
        .unwrap();
        let shown = format!("{config:?} {config:#?}");
        assert!(!shown.contains("hunter2222") && !shown.contains("SECRET"), "{shown}");
        for url in ["redis://:hunter2222@/", "redis://u:hunter2222@h:99999", "redis://u:hunter2222@h/x?y=1"] {
            assert!(!Config::from_url(url).unwrap_err().to_string().contains("hunter2222"), "{url}");
        }
    }

    #[test]
    fn a_generation_is_part_of_the_namespace() {
        let config =
            Config::from_options([("server", "local:/x"), ("namespace", "site"), ("generation", "7")]);
        let config = config.unwrap();
        assert_eq!(config.namespace(), "site+7");
        let fallback = config.for_fallback(Server::Local { path: "/y".into(), max_bytes: 0 });
        assert_eq!(fallback.namespace(), "site+7+fallback");
    }

    /// Every namespace, generation and role of up to three of these pieces has a name of its own.
    #[test]
    fn no_two_namespaces_have_the_same_name() {
        const PIECES: [&str; 6] = ["a", "+", "fallback", "b", "@", "-"];
        let mut texts = vec![String::new()];
        for from in [0, 1, 7] {
            for text in texts.clone().get(from..).unwrap() {
                texts.extend(PIECES.iter().map(|piece| format!("{text}{piece}")));
            }
        }
        texts.sort();
        texts.dedup();
        let mut config = Config::from_url("local:/x").unwrap();
        let mut names = std::collections::HashSet::new();
        for namespace in texts.iter().filter(|text| !text.is_empty()) {
            for generation in &texts {
                for takes_over in [false, true] {
                    config.namespace.clone_from(namespace);
                    config.generation.clone_from(generation);
                    config.takes_over = takes_over;
                    let name = config.namespace();
                    assert!(!name.contains('/') && name.len() <= namespace.len() + generation.len() + 11);
                    assert!(names.insert(name), "{namespace} {generation} {takes_over}");
                }
            }
        }
    }
}
