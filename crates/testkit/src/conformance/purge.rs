//! Whole caches: purged, reset, listed and counted.

use std::collections::BTreeSet;

use larder::contract::{Backend, CacheId, CacheUsage, Outcome};

use super::{Fixture, Sure, cache_change, delete, logged, purge, set, unlogged};

fn keys(backend: &dyn Backend, cache: &CacheId, prefix: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut keys = BTreeSet::new();
    let listed = backend.list(cache, prefix, &mut |key| {
        keys.insert(key.to_vec());
    });
    assert!(listed.is_ok(), "{listed:?}");
    keys
}

fn fill(backend: &std::sync::Arc<dyn Backend>, cache: &CacheId, count: usize) {
    let keys: Vec<_> = (0..count).map(|i| format!("k{i}").into_bytes()).collect();
    for keys in keys.chunks(1_000) {
        let ops: Vec<_> = keys.iter().map(|key| set(cache, key, b"v")).collect();
        backend.sure_apply(None, &ops);
    }
}

/// Afterwards nothing of the cache is read.
pub fn a_purge_empties_the_cache(fixture: &dyn Fixture) {
    for cache in [logged("c"), unlogged("c")] {
        let backend = fixture.open();
        fill(&backend, &cache, 100);
        assert_eq!(backend.one(purge(&cache)), Outcome::Purged);
        assert_eq!(backend.get(&cache, b"k7"), None);
        assert_eq!(fixture.open().get(&cache, b"k99"), None);
        assert!(keys(&*backend, &cache, b"").is_empty());
        assert_eq!(backend.one(delete(&cache, b"k7")), Outcome::Deleted { existed: false });
    }
}

/// Others keep theirs.
pub fn a_purge_spares_other_caches(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let others = [logged("cc"), logged("b"), logged("d"), unlogged("c")];
    for other in others.iter().chain([&cache]) {
        backend.put(other, b"k", b"v");
    }
    backend.one(purge(&cache));
    for other in &others {
        assert_eq!(backend.get(other, b"k").as_deref(), Some(&b"v"[..]), "{other:?}");
    }
}

/// However many entries it had.
pub fn a_purge_is_one_change(fixture: &dyn Fixture) {
    let (backend, reader, cache) = (fixture.open(), fixture.open(), logged("c"));
    fill(&backend, &cache, 1_500);
    let here = reader.here();
    backend.one(purge(&cache));
    assert_eq!(reader.sync(Some(here)).changes, [cache_change(&cache)]);
}

/// Others may hold in memory what the backend evicted.
pub fn a_purge_of_nothing_is_logged(fixture: &dyn Fixture) {
    let (backend, reader, cache) = (fixture.open(), fixture.open(), logged("never used"));
    let here = reader.here();
    assert_eq!(backend.one(purge(&cache)), Outcome::Purged);
    assert_eq!(reader.sync(Some(here)).changes, [cache_change(&cache)]);
}

/// A purged cache can be filled again, and again.
pub fn a_cache_lives_on_after_a_purge(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    for round in 0..20_u8 {
        assert_eq!(backend.get(&cache, b"k1"), None);
        fill(&backend, &cache, 50);
        backend.put(&cache, b"k1", &[round]);
        assert_eq!(backend.get(&cache, b"k1"), Some(vec![round]));
        assert_eq!(keys(&*backend, &cache, b"").len(), 50);
        backend.one(purge(&cache));
    }
}

/// Sets before the purge of a batch are gone, those after it stay.
pub fn a_batch_may_purge_and_set(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    backend.put(&cache, b"old", b"0");
    let ops = [set(&cache, b"before", b"1"), purge(&cache), set(&cache, b"after", b"2")];
    backend.sure_apply(None, &ops);
    assert_eq!(keys(&*backend, &cache, b""), BTreeSet::from([b"after".to_vec()]));
    assert_eq!(backend.get(&cache, b"after").as_deref(), Some(&b"2"[..]));
}

/// A large cache is purged like a small one, and what is written right afterwards is not taken for
/// old.
pub fn a_large_cache_is_purged(fixture: &dyn Fixture) {
    let (backend, other, cache) = (fixture.open(), fixture.open(), logged("c"));
    fill(&backend, &cache, 20_000);
    backend.one(purge(&cache));
    fill(&other, &cache, 10);
    fill(&other, &logged("d"), 3_000);
    assert_eq!(keys(&*backend, &cache, b"").len(), 10);
    assert_eq!(keys(&*backend, &logged("d"), b"").len(), 3_000);
    assert_eq!(backend.get(&cache, b"k11"), None);
    assert_eq!(backend.get(&cache, b"k9").as_deref(), Some(&b"v"[..]));
}

/// Unlogged caches too.
pub fn reset_empties_everything(fixture: &dyn Fixture) {
    let (backend, caches) = (fixture.open(), [logged("a"), logged("b"), unlogged("a")]);
    for cache in &caches {
        fill(&backend, cache, 20);
    }
    assert!(backend.reset().is_ok());
    for cache in &caches {
        assert_eq!(fixture.open().get(cache, b"k1"), None);
        assert!(keys(&*backend, cache, b"").is_empty());
    }
    assert_eq!(backend.usage().ok(), Some(Vec::new()));
    backend.put(&caches[0], b"k", b"v");
    assert_eq!(backend.get(&caches[0], b"k").as_deref(), Some(&b"v"[..]));
}

/// Every key of a large cache, and none of another.
pub fn listing_is_complete(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    assert!(keys(&*backend, &cache, b"").is_empty());
    fill(&backend, &cache, 5_000);
    fill(&backend, &logged("d"), 10);
    fill(&backend, &unlogged("c"), 10);
    let expected: BTreeSet<_> = (0..5_000).map(|i| format!("k{i}").into_bytes()).collect();
    assert_eq!(keys(&*backend, &cache, b""), expected);
}

/// Exactly the keys that begin so, for any bytes.
pub fn listing_by_prefix(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let long = |end: &[u8]| [&vec![b'a'; 2_000][..], end].concat();
    let all: Vec<Vec<u8>> = vec![
        vec![],
        b"a".to_vec(),
        b"a*".to_vec(),
        b"a[b]".to_vec(),
        b"a?".to_vec(),
        b"ab".to_vec(),
        b"a\\".to_vec(),
        b"a\0".to_vec(),
        b"a\0b".to_vec(),
        b"a\xff".to_vec(),
        b"a\xff\xff".to_vec(),
        b"b".to_vec(),
        b"\xff".to_vec(),
        b"\xff\xff".to_vec(),
        b"\0".to_vec(),
        long(b"x"),
        long(b"y"),
        long(b""),
    ];
    for key in &all {
        backend.put(&cache, key, b"v");
    }
    let mut prefixes = all.clone();
    prefixes.extend([b"nothing".to_vec(), b"a[".to_vec(), b"aa".to_vec(), vec![b'a'; 1_000]]);
    for prefix in prefixes {
        let expected: BTreeSet<_> = all.iter().filter(|key| key.starts_with(&prefix)).cloned().collect();
        assert_eq!(keys(&*backend, &cache, &prefix), expected, "{:?}", prefix.escape_ascii().to_string());
    }
}

/// Keys that stay are listed, whatever happens to others meanwhile.
pub fn listing_while_writing(fixture: &dyn Fixture) {
    let (backend, writer, cache) = (fixture.open(), fixture.open(), logged("c"));
    fill(&backend, &cache, 3_000);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for i in 0..1_000 {
                let (new, old) = (format!("new{i}"), format!("k{}", i * 3));
                writer.sure_apply(None, &[set(&cache, new.as_bytes(), b"v"), delete(&cache, old.as_bytes())]);
            }
        });
        while !writing.is_finished() {
            let listed = keys(&*backend, &cache, b"k");
            for i in (0..3_000).filter(|i| i % 3 != 0) {
                assert!(listed.contains(format!("k{i}").as_bytes()), "k{i}");
            }
        }
    });
}

/// The visitor may use the store.
pub fn listing_reaches_the_store_again(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    fill(&backend, &cache, 2_500);
    let listed = backend.list(&cache, b"", &mut |key| {
        backend.one(delete(&cache, key));
    });
    assert!(listed.is_ok());
    assert!(keys(&*backend, &cache, b"").is_empty());
}

/// Each cache that holds entries, with their number.
pub fn usage_counts(fixture: &dyn Fixture) {
    let backend = fixture.open();
    assert_eq!(backend.usage().ok(), Some(Vec::new()));
    fill(&backend, &logged("a"), 5);
    fill(&backend, &logged("b"), 1_100);
    fill(&backend, &unlogged("a"), 7);
    fill(&backend, &logged("gone"), 7);
    backend.one(purge(&logged("gone")));
    backend.put(&logged("emptied"), b"k", b"v");
    backend.one(delete(&logged("emptied"), b"k"));
    let mut usage = fixture.open().usage().unwrap_or_default();
    usage.sort_by(|a, b| (a.cache.logged(), a.cache.name()).cmp(&(b.cache.logged(), b.cache.name())));
    let expected = [(unlogged("a"), 7), (logged("a"), 5), (logged("b"), 1_100)];
    assert!(usage.into_iter().eq(expected.map(|(cache, entries)| CacheUsage { cache, entries })));
}
