//! Filesystem calls: each is a round trip on a network filesystem. `docs/dir.md` has the table.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::contract::{Attempt, Backend, Claim, LockBackend, LockProof, Op, Read, Renewal, Token};
use larder::testing::dir::Dir;

use super::support::{LARGE, cache, delete, directory, get, here, open, put, settings};

/// The calls that `work` makes.
fn calls<T>(backend: &dyn Backend, work: impl FnOnce() -> T) -> u64 {
    let before = backend.round_trips();
    work();
    backend.round_trips() - before
}

#[test]
fn a_warm_process_makes_few_calls() {
    let directory = directory();
    let (reader, writer) = (open(directory.path()), open(directory.path()));
    put(&writer, b"small", b"1").unwrap();
    put(&writer, b"large", &LARGE).unwrap();
    let at = here(&reader);
    here(&writer);

    assert_eq!(calls(&reader, || reader.fetch(Some(at), &[]).unwrap()), 3, "a clean sync");
    assert_eq!(calls(&reader, || get(&reader, b"nothing").unwrap()), 3, "a miss");
    assert_eq!(calls(&reader, || get(&reader, b"small").unwrap()), 4, "a small entry");
    assert_eq!(calls(&reader, || get(&reader, b"large").unwrap()), 6, "a large entry");
    assert_eq!(calls(&writer, || put(&writer, b"small", b"2").unwrap()), 7, "a small write");
    assert_eq!(calls(&reader, || get(&reader, b"small").unwrap()), 3, "a small entry that just changed");
    assert_eq!(calls(&writer, || put(&writer, b"large", &LARGE).unwrap()), 11, "a large write");
    assert_eq!(calls(&writer, || delete(&writer, b"small").unwrap()), 7, "a delete");
    let purge = [Op::Purge { cache: &cache() }];
    assert_eq!(calls(&writer, || writer.apply(None, &purge).unwrap()), 7, "a purge");
    let (cache, keys) = (cache(), (0..200_u32).map(u32::to_le_bytes).collect::<Vec<_>>());
    let set = |key| Op::Set { cache: &cache, key, entry: &LARGE, expires: None, guard: None, lock: None };
    let sets: Vec<_> = keys.iter().map(|key| set(key)).collect();
    // 4 MB in one pack; the log is rotated after it, which is not counted here.
    let batch = calls(&writer, || writer.apply(None, &sets[..20]).unwrap());
    assert_eq!(batch, 11, "a large batch");
    let reads: Vec<_> = keys[..20].iter().map(|key| Read { cache: &cache, key }).collect();
    assert_eq!(calls(&reader, || reader.fetch(None, &reads).unwrap()), 6, "a large batch, read");
}

/// What a record names is complete, synced and closed before the record is written, and that is
/// synced before it counts.
#[test]
fn a_write_makes_its_calls_in_order() {
    let directory = directory();
    put(&open(directory.path()), b"k", b"v").unwrap();
    let made = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&made);
    let writer =
        Dir::observed(&settings(directory.path()), Arc::new(move |call| told.lock().unwrap().push(call)));
    here(&writer);
    made.lock().unwrap().clear();
    put(&writer, b"k", &LARGE).unwrap();
    let pack = ["open", "pwrite", "fdatasync", "close"];
    let record = ["open", "lock", "pread", "pwrite", "fdatasync", "unlock", "close"];
    assert_eq!(*made.lock().unwrap(), [&pack[..], &record].concat());
}

#[test]
fn locks_make_few_calls() {
    let directory = directory();
    let (first, second) = (open(directory.path()), open(directory.path()));
    larder_tests::crash::wait_for_grace(&first).unwrap();
    here(&second);
    let ask = |backend: &Dir, token, queue| {
        let token = Token::from_number(token);
        let lease = Duration::from_secs(600);
        backend.acquire(&Claim { name: b"n", token, owner: b"", lease, queue }).unwrap()
    };
    assert_eq!(calls(&first, || ask(&first, 1, true)), 7, "a free lock");
    assert_eq!(calls(&second, || ask(&second, 2, false)), 5, "a lock that is held");
    assert_eq!(calls(&second, || ask(&second, 2, true)), 7, "to stand in line");
    assert_eq!(calls(&second, || ask(&second, 2, true)), 3, "a look");
    assert_eq!(calls(&first, || first.release(b"n", Token::from_number(1)).unwrap()), 7, "a hand-over");
    let mut fence = 0;
    let taken = calls(&second, || {
        if let Attempt::Mine { fence: granted } = ask(&second, 2, true) {
            fence = granted;
        }
    });
    assert_eq!(taken, 10, "to take it");
    let proof = LockProof { token: Token::from_number(2), fence };
    let renewals = [Renewal { name: b"n", owner: b"", proof, believed_until: Duration::MAX }; 3];
    assert_eq!(calls(&second, || second.renew(&renewals, Duration::from_secs(1)).unwrap()), 7, "renewals");
}

#[test]
fn a_cold_process_reads_many_small_entries_with_few_calls() {
    let directory = directory();
    let writer = open(directory.path());
    let keys: Vec<Vec<u8>> = (0..1_000_u32).map(|i| format!("key {i}").into_bytes()).collect();
    for key in &keys {
        put(&writer, key, &[1; 1_000]).unwrap();
    }
    let cold = open(directory.path());
    let cache = cache();
    let reads: Vec<_> = keys.iter().map(|key| Read { cache: &cache, key }).collect();
    let cost = calls(&cold, || {
        let entries = cold.fetch(None, &reads).unwrap().entries;
        assert!(entries.iter().all(|entry| entry.as_deref() == Some(&[1; 1_000][..])));
    });
    // Two directories, the filesystem's type, root 3, header 4, tail 4.
    assert!(cost <= 16, "{cost} calls");
    println!("1,000 entries of 1,000 bytes, cold: {cost} calls");

    // The same after the log was rotated many times, with most entries in old segments.
    for i in 0..6_000_u32 {
        put(&writer, format!("other {}", i % 50).as_bytes(), &[2; 2_000]).unwrap();
    }
    let cold = open(directory.path());
    let cost = calls(&cold, || {
        let entries = cold.fetch(None, &reads).unwrap().entries;
        assert!(entries.iter().all(Option::is_some));
    });
    println!("the same after six segments: {cost} calls");
    assert!(cost <= 24, "{cost} calls");
}
