//! Directories of other users: what is in them could be anybody's, and what is made there would
//! lock their owner out.
//!
//! Seen as root, who may do everything but this.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use larder::ErrorKind;

use super::support::{LARGE, directory, files, get, open, put, site};

const OTHER: u32 = 65_534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn refused(directory: &Path, what: &str) {
    for error in [get(&open(directory), b"k").unwrap_err(), put(&open(directory), b"k", b"v").unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn a_directory_of_another_user_is_refused_and_nothing_is_made_in_it() {
    if !is_root() {
        return larder_testkit::skipped("needs root, who may give directories away");
    }
    for mode in [0o700, 0o755] {
        let directory = directory();
        let cache = directory.path().join("cache");
        fs::create_dir(&cache).unwrap();
        chown(&cache, Some(OTHER), Some(OTHER)).unwrap();
        fs::set_permissions(&cache, Permissions::from_mode(mode)).unwrap();
        refused(directory.path(), "belongs to user 65534");
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
    }
}

#[test]
fn a_namespace_of_another_user_is_refused() {
    if !is_root() {
        return larder_testkit::skipped("needs root, who may give directories away");
    }
    let directory = directory();
    put(&open(directory.path()), b"k", b"planted").unwrap();
    chown(site(directory.path()), Some(OTHER), None).unwrap();
    refused(directory.path(), "belongs to user 65534");
}

#[test]
fn root_makes_no_directory_in_the_place_of_another_user() {
    if !is_root() {
        return larder_testkit::skipped("needs root, who may give directories away");
    }
    let directory = directory();
    chown(directory.path(), Some(OTHER), None).unwrap();
    refused(directory.path(), "run as user 65534");
    assert!(!directory.path().join("cache").exists());
}

/// What its group may write to is the group's, whoever made it.
#[test]
fn a_directory_of_a_group_is_used_by_its_members() {
    if !is_root() {
        return larder_testkit::skipped("needs root, who may give directories away");
    }
    let directory = directory();
    let cache = directory.path().join("cache");
    fs::create_dir(&cache).unwrap();
    let group = rustix::process::getegid().as_raw();
    chown(&cache, Some(OTHER), Some(group)).unwrap();
    fs::set_permissions(&cache, Permissions::from_mode(0o2770)).unwrap();
    put(&open(directory.path()), b"k", &LARGE).unwrap();
    assert_eq!(get(&open(directory.path()), b"k").unwrap().as_deref(), Some(&LARGE[..]));
    assert_eq!(fs::metadata(site(directory.path())).unwrap().mode() & 0o777, 0o770);
    for file in files(directory.path(), "") {
        let found = fs::metadata(&file).unwrap();
        assert_eq!((found.mode() & 0o777, found.gid()), (0o660, group), "{file:?}");
    }
    chown(&cache, None, Some(OTHER)).unwrap();
    fs::set_permissions(&cache, Permissions::from_mode(0o2770)).unwrap();
    refused(directory.path(), "belongs to user 65534");
}
