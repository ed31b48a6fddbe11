//! A tier that does not work is as none.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use larder::Config;
use larder::contract::{Backend, CacheId, Op, Read};
use larder::engine::open_backend;
use larder_testkit::RedisServer;
use tempfile::TempDir;

fn open(server: &RedisServer, tier: &Path, size: &str) -> Arc<dyn Backend> {
    let (server, tier) = (server.unix_url(), format!("local:{}?size={size}", tier.display()));
    let options = [("server", server.as_str()), ("node_tier", &tier), ("read_timeout", "10")];
    open_backend(&Config::from_options(options).unwrap()).unwrap()
}

fn set(backend: &dyn Backend, key: &str, entry: &[u8]) {
    let cache = CacheId::new("c", true).unwrap();
    let op = Op::Set { cache: &cache, key: key.as_bytes(), entry, expires: None, guard: None, lock: None };
    backend.apply(None, &[op]).unwrap();
}

fn get(backend: &dyn Backend, key: &str) -> Option<Vec<u8>> {
    let cache = CacheId::new("c", true).unwrap();
    backend.fetch(None, &[Read { cache: &cache, key: key.as_bytes() }]).unwrap().entries.remove(0)
}

fn fact(backend: &dyn Backend, name: &str) -> Option<String> {
    let facts = backend.describe().unwrap();
    facts.into_iter().find_map(|(known, value)| (known == name).then(|| value.to_string()))
}

#[test]
fn a_place_that_cannot_be_used_is_as_no_tier() {
    let (server, place) = (RedisServer::start(), TempDir::new().unwrap());
    let path = |name: &str| place.path().join(name);
    fs::write(path("file"), "").unwrap();
    for name in ["open", "foreign", "target"] {
        fs::create_dir(path(name)).unwrap();
    }
    fs::set_permissions(path("open"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(path("foreign").join("precious"), "").unwrap();
    symlink(path("target"), path("link")).unwrap();
    for name in ["file", "missing/below", "open", "foreign", "link"] {
        let backends = [(); 2].map(|()| open(&server, &path(name), "16M"));
        set(&*backends[0], "k", name.as_bytes());
        for backend in &backends {
            assert_eq!(get(&**backend, "k").as_deref(), Some(name.as_bytes()));
            assert!(fact(&**backend, "node tier").is_some_and(|fact| fact.starts_with("unusable")), "{name}");
        }
    }
    assert!(path("foreign").join("precious").exists());
}

#[test]
fn a_directory_that_was_removed_is_made_anew() {
    let (server, place) = (RedisServer::start(), TempDir::new().unwrap());
    let tier = place.path().join("tier");
    let backends = [(); 2].map(|()| open(&server, &tier, "16M"));
    for round in 0..6_u8 {
        set(&*backends[usize::from(round) % 2], "k", &[round]);
        if round % 2 == 0 {
            fs::remove_dir_all(&tier).unwrap();
        } else {
            fs::remove_file(tier.join("data.mdb")).unwrap();
        }
        for backend in &backends {
            assert_eq!(get(&**backend, "k"), Some(vec![round]));
        }
    }
    assert!(tier.join("data.mdb").exists());
}

#[test]
fn more_than_fits_is_read_from_the_server() {
    let (server, place) = (RedisServer::start(), TempDir::new().unwrap());
    let backends = [(); 2].map(|()| open(&server, &place.path().join("tier"), "4M"));
    let entry = |i: u8| vec![i; 20_000 + usize::from(i) * 400];
    for i in 0..=255 {
        set(&*backends[0], &i.to_string(), &entry(i));
    }
    set(&*backends[0], "huge", &vec![7; 3 << 20]);
    for backend in backends.iter().chain(&backends) {
        for i in 0..=255 {
            assert_eq!(get(&**backend, &i.to_string()), Some(entry(i)));
        }
        assert_eq!(get(&**backend, "huge").map(|entry| entry.len()), Some(3 << 20));
    }
    assert_eq!(fact(&*backends[0], "node tier: calls without it").as_deref(), Some("0"));
    assert!(fs::metadata(place.path().join("tier/data.mdb")).unwrap().len() <= 4 << 20);
}

#[test]
fn forked_processes_share_a_tier() {
    let (server, place) = (RedisServer::start(), TempDir::new().unwrap());
    let tier = format!("local:{}?size=16M", place.path().join("tier").display());
    let done = Command::new(env!("CARGO_BIN_EXE_local_fork")).args([server.unix_url(), tier]).status();
    assert!(done.unwrap().success());
}
