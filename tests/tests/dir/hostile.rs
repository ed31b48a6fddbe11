//! Directories that must not be used, and files that somebody else put there.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use larder::{Config, ErrorKind};

use super::support::{LARGE, directory, files, get, kind, open, put, site};

#[test]
fn the_directory_is_private() {
    let directory = directory();
    put(&open(directory.path()), b"k", &LARGE).unwrap();
    for path in [directory.path().join("cache"), site(directory.path())] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
    }
    for file in files(directory.path(), "") {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[test]
fn a_group_may_share_it() {
    let directory = directory();
    fs::create_dir(directory.path().join("cache")).unwrap();
    fs::set_permissions(directory.path().join("cache"), Permissions::from_mode(0o770)).unwrap();
    put(&open(directory.path()), b"k", &LARGE).unwrap();
    // The namespace's directory is made by mkdir, which obeys the umask; the files are not.
    fs::set_permissions(site(directory.path()), Permissions::from_mode(0o770)).unwrap();
    put(&open(directory.path()), b"l", &LARGE).unwrap();
    let pack = files(directory.path(), "pack");
    assert!(pack.iter().any(|pack| fs::metadata(pack).unwrap().permissions().mode() & 0o777 == 0o660));
}

#[test]
fn a_world_writable_directory_is_refused() {
    for inner in [false, true] {
        let directory = directory();
        put(&open(directory.path()), b"k", b"v").unwrap();
        let path = if inner { site(directory.path()) } else { directory.path().join("cache") };
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        let error = get(&open(directory.path()), b"k").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("writable by everybody"), "{error}");
    }
}

#[test]
fn symbolic_links_are_refused() {
    let directory = directory();
    put(&open(directory.path()), b"k", &LARGE).unwrap();
    for victim in [files(directory.path(), "log").remove(0), site(directory.path()).join("root")] {
        let moved = directory.path().join("moved");
        fs::rename(&victim, &moved).unwrap();
        symlink(&moved, &victim).unwrap();
        let error = get(&open(directory.path()), b"k").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.to_string().contains("symbolic link"), "{error}");
        assert_eq!(kind(put(&open(directory.path()), b"k", b"v")), ErrorKind::Refused);
        fs::remove_file(&victim).unwrap();
        fs::rename(&moved, &victim).unwrap();
    }
    let pack = files(directory.path(), "pack").remove(0);
    fs::remove_file(&pack).unwrap();
    symlink("/etc/passwd", &pack).unwrap();
    assert_eq!(kind(get(&open(directory.path()), b"k")), ErrorKind::Refused);
}

#[test]
fn a_link_in_place_of_the_directory_is_refused() {
    let (directory, elsewhere) = (directory(), directory());
    symlink(elsewhere.path(), directory.path().join("cache")).unwrap();
    assert_eq!(kind(get(&open(directory.path()), b"k")), ErrorKind::Refused);
    fs::remove_file(directory.path().join("cache")).unwrap();
    fs::create_dir(directory.path().join("cache")).unwrap();
    symlink(elsewhere.path(), site(directory.path())).unwrap();
    assert_eq!(kind(get(&open(directory.path()), b"k")), ErrorKind::Refused);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "nothing was written through the link");
}

#[test]
fn another_version_is_foreign() {
    let directory = directory();
    let known = open(directory.path());
    put(&known, b"k", b"v").unwrap();
    let root = site(directory.path()).join("root");
    let mut bytes = fs::read(&root).unwrap();
    assert_eq!(&bytes[..14], b"larder dir v1\n");
    bytes[12] = b'2';
    fs::write(&root, &bytes).unwrap();
    assert_eq!(kind(get(&open(directory.path()), b"k")), ErrorKind::Foreign);
    assert_eq!(kind(put(&open(directory.path()), b"k", b"v")), ErrorKind::Foreign);
    assert_eq!(fs::read(&root).unwrap(), bytes, "nothing was changed");
}

#[test]
fn strangers_files_are_foreign() {
    let directory = directory();
    fs::create_dir_all(site(directory.path())).unwrap();
    fs::write(site(directory.path()).join("precious"), "data").unwrap();
    assert_eq!(kind(put(&open(directory.path()), b"k", b"v")), ErrorKind::Foreign);
    fs::remove_file(site(directory.path()).join("precious")).unwrap();
    fs::write(site(directory.path()).join("root"), [b'x'; 500]).unwrap();
    assert_eq!(kind(put(&open(directory.path()), b"k", b"v")), ErrorKind::Foreign);
}

#[test]
fn a_file_in_place_of_the_directory_is_refused() {
    let directory = directory();
    fs::write(directory.path().join("cache"), "").unwrap();
    assert_eq!(kind(put(&open(directory.path()), b"k", b"v")), ErrorKind::Refused);
    assert_eq!(kind(put(&open(&directory.path().join("missing")), b"k", b"v")), ErrorKind::Refused);
    assert_eq!(Config::from_url("dir:relative").unwrap_err().kind(), ErrorKind::Config);
}
