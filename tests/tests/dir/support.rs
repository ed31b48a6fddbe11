//! Directories, handles and short names for operations.

use std::path::{Path, PathBuf};
use std::time::Duration;

use larder::ErrorKind;
use larder::contract::{Backend, CacheId, Op, Outcome, Position, Read, Result};
use larder::testing::dir::{Dir, Settings};
use tempfile::TempDir;

/// An entry too large for the log.
pub(crate) static LARGE: [u8; 20_000] = [7; 20_000];

/// An empty directory in memory, if possible.
pub(crate) fn directory() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

pub(crate) fn settings(path: &Path) -> Settings {
    Settings {
        path: path.join("cache"),
        namespace: "site".to_owned(),
        max_bytes: 64 << 20,
        wait: Duration::from_secs(10),
    }
}

pub(crate) fn open(path: &Path) -> Dir {
    Dir::new(&settings(path))
}

/// Where the files of a namespace are.
pub(crate) fn site(path: &Path) -> PathBuf {
    path.join("cache/site")
}

/// The files whose names begin so, oldest first.
pub(crate) fn files(path: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(site(path)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.file_name().unwrap().to_str().unwrap().starts_with(kind));
    files.sort();
    files
}

pub(crate) fn cache() -> CacheId {
    CacheId::new("c", true).unwrap()
}

pub(crate) fn put(backend: &dyn Backend, key: &[u8], entry: &[u8]) -> Result<Outcome> {
    let op = Op::Set { cache: &cache(), key, entry, expires: None, guard: None, lock: None };
    one(backend, op)
}

fn one(backend: &dyn Backend, op: Op<'_>) -> Result<Outcome> {
    Ok(backend.apply(None, &[op])?.outcomes.pop().unwrap())
}

pub(crate) fn delete(backend: &dyn Backend, key: &[u8]) -> Result<Outcome> {
    one(backend, Op::Delete { cache: &cache(), key })
}

pub(crate) fn get(backend: &dyn Backend, key: &[u8]) -> Result<Option<Vec<u8>>> {
    Ok(backend.fetch(None, &[Read { cache: &cache(), key }])?.entries.remove(0))
}

pub(crate) fn here(backend: &dyn Backend) -> Position {
    backend.fetch(None, &[]).unwrap().delta.position
}

/// The kind of error that a call ended with.
pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}
