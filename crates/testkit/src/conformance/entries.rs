//! Entries: stored, read, removed; hostile keys and sizes.

use larder::ErrorKind;
use larder::contract::{CacheId, Fact, Facts, Op, Outcome, Read};

use super::{Fixture, Sure, delete, key_change, logged, purge, set, unlogged};

/// What was set is read, by this handle and by others.
pub fn what_is_set_is_read(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    backend.put(&cache, b"k", b"value");
    assert_eq!(backend.get(&cache, b"k").as_deref(), Some(&b"value"[..]));
    assert_eq!(fixture.open().get(&cache, b"k").as_deref(), Some(&b"value"[..]));
}

/// No entry, no error: an unknown key, an unknown cache.
pub fn a_miss_is_none(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    assert_eq!(backend.get(&cache, b"k"), None);
    backend.put(&cache, b"k", b"v");
    assert_eq!(backend.get(&cache, b"other"), None);
    assert_eq!(backend.get(&logged("unknown"), b"k"), None);
}

/// A set replaces, with longer, shorter and empty entries.
pub fn the_last_set_wins(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    for len in [10_usize, 100_000, 3, 0, 40_000, 70_000, 1] {
        let entry = vec![len.to_le_bytes()[0]; len];
        backend.put(&cache, b"k", &entry);
        assert_eq!(backend.get(&cache, b"k"), Some(entry));
    }
}

/// The operations of a batch take effect in order.
pub fn operations_take_effect_in_order(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let ops = [
        set(&cache, b"k", b"1"),
        delete(&cache, b"k"),
        delete(&cache, b"k"),
        set(&cache, b"k", b"2"),
        set(&cache, b"k", b"3"),
        set(&cache, b"gone", b"4"),
        delete(&cache, b"gone"),
    ];
    let outcomes = backend.sure_apply(None, &ops).outcomes;
    let deleted = |existed| Outcome::Deleted { existed };
    assert_eq!(
        outcomes,
        [
            Outcome::Stored,
            deleted(true),
            deleted(false),
            Outcome::Stored,
            Outcome::Stored,
            Outcome::Stored,
            deleted(true)
        ]
    );
    assert_eq!(backend.get(&cache, b"k").as_deref(), Some(&b"3"[..]));
    assert_eq!(backend.get(&cache, b"gone"), None);
}

/// Many reads of several caches, hits and misses, answered in the order asked.
pub fn reads_come_in_the_order_asked(fixture: &dyn Fixture) {
    let (backend, a, b) = (fixture.open(), logged("a"), unlogged("b"));
    backend.sure_apply(None, &[set(&a, b"1", b"a1"), set(&b, b"1", b"b1"), set(&b, b"2", b"b2")]);
    let read = |cache, key| Read { cache, key };
    let reads = [read(&b, b"2"), read(&a, b"2"), read(&a, b"1"), read(&b, b"1")];
    let expected = [Some(&b"b2"[..]), None, Some(b"a1"), Some(b"b1")];
    let entries = backend.sure_fetch(None, &reads).entries;
    assert!(entries.iter().map(Option::as_deref).eq(expected));
}

/// Asked twice, answered twice.
pub fn the_same_key_twice(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    backend.put(&cache, b"k", b"v");
    let entries = backend.sure_fetch(None, &[Read { cache: &cache, key: b"k" }; 3]).entries;
    assert!(entries.iter().all(|entry| entry.as_deref() == Some(b"v")));
    assert_eq!(entries.len(), 3);
}

/// `existed` is exact.
pub fn deleting_says_whether_it_existed(fixture: &dyn Fixture) {
    for cache in [logged("c"), unlogged("c")] {
        let backend = fixture.open();
        backend.put(&cache, b"k", b"v");
        assert_eq!(backend.one(delete(&cache, b"k")), Outcome::Deleted { existed: true });
        assert_eq!(backend.get(&cache, b"k"), None);
        assert_eq!(backend.one(delete(&cache, b"k")), Outcome::Deleted { existed: false });
    }
}

/// Others may hold in memory what the backend evicted: a delete is logged even if there was
/// nothing.
pub fn a_missing_key_is_deleted_and_logged(fixture: &dyn Fixture) {
    let (writer, reader, cache) = (fixture.open(), fixture.open(), logged("never used"));
    let here = reader.here();
    assert_eq!(writer.one(delete(&cache, b"k")), Outcome::Deleted { existed: false });
    assert_eq!(reader.sync(Some(here)).changes, [key_change(&cache, b"k")]);
}

/// Keys are bytes: empty, binary, up to 64 KiB; each is stored, read, listed, logged and deleted as
/// given.
pub fn any_bytes_are_a_key(fixture: &dyn Fixture) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let longest = vec![b'x'; 64 << 10];
    let keys: [&[u8]; 9] = [
        b"",
        b"\0",
        b"\0\0",
        b"a\0b",
        b"\xff\xfe\xff",
        b"\r\n$3\r\n",
        "kęy".as_bytes(),
        &every_byte,
        &longest,
    ];
    for cache in [logged("c"), unlogged("c")] {
        let (backend, reader) = (fixture.open(), fixture.open());
        let here = reader.here();
        for (i, key) in keys.iter().enumerate() {
            backend.put(&cache, key, &i.to_le_bytes());
        }
        for (i, key) in keys.iter().enumerate() {
            assert_eq!(backend.get(&cache, key).as_deref(), Some(&i.to_le_bytes()[..]), "{key:?}");
        }
        let mut listed = Vec::new();
        assert!(backend.list(&cache, b"", &mut |key| listed.push(key.to_vec())).is_ok());
        listed.sort();
        let mut expected = keys.map(<[u8]>::to_vec);
        expected.sort();
        assert_eq!(listed, expected);
        if cache.logged() {
            let changes = reader.sync(Some(here)).changes;
            assert!(changes.into_iter().eq(keys.iter().map(|key| key_change(&cache, key))));
        }
        for key in keys {
            assert_eq!(backend.one(delete(&cache, key)), Outcome::Deleted { existed: true });
            assert_eq!(backend.get(&cache, key), None);
        }
    }
}

/// Long keys with a common beginning or end are different keys.
pub fn long_keys_are_kept_apart(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let mut keys = Vec::new();
    for len in [400, 490, 500, 505, 511, 512, 600, 5_000] {
        for end in [b'a', b'b'] {
            let mut key = vec![b'k'; len];
            key.push(end);
            keys.push(key.clone());
            key.reverse();
            keys.push(key);
        }
    }
    for (i, key) in keys.iter().enumerate() {
        backend.put(&cache, key, &i.to_le_bytes());
    }
    for (i, key) in keys.iter().enumerate() {
        assert_eq!(backend.get(&cache, key).as_deref(), Some(&i.to_le_bytes()[..]));
    }
}

/// A NUL does not end a key.
pub fn keys_differ_after_a_nul(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    backend
        .sure_apply(None, &[set(&cache, b"k\0a", b"1"), set(&cache, b"k\0b", b"2"), set(&cache, b"k", b"3")]);
    assert_eq!(backend.one(delete(&cache, b"k\0a")), Outcome::Deleted { existed: true });
    assert_eq!(backend.get(&cache, b"k\0a"), None);
    assert_eq!(backend.get(&cache, b"k\0b").as_deref(), Some(&b"2"[..]));
    assert_eq!(backend.get(&cache, b"k").as_deref(), Some(&b"3"[..]));
}

/// Entries are bytes: empty and binary.
pub fn any_bytes_are_an_entry(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let every_byte: Vec<u8> = (0..=255).collect();
    for entry in [&b""[..], b"\0", b"\r\n", b"\xff\xff", &every_byte] {
        backend.put(&cache, b"k", entry);
        assert_eq!(backend.get(&cache, b"k").as_deref(), Some(entry));
    }
}

/// Entries of every order of magnitude up to 16 MB.
pub fn large_entries(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let mut lens: Vec<usize> = (0..24).map(|i| 1 << i).collect();
    lens.extend([2_000, 2_039, 2_040, 4_080, 4_096, 32_700, 32_768, 16_000_000]);
    for len in lens {
        let entry: Vec<u8> = (0..len).map(|i| (i % 251).to_le_bytes()[0]).collect();
        backend.put(&cache, b"k", &entry);
        assert!(backend.get(&cache, b"k") == Some(entry), "{len} bytes");
    }
    assert_eq!(backend.one(delete(&cache, b"k")), Outcome::Deleted { existed: true });
    assert_eq!(backend.get(&cache, b"k"), None);
}

/// 100 MB are stored or refused; refused, the old entry does not stand, and others are told (R16).
pub fn a_huge_entry_never_hurts(fixture: &dyn Fixture) {
    let (backend, reader, cache) = (fixture.open(), fixture.open(), logged("c"));
    backend.put(&cache, b"k", b"old");
    let here = reader.here();
    let entry = vec![7; 100_000_000];
    match backend.apply(None, &[set(&cache, b"k", &entry)]) {
        Ok(_) => assert!(reader.get(&cache, b"k") == Some(entry)),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
            assert_eq!(reader.get(&cache, b"k"), None);
        }
    }
    let delta = reader.sync(Some(here));
    assert!(delta.reset || delta.changes == [key_change(&cache, b"k")]);
    backend.put(&cache, b"k", b"new");
    assert_eq!(reader.get(&cache, b"k").as_deref(), Some(&b"new"[..]));
}

/// 2,000 operations and 2,000 reads at once.
pub fn large_batches(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let keys: Vec<_> = (0..2_000).map(|i| i.to_string().into_bytes()).collect();
    let sets: Vec<_> = keys.iter().map(|key| set(&cache, key, key)).collect();
    assert!(backend.sure_apply(None, &sets).outcomes.iter().all(|outcome| *outcome == Outcome::Stored));
    let reads: Vec<_> = keys.iter().map(|key| Read { cache: &cache, key }).collect();
    assert!(backend.sure_fetch(None, &reads).entries.into_iter().eq(keys.iter().cloned().map(Some)));
    let deletes: Vec<_> = keys.iter().map(|key| delete(&cache, key)).collect();
    let gone = Outcome::Deleted { existed: true };
    assert!(backend.sure_apply(None, &deletes).outcomes.iter().all(|outcome| *outcome == gone));
    assert!(backend.sure_fetch(None, &reads).entries.iter().all(Option::is_none));
}

/// The same key in several caches is several entries, also where one name begins another.
pub fn caches_are_apart(fixture: &dyn Fixture) {
    let backend = fixture.open();
    let caches = ["c", "cc", "c:c", "c/c", "{c}", "C"].map(logged);
    for cache in &caches {
        backend.put(cache, b"ck", cache.name().as_bytes());
    }
    for cache in &caches {
        assert_eq!(backend.get(cache, b"ck").as_deref(), Some(cache.name().as_bytes()));
        assert_eq!(backend.get(cache, b"k"), None);
    }
}

/// A logged and an unlogged cache of one name have nothing in common.
pub fn logged_and_unlogged_are_apart(fixture: &dyn Fixture) {
    let (backend, loud, quiet) = (fixture.open(), logged("c"), unlogged("c"));
    backend.sure_apply(None, &[set(&loud, b"k", b"loud"), set(&quiet, b"k", b"quiet")]);
    assert_eq!(backend.get(&loud, b"k").as_deref(), Some(&b"loud"[..]));
    assert_eq!(backend.get(&quiet, b"k").as_deref(), Some(&b"quiet"[..]));
    backend.one(purge(&loud));
    assert_eq!(backend.get(&loud, b"k"), None);
    assert_eq!(backend.get(&quiet, b"k").as_deref(), Some(&b"quiet"[..]));
    backend.put(&loud, b"k", b"loud");
    backend.one(delete(&quiet, b"k"));
    assert_eq!(backend.get(&loud, b"k").as_deref(), Some(&b"loud"[..]));
}

/// Every name that a cache may have.
pub fn hostile_cache_names(fixture: &dyn Fixture) {
    let backend = fixture.open();
    let longest = "n".repeat(CacheId::MAX_NAME);
    for name in [" ", "*", "..", "/", "core/string", "{}", "żółć", "a b", "%s", "'; --", &longest] {
        for cache in [logged(name), unlogged(name)] {
            backend.put(&cache, b"k", name.as_bytes());
            assert_eq!(backend.get(&cache, b"k").as_deref(), Some(name.as_bytes()));
            let listed = backend.usage().unwrap_or_default();
            assert!(listed.iter().any(|usage| usage.cache == cache && usage.entries == 1), "{name}");
            backend.one(purge(&cache));
            assert_eq!(backend.get(&cache, b"k"), None);
        }
    }
}

/// An expiry is a hint for reclaiming: gone or not, an expired entry disturbs nothing.
pub fn an_expired_entry_does_no_harm(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let expiring = |key, expires| Op::Set {
        cache: &cache,
        key,
        entry: b"v",
        expires: Some(expires),
        guard: None,
        lock: None,
    };
    let later = backend.now() + 3_600_000;
    let ops = [expiring(b"past", 1), expiring(b"now", backend.now()), expiring(b"later", later)];
    assert!(backend.sure_apply(None, &ops).outcomes.iter().all(|outcome| *outcome == Outcome::Stored));
    for key in [&b"past"[..], b"now"] {
        assert!(backend.get(&cache, key).is_none_or(|entry| entry == b"v"));
    }
    backend.put(&cache, b"past", b"stays");
    backend.put(&cache, b"another", b"w");
    assert_eq!(backend.get(&cache, b"past").as_deref(), Some(&b"stays"[..]), "the new entry has no expiry");
    assert_eq!(backend.get(&cache, b"later").as_deref(), Some(&b"v"[..]));
}

/// A fetch and an apply cost what the fixture says, however much they do.
pub fn round_trips_are_counted(fixture: &dyn Fixture) {
    let cost = fixture.cost();
    let (backend, cache) = (fixture.open(), logged("c"));
    let mut here = backend.here();
    let ops = [set(&cache, b"k", b"v"), delete(&cache, b"l"), purge(&cache), set(&cache, b"k", b"v")];
    here = backend.sure_apply(Some(here), &ops).delta.position;
    let mut before = backend.round_trips();
    here = backend.sure_apply(Some(here), &ops).delta.position;
    before += cost.apply;
    assert_eq!(backend.round_trips(), before, "apply");
    here = backend.sure_fetch(Some(here), &[Read { cache: &cache, key: b"k" }; 50]).delta.position;
    before += cost.fetch;
    assert_eq!(backend.round_trips(), before, "fetch");
    backend.sync(Some(here));
    assert_eq!(backend.round_trips(), before + cost.sync, "sync");
}

/// There is something to say, and nothing empty in it.
pub fn it_describes_itself(fixture: &dyn Fixture) {
    let facts = fixture.open().describe().unwrap_or_default();
    assert_ne!(facts, Facts::default());
    for (name, fact) in facts {
        assert!(!name.is_empty() && fact != Fact::Text(String::new()), "{name}: {fact}");
    }
}
