//! Processes that die, at every call and in the middle of every byte.

use std::fs;
use std::process::Command;

use larder::testing::dir::Dir;
use larder_tests::crash;

use super::support::{LARGE, delete, directory, files, get, open, put};

/// A writer is killed before its first filesystem call, before its second, and so on until it comes
/// to its end. Each time: what was acknowledged is there; what was under way is there as a whole or
/// not at all; and others go on. The steps write, rotate the log, empty the store, take locks, hand
/// them over and give them back.
#[test]
fn killed_at_every_call() {
    let mut rotations = 0;
    for call in 1.. {
        let directory = directory();
        let watcher = Dir::new(&crash::settings(directory.path()));
        let output = Command::new(env!("CARGO_BIN_EXE_dir_crash"))
            .args([directory.path().to_str().unwrap(), &call.to_string()])
            .output()
            .unwrap();
        let acknowledged = String::from_utf8(output.stdout).unwrap().lines().count();
        // One that comes cold, one that follows from there.
        for reader in [&Dir::new(&crash::settings(directory.path())), &watcher] {
            let found = crash::read(reader).unwrap();
            let possible = [crash::after(acknowledged), crash::after(acknowledged + 1)];
            assert!(possible.contains(&found), "killed at call {call}, {acknowledged} steps acknowledged");
        }
        put(&watcher, b"after", b"v").unwrap();
        let cold = Dir::new(&crash::settings(directory.path()));
        assert_eq!(get(&cold, b"after").unwrap().as_deref(), Some(&b"v"[..]), "killed at call {call}");
        crash::wait_for_grace(&watcher).unwrap();
        rotations = rotations.max(files(directory.path(), "index").len());
        if output.status.success() {
            assert_eq!(acknowledged, crash::COUNT);
            assert!(call > 100, "{call} calls are fewer than these steps need");
            break;
        }
    }
    assert!(rotations >= 3, "the steps are meant to rotate the log twice, and to empty it");
}

/// The last record of the log is cut after each of its bytes, and each is followed by rubbish.
#[test]
fn a_torn_record_does_not_count() {
    let directory = directory();
    let writer = open(directory.path());
    put(&writer, b"k", b"before").unwrap();
    let log = files(directory.path(), "log").remove(0);
    let start = fs::read(&log).unwrap().len();
    put(&writer, b"k", b"the record that is torn").unwrap();
    let whole = fs::read(&log).unwrap();
    for cut in start..whole.len() {
        for rubbish in [&b""[..], &[0; 300], &[0xff; 300], &whole[start..]] {
            // In place: it stays the file that Larder created.
            let torn = [&whole[..cut], rubbish].concat();
            let torn = if cut == start && rubbish == &whole[start..] { &whole[..start] } else { &torn };
            fs::write(&log, torn).unwrap();
            let reader = open(directory.path());
            assert_eq!(get(&reader, b"k").unwrap().as_deref(), Some(&b"before"[..]), "cut at {cut}");
            put(&reader, b"l", b"after").unwrap();
            delete(&reader, b"gone").unwrap();
            let other = open(directory.path());
            assert_eq!(get(&other, b"k").unwrap().as_deref(), Some(&b"before"[..]), "cut at {cut}");
            assert_eq!(get(&other, b"l").unwrap().as_deref(), Some(&b"after"[..]), "cut at {cut}");
        }
    }
}

/// Any bit of an entry, in the log or in a pack: a miss, never another value.
#[test]
fn a_flipped_bit_is_a_miss() {
    let directory = directory();
    let writer = open(directory.path());
    put(&writer, b"large", &LARGE).unwrap();
    let pack = files(directory.path(), "pack").remove(0);
    let bytes = fs::read(&pack).unwrap();
    for at in (0..bytes.len()).step_by(997) {
        let mut broken = bytes.clone();
        broken[at] ^= 1;
        fs::write(&pack, broken).unwrap();
        assert_eq!(get(&writer, b"large").unwrap(), None);
    }
    fs::write(&pack, &bytes[..5_000]).unwrap();
    assert_eq!(get(&writer, b"large").unwrap(), None);
    fs::write(&pack, &bytes).unwrap();
    assert_eq!(get(&writer, b"large").unwrap(), Some(bytes));
    fs::remove_file(&pack).unwrap();
    assert_eq!(get(&writer, b"large").unwrap(), None);
}

/// What a value looks like is never taken for a record; at worst all is lost.
#[test]
fn a_forged_record_in_a_value_does_not_count() {
    let directory = directory();
    let writer = open(directory.path());
    put(&writer, b"k", b"old").unwrap();
    let log = files(directory.path(), "log").remove(0);
    let before = fs::read(&log).unwrap();
    delete(&writer, b"k").unwrap();
    let record = fs::read(&log).unwrap()[before.len()..].to_vec();
    put(&writer, b"k", b"new").unwrap();
    put(&writer, b"l", b"v").unwrap();
    // The record of the delete, once more behind the newest.
    let mut bytes = fs::read(&log).unwrap();
    bytes.extend_from_slice(&record);
    fs::write(&log, bytes).unwrap();
    let reader = open(directory.path());
    let found = [b"k", b"l"].map(|key| get(&reader, key).unwrap());
    assert!(found == [Some(b"new".to_vec()), Some(b"v".to_vec())] || found == [None, None], "{found:?}");
}
