//! A full directory: the oldest entries go, callers see no errors.

use std::process::Stdio;
use std::time::Duration;

use crate::place::{Place, cache, get, here, put, quiet};
use larder::ErrorKind;
use larder::contract::{Change, Op};
use larder_testkit::SmallDisk;
use rustix::process::{Pid, Signal, kill_process};

fn file_len(place: &Place) -> u64 {
    std::fs::metadata(place.path().join("data.mdb")).unwrap().len()
}

/// Ten times the size in entries of any size: each is stored and read, the file stays within its
/// bound.
#[test]
fn the_oldest_go() {
    let place = Place::new("4M");
    let (backend, cache) = (place.open(), cache("c"));
    let before = here(&*backend);
    let mut random = 1_u64;
    let mut written = 0;
    for i in 0..4_000_u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let len = [10, 300, 3_000, 9_000, 40_000, 100_000][(random >> 40) as usize % 6];
        let entry = vec![i.to_le_bytes()[0]; len];
        put(&*backend, &cache, &i.to_le_bytes(), &entry).unwrap();
        assert!(get(&*backend, &cache, &i.to_le_bytes()) == Some(entry), "entry {i}");
        written += len as u64;
    }
    assert!(written > 40 << 20);
    assert!(file_len(&place) <= 4 << 20);
    assert_eq!(get(&*backend, &cache, &0_u64.to_le_bytes()), None);
    let mut kept = Vec::new();
    let list = backend.list(&cache, b"", &mut |key| kept.push(u64::from_le_bytes(key.try_into().unwrap())));
    list.unwrap();
    kept.sort_unstable();
    let youngest: Vec<_> = (4_000 - kept.len() as u64..4_000).collect();
    assert_eq!(kept, youngest, "exactly the youngest are kept");
    assert!(kept.len() > 20, "{} kept", kept.len());
    assert_eq!(here(&*backend).incarnation, before.incarnation, "evicting is enough");
}

/// Small entries too, whose bookkeeping is larger than they are; also in unlogged caches and with
/// expiry.
#[test]
fn small_entries_fill_it_too() {
    let place = Place::new("4M");
    let (backend, quiet) = (place.open(), quiet("c"));
    let before = here(&*backend);
    for batch in 0..100_u64 {
        let keys: Vec<_> = (0..1_000).map(|i| (batch * 1_000 + i).to_be_bytes()).collect();
        let ops: Vec<_> = keys
            .iter()
            .map(|key| Op::Set {
                cache: &quiet,
                key,
                entry: b"x",
                expires: Some(u64::MAX - 1),
                guard: None,
                lock: None,
            })
            .collect();
        backend.apply(None, &ops).unwrap();
        assert_eq!(get(&*backend, &quiet, keys.last().unwrap()).as_deref(), Some(&b"x"[..]));
    }
    assert!(file_len(&place) <= 4 << 20);
    assert!(backend.usage().unwrap()[0].entries > 3_000);
    assert_eq!(here(&*backend).incarnation, before.incarnation, "evicting is enough");
}

/// What cannot fit is refused; the old entry is gone and others are told.
#[test]
fn an_entry_that_cannot_fit() {
    let place = Place::new("4M");
    let (backend, cache) = (place.open(), cache("c"));
    put(&*backend, &cache, b"k", b"old").unwrap();
    put(&*backend, &cache, b"other", b"stays").unwrap();
    let before = here(&*backend);
    let error = put(&*backend, &cache, b"k", &vec![0; 3 << 20]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert_eq!(get(&*backend, &cache, b"k"), None);
    assert_eq!(get(&*backend, &cache, b"other").as_deref(), Some(&b"stays"[..]));
    let delta = backend.fetch(Some(before), &[]).unwrap().delta;
    assert!(!delta.reset);
    assert_eq!(delta.changes, [Change::Key { cache: "c".into(), key: b"k"[..].into() }]);
    put(&*backend, &cache, b"k", &vec![1; 900 << 10]).unwrap();
    assert_eq!(get(&*backend, &cache, b"k"), Some(vec![1; 900 << 10]));
}

/// Overwriting large entries again and again, from several threads, finds room each time.
#[test]
fn large_entries_replace_each_other() {
    let place = Place::new("4M");
    let before = here(&*place.open());
    std::thread::scope(|scope| {
        for thread in 0..3_u8 {
            let backend = place.open();
            scope.spawn(move || {
                for i in 0..100_usize {
                    let entry = vec![thread; 500_000 + i * 4_000];
                    put(&*backend, &cache("c"), &[thread], &entry).unwrap();
                    let read = get(&*backend, &cache("c"), &[thread]);
                    assert!(read.is_none_or(|read| read == entry));
                }
            });
        }
    });
    assert!(file_len(&place) <= 4 << 20);
    assert_eq!(here(&*place.open()).incarnation, before.incarnation, "evicting is enough");
}

/// A batch beyond the bound does nothing but remove.
#[test]
fn a_batch_that_cannot_fit() {
    let place = Place::new("4M");
    let (backend, cache) = (place.open(), cache("c"));
    put(&*backend, &cache, &[7], b"old").unwrap();
    let keys: Vec<_> = (0..100_u8).map(|i| [i]).collect();
    let entry = vec![0; 50_000];
    let set = |key| Op::Set { cache: &cache, key, entry: &entry, expires: None, guard: None, lock: None };
    let ops: Vec<_> = keys.iter().map(|key| set(&key[..])).collect();
    assert_eq!(backend.apply(None, &ops).unwrap_err().kind(), ErrorKind::Refused);
    assert!(keys.iter().all(|key| get(&*backend, &cache, key).is_none()));
}

/// A reader that was stopped in the middle of reading keeps its pages; writers go on all the same,
/// and when it goes on, it reads what is there now.
#[test]
fn a_stopped_reader_does_not_stop_writers() {
    let place = Place::new("32M");
    let (backend, cache) = (place.open(), cache("large"));
    put(&*backend, &cache, b"k", &vec![1; 7_000_000]).unwrap();
    let mut reader = place.peer(&["read", "k"]).stdout(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_child(&reader);
    for round in 2..6_u8 {
        std::thread::sleep(Duration::from_millis(60));
        kill_process(pid, Signal::STOP).unwrap();
        for i in 0..40 {
            put(&*backend, &cache, &[i], &vec![round; 3_000_000]).unwrap();
            assert_eq!(get(&*backend, &cache, &[i]), Some(vec![round; 3_000_000]));
        }
        put(&*backend, &cache, b"k", &vec![round; 7_000_000]).unwrap();
        kill_process(pid, Signal::CONT).unwrap();
    }
    std::thread::sleep(Duration::from_millis(50));
    assert!(reader.try_wait().unwrap().is_none(), "the reader goes on");
    reader.kill().unwrap();
    reader.wait().unwrap();
    assert!(file_len(&place) <= 32 << 20);
}

/// The disk is full long before the file has its size: entries are evicted, or refused without
/// leaving the old.
#[test]
fn a_full_disk() {
    let place = Place::new("64M");
    let Some(disk) = SmallDisk::mount(&place.path()) else { return };
    let (backend, cache) = (place.open(), cache("c"));
    let mut refused = 0;
    for i in 0..400_u32 {
        let (key, entry) = ([i.to_le_bytes()[0] % 50], vec![i.to_le_bytes()[0]; 50_000]);
        match put(&*backend, &cache, &key, &entry) {
            Ok(()) => assert!(get(&*backend, &cache, &key) == Some(entry)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
                assert_eq!(get(&*backend, &cache, &key), None, "a refused overwrite leaves nothing");
                refused += 1;
            }
        }
    }
    assert!(refused < 20, "{refused} of 400 refused");
    // Filled up by others: nothing can be stored, nothing panics.
    disk.fill();
    for i in 0..50_u8 {
        if let Err(error) = put(&*backend, &cache, &[i], &vec![i; 200_000]) {
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        }
        if let Err(error) = backend.fetch(None, &[]) {
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        }
    }
    disk.clear();
    put(&*backend, &cache, b"k", b"v").unwrap();
    assert_eq!(get(&*backend, &cache, b"k").as_deref(), Some(&b"v"[..]));
}
