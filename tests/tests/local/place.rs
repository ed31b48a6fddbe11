//! A directory to test in, and handles on it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use larder::Config;
use larder::contract::{Backend, CacheId, Op, Read};
use tempfile::TempDir;

pub(crate) struct Place {
    pub(crate) root: TempDir,
    size: &'static str,
}

impl Place {
    pub(crate) fn new(size: &'static str) -> Self {
        Self { root: TempDir::new().unwrap(), size }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root.path().join("store")
    }

    pub(crate) fn url(&self) -> String {
        format!("local:{}?size={}", self.path().display(), self.size)
    }

    pub(crate) fn open(&self) -> Arc<dyn Backend> {
        larder::engine::open_backend(&Config::from_url(&self.url()).unwrap()).unwrap()
    }

    pub(crate) fn peer(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
        command
            .arg(format!("server={}", self.url()))
            .args(["lock_lease=1", "--"])
            .args(args)
            .stdout(Stdio::piped());
        command
    }

    /// What another process says that stores and reads a key.
    pub(crate) fn once(&self, key: &str) -> String {
        let output = self.peer(&["once", key]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

pub(crate) fn cache(name: &str) -> CacheId {
    CacheId::new(name, true).unwrap()
}

pub(crate) fn quiet(name: &str) -> CacheId {
    CacheId::new(name, false).unwrap()
}

pub(crate) fn put(
    backend: &dyn Backend,
    cache: &CacheId,
    key: &[u8],
    entry: &[u8],
) -> larder::contract::Result<()> {
    backend.apply(None, &[Op::Set { cache, key, entry, expires: None, guard: None, lock: None }]).map(drop)
}

pub(crate) fn get(backend: &dyn Backend, cache: &CacheId, key: &[u8]) -> Option<Vec<u8>> {
    backend.fetch(None, &[Read { cache, key }]).unwrap().entries.pop().unwrap()
}

pub(crate) fn here(backend: &dyn Backend) -> larder::contract::Position {
    backend.fetch(None, &[]).unwrap().delta.position
}
