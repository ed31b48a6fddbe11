//! What a check found.

use larder::Error;
use larder::engine::{RedisAddress, Server};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Works, but not well, or not for long.
    Warning,
    /// Does not work, or breaks a promise.
    Problem,
}

impl Level {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "PROBLEM",
        }
    }
}

/// What a check found, and how to mend it if need be.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) level: Level,
    pub(super) about: &'static str,
    pub(super) found: String,
    pub(super) mend: Option<String>,
}

impl Check {
    pub(super) fn ok(about: &'static str, found: impl Into<String>) -> Self {
        Self { level: Level::Ok, about, found: found.into(), mend: None }
    }

    pub(super) fn note(about: &'static str, found: impl Into<String>, mend: &str) -> Self {
        Self { level: Level::Note, about, found: found.into(), mend: Some(mend.into()) }
    }

    pub(super) fn warning(about: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Warning, about, found: found.into(), mend: Some(mend.into()) }
    }

    pub(super) fn problem(about: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Problem, about, found: found.into(), mend: Some(mend.into()) }
    }
}

/// The server without its secrets.
pub(super) fn server_name(server: &Server) -> String {
    let scheme = |tls: &bool| if *tls { "rediss" } else { "redis" };
    let hosts = |hosts: &[(String, u16)]| {
        hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>().join(",")
    };
    match server {
        Server::Redis { address, database, username, .. } => {
            let user = username.as_deref().unwrap_or("default");
            match address {
                RedisAddress::Tcp { host, port, tls } => {
                    format!("{}://{host}:{port}/{database} as user {user}", scheme(tls))
                }
                RedisAddress::Unix(path) => format!("redis+unix://{} database {database}", path.display()),
                RedisAddress::Sentinel { sentinels, service, tls } => format!(
                    "{}-sentinel://{}/{service}/{database} as user {user}",
                    scheme(tls),
                    hosts(sentinels)
                ),
                RedisAddress::Cluster { nodes, tls } => {
                    format!("{}-cluster://{} as user {user}", scheme(tls), hosts(nodes))
                }
            }
        }
        Server::Local { path, .. } => format!("local:{}", path.display()),
        Server::Dir { path, .. } => format!("dir:{}", path.display()),
        other => format!("{other:?}"),
    }
}

/// The server did not answer as it should.
pub(super) fn unreachable(error: &Error) -> Check {
    refused("connection", error)
}

/// The server refused something that Larder needs.
pub(super) fn refused(about: &'static str, error: &Error) -> Check {
    Check::problem(about, error.to_string(), error.advice())
}
