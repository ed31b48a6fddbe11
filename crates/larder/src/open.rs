//! The backend that a configuration names.

use std::sync::Arc;

use crate::backend::local::Local;
use crate::backend::{dir, failover, local, redis, tier};
use crate::config::{Config, Server};
use crate::contract::Backend;
use crate::error::{Error, Result};
use crate::node_name;

/// The backend that a configuration names, a new handle at each call. Does not touch it yet.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) if the configuration does not suit the backend.
pub fn open(config: &Config) -> Result<Arc<dyn Backend>> {
    let backend = open_with_fallback(config)?;
    Ok(match tier::Settings::of(config) {
        Some(settings) => Arc::new(tier::Tier::new(backend, settings)),
        None => backend,
    })
}

fn open_with_fallback(config: &Config) -> Result<Arc<dyn Backend>> {
    let Some(fallback) = config.fallback().cloned() else { return open_one(config) };
    let shared = matches!(fallback, Server::Dir { .. });
    let both = config.clone();
    let settings = failover::Settings {
        open: Arc::new(move || Ok([open_one(&both)?, open_one(&both.for_fallback(fallback.clone()))?])),
        shared,
        place: config.place(),
        node: node_name::unique(),
        waits: [config.connect_timeout(), config.read_timeout()],
    };
    Ok(Arc::new(failover::Failover::new(settings)?))
}

fn open_one(config: &Config) -> Result<Arc<dyn Backend>> {
    if let Some(settings) = redis::Settings::of(config) {
        return Ok(Arc::new(redis::Redis::new(settings)));
    }
    if let Some(settings) = dir::Settings::of(config) {
        let dir = if config.takes_over() { dir::Dir::fallback(&settings) } else { dir::Dir::new(&settings) };
        return Ok(Arc::new(dir));
    }
    match config.server() {
        Server::Local { path, max_bytes } => Ok(Arc::new(Local::new(local::Settings {
            path: path.clone(),
            namespace: config.namespace(),
            max_bytes: *max_bytes,
            lock_lease: config.lock_lease(),
        }))),
        Server::Redis { .. } | Server::Dir { .. } => Err(Error::config("option 'server': no backend for it")),
    }
}
