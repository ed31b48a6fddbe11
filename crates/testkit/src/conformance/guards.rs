//! Guarded sets (R6): stored only if nothing changed since the miss.

use larder::{Op, Outcome, Position};

use super::log::BEYOND_EVERY_LOG;
use super::{Fixture, Sure, delete, key_change, logged, purge, set, set_if, unlogged};

/// Nothing changed: stored.
pub fn a_fresh_guard_stores(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let miss = backend.here();
    assert_eq!(backend.one(set_if(&cache, b"k", b"v", miss)), Outcome::Stored);
    assert_eq!(backend.get(&cache, b"k").as_deref(), Some(&b"v"[..]));
}

fn dropped_after(fixture: &dyn Fixture, change: Op<'_>, left: Option<&[u8]>) {
    let (filler, writer, cache) = (fixture.open(), fixture.open(), logged("c"));
    let miss = filler.here();
    writer.one(change);
    let answer = filler.sure_apply(Some(miss), &[set_if(&cache, b"k", b"stale", miss)]);
    assert_eq!(answer.outcomes, [Outcome::Dropped]);
    assert_eq!(answer.delta.changes.len(), 1, "the answer names what came between");
    assert_eq!(filler.get(&cache, b"k").as_deref(), left);
}

/// Another stored the key meanwhile: theirs stands.
pub fn a_changed_key_drops(fixture: &dyn Fixture) {
    dropped_after(fixture, set(&logged("c"), b"k", b"newer"), Some(b"newer"));
}

/// Another deleted the key, present or not, meanwhile: it stays deleted.
pub fn a_deleted_key_drops(fixture: &dyn Fixture) {
    dropped_after(fixture, delete(&logged("c"), b"k"), None);
}

/// Another purged the cache meanwhile.
pub fn a_purged_cache_drops(fixture: &dyn Fixture) {
    dropped_after(fixture, purge(&logged("c")), None);
}

/// A change of another key is no reason.
pub fn another_key_does_not_drop(fixture: &dyn Fixture) {
    let (filler, writer, cache) = (fixture.open(), fixture.open(), logged("c"));
    let miss = filler.here();
    for key in [&b""[..], b"kk", b"K", b"k\0", b"j"] {
        writer.put(&cache, key, b"v");
        writer.one(delete(&cache, key));
    }
    assert_eq!(filler.one(set_if(&cache, b"k", b"v", miss)), Outcome::Stored);
}

/// Nor one of the same key of another cache, or a purge of that.
pub fn another_cache_does_not_drop(fixture: &dyn Fixture) {
    let (filler, writer, cache) = (fixture.open(), fixture.open(), logged("c"));
    let miss = filler.here();
    for other in [logged("cc"), unlogged("c"), logged("C")] {
        writer.put(&other, b"k", b"v");
        writer.one(delete(&other, b"k"));
        writer.one(purge(&other));
    }
    assert_eq!(filler.one(set_if(&cache, b"k", b"v", miss)), Outcome::Stored);
}

/// After a reset nobody knows what changed.
pub fn a_lost_anchor_drops(fixture: &dyn Fixture) {
    let (filler, cache) = (fixture.open(), logged("c"));
    let miss = filler.here();
    assert!(fixture.open().reset().is_ok());
    assert_eq!(filler.one(set_if(&cache, b"k", b"v", miss)), Outcome::Dropped);
    assert_eq!(filler.get(&cache, b"k"), None);
}

/// A position that this log never gave.
pub fn a_forged_anchor_drops(fixture: &dyn Fixture) {
    let (filler, cache) = (fixture.open(), logged("c"));
    filler.put(&cache, b"other", b"v");
    let miss = filler.here();
    let forged = [
        Position { nonce: !miss.nonce, ..miss },
        Position { incarnation: !miss.incarnation, ..miss },
        Position { id: miss.id + (1 << 40), ..miss },
    ];
    for guard in forged {
        assert_eq!(filler.one(set_if(&cache, b"k", b"v", guard)), Outcome::Dropped, "{guard:?}");
    }
    assert_eq!(filler.one(set_if(&cache, b"k", b"v", miss)), Outcome::Stored);
}

/// The log forgot that far back.
pub fn a_trimmed_anchor_drops(fixture: &dyn Fixture) {
    let (filler, cache) = (fixture.open(), logged("c"));
    let miss = filler.here();
    for _ in 0..BEYOND_EVERY_LOG {
        filler.one(delete(&cache, b"other"));
    }
    assert_eq!(filler.one(set_if(&cache, b"k", b"v", miss)), Outcome::Dropped);
}

/// Own changes count like everybody's: the miss is older than they are.
pub fn own_changes_drop_too(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let miss = backend.here();
    backend.put(&cache, b"k", b"newer");
    assert_eq!(backend.one(set_if(&cache, b"k", b"stale", miss)), Outcome::Dropped);
    assert_eq!(backend.get(&cache, b"k").as_deref(), Some(&b"newer"[..]));
}

/// Nothing is written for a dropped set, neither entry nor record.
pub fn dropped_sets_are_not_logged(fixture: &dyn Fixture) {
    let (backend, reader, cache) = (fixture.open(), fixture.open(), logged("c"));
    let miss = backend.here();
    backend.one(delete(&cache, b"k"));
    let here = reader.here();
    let dropped = backend.sure_apply(Some(here), &[set_if(&cache, b"k", b"stale", miss)]);
    assert_eq!(dropped.outcomes, [Outcome::Dropped]);
    assert_eq!(dropped.delta.position, here);
    assert!(reader.sync(Some(here)).changes.is_empty());
    let mixed = backend.sure_apply(None, &[set_if(&cache, b"k", b"stale", miss), set(&cache, b"l", b"v")]);
    assert_eq!(mixed.outcomes, [Outcome::Dropped, Outcome::Stored]);
    assert_eq!(reader.sync(Some(here)).changes, [key_change(&cache, b"l")]);
}

/// An unlogged cache has no history to guard by.
pub fn guards_are_ignored_when_unlogged(fixture: &dyn Fixture) {
    let (backend, quiet) = (fixture.open(), unlogged("s"));
    let miss = backend.here();
    backend.put(&quiet, b"k", b"1");
    assert_eq!(backend.one(set_if(&quiet, b"k", b"2", miss)), Outcome::Stored);
    let forged = Position { incarnation: !miss.incarnation, ..miss };
    assert_eq!(backend.one(set_if(&quiet, b"k", b"3", forged)), Outcome::Stored);
    assert_eq!(backend.get(&quiet, b"k").as_deref(), Some(&b"3"[..]));
}

/// In a batch each set has its own guard.
pub fn each_set_has_its_own_guard(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let first = backend.here();
    backend.put(&cache, b"a", b"newer");
    let second = backend.here();
    let ops = [
        set_if(&cache, b"a", b"stale", first),
        set_if(&cache, b"b", b"2", first),
        set_if(&cache, b"a", b"newest", second),
        set(&cache, b"c", b"4"),
    ];
    let outcomes = backend.sure_apply(None, &ops).outcomes;
    assert_eq!(outcomes, [Outcome::Dropped, Outcome::Stored, Outcome::Stored, Outcome::Stored]);
    assert_eq!(backend.get(&cache, b"a").as_deref(), Some(&b"newest"[..]));
}
