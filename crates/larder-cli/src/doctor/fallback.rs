//! Who serves, where a server has a fallback.

use std::time::SystemTime;

use larder::contract::Tier;
use larder::engine::Server;
use larder::{Config, Health, Store};

use super::checks::{Check, server_name};
use super::directory;
use crate::text::count;

/// Looks at the fallback's directory before it is opened.
pub(super) fn before(config: &Config) -> Vec<Check> {
    match config.fallback() {
        Some(Server::Local { path, max_bytes }) => directory::before(path, *max_bytes, "local"),
        Some(Server::Dir { path, max_bytes }) => directory::before(path, *max_bytes, "dir"),
        _ => Vec::new(),
    }
}

/// Who serves, since when, and what waits.
pub(super) fn tier(config: &Config, store: &Store) -> Option<Check> {
    let fallback = server_name(config.fallback()?);
    let health = store.health();
    let waiting = match health.waiting {
        None => "more than 1000 invalidations wait".to_owned(),
        Some(waiting) => count(waiting, "invalidation waits", "invalidations wait"),
    };
    let found = format!("{} serves{}; {waiting}", who(&health, &fallback), since(health.since));
    Some(match health.tier {
        Tier::Primary if health.reason.is_empty() => Check::ok("fallback", found),
        Tier::Primary => Check::problem(
            "fallback",
            format!("{found}; {}", health.reason),
            "run all programs that use this server as the user that PHP runs as: as long as one cannot use the fallback, \
             nobody goes over to it",
        ),
        Tier::Fallback => Check::warning(
            "fallback",
            format!("{found}; {}", health.reason),
            "bring the server back; Larder returns to it by itself and tells it what it missed",
        ),
        Tier::None => Check::problem(
            "fallback",
            format!("{found}; {}", health.reason),
            "bring the server back and see that this user can use the fallback; on several nodes it must be a dir: that \
             all share",
        ),
    })
}

fn who(health: &Health, fallback: &str) -> String {
    match health.tier {
        Tier::Primary => "the server".to_owned(),
        Tier::Fallback => format!("the fallback {fallback}"),
        Tier::None => "nobody".to_owned(),
    }
}

fn since(time: Option<SystemTime>) -> String {
    let Some(time) = time else { return String::new() };
    let seconds = time.elapsed().map_or(0, |age| age.as_secs());
    format!(" since {} ago", count(seconds, "second", "seconds"))
}
