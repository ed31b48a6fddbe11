//! Guarded sets (R6): stored only if nothing changed since the miss.

use larder::contract::{Guard, MAX_CHANGES, Op, Outcome, Position};

use super::log::BEYOND_EVERY_LOG;
use super::{Fixture, Sure, delete, exchange, key_change, logged, purge, set, set_if, unlogged};

/// An entry that no backend keeps beside others.
static LARGE: [u8; 20_000] = [7; 20_000];

/// Nothing changed: stored.
pub fn a_fresh_guard_stores(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let miss = backend.here();
    assert_eq!(backend.one(set_if(&cache, b"k", b"v", miss)), Outcome::Stored);
    assert_eq!(backend.get(&cache, b"k").as_deref(), Some(&b"v"[..]));
}

fn dropped_after(fixture: &dyn Fixture, change: Op<'_>, key: &[u8], value: &[u8], left: Option<&[u8]>) {
    let (filler, writer, cache) = (fixture.open(), fixture.open(), logged("c"));
    let miss = filler.here();
    writer.one(change);
    let answer = filler.sure_apply(Some(miss), &[set_if(&cache, key, value, miss)]);
    assert_eq!(answer.outcomes, [Outcome::Dropped]);
    assert_eq!(answer.delta.changes.len(), 1, "the answer names what came between");
    assert_eq!(filler.get(&cache, key).as_deref(), left);
    filler.one(delete(&cache, key));
}

/// Another stored the key meanwhile: nobody knows which value is newer, so neither is left.
pub fn a_changed_key_is_cleared(fixture: &dyn Fixture) {
    let (filler, writer, cache) = (fixture.open(), fixture.open(), logged("c"));
    for other in [&b"newer"[..], b"mine!", b"", &LARGE] {
        let miss = filler.here();
        writer.put(&cache, b"k", other);
        let answer = filler.sure_apply(Some(miss), &[set_if(&cache, b"k", b"mine", miss)]);
        assert_eq!(answer.outcomes, [Outcome::Cleared]);
        assert_eq!(answer.delta.changes, [key_change(&cache, b"k")], "the answer names what came between");
        assert_eq!(filler.get(&cache, b"k"), None);
        assert_eq!(filler.one(set_if(&cache, b"k", b"mine", answer.delta.position)), Outcome::Stored);
        writer.one(delete(&cache, b"k"));
    }
}

/// Another stored the same value meanwhile: it stands.
pub fn the_same_value_drops(fixture: &dyn Fixture) {
    for value in [&b"v"[..], b"", &LARGE] {
        dropped_after(fixture, set(&logged("c"), b"k", value), b"k", value, Some(value));
    }
}

/// Two entries of one value differ in when they expire.
pub fn what_expires_is_compared_by_its_value(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let expires = Some(backend.now() + 100_000);
    for (key, entry, outcome) in [
        (&b"same"[..], &b"2value"[..], Outcome::Dropped),
        (b"longer", b"2values", Outcome::Cleared),
        (b"shorter", b"2valu", Outcome::Cleared),
        (b"other", b"1volue", Outcome::Cleared),
    ] {
        let miss = backend.here();
        backend.one(Op::Set { cache: &cache, key, entry: b"1value", expires, guard: None, lock: None });
        let guard = Some(Guard::Fill { missed: miss, value: 5 });
        let fill = Op::Set { cache: &cache, key, entry, expires, guard, lock: None };
        assert_eq!(backend.one(fill), outcome, "{}", key.escape_ascii());
        let left = backend.get(&cache, key);
        assert_eq!(left.as_deref(), (outcome == Outcome::Dropped).then_some(&b"1value"[..]));
    }
}

/// Whoever has the other value in memory learns that it is gone.
pub fn a_cleared_key_is_told_to_all(fixture: &dyn Fixture) {
    let (filler, reader, cache) = (fixture.open(), fixture.open(), logged("c"));
    let miss = filler.here();
    reader.put(&cache, b"k", b"other");
    let here = reader.here();
    let cleared = filler.sure_apply(Some(here), &[set_if(&cache, b"k", b"mine", miss)]);
    assert_eq!(cleared.outcomes, [Outcome::Cleared]);
    assert_ne!(cleared.delta.position, here);
    let delta = reader.sync(Some(here));
    assert_eq!((delta.reset, delta.changes), (false, vec![key_change(&cache, b"k")]));
    assert_eq!(delta.position, cleared.delta.position);
    // A fill that missed before that loses against a delete.
    assert_eq!(reader.one(set_if(&cache, b"k", b"third", miss)), Outcome::Dropped);
    assert_eq!(reader.one(set_if(&cache, b"k", b"fourth", here)), Outcome::Dropped);
}

/// What counts is the newest change of the key: here a set.
pub fn a_set_after_a_delete_is_cleared(fixture: &dyn Fixture) {
    let (filler, writer, cache) = (fixture.open(), fixture.open(), logged("c"));
    for removal in [delete(&cache, b"k"), purge(&cache)] {
        let miss = filler.here();
        writer.sure_apply(None, &[removal]);
        writer.put(&cache, b"k", b"other");
        assert_eq!(filler.one(set_if(&cache, b"k", b"mine", miss)), Outcome::Cleared);
        let miss = filler.here();
        writer.sure_apply(None, &[removal, set(&cache, b"k", b"other"), set(&cache, b"l", b"1")]);
        assert_eq!(filler.one(set_if(&cache, b"k", b"mine", miss)), Outcome::Cleared);
        assert_eq!(filler.get(&cache, b"k"), None);
    }
}

/// Here a delete or a purge.
pub fn a_set_before_a_delete_drops(fixture: &dyn Fixture) {
    let (filler, writer, cache) = (fixture.open(), fixture.open(), logged("c"));
    for removal in [delete(&cache, b"k"), purge(&cache)] {
        let miss = filler.here();
        writer.put(&cache, b"k", b"other");
        writer.sure_apply(None, &[removal]);
        assert_eq!(filler.one(set_if(&cache, b"k", b"mine", miss)), Outcome::Dropped);
        let miss = filler.here();
        writer.sure_apply(None, &[set(&cache, b"k", b"other"), removal]);
        let here = writer.here();
        assert_eq!(filler.one(set_if(&cache, b"k", b"mine", miss)), Outcome::Dropped);
        assert_eq!(writer.here(), here, "nothing is logged");
    }
}

/// Where nobody knows what happened since, what stands was stored since: it was missing.
pub fn a_set_of_another_history_is_cleared(fixture: &dyn Fixture) {
    let (filler, writer, cache) = (fixture.open(), fixture.open(), logged("c"));
    let miss = filler.here();
    assert!(writer.reset().is_ok());
    writer.put(&cache, b"k", b"other");
    assert_eq!(filler.one(set_if(&cache, b"k", b"mine", miss)), Outcome::Cleared);
    writer.put(&cache, b"same", b"mine");
    assert_eq!(filler.one(set_if(&cache, b"same", b"mine", miss)), Outcome::Dropped);
    assert_eq!(filler.get(&cache, b"same").as_deref(), Some(&b"mine"[..]));
}

/// A compare-and-exchange that lost leaves what stands, and is not logged.
pub fn an_exchange_that_lost_changes_nothing(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let miss = backend.here();
    backend.put(&cache, b"k", b"other");
    let here = backend.here();
    assert_eq!(backend.one(exchange(&cache, b"k", b"mine", miss)), Outcome::Dropped);
    assert_eq!(backend.one(exchange(&cache, b"k", b"other", miss)), Outcome::Dropped);
    assert_eq!((backend.here(), backend.get(&cache, b"k").as_deref()), (here, Some(&b"other"[..])));
    assert_eq!(backend.one(exchange(&cache, b"k", b"mine", here)), Outcome::Stored);
}

/// However many processes compute a key at once: each is answered at once, and who comes after them
/// is not in anyone's way.
pub fn many_fills_at_once_leave_one_or_none(fixture: &dyn Fixture) {
    let cache = logged("c");
    for differ in [true, false] {
        let backends: Vec<_> = (0..8).map(|_| fixture.open()).collect();
        let misses: Vec<Position> = backends.iter().map(Sure::here).collect();
        std::thread::scope(|scope| {
            for ((backend, miss), number) in backends.iter().zip(&misses).zip(0_u8..) {
                let (cache, value) = (&cache, [if differ { number } else { 0 }]);
                scope.spawn(move || backend.one(set_if(cache, b"k", &value, *miss)));
            }
        });
        let last = fixture.open();
        let left = last.get(&cache, b"k");
        assert_eq!(left, (!differ).then(|| vec![0]), "values that differ: {differ}");
        let miss = last.here();
        if differ {
            assert_eq!(last.one(set_if(&cache, b"k", b"after", miss)), Outcome::Stored);
        }
        last.one(delete(&cache, b"k"));
    }
}

/// Another deleted the key, present or not, meanwhile: it stays deleted.
pub fn a_deleted_key_drops(fixture: &dyn Fixture) {
    dropped_after(fixture, delete(&logged("c"), b"k"), b"k", b"stale", None);
}

/// Another purged the cache meanwhile.
pub fn a_purged_cache_drops(fixture: &dyn Fixture) {
    dropped_after(fixture, purge(&logged("c")), b"k", b"stale", None);
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

/// Where the log lists no more what followed the miss, it counts whether anything changed in the
/// cache (R29).
pub fn far_behind_what_changed_in_the_cache_counts(fixture: &dyn Fixture) {
    for writes in [MAX_CHANGES + 1, BEYOND_EVERY_LOG] {
        let (filler, writer) = (fixture.open(), fixture.open());
        let [quiet, changed, emptied] = ["quiet", "changed", "emptied"].map(logged);
        writer.put(&quiet, b"other", b"v");
        let miss = filler.here();
        writer.put(&changed, b"other", b"v");
        writer.one(purge(&emptied));
        for _ in 0..writes {
            writer.one(delete(&changed, b"other"));
        }
        let fills = [
            set_if(&quiet, b"k", b"v", miss),
            set_if(&changed, b"other", b"v", miss),
            set_if(&emptied, b"k", b"v", miss),
            set_if(&quiet, b"l", b"v", Position { nonce: !miss.nonce, ..filler.here() }),
            exchange(&quiet, b"m", b"v", miss),
        ];
        let good = if fixture.judges_far_fills() { Outcome::Stored } else { Outcome::Dropped };
        let expected = [good, Outcome::Dropped, Outcome::Dropped, Outcome::Dropped, good];
        assert_eq!(filler.sure_apply(Some(miss), &fills).outcomes, expected, "{writes}");
    }
}

/// Own changes count like everybody's: the miss is older than they are.
pub fn own_changes_drop_too(fixture: &dyn Fixture) {
    let (backend, cache) = (fixture.open(), logged("c"));
    let miss = backend.here();
    backend.one(delete(&cache, b"k"));
    assert_eq!(backend.one(set_if(&cache, b"k", b"stale", miss)), Outcome::Dropped);
    assert_eq!(backend.get(&cache, b"k"), None);
    backend.put(&cache, b"k", b"newer");
    assert_eq!(backend.one(set_if(&cache, b"k", b"stale", miss)), Outcome::Cleared);
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
    assert_eq!(outcomes, [Outcome::Cleared, Outcome::Stored, Outcome::Stored, Outcome::Stored]);
    assert_eq!(backend.get(&cache, b"a").as_deref(), Some(&b"newest"[..]));
}
