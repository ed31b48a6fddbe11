//! What a handle is made of.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Config, Server};

/// What a [`Dir`](super::Dir) is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory, absolute. Created with mode 0700 if it is not there; its parents are not.
    pub path: PathBuf,
    /// Whose entries: each namespace has a directory of its own, and a size of its own.
    pub namespace: String,
    /// The bound of what a namespace takes, in bytes; it may be exceeded by a tenth.
    pub max_bytes: u64,
    /// The longest wait for another writer.
    pub wait: Duration,
}

impl Settings {
    /// The settings in a configuration; `None` if its server is not a shared directory.
    pub fn of(config: &Config) -> Option<Self> {
        let Server::Dir { path, max_bytes } = config.server() else { return None };
        Some(Self {
            path: path.clone(),
            namespace: config.namespace(),
            max_bytes: *max_bytes,
            wait: config.read_timeout(),
        })
    }
}
