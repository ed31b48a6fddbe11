//! The `server` option: which backend, and where.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use url::Url;

use super::{parse, secret::Secret};
use crate::error::{Error, Result};

/// The port of a Redis server when its URL names none.
const PORT: u16 = 6379;
/// The port of a sentinel when the URL names none.
const SENTINEL_PORT: u16 = 26379;
/// The bound of a `local:` directory when its URL names none, in bytes.
const LOCAL_MAX_BYTES: u64 = 1 << 30;
/// The smallest bound that leaves room to work, in bytes.
const LOCAL_MIN_BYTES: u64 = 4 << 20;
/// The bound of a `dir:` directory when its URL names none, in bytes.
const DIR_MAX_BYTES: u64 = 4 << 30;
/// The smallest bound that leaves room to work, in bytes.
const DIR_MIN_BYTES: u64 = 16 << 20;

/// Where entries are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Server {
    /// `redis://[user[:password]@]host[:port][/database]`, `rediss://…` (TLS),
    /// `redis+unix:///path/to/socket[?db=database]`,
    /// `redis-sentinel://[user[:password]@]host[:port],…/service[/database]`, `rediss-sentinel://…`
    /// (TLS), `redis-cluster://[user[:password]@]host[:port],…`, `rediss-cluster://…` (TLS).
    Redis {
        /// Where it listens.
        address: RedisAddress,
        /// Number of the database.
        database: i64,
        /// ACL user.
        username: Option<String>,
        /// Its password.
        password: Option<Secret>,
    },
    /// `local:/path[?size=1G]`: a directory on this node's own disk, bounded in size.
    Local {
        /// The directory.
        path: PathBuf,
        /// The most that it may take on disk, in bytes.
        max_bytes: u64,
    },
    /// `dir:/path[?size=4G]`: a directory that all nodes share, as on NFS, bounded in size.
    Dir {
        /// The directory.
        path: PathBuf,
        /// The most that it may take, in bytes; it may pass that by a sixteenth and the newest
        /// checkpoint.
        max_bytes: u64,
    },
}

/// Where a Redis server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RedisAddress {
    /// A host and port, perhaps with TLS.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// Whether to speak TLS.
        tls: bool,
    },
    /// A socket of this node.
    Unix(PathBuf),
    /// The primary of a service, as its sentinels name it.
    Sentinel {
        /// Host and port of each sentinel.
        sentinels: Vec<(String, u16)>,
        /// The name of the service there.
        service: String,
        /// Whether to speak TLS, with the sentinels and with the server.
        tls: bool,
    },
    /// The node of a cluster that serves the namespace.
    Cluster {
        /// Host and port of some nodes, which say where it is.
        nodes: Vec<(String, u16)>,
        /// Whether to speak TLS.
        tls: bool,
    },
}

impl Server {
    /// The same place, whatever its bound.
    pub(super) fn without_size(&self) -> Self {
        let mut place = self.clone();
        if let Self::Local { max_bytes, .. } | Self::Dir { max_bytes, .. } = &mut place {
            *max_bytes = 0;
        }
        place
    }

    pub(super) fn parse(url: &str, username: Option<&str>, password: Option<&str>) -> Result<Self> {
        let scheme = url.split(':').next().unwrap_or_default();
        let server = match scheme {
            "local" | "dir" => Self::directory("server", url)?,
            "redis" | "rediss" | "redis+unix" | "redis-sentinel" | "rediss-sentinel" | "redis-cluster"
            | "rediss-cluster" => Self::redis(url, username, password)?,
            _ => {
                return Err(Error::config(
                    "option 'server' must be a URL with one of redis://, rediss://, redis+unix://, redis-sentinel://, \
                     rediss-sentinel://, redis-cluster://, rediss-cluster://, local: or dir:",
                ));
            }
        };
        if matches!(server, Self::Local { .. } | Self::Dir { .. })
            && (username.is_some() || password.is_some())
        {
            return Err(Error::config("options 'username' and 'password' are only for a Redis server"));
        }
        Ok(server)
    }

    /// The directory, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Local { path, .. } | Self::Dir { path, .. } => Some(path),
            Self::Redis { .. } => None,
        }
    }

    pub(super) fn uses_tls(&self) -> bool {
        let Self::Redis { address, .. } = self else { return false };
        match address {
            RedisAddress::Tcp { tls, .. }
            | RedisAddress::Sentinel { tls, .. }
            | RedisAddress::Cluster { tls, .. } => *tls,
            RedisAddress::Unix(_) => false,
        }
    }

    pub(super) fn has_sentinels(&self) -> bool {
        matches!(self, Self::Redis { address: RedisAddress::Sentinel { .. }, .. })
    }

    /// What takes over while a Redis server is away.
    pub(super) fn parse_fallback(url: &str) -> Result<Self> {
        match url.split(':').next() {
            Some("local" | "dir") => Self::directory("fallback", url),
            _ => Err(Error::config("option 'fallback' must be a URL with dir: or local:")),
        }
    }

    /// The directory and bound of the node tier.
    pub(super) fn parse_node_tier(url: &str) -> Result<(PathBuf, u64)> {
        match Self::directory("node_tier", url)? {
            Self::Local { path, max_bytes } if url.starts_with("local:") => Ok((path, max_bytes)),
            _ => Err(Error::config("option 'node_tier' must be a URL with local:")),
        }
    }

    /// A directory with its size; `option` is what messages call it.
    fn directory(option: &str, url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once(':').unwrap_or_default();
        let shared = scheme == "dir";
        let (default, least) =
            if shared { (DIR_MAX_BYTES, DIR_MIN_BYTES) } else { (LOCAL_MAX_BYTES, LOCAL_MIN_BYTES) };
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = parse::absolute(option, path)?.into();
        let max_bytes = match query.split_once('=') {
            None if query.is_empty() => default,
            Some(("size", size)) => parse::bytes(option, size)?,
            _ => {
                return Err(Error::config(format!(
                    "option '{option}': {scheme}: takes no parameter but size, as in ?size=1G"
                )));
            }
        };
        if !(least..=1 << 40).contains(&max_bytes) {
            return Err(Error::config(format!(
                "option '{option}': the size of {scheme}: must be {}M to 1024G",
                least >> 20
            )));
        }
        Ok(if shared { Self::Dir { path, max_bytes } } else { Self::Local { path, max_bytes } })
    }

    fn redis(url: &str, username: Option<&str>, password: Option<&str>) -> Result<Self> {
        // The parser's own messages may quote the URL, and the URL may hold a password.
        let bad = |what: &str| Error::config(format!("option 'server': {what}"));
        let (credentials, url) = split_credentials(url)?;
        let decode = |text: &str| {
            percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| bad("the URL is not UTF-8"))
        };
        let (address, database) = address(&url)?;
        let database = match database.as_str() {
            "" => 0,
            number => number.parse::<u32>().map_err(|_| bad("the database must be a number"))?.into(),
        };
        let (name, secret) = match credentials.split_once(':') {
            Some((name, secret)) => (name, Some(secret)),
            None => (credentials, None),
        };
        let in_url = Some(name).filter(|name| !name.is_empty()).map(decode).transpose()?;
        let password_in_url = secret.map(decode).transpose()?;
        Ok(Self::Redis {
            address,
            database,
            username: username.map(str::to_owned).or(in_url),
            password: password.map(str::to_owned).or(password_in_url).map(|text| Secret::new(&text)),
        })
    }
}

/// Where the server is, and the database as it stands in the URL.
fn address(url: &str) -> Result<(RedisAddress, String)> {
    let bad = |what: &str| Error::config(format!("option 'server': {what}"));
    let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
    let tls = scheme.starts_with("rediss");
    if let Some(kind) = scheme.strip_prefix("redis").map(|kind| kind.trim_start_matches('s'))
        && let "-sentinel" | "-cluster" = kind
    {
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        if hosts.is_empty() || path.contains(['?', '#']) {
            return Err(bad("hosts are missing, or there is more behind them than the URL takes"));
        }
        let port = if kind == "-sentinel" { SENTINEL_PORT } else { PORT };
        let hosts: Vec<_> = hosts.split(',').map(|host| read_host(host, port)).collect::<Result<_>>()?;
        if kind == "-cluster" {
            let address = RedisAddress::Cluster { nodes: hosts, tls };
            return if path.is_empty() {
                Ok((address, String::new()))
            } else {
                Err(bad("a cluster has no databases"))
            };
        }
        let (service, database) = path.split_once('/').unwrap_or((path, ""));
        if service.is_empty() {
            return Err(bad("the name of the service is missing, as in redis-sentinel://host,host/mymaster"));
        }
        let address = RedisAddress::Sentinel { sentinels: hosts, service: service.to_owned(), tls };
        return Ok((address, database.to_owned()));
    }
    let parsed = Url::parse(url).map_err(|_| bad("the URL cannot be read"))?;
    if parsed.fragment().is_some() {
        return Err(bad("the URL has a part behind '#'"));
    }
    if scheme == "redis+unix" {
        if parsed.has_host() && parsed.host_str() != Some("") {
            return Err(bad("a socket is written with three slashes, as in redis+unix:///run/redis.sock"));
        }
        let path =
            percent_decode_str(parsed.path()).decode_utf8().map_err(|_| bad("the URL is not UTF-8"))?;
        let path = parse::absolute("server", &path)?;
        let database = match parsed.query().and_then(|query| query.split_once('=')) {
            None if parsed.query().is_none() => "",
            Some(("db", database)) => database,
            _ => return Err(bad("a socket takes no parameter but db, as in ?db=1")),
        };
        return Ok((RedisAddress::Unix(path.into()), database.to_owned()));
    }
    if parsed.query().is_some() {
        return Err(bad("the URL takes no parameters"));
    }
    let (host, port) = host_of(&parsed, PORT)?;
    Ok((RedisAddress::Tcp { host, port, tls }, parsed.path().trim_start_matches('/').to_owned()))
}

/// One host of several, perhaps with its port.
fn read_host(text: &str, port: u16) -> Result<(String, u16)> {
    let parsed = Url::parse(&format!("redis://{text}"));
    let parsed = parsed.ok().filter(|parsed| parsed.path().is_empty() && parsed.query().is_none());
    host_of(&parsed.ok_or_else(|| Error::config("option 'server': a host cannot be read"))?, port)
}

fn host_of(url: &Url, port: u16) -> Result<(String, u16)> {
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| Error::config("option 'server': the host is missing"))?;
    Ok((host.trim_matches(['[', ']']).to_owned(), url.port().unwrap_or(port)))
}

/// The credentials in the URL of a Redis server, as they stand there, and the URL without them.
/// They end at the last `@`, so that a password may hold any character.
fn split_credentials(url: &str) -> Result<(&str, String)> {
    let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
    let without = |rest: &str| format!("{scheme}://{rest}");
    let unclear = || {
        Error::config(
            "option 'server': it is not clear where the password in the URL ends; write / ? # @ in it as %2F %3F %23 %40, or \
             give it by the option password",
        )
    };
    let is_socket = scheme == "redis+unix";
    if is_socket && rest.starts_with('/') {
        // The path of a socket may hold the character.
        return Ok(("", without(rest)));
    }
    let Some((credentials, place)) = rest.rsplit_once('@') else { return Ok(("", without(rest))) };
    let special = |text: &str| text.contains(['/', '?', '#', '@']);
    let before_password = credentials.split(':').next().unwrap_or_default();
    let path_may_begin_earlier = is_socket && (credentials.contains("@/") || !place.starts_with('/'));
    // A name with such a character is more likely a host with what follows it.
    if special(before_password) || path_may_begin_earlier {
        return Err(unclear());
    }
    Ok((credentials, without(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_hold_any_character() {
        let secret = |url: &str| match parse(url).unwrap() {
            Server::Redis { address, username, password, .. } => {
                (address, username.unwrap_or_default(), password.unwrap().reveal().to_owned())
            }
            _ => panic!("not Redis"),
        };
        let tcp = RedisAddress::Tcp { host: "h".into(), port: 7, tls: false };
        for password in ["a/b", "a?b", "a#b", "a@b", "/?#@:", "p%x", "a@b:c/d", "grün"] {
            let url = format!("redis://u:{password}@h:7/3");
            assert_eq!(secret(&url), (tcp.clone(), "u".to_owned(), password.to_owned()), "{url}");
            if !password.contains("@/") {
                let (address, ..) = secret(&format!("redis+unix://:{password}@/run/s"));
                assert_eq!(address, RedisAddress::Unix("/run/s".into()));
            }
        }
        assert_eq!(secret("redis://:a%2Fb%40@h:7").2, "a/b@");
        let in_path = parse("redis+unix:///run/a@b/s").unwrap();
        assert!(
            matches!(in_path, Server::Redis { address: RedisAddress::Unix(path), .. } if path == Path::new("/run/a@b/s"))
        );
        for url in ["redis://h/0@x", "redis://h?a@h", "redis+unix://:a@/b@/run/s", "redis+unix://:a@b"] {
            let refusal = parse(url).map(|server| format!("{server:?}"));
            assert!(
                refusal.as_ref().is_err_and(|error| error.kind() == crate::error::ErrorKind::Config),
                "{url} {refusal:?}"
            );
        }
    }

    fn parse(url: &str) -> Result<Server> {
        Server::parse(url, None, None)
    }

    #[test]
    fn urls_name_their_parts() {
        let Server::Redis { address, database, username, password } =
            parse("rediss://bob:p%40ss@cache.example:7000/3").unwrap()
        else {
            panic!("not Redis")
        };
        assert_eq!(address, RedisAddress::Tcp { host: "cache.example".into(), port: 7000, tls: true });
        assert_eq!((database, username.as_deref()), (3, Some("bob")));
        assert_eq!(password.unwrap().reveal(), "p@ss");

        let Server::Redis { address, database, .. } = parse("redis+unix:///run/r.sock?db=2").unwrap() else {
            panic!("not Redis")
        };
        assert_eq!((address, database), (RedisAddress::Unix("/run/r.sock".into()), 2));
        assert_eq!(
            parse("local:/a/b?size=64M").unwrap(),
            Server::Local { path: "/a/b".into(), max_bytes: 64 << 20 }
        );
        let dir = Server::Dir { path: "/a".into(), max_bytes: 32 << 20 };
        assert_eq!(parse("dir:/a?size=32M").unwrap(), dir);
        let ipv6 = parse("redis://[::1]:1").unwrap();
        assert!(
            matches!(ipv6, Server::Redis { address: RedisAddress::Tcp { host, .. }, .. } if host == "::1")
        );
    }

    #[test]
    fn sentinels_and_nodes_are_several_hosts() {
        let host = |name: &str, port| (name.to_owned(), port);
        let Server::Redis { address, database, username, password } =
            parse("rediss-sentinel://bob:p@ss@one,two:7,[::1]/my-primary/3").unwrap()
        else {
            panic!("not Redis")
        };
        let sentinels = vec![host("one", 26379), host("two", 7), host("::1", 26379)];
        let service = "my-primary".to_owned();
        assert_eq!(address, RedisAddress::Sentinel { sentinels, service, tls: true });
        assert_eq!((database, username.as_deref()), (3, Some("bob")));
        assert_eq!(password.unwrap().reveal(), "p@ss");
        let cluster = |url: &str| match parse(url).unwrap() {
            Server::Redis { address, .. } => address,
            _ => panic!("not Redis"),
        };
        let nodes = vec![host("one", 6379), host("two", 7)];
        assert_eq!(cluster("redis-cluster://one,two:7"), RedisAddress::Cluster { nodes, tls: false });
        let nodes = vec![host("one", 1)];
        assert_eq!(cluster("rediss-cluster://:p@one:1/"), RedisAddress::Cluster { nodes, tls: true });
    }

    #[test]
    fn bad_urls_are_refused() {
        for url in [
            "",
            "redis",
            "http://x",
            "redis://",
            "redis://h/x",
            "redis://h?x=1",
            "redis+unix://host/x",
            "local:x",
            "local:",
            "local:/x?size=1",
            "local:/x?color=red",
            "dir:x",
            "dir:/x?size=4M",
            "redis://h:99999",
            "redis+unix:///x?db=-1",
            "redis://h#x",
            "redis-sentinel://h",
            "redis-sentinel://h/",
            "redis-sentinel:///s",
            "redis-sentinel://h,/s",
            "redis-sentinel://h/s/x",
            "redis-sentinel://h/s?x=1",
            "redis-sentinel://h:99999/s",
            "redis-cluster://",
            "redis-cluster://h/1",
            "redis-cluster://h,",
            "redissentinel://h/s",
        ] {
            assert_eq!(parse(url).unwrap_err().kind(), crate::ErrorKind::Config, "{url}");
        }
        assert!(Server::parse("local:/x", None, Some("p")).is_err());
    }
}
