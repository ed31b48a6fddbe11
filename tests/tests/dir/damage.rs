//! Bytes of the files that are not what was written: what was acknowledged is never undone, and it
//! heals.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use larder::ErrorKind;
use larder::contract::{Attempt, Backend};
use larder::testing::dir;
use larder::testing::dir::Settings;
use larder_tests::crash;
use tempfile::TempDir;

use super::support::{LARGE, delete, directory, files, get, open, put, settings, site};

/// One bit, which makes other numbers and letters, and all bits of a byte.
const MASKS: [u8; 2] = [1, 0xff];

/// A small log with a record of each kind.
fn small_log() -> TempDir {
    let directory = directory();
    let writer = open(directory.path());
    put(&writer, b"deleted", b"old").unwrap();
    put(&writer, b"kept", b"v").unwrap();
    put(&writer, b"replaced", b"old").unwrap();
    put(&writer, b"large", &LARGE).unwrap();
    delete(&writer, b"deleted").unwrap();
    put(&writer, b"replaced", b"new").unwrap();
    directory
}

/// Changes one byte in place: the file stays the one that Larder created.
fn flip(file: &Path, at: usize, mask: u8) {
    let mut bytes = fs::read(file).unwrap();
    *bytes.get_mut(at).unwrap() ^= mask;
    fs::write(file, bytes).unwrap();
}

/// Who comes new, and who was there before, see nothing old, and go on.
fn nothing_old_and_it_heals(directory: &Path, watcher: Option<&dir::Dir>, what: &str) {
    let new = open(directory);
    for reader in [Some(&new), watcher].into_iter().flatten() {
        for _ in 0..2 {
            assert_eq!(get(reader, b"deleted").expect(what), None, "{what}");
            let replaced = get(reader, b"replaced").expect(what);
            assert!(replaced.is_none() || replaced.as_deref() == Some(b"new"), "{what}: {replaced:?}");
            let kept = get(reader, b"kept").expect(what);
            assert!(kept.is_none() || kept.as_deref() == Some(b"v"), "{what}: {kept:?}");
            let large = get(reader, b"large").expect(what);
            assert!(large.is_none() || large.as_deref() == Some(&LARGE), "{what}");
        }
    }
    put(&new, b"after", b"1").expect(what);
    for reader in [Some(&open(directory)), watcher].into_iter().flatten() {
        assert_eq!(get(reader, b"after").expect(what).as_deref(), Some(&b"1"[..]), "{what}");
        assert_eq!(get(reader, b"deleted").expect(what), None, "{what}");
    }
}

/// Sweeps the bytes of a file of a small store.
fn sweep(find: impl Fn(&Path) -> PathBuf, step: usize) {
    let whole = small_log();
    let length = fs::metadata(find(whole.path())).unwrap().len();
    for at in (0..usize::try_from(length).unwrap()).step_by(step) {
        for mask in MASKS {
            let directory = small_log();
            let file = find(directory.path());
            let watcher = (at % 2 == 0).then(|| open(directory.path()));
            if let Some(watcher) = &watcher {
                assert_eq!(get(watcher, b"kept").unwrap().as_deref(), Some(&b"v"[..]));
            }
            flip(&file, at, mask);
            nothing_old_and_it_heals(
                directory.path(),
                watcher.as_ref(),
                &format!("{} {at} {mask}", file.display()),
            );
        }
    }
}

#[test]
fn any_byte_of_a_segment() {
    sweep(|directory| files(directory, "log").remove(0), 1);
}

#[test]
fn any_byte_of_the_root() {
    sweep(|directory| site(directory).join("root"), 1);
}

#[test]
fn any_byte_of_a_pack() {
    sweep(|directory| files(directory, "pack").remove(0), 1_999);
}

/// The root, both segments and the checkpoint, once the log has gone on.
#[test]
fn any_byte_after_a_rotation() {
    let build = || {
        let directory = small_log();
        let writer = open(directory.path());
        for i in 0..600_u32 {
            put(&writer, &i.to_le_bytes(), &[1; 4_000]).unwrap();
        }
        assert_eq!(files(directory.path(), "index").len(), 1);
        delete(&writer, b"kept").unwrap();
        directory
    };
    let whole = build();
    let lengths: Vec<_> =
        files(whole.path(), "").iter().map(|file| fs::metadata(file).unwrap().len()).collect();
    for (number, length) in lengths.into_iter().enumerate() {
        for at in [0, 12, 17, 50, length / 3, length / 2, length - 9, length - 1] {
            let directory = build();
            let file = files(directory.path(), "").remove(number);
            flip(&file, usize::try_from(at.min(length - 1)).unwrap(), 1);
            let reader = open(directory.path());
            assert_eq!(get(&reader, b"kept").unwrap(), None, "{file:?} {at}");
            nothing_old_and_it_heals(directory.path(), Some(&reader), &format!("{file:?} {at}"));
        }
    }
}

/// Also where the next writer comes before any reader, and where several bytes in a row are lost.
#[test]
fn a_writer_overwrites_nothing_behind_damage() {
    for lost in [1, 30, 60] {
        let directory = directory();
        let writer = open(directory.path());
        put(&writer, b"deleted", b"old").unwrap();
        let log = files(directory.path(), "log").remove(0);
        let from = usize::try_from(fs::metadata(&log).unwrap().len()).unwrap() + 4;
        put(&writer, b"kept", &[b'v'; 100]).unwrap();
        delete(&writer, b"deleted").unwrap();
        drop(writer);
        let mut bytes = fs::read(&log).unwrap();
        bytes.get_mut(from..from + lost).unwrap().fill(0);
        fs::write(&log, bytes).unwrap();
        put(&open(directory.path()), b"kept", b"v").unwrap();
        nothing_old_and_it_heals(directory.path(), None, &format!("{lost} bytes"));
    }
}

/// A process that knows more than a new one finds follows it: there is one log.
#[test]
fn who_read_the_log_before_follows() {
    let directory = small_log();
    let before = open(directory.path());
    assert_eq!(get(&before, b"kept").unwrap().as_deref(), Some(&b"v"[..]));
    flip(&files(directory.path(), "log").remove(0), 150, 1);
    put(&before, b"mine", b"1").unwrap();
    let new = open(directory.path());
    assert_eq!(get(&new, b"mine").unwrap(), None);
    put(&new, b"theirs", b"2").unwrap();
    assert_eq!(get(&before, b"theirs").unwrap().as_deref(), Some(&b"2"[..]));
    put(&before, b"mine", b"3").unwrap();
    assert_eq!(get(&new, b"mine").unwrap().as_deref(), Some(&b"3"[..]));
}

/// Nobody knows who held it: nobody gets it before who holds it can say so.
#[test]
fn a_lock_is_not_given_to_a_second() {
    const LEASE: Duration = Duration::from_secs(60);
    let directory = directory();
    let holder = open(directory.path());
    crash::wait_for_grace(&holder).unwrap();
    let Attempt::Mine { .. } = crash::ask(&holder, "n", 1, LEASE).unwrap() else { panic!("it is free") };
    let log = files(directory.path(), "log").remove(0);
    flip(&log, usize::try_from(fs::metadata(&log).unwrap().len()).unwrap() - 30, 1);
    let other = open(directory.path());
    assert!(!matches!(crash::ask(&other, "n", 2, LEASE).unwrap(), Attempt::Mine { .. }));
}

/// A version is told by a number; anything else is damage.
#[test]
fn a_root_of_another_version_is_left_alone() {
    let directory = small_log();
    let root = site(directory.path()).join("root");
    let bytes = fs::read(&root).unwrap();
    for (version, foreign) in [("2\n\0\0", true), ("17\n\0", true), ("0\n\0\0", false), ("x\n\0\0", false)] {
        let mut other = bytes.clone();
        other[12..16].copy_from_slice(version.as_bytes());
        fs::write(&root, &other).unwrap();
        let read = dir::Dir::new(&Settings { ..settings(directory.path()) }).fetch(None, &[]);
        assert_eq!(read.is_err_and(|error| error.kind() == ErrorKind::Foreign), foreign, "{version}");
    }
}

/// What the seals lead to vanished, or cannot be read, while the root still names a segment before
/// it.
#[test]
fn a_segment_that_is_missing_begins_a_new_history() {
    for emptied in [false, true] {
        for missing in ["log", "index"] {
            let directory = small_log();
            let root = fs::read(site(directory.path()).join("root")).unwrap();
            let writer = open(directory.path());
            if emptied {
                writer.reset().unwrap();
            }
            for i in 0..600_u32 {
                put(&writer, &i.to_le_bytes(), &[1; 4_000]).unwrap();
            }
            fs::remove_file(files(directory.path(), missing).pop().unwrap()).unwrap();
            fs::write(site(directory.path()).join("root"), &root).unwrap();
            drop(writer);
            nothing_old_and_it_heals(directory.path(), None, &format!("{missing} {emptied}"));
        }
    }
}
