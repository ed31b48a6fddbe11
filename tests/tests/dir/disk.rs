//! A real disk: one that is full, and one that becomes read-only.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use larder::ErrorKind::Refused;
use larder::contract::{Backend, Op};
use tempfile::TempDir;

use super::support::{LARGE, cache, delete, directory, get, kind, open, put};

/// A small disk in memory; unmounted when it is dropped.
struct Disk(TempDir);

impl Disk {
    /// `None`, with a message, where this user may not mount.
    fn new() -> Option<Self> {
        let directory = directory();
        let disk = mount(&["-t", "tmpfs", "-o", "size=4m", "tmpfs"], directory.path());
        if !disk {
            eprintln!("without a disk of its own: this user may not mount");
        }
        disk.then(|| Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

fn mount(options: &[&str], path: &Path) -> bool {
    Command::new("mount").args(options).arg(path).output().is_ok_and(|output| output.status.success())
}

/// Reading, deleting and purging go on; writing is refused and loses nothing; it heals by itself.
#[test]
fn a_full_disk_refuses_and_still_deletes() {
    let Some(disk) = Disk::new() else { return };
    let (here, there) = (open(disk.path()), open(disk.path()));
    let key = |number: u32| number.to_le_bytes();
    for number in 0..20 {
        put(&here, &key(number), &LARGE).unwrap();
        put(&here, &key(100 + number), &[1; 3_000]).unwrap();
    }
    let mut filler = File::create(disk.path().join("filler")).unwrap();
    while filler.write_all(&[0; 4_096]).is_ok() {}
    assert_eq!(kind(put(&here, &key(0), &LARGE)), Refused);
    // What was refused is gone or as it was; all else stands.
    for number in 1..20 {
        for reader in [&here, &there, &open(disk.path())] {
            assert_eq!(get(reader, &key(number)).unwrap().as_deref(), Some(&LARGE[..]));
            assert!(get(reader, &key(100 + number)).unwrap().is_some());
        }
    }
    // More than fits into what is left of the last block.
    for number in 0..400 {
        delete(&here, &key(100 + number % 20)).unwrap();
        assert_eq!(get(&there, &key(100 + number % 20)).unwrap(), None);
    }
    there.apply(None, &[Op::Purge { cache: &cache() }]).unwrap();
    for reader in [&here, &there, &open(disk.path())] {
        assert_eq!(get(reader, &key(1)).unwrap(), None);
    }
    drop(filler);
    std::fs::remove_file(disk.path().join("filler")).unwrap();
    put(&here, &key(1), &LARGE).unwrap();
    assert_eq!(get(&there, &key(1)).unwrap().as_deref(), Some(&LARGE[..]));
}

#[test]
fn a_disk_that_becomes_read_only_is_read() {
    let Some(disk) = Disk::new() else { return };
    let here = open(disk.path());
    put(&here, b"small", b"v").unwrap();
    put(&here, b"large", &LARGE).unwrap();
    assert!(mount(&["-o", "remount,ro"], disk.path()));
    for reader in [&here, &open(disk.path())] {
        assert_eq!(get(reader, b"small").unwrap().as_deref(), Some(&b"v"[..]));
        assert_eq!(get(reader, b"large").unwrap().as_deref(), Some(&LARGE[..]));
        assert_eq!(kind(put(reader, b"small", b"w")), Refused);
        assert_eq!(kind(put(reader, b"large", &LARGE)), Refused);
        assert_eq!(kind(delete(reader, b"small")), Refused);
    }
    assert!(mount(&["-o", "remount,rw"], disk.path()));
    put(&here, b"small", b"w").unwrap();
    assert_eq!(get(&open(disk.path()), b"small").unwrap().as_deref(), Some(&b"w"[..]));
}
