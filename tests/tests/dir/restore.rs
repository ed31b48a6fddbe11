//! A directory that was restored, replaced or removed under living processes (R14).

use std::fs;
use std::path::Path;
use std::time::Duration;

use larder::contract::{Attempt, Backend, LockBackend, LockProof, Renewal, Token};
use larder::testing::dir::Dir;
use larder_tests::crash;

use super::support::{delete, directory, files, get, here, open, put, site};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_restored_copy_is_emptied_though_nobody_remembers() {
    let (directory, backup) = (directory(), directory());
    let writer = open(directory.path());
    put(&writer, b"k", b"old").unwrap();
    copy(&directory.path().join("cache"), &backup.path().join("cache"));
    delete(&writer, b"k").unwrap();
    drop(writer);
    fs::remove_dir_all(directory.path().join("cache")).unwrap();
    copy(&backup.path().join("cache"), &directory.path().join("cache"));
    let new = open(directory.path());
    assert_eq!(get(&new, b"k").unwrap(), None);
    put(&new, b"k", b"new").unwrap();
    assert_eq!(get(&open(directory.path()), b"k").unwrap().as_deref(), Some(&b"new"[..]));
}

#[test]
fn a_log_set_back_in_place_is_noticed_by_who_saw_more() {
    let directory = directory();
    let (writer, reader) = (open(directory.path()), open(directory.path()));
    put(&writer, b"k", b"old").unwrap();
    let log = files(directory.path(), "log").remove(0);
    let length = fs::metadata(&log).unwrap().len();
    delete(&writer, b"k").unwrap();
    let before = here(&reader);
    fs::File::options().write(true).open(&log).unwrap().set_len(length).unwrap();
    let delta = reader.fetch(Some(before), &[]).unwrap().delta;
    assert!(delta.reset);
    assert_ne!(delta.position.incarnation, before.incarnation);
    assert_eq!(get(&reader, b"k").unwrap(), None);
    // The writer, too, follows to the new history.
    assert_eq!(get(&writer, b"k").unwrap(), None);
}

#[test]
fn a_log_set_back_and_grown_past_is_noticed() {
    let directory = directory();
    let (writer, reader) = (open(directory.path()), open(directory.path()));
    put(&writer, b"k", b"old").unwrap();
    let log = files(directory.path(), "log").remove(0);
    let length = fs::metadata(&log).unwrap().len();
    delete(&writer, b"k").unwrap();
    let before = here(&reader);
    fs::File::options().write(true).open(&log).unwrap().set_len(length).unwrap();
    // A process that saw nothing goes on behind the old end.
    let other = open(directory.path());
    for _ in 0..50 {
        put(&other, b"other", b"v").unwrap();
    }
    let delta = reader.fetch(Some(before), &[]).unwrap().delta;
    assert!(delta.reset);
    assert_eq!(get(&reader, b"k").unwrap(), None);
    assert_eq!(get(&other, b"k").unwrap(), None);
}

#[test]
fn a_removed_directory_is_set_up_anew() {
    let directory = directory();
    let (writer, reader) = (open(directory.path()), open(directory.path()));
    put(&writer, b"k", b"v").unwrap();
    let before = here(&reader);
    fs::remove_dir_all(directory.path().join("cache")).unwrap();
    assert!(reader.fetch(Some(before), &[]).unwrap().delta.reset);
    assert_eq!(get(&writer, b"k").unwrap(), None);
    put(&writer, b"k", b"w").unwrap();
    assert_eq!(get(&reader, b"k").unwrap().as_deref(), Some(&b"w"[..]));
}

#[test]
fn a_lost_root_does_not_split_the_nodes() {
    let directory = directory();
    let old = open(directory.path());
    put(&old, b"k", b"v").unwrap();
    let before = here(&old);
    fs::remove_file(site(directory.path()).join("root")).unwrap();
    let new = open(directory.path());
    assert_eq!(get(&new, b"k").unwrap(), None);
    assert!(old.fetch(Some(before), &[]).unwrap().delta.reset);
    put(&new, b"k", b"w").unwrap();
    assert_eq!(get(&old, b"k").unwrap().as_deref(), Some(&b"w"[..]));
}

#[test]
fn unlogged_caches_outlive_a_lost_history() {
    let directory = directory();
    let quiet = larder::contract::CacheId::new("sessions", false).unwrap();
    let (writer, reader) = (open(directory.path()), open(directory.path()));
    let set = larder::contract::Op::Set {
        cache: &quiet,
        key: b"s",
        entry: b"1",
        expires: None,
        guard: None,
        lock: None,
    };
    writer.apply(None, &[set]).unwrap();
    put(&writer, b"k", b"v").unwrap();
    let log = files(directory.path(), "log").remove(0);
    let length = fs::metadata(&log).unwrap().len();
    put(&writer, b"k", b"w").unwrap();
    here(&reader);
    fs::File::options().write(true).open(&log).unwrap().set_len(length).unwrap();
    assert_eq!(get(&reader, b"k").unwrap(), None);
    let read = larder::contract::Read { cache: &quiet, key: b"s" };
    assert_eq!(reader.fetch(None, &[read]).unwrap().entries, [Some(b"1".to_vec())]);
}

#[test]
fn a_damaged_checkpoint_begins_a_new_history() {
    let directory = directory();
    let writer = open(directory.path());
    for i in 0..1_500_u32 {
        put(&writer, &i.to_le_bytes(), &[1; 4_000]).unwrap();
    }
    let checkpoint = files(directory.path(), "index").pop().unwrap();
    let mut bytes = fs::read(&checkpoint).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&checkpoint, bytes).unwrap();
    let new = open(directory.path());
    assert_eq!(get(&new, &0_u32.to_le_bytes()).unwrap(), None);
    put(&new, b"k", b"v").unwrap();
    assert_eq!(get(&writer, b"k").unwrap().as_deref(), Some(&b"v"[..]), "who knew better follows");
}

/// Nobody knows who held a lock before: whoever did has it back by renewing, before anybody new
/// gets one.
#[test]
fn a_lost_history_gives_no_lock_to_a_second() {
    const LEASE: Duration = Duration::from_millis(400);
    let directory = directory();
    let (holder, other) = (open(directory.path()), open(directory.path()));
    crash::wait_for_grace(&holder).unwrap();
    let Attempt::Mine { fence } = crash::ask(&holder, "n", 1, LEASE).unwrap() else { panic!("it is free") };
    fs::remove_dir_all(directory.path().join("cache")).unwrap();
    assert!(matches!(crash::ask(&other, "n", 2, LEASE).unwrap(), Attempt::Grace { .. }));
    let proof = LockProof { token: Token::from_number(1), fence };
    let renewal = Renewal { name: b"n", owner: b"", proof, believed_until: Duration::MAX };
    assert_eq!(holder.renew(&[renewal], LEASE).unwrap(), [true]);
    assert_eq!(other.holder(b"n").unwrap(), Some(proof.token));
    assert!(holder.release(b"n", proof.token).unwrap());
    assert!(wait(&other, 2, LEASE) > fence);
    assert_eq!(holder.renew(&[renewal], LEASE).unwrap(), [false]);
}

/// Even if nobody lives who knew them.
#[test]
fn fencing_numbers_grow_over_a_lost_history() {
    const LEASE: Duration = Duration::from_millis(100);
    let directory = directory();
    let mut before = 0;
    for token in 1..4 {
        let fence = wait(&open(directory.path()), token, LEASE);
        assert!(fence > before, "{fence} after {before}");
        before = fence;
        fs::remove_dir_all(directory.path().join("cache")).unwrap();
    }
}

/// Waits for the lock `n`; gives its fencing number.
fn wait(backend: &Dir, token: u128, lease: Duration) -> u64 {
    loop {
        match crash::ask(backend, "n", token, lease).unwrap() {
            Attempt::Mine { fence } => return fence,
            Attempt::Wait { at_most } | Attempt::Grace { left: at_most } => {
                let _ = backend.park(Token::from_number(token), at_most);
            }
        }
    }
}
