//! A configuration, as the rest of the crate reads it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::access::Access;
use super::secret::Secret;
use super::server::Server;

/// How to reach a store and how to use it.
///
/// | option | meaning | default |
/// |---|---|---|
/// | `server` | URL of the backend, see [`Server`](crate::engine::Server) | required |
/// | `username` | user of the server, if it is not in the URL | none |
/// | `password` | its password, if that is not in the URL | none |
/// | `password_file` | a file whose first line is the password; it is read again for each connection | none |
/// | `password_command` | a shell command that prints the password, as a token that is valid for minutes; it is run for a new connection, within `connect_timeout`, and what it printed is used for 60 s | none |
/// | `ca_file` | PEM file with the authorities to trust for TLS; it and the next two are read again when they change | the system's |
/// | `cert_file` | PEM file with the certificate that this client shows, if the server asks for one | none |
/// | `key_file` | PEM file with its key | none |
/// | `tls_server_name` | the name that the server's certificate must have | the host's |
/// | `sentinel_username` | user of the sentinels, which have credentials of their own | none |
/// | `sentinel_password` | its password | none |
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
/// | `seal_key` | secret of 16 bytes or more: entries not sealed with it are misses | none |
/// | `seal_key_previous` | another such secret: entries sealed with it are read, too; for a change of `seal_key` | none |
/// | `node_tier` | `local:/path[?size=1G]`: a directory of this node's own disk, where its processes share what one of them fetched | none |
///
/// Sizes are in bytes and take the suffixes `K`, `M` and `G` (2¹⁰, 2²⁰, 2³⁰). Times may have
/// fractions: the two time-outs 0.001 to 60, `lock_lease` 1 to 3600, `max_staleness` and
/// `lock_wait` 0 to 3600. Names have at most 100 characters: letters, digits and `- _ . : @ +`, but
/// no dot at the beginning. An empty value means the default.
///
/// ```
/// let config = larder::Config::from_options([("server", "local:/var/cache/larder"), ("near_bytes", "8M")])?;
/// assert_eq!(config.near_bytes(), 8 << 20);
/// assert_eq!(config, larder::Config::builder("local:/var/cache/larder").near_bytes(8 << 20).build()?);
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    pub(super) server: Server,
    pub(super) fallback: Option<Server>,
    pub(super) access: Access,
    pub(super) namespace: String,
    pub(super) generation: String,
    pub(super) code_epoch: Option<String>,
    pub(super) near_bytes: u64,
    pub(super) max_staleness: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) read_timeout: Duration,
    pub(super) lock_lease: Duration,
    pub(super) lock_wait: Duration,
    pub(super) compress_from: Option<usize>,
    pub(super) seal_key: Option<Secret>,
    pub(super) seal_key_previous: Option<Secret>,
    pub(super) node_tier: Option<(PathBuf, u64)>,
    /// Whether this is the configuration of a fallback.
    pub(super) takes_over: bool,
}

/// What stands behind the namespace of a fallback.
const FALLBACK: &str = "fallback";

/// See [`Config::identity`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    server: Server,
    fallback: Option<Server>,
    access: Access,
    namespace: String,
    seal_keys: [Option<Secret>; 2],
    code_epoch: Option<String>,
}

impl Identity {
    /// Whether it is the same place with another generation or code epoch: what is read here was
    /// read there under the same keys.
    pub(crate) fn succeeds(&self, other: &Self) -> bool {
        let base = |of: &Self| of.namespace.split('+').next().map(str::to_owned);
        let rest = |of: &Self| (of.server.clone(), of.fallback.clone(), of.seal_keys.clone());
        self != other && base(self) == base(other) && rest(self) == rest(other)
    }
}

/// The most bytes of a decoded value that `near_bytes` have room for: half of them. A larger one
/// would push out nearly all others.
pub(crate) fn largest_near_value(near_bytes: u64) -> u64 {
    near_bytes / 2
}

impl Config {
    /// The backend.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// What takes over while the server is away: a `dir:` or `local:`.
    pub fn fallback(&self) -> Option<&Server> {
        self.fallback.as_ref()
    }

    /// The same for a backend that takes over, whose entries are kept apart from those of a store
    /// that is there by itself.
    pub(crate) fn for_fallback(&self, server: Server) -> Self {
        Self { server, fallback: None, access: Access::default(), takes_over: true, ..self.clone() }
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

    /// What stores of one process have to have in common to share their memory: all that decides
    /// which entries they see.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            server: self.server.without_size(),
            fallback: self.fallback.as_ref().map(Server::without_size),
            access: self.access.clone(),
            namespace: self.namespace(),
            seal_keys: [self.seal_key.clone(), self.seal_key_previous.clone()],
            code_epoch: self.code_epoch.clone(),
        }
    }

    /// The same number in all processes that see the same entries, whatever their other options
    /// are.
    pub(crate) fn place_hash(&self) -> [u8; 32] {
        let Identity { server, fallback, namespace, seal_keys: [seal_key, _], code_epoch, .. } =
            self.identity();
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{server:?} {fallback:?} {namespace:?} {code_epoch:?} ").as_bytes());
        hasher.update(seal_key.as_ref().map_or("", Secret::reveal).as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// What processes of a node have in common that are counted together: the place, and the secret
    /// of its entries.
    pub(crate) fn counted_with(&self) -> Vec<u8> {
        let secret = self.seal_key.as_ref().map_or("", Secret::reveal);
        blake3::derive_key("larder counts v1", format!("{:?} {secret}", self.place()).as_bytes()).to_vec()
    }

    /// Authorities to trust for TLS, if not the system's.
    pub fn ca_file(&self) -> Option<&str> {
        self.access.ca_file.as_deref()
    }

    /// How to log in, beyond what the server's URL says.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// The namespace with the generation in it: another one for each pair of the two, and for a
    /// fallback.
    ///
    /// A plus sign joins the parts. One within a part becomes `=`, which no part can contain. A
    /// generation that is called as the mark of a fallback gets a tilde before it.
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

    /// How long reads may go on without asking the backend for changes; zero = each read asks.
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

    /// From how many bytes on payloads are compressed; `None` = never.
    pub fn compress_from(&self) -> Option<usize> {
        self.compress_from
    }

    /// The secret that seals entries.
    pub fn seal_key(&self) -> Option<&Secret> {
        self.seal_key.as_ref()
    }

    /// The secret that sealed entries until now.
    pub fn seal_key_previous(&self) -> Option<&Secret> {
        self.seal_key_previous.as_ref()
    }

    /// The directory of the node tier and its bound in bytes.
    pub fn node_tier(&self) -> Option<(&Path, u64)> {
        self.node_tier.as_ref().map(|(path, max_bytes)| (path.as_path(), *max_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
