//! Positions, changes and gaps.

use std::collections::HashMap;

use larder::contract::{CacheId, Change, MAX_CHANGES, Outcome, Position, Read};

use super::{
    Fixture, Sure, cache_change, delete, exchange, key_change, logged, purge, set, set_if, unlisted_change,
    unlogged,
};

/// How many records no log keeps: every backend has trimmed by then.
pub(super) const BEYOND_EVERY_LOG: usize = 12_000;

/// Who knows nothing is told to forget everything.
pub fn sync_without_a_position_resets(fixture: &dyn Fixture) {
    let backend = fixture.open();
    let delta = backend.sync(None);
    assert!(delta.reset);
    assert!(delta.changes.is_empty());
}

/// Nothing happened: no changes, the same position.
pub fn empty_sync_says_nothing(fixture: &dyn Fixture) {
    let backend = fixture.open();
    let here = backend.here();
    for delta in [backend.sync(Some(here)), fixture.open().sync(Some(here))] {
        assert!(!delta.reset);
        assert!(delta.changes.is_empty());
        assert_eq!(delta.position, here);
    }
    let applied = backend.sure_apply(Some(here), &[]);
    assert!(!applied.delta.reset);
    assert_eq!(applied.delta.position, here, "nothing applied, nothing logged");
}

/// The answer to `apply` does not list what it did itself, and its position is after it.
pub fn own_writes_are_not_listed(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let mut here = backend.here();
    for op in [set(&cache, b"k", b"v"), delete(&cache, b"k"), purge(&cache)] {
        let delta = backend.sure_apply(Some(here), &[op]).delta;
        assert!(!delta.reset);
        assert!(delta.changes.is_empty(), "{op:?} listed {:?}", delta.changes);
        assert_ne!(delta.position, here);
        here = delta.position;
        assert!(backend.sync(Some(here)).changes.is_empty());
    }
}

/// Everybody else sees each change, oldest first, in the order of the operations of a batch.
pub fn changes_of_others_are_listed_in_order(fixture: &dyn Fixture) {
    let (writer, reader, cache, other) = (fixture.open(), fixture.open(), logged("c"), logged("other"));
    let here = reader.here();
    writer.put(&cache, b"a", b"1");
    writer.sure_apply(None, &[set(&other, b"b", b"2"), delete(&cache, b"gone"), set(&cache, b"c", b"3")]);
    writer.one(purge(&other));
    let expected = vec![
        key_change(&cache, b"a"),
        key_change(&other, b"b"),
        key_change(&cache, b"gone"),
        key_change(&cache, b"c"),
        cache_change(&other),
    ];
    let delta = reader.sync(Some(here));
    assert!(!delta.reset);
    assert_eq!(delta.changes, expected);
    assert!(reader.sync(Some(delta.position)).changes.is_empty(), "listed once");
    // The same in the answer to a write, which brings the changes before its own.
    let applied = reader.sure_apply(Some(here), &[set(&cache, b"mine", b"4")]);
    assert_eq!(applied.delta.changes, expected);
}

/// A position from before own writes is continued; whether they are listed is free.
pub fn earlier_own_writes_do_no_harm(fixture: &dyn Fixture) {
    let (backend, other, cache) = (fixture.open(), fixture.open(), logged("c"));
    let here = backend.here();
    backend.put(&cache, b"mine", b"1");
    other.put(&cache, b"theirs", b"2");
    let delta = backend.sync(Some(here));
    assert!(!delta.reset);
    assert!(delta.changes.contains(&key_change(&cache, b"theirs")));
}

/// No two writes end at the same position.
pub fn position_moves_with_each_write(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let mut seen = vec![backend.here()];
    for _ in 0..20 {
        let delta = backend.sure_apply(seen.last().copied(), &[set(&cache, b"k", b"same")]).delta;
        assert!(!delta.reset);
        assert!(!seen.contains(&delta.position));
        seen.push(delta.position);
    }
    let nonces: std::collections::HashSet<_> = seen.iter().map(|position| position.nonce).collect();
    assert_eq!(nonces.len(), seen.len(), "each record has its own nonce");
}

/// Within one incarnation the id of a position only grows, whoever writes what.
pub fn positions_only_grow(fixture: &dyn Fixture) {
    let handles = [fixture.open(), fixture.open()];
    let cache = logged("c");
    let mut last = handles.iter().map(Sure::here).next_back();
    for round in 0..200_u32 {
        let key = (round % 7).to_le_bytes();
        let ops = [set(&cache, &key, b"v"), delete(&cache, &key), purge(&cache)];
        let wanted = round as usize % ops.len();
        for (handle, op) in handles.iter().zip(ops.iter().cycle().skip(wanted)) {
            let position = handle.sure_apply(last, &[*op]).delta.position;
            assert!(
                last.is_some_and(|last| last.incarnation == position.incarnation && last.id < position.id)
            );
            assert_eq!(handle.here(), position);
            last = Some(position);
        }
    }
}

/// What is known without asking is at least as new as where the caller stands.
pub fn what_is_peeked_is_as_new_as_the_position(fixture: &dyn Fixture) {
    let (reader, writer, cache) = (fixture.open(), fixture.open(), logged("c"));
    let reads = [Read { cache: &cache, key: b"k" }, Read { cache: &cache, key: b"none" }];
    let mut here = reader.here();
    for round in 0..20_u8 {
        let entry = [round];
        let op = if round % 4 == 3 { delete(&cache, b"k") } else { set(&cache, b"k", &entry) };
        writer.one(op);
        if round % 3 == 0 {
            writer.sure_fetch(None, &reads);
        }
        here = reader.sync(Some(here)).position;
        let trips = reader.round_trips();
        let peeked = reader.peek(here, &reads);
        assert_eq!(reader.round_trips(), trips);
        assert_eq!(peeked.len(), reads.len());
        let current = if round % 4 == 3 { None } else { Some(vec![round]) };
        assert!(peeked.first().is_some_and(|entry| entry.is_none() || *entry == current), "{peeked:?}");
        assert_eq!(peeked.last(), Some(&None));
        let strange = Position { nonce: !here.nonce, ..here };
        assert_eq!(reader.peek(strange, &reads), [None, None], "a position that nobody knows");
    }
}

/// As many as an answer may list are listed, each of them.
pub fn a_thousand_changes_are_listed(fixture: &dyn Fixture) {
    let (writer, reader, cache) = (fixture.open(), fixture.open(), logged("c"));
    let here = reader.here();
    let keys: Vec<_> = (0..MAX_CHANGES).map(|i| format!("k{i}")).collect();
    for key in &keys {
        writer.put(&cache, key.as_bytes(), b"v");
    }
    let delta = reader.sync(Some(here));
    assert!(!delta.reset);
    assert!(delta.changes.into_iter().eq(keys.iter().map(|key| key_change(&cache, key.as_bytes()))));
}

/// One more, and the reader is told which caches changed (R29); what it then reads is right and can
/// be continued.
pub fn more_changes_name_the_caches(fixture: &dyn Fixture) {
    let (writer, reader, cache, other) = (fixture.open(), fixture.open(), logged("c"), logged("other"));
    writer.put(&other, b"k", b"v");
    let here = reader.here();
    for i in 0..=MAX_CHANGES {
        writer.put(&cache, b"k", i.to_string().as_bytes());
    }
    let reads = [Read { cache: &cache, key: b"k" }, Read { cache: &other, key: b"k" }];
    for reader in [reader, fixture.open()] {
        let fetched = reader.sure_fetch(Some(here), &reads);
        assert_eq!((fetched.delta.reset, &*fetched.delta.changes), (false, &[unlisted_change(&cache)][..]));
        assert_eq!(fetched.entries, [Some(MAX_CHANGES.to_string().into_bytes()), Some(b"v".to_vec())]);
        assert_eq!(fetched.delta.position, writer.here());
        let delta = reader.sync(Some(fetched.delta.position));
        assert_eq!((delta.reset, delta.changes), (false, vec![]));
    }
}

/// So is a writer, whose own record is the position: what follows that will be told, or has been.
pub fn a_writer_far_behind_is_told_the_caches(fixture: &dyn Fixture) {
    let (writer, other, cache, mine) = (fixture.open(), fixture.open(), logged("c"), logged("mine"));
    let here = writer.here();
    for _ in 0..=MAX_CHANGES {
        other.put(&cache, b"k", b"v");
    }
    let delta = writer.sure_apply(Some(here), &[set(&mine, b"k", b"v")]).delta;
    assert!(!delta.reset && delta.changes.contains(&unlisted_change(&cache)), "{delta:?}");
    assert_eq!(delta.position, other.here());
    other.put(&cache, b"k", b"w");
    assert_eq!(writer.sync(Some(delta.position)).changes, [key_change(&cache, b"k")]);
    let dropped = writer.sure_apply(Some(here), &[set_if(&cache, b"k", b"x", here)]);
    assert_eq!((dropped.delta.reset, dropped.outcomes), (false, vec![Outcome::Cleared]));
}

/// Each cache that changed is named, however it did, and no other.
pub fn every_cache_that_changed_is_named(fixture: &dyn Fixture) {
    let (writer, reader, quiet) = (fixture.open(), fixture.open(), unlogged("quiet"));
    let caches = ["set", "deleted", "purged", "first", "first and last", "in the middle"].map(logged);
    let [stored, deleted, purged, first, ends, middle] = &caches;
    let untouched = [logged("untouched"), logged("filled in vain")];
    for cache in caches.iter().chain(&untouched) {
        writer.put(cache, b"k", b"v");
    }
    let here = reader.here();
    writer.put(first, b"k", b"w");
    writer.put(ends, b"k", b"v");
    for i in 0..=MAX_CHANGES {
        let batch = [set(stored, b"k", b"v"), delete(deleted, b"absent"), set(&quiet, b"k", b"v")];
        writer.sure_apply(None, &batch);
        if i == 500 {
            writer.one(purge(purged));
            writer.one(purge(middle));
            writer.put(middle, b"k", b"w");
        }
    }
    let vain = &untouched[1];
    let guard = Position { nonce: !here.nonce, ..here };
    assert_eq!(writer.one(exchange(vain, b"k", b"w", guard)), Outcome::Dropped);
    writer.put(ends, b"k", b"w");
    let delta = reader.sync(Some(here));
    let mut named: Vec<&str> = delta.changes.iter().map(Change::cache).collect();
    named.sort_unstable();
    named.dedup();
    let mut expected = caches.each_ref().map(CacheId::name);
    expected.sort_unstable();
    assert_eq!((delta.reset, named), (false, expected.to_vec()));
    assert!(delta.changes.contains(&unlisted_change(stored)), "{delta:?}");
    // Of the others it may list the keys.
    for cache in [purged, middle] {
        let is_whole =
            |change: &Change| change.cache() == cache.name() && !matches!(change, Change::Key { .. });
        assert!(delta.changes.iter().any(is_whole), "{delta:?}");
    }
}

/// A single batch with more changes than an answer lists is not listed to others, and its author is
/// told nothing of it.
pub fn a_large_batch_is_not_listed(fixture: &dyn Fixture) {
    let (writer, reader, cache, other) = (fixture.open(), fixture.open(), logged("c"), logged("other"));
    writer.put(&other, b"k", b"v");
    let here = reader.here();
    let keys: Vec<_> = (0..2 * MAX_CHANGES).map(|i| i.to_string()).collect();
    let ops: Vec<_> = keys.iter().map(|key| set(&cache, key.as_bytes(), b"v")).collect();
    let applied = writer.sure_apply(Some(here), &ops);
    assert!(!applied.delta.reset);
    assert!(applied.delta.changes.is_empty());
    let delta = reader.sync(Some(here));
    assert_eq!((delta.reset, delta.changes), (false, vec![unlisted_change(&cache)]));
    assert!(!reader.sync(Some(applied.delta.position)).reset);
}

/// The log is bounded; to a position that fell out of it the caches are named that changed since.
pub fn a_trimmed_log_names_the_caches(fixture: &dyn Fixture) {
    let (writer, reader, cache, first) = (fixture.open(), fixture.open(), logged("c"), logged("first"));
    writer.put(&cache, b"k", b"v");
    writer.put(&logged("other"), b"k", b"v");
    let here = reader.here();
    let mut last = writer.sure_apply(None, &[delete(&first, b"k")]).delta.position;
    for _ in 0..BEYOND_EVERY_LOG {
        last = writer.sure_apply(None, &[delete(&cache, b"k")]).delta.position;
    }
    for reader in [reader, fixture.open()] {
        let mut delta = reader.sync(Some(here));
        delta.changes.sort_by(|one, other| one.cache().cmp(other.cache()));
        assert_eq!((delta.reset, delta.changes), (false, [&cache, &first].map(unlisted_change).into()));
        let delta = reader.sync(Some(last));
        assert!(!delta.reset, "the newest record is always kept");
        assert_eq!(delta.position, last);
        assert!(reader.sync(Some(Position { incarnation: !here.incarnation, ..here })).reset);
        assert!(reader.sync(Some(Position { id: 0, ..here })).reset, "before the history");
    }
}

/// Whoever is far behind in another history must forget everything.
pub fn far_behind_in_another_history_resets(fixture: &dyn Fixture) {
    let (writer, reader, cache) = (fixture.open(), fixture.open(), logged("c"));
    writer.put(&cache, b"k", b"v");
    let here = reader.here();
    assert!(writer.reset().is_ok());
    for _ in 0..=MAX_CHANGES {
        writer.put(&cache, b"k", b"v");
    }
    let middle = writer.here();
    for _ in 0..=MAX_CHANGES {
        writer.put(&cache, b"k", b"v");
    }
    for reader in [reader, fixture.open()] {
        assert!(reader.sync(Some(here)).reset);
        assert!(reader.sync(Some(Position { incarnation: middle.incarnation, ..here })).reset);
        assert!(!reader.sync(Some(middle)).reset);
    }
}

/// A position of another history is not continued, whatever its id.
pub fn another_incarnation_resets(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    backend.put(&cache, b"k", b"v");
    let here = backend.here();
    backend.put(&cache, b"k", b"w");
    assert!(backend.sync(Some(Position { incarnation: !here.incarnation, ..here })).reset);
    assert!(!backend.sync(Some(here)).reset);
}

/// Nor is one whose record has another nonce (R1).
pub fn another_nonce_resets(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    backend.put(&cache, b"k", b"v");
    let here = backend.here();
    assert!(backend.sync(Some(Position { nonce: !here.nonce, ..here })).reset);
    backend.put(&cache, b"k", b"w");
    assert!(backend.sync(Some(Position { nonce: !here.nonce, ..here })).reset);
}

/// Nor one that this log has not reached: it was restored from an older copy.
pub fn a_position_ahead_of_the_log_resets(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let here = backend.here();
    let ahead = Position { id: here.id + (1 << 40), ..here };
    assert!(backend.sync(Some(ahead)).reset);
    assert!(backend.sure_apply(Some(ahead), &[set(&cache, b"k", b"v")]).delta.reset);
}

/// `reset` begins a new history, for every handle.
pub fn reset_draws_a_new_incarnation(fixture: &dyn Fixture) {
    let (backend, other, cache) = (fixture.open(), fixture.open(), logged("c"));
    backend.put(&cache, b"k", b"v");
    let before = other.here();
    assert!(backend.reset().is_ok());
    for handle in [&backend, &other] {
        let delta = handle.sync(Some(before));
        assert!(delta.reset);
        assert_ne!(delta.position.incarnation, before.incarnation);
        assert_eq!(handle.get(&cache, b"k"), None);
    }
    let delta = other.sure_apply(Some(before), &[set(&cache, b"k", b"w")]).delta;
    assert!(delta.reset);
    assert_eq!(backend.get(&cache, b"k").as_deref(), Some(&b"w"[..]));
}

/// What nobody keeps in memory is not announced and does not move the position.
pub fn unlogged_caches_are_not_logged(fixture: &dyn Fixture) {
    let (writer, reader, quiet, cache) = (fixture.open(), fixture.open(), unlogged("s"), logged("c"));
    let here = reader.here();
    writer.put(&quiet, b"k", b"v");
    assert_eq!(writer.one(delete(&quiet, b"k")), Outcome::Deleted { existed: true });
    assert_eq!(writer.one(purge(&quiet)), Outcome::Purged);
    let delta = reader.sync(Some(here));
    assert!(delta.changes.is_empty() && !delta.reset);
    writer.sure_apply(None, &[set(&quiet, b"k", b"v"), set(&cache, b"k", b"v")]);
    assert_eq!(reader.sync(Some(here)).changes, [key_change(&cache, b"k")]);
}

/// Entries are at least as new as the position they come with (R3), and no change is left out. The
/// n-th change stores n.
pub fn values_are_as_new_as_the_position(fixture: &dyn Fixture) {
    let (reader, writer, cache) = (fixture.open(), fixture.open(), logged("c"));
    let mut position = reader.here();
    let mut reads = Vec::new();
    let written: HashMap<Position, usize> = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let write = |n: usize| {
                let entry = n.to_string();
                (writer.sure_apply(None, &[set(&cache, b"k", entry.as_bytes())]).delta.position, n)
            };
            (1..=500).map(write).collect()
        });
        let mut changes = 0;
        loop {
            let last = writing.is_finished();
            let fetched = reader.sure_fetch(Some(position), &[Read { cache: &cache, key: b"k" }]);
            assert!(!fetched.delta.reset);
            changes += fetched.delta.changes.len();
            let text = fetched.entries.first().cloned().flatten().unwrap_or_default();
            position = fetched.delta.position;
            reads.push((position, String::from_utf8_lossy(&text).parse::<usize>().unwrap_or(0)));
            if last {
                break;
            }
        }
        assert!(changes >= 500, "{changes} changes were listed");
        writing.join().unwrap_or_default()
    });
    assert_eq!(written.len(), 500);
    for (position, value) in &reads {
        let least = written.get(position).copied().unwrap_or(0);
        assert!(*value >= least, "read {value} where {least} had been stored");
    }
    assert_eq!(reads.last().map(|(at, value)| (written.get(at), *value)), Some((Some(&500), 500)));
}
