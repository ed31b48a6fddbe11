//! The one suite that every backend passes: each sentence of the contract of
//! [`larder::contract::Backend`] as a case.
//!
//! A test binary says how to reach its store in a [`Fixture`] and lets
//! [`conformance_suite!`](crate::conformance_suite) make one test of each case:
//!
//! ```ignore
//! larder_testkit::conformance_suite!(MyFixture::new());
//! ```
//!
//! [`lock_conformance_suite!`](crate::lock_conformance_suite) does so for a backend's locks.

#![expect(clippy::missing_panics_doc, reason = "a case that fails panics")]

pub mod entries;
pub mod guards;
pub mod locks;
pub mod log;
pub mod processes;
pub mod purge;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{io, thread};

use larder::contract::{
    Applied, Backend, CacheId, Change, Delta, Fetched, Guard, Op, Outcome, Position, Read,
};

/// How many cases [`run_all`] runs at a time.
const AT_A_TIME: usize = 4;

/// A store to test: empty when the fixture is made, removed when it is dropped.
pub trait Fixture: Send + Sync {
    /// A fresh handle on the store, sharing no more with the others than another process would
    /// share.
    fn open(&self) -> Arc<dyn Backend>;

    /// A program that opens the same store and calls [`peer`] with its remaining arguments.
    fn peer(&self) -> Command;

    /// Whether a fill is stored that missed too far back for the log to list what followed, if
    /// nothing changed in its cache.
    fn judges_far_fills(&self) -> bool {
        true
    }

    /// What the store's calls cost.
    fn cost(&self) -> Cost {
        Cost { apply: 1, fetch: 1, sync: 1 }
    }
}

/// Round trips, as [`Backend::round_trips`] counts them.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// A few small operations.
    pub apply: u64,
    /// The same small entry many times.
    pub fetch: u64,
    /// No entry.
    pub sync: u64,
}

/// Makes one `#[test]` of each case of the suite; the argument is an expression for a new
/// [`Fixture`].
#[macro_export]
macro_rules! conformance_suite {
    ($fixture:expr) => {
        $crate::conformance_suite! { @all cases $fixture; }
    };
    (@all $each:ident $($fixture:expr)?;) => {
        $crate::conformance_suite! { @$each $($fixture)?;
            log: sync_without_a_position_resets, empty_sync_says_nothing, own_writes_are_not_listed,
                changes_of_others_are_listed_in_order, earlier_own_writes_do_no_harm,
                position_moves_with_each_write, positions_only_grow,
                what_is_peeked_is_as_new_as_the_position, a_thousand_changes_are_listed, more_changes_name_the_caches, a_writer_far_behind_is_told_the_caches,
                every_cache_that_changed_is_named,
                a_large_batch_is_not_listed, a_trimmed_log_names_the_caches, far_behind_in_another_history_resets, another_incarnation_resets,
                another_nonce_resets, a_position_ahead_of_the_log_resets, reset_draws_a_new_incarnation,
                unlogged_caches_are_not_logged, values_are_as_new_as_the_position;
            entries: what_is_set_is_read, a_miss_is_none, the_last_set_wins, operations_take_effect_in_order,
                reads_come_in_the_order_asked, the_same_key_twice, deleting_says_whether_it_existed,
                a_missing_key_is_deleted_and_logged, any_bytes_are_a_key, long_keys_are_kept_apart,
                keys_differ_after_a_nul, any_bytes_are_an_entry, large_entries, a_huge_entry_never_hurts,
                large_batches, caches_are_apart, logged_and_unlogged_are_apart, hostile_cache_names,
                an_expired_entry_does_no_harm, round_trips_are_counted, it_describes_itself;
            guards: a_fresh_guard_stores, a_changed_key_is_cleared, the_same_value_drops, what_expires_is_compared_by_its_value,
                a_cleared_key_is_told_to_all, a_set_after_a_delete_is_cleared, a_set_before_a_delete_drops,
                a_set_of_another_history_is_cleared, an_exchange_that_lost_changes_nothing,
                many_fills_at_once_leave_one_or_none, a_deleted_key_drops, a_purged_cache_drops,
                another_key_does_not_drop, another_cache_does_not_drop, a_lost_anchor_drops,
                a_forged_anchor_drops, a_trimmed_anchor_drops, far_behind_what_changed_in_the_cache_counts, own_changes_drop_too,
                dropped_sets_are_not_logged, guards_are_ignored_when_unlogged, each_set_has_its_own_guard;
            purge: a_purge_empties_the_cache, a_purge_spares_other_caches, a_purge_is_one_change,
                a_purge_of_nothing_is_logged, a_cache_lives_on_after_a_purge, a_batch_may_purge_and_set,
                a_large_cache_is_purged, reset_empties_everything, listing_is_complete,
                listing_by_prefix, listing_while_writing, listing_reaches_the_store_again, usage_counts;
            processes: threads_keep_near_caches_right, processes_keep_near_caches_right;
        }
    };
    (@list; $($module:ident: $($case:ident),+;)+) => {
        [$($((stringify!($case), $crate::conformance::$module::$case as $crate::conformance::Case)),+),+]
    };
    (@cases $fixture:expr; $($module:ident: $($case:ident),+;)+) => {
        $(mod $module {
            use super::*;
            $(#[test]
            fn $case() {
                $crate::conformance::$module::$case(&$fixture);
            })+
        })+
    };
}

/// Makes one `#[test]` of each case of the suite for locks; the argument is an expression for a new
/// [`Fixture`] whose store has a `lock_lease` of [`locks::LEASE`].
#[macro_export]
macro_rules! lock_conformance_suite {
    ($fixture:expr) => {
        $crate::lock_conformance_suite! { @all cases $fixture; }
    };
    (@all $each:ident $($fixture:expr)?;) => {
        $crate::conformance_suite! { @$each $($fixture)?;
            locks: a_free_lock_is_granted_once, asking_again_changes_nothing, only_its_token_releases, fences_grow,
                any_bytes_are_a_name, first_come_first_served, who_leaves_the_line_is_passed_over,
                who_is_silent_is_passed_over, a_wake_up_before_the_sleep_counts,
                a_stale_wake_up_is_not_believed, an_unrenewed_lease_ends, a_renewed_lease_goes_on,
                a_broken_lock_is_the_next_ones, a_list_says_who_holds_and_waits, a_write_needs_its_lock,
                a_reset_spares_locks, a_cache_lock_has_no_grace, a_named_lock_has_a_grace,
                one_at_a_time, a_killed_holder_loses_its_lock,
                a_killed_waiter_is_passed_over;
        }
    };
}

/// A case of the suite.
pub type Case = fn(&dyn Fixture);

/// Runs all cases for entries and locks on fixtures that share a server which takes long to start,
/// some at a time.
pub fn run_all<F: Fixture>(fixture: impl Fn() -> F + Sync) {
    let mut cases = Vec::from(crate::conformance_suite!(@all list;));
    cases.extend(crate::lock_conformance_suite!(@all list;));
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some((name, case)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // A case that fails is the last one that was named.
                    println!("{name}");
                    case(&fixture());
                }
            });
        }
    });
}

/// What the program of [`Fixture::peer`] does with the store and the arguments that a suite gave
/// it.
///
/// # Errors
/// If the arguments are not a suite's or the report cannot be written.
pub fn peer(backend: Arc<dyn Backend>, args: impl Iterator<Item = String>) -> io::Result<()> {
    let mut args = args.peekable();
    if args.next_if(|word| word == "lock").is_some() {
        return locks::peer(backend, args);
    }
    processes::peer(backend, args)
}

/// A logged cache. The names of the suite are all good.
pub(crate) fn logged(name: &str) -> CacheId {
    CacheId::new(name, true).unwrap_or_else(|error| unreachable!("{error}"))
}

/// An unlogged cache.
pub(crate) fn unlogged(name: &str) -> CacheId {
    CacheId::new(name, false).unwrap_or_else(|error| unreachable!("{error}"))
}

pub(crate) fn set<'a>(cache: &'a CacheId, key: &'a [u8], entry: &'a [u8]) -> Op<'a> {
    Op::Set { cache, key, entry, expires: None, guard: None, lock: None }
}

pub(crate) fn set_if<'a>(cache: &'a CacheId, key: &'a [u8], entry: &'a [u8], guard: Position) -> Op<'a> {
    let guard = Guard::Fill { missed: guard, value: entry.len() };
    Op::Set { cache, key, entry, expires: None, guard: Some(guard), lock: None }
}

/// Compares, and exchanges.
pub(crate) fn exchange<'a>(cache: &'a CacheId, key: &'a [u8], entry: &'a [u8], at: Position) -> Op<'a> {
    Op::Set { cache, key, entry, expires: None, guard: Some(Guard::Exchange(at)), lock: None }
}

pub(crate) fn delete<'a>(cache: &'a CacheId, key: &'a [u8]) -> Op<'a> {
    Op::Delete { cache, key }
}

pub(crate) fn purge(cache: &CacheId) -> Op<'_> {
    Op::Purge { cache }
}

pub(crate) fn key_change(cache: &CacheId, key: &[u8]) -> Change {
    Change::Key { cache: cache.name().into(), key: key.into() }
}

pub(crate) fn cache_change(cache: &CacheId) -> Change {
    Change::Cache { cache: cache.name().into() }
}

pub(crate) fn unlisted_change(cache: &CacheId) -> Change {
    Change::Unlisted { cache: cache.name().into() }
}

/// Calls whose failure ends the case.
pub(crate) trait Sure {
    fn sure_fetch(&self, since: Option<Position>, reads: &[Read<'_>]) -> Fetched;
    fn sure_apply(&self, since: Option<Position>, ops: &[Op<'_>]) -> Applied;

    /// A sync point without reads.
    fn sync(&self, since: Option<Position>) -> Delta {
        self.sure_fetch(since, &[]).delta
    }

    /// The position now.
    fn here(&self) -> Position {
        self.sync(None).position
    }

    fn get(&self, cache: &CacheId, key: &[u8]) -> Option<Vec<u8>> {
        self.sure_fetch(None, &[Read { cache, key }]).entries.pop().flatten()
    }

    /// One operation without interest in the changes.
    fn one(&self, op: Op<'_>) -> Outcome {
        let applied = self.sure_apply(None, &[op]);
        assert_eq!(applied.outcomes.len(), 1);
        applied.outcomes.first().copied().unwrap_or_else(|| unreachable!("just counted"))
    }

    fn put(&self, cache: &CacheId, key: &[u8], entry: &[u8]) {
        assert_eq!(self.one(set(cache, key, entry)), Outcome::Stored);
    }
}

impl Sure for Arc<dyn Backend> {
    fn sure_fetch(&self, since: Option<Position>, reads: &[Read<'_>]) -> Fetched {
        let fetched = self.fetch(since, reads).unwrap_or_else(|error| unreachable!("fetch: {error}"));
        assert_eq!(fetched.entries.len(), reads.len(), "one answer for each read");
        well_formed(since, &fetched.delta);
        fetched
    }

    fn sure_apply(&self, since: Option<Position>, ops: &[Op<'_>]) -> Applied {
        let applied = self.apply(since, ops).unwrap_or_else(|error| unreachable!("apply: {error}"));
        assert_eq!(applied.outcomes.len(), ops.len(), "one outcome for each operation");
        well_formed(since, &applied.delta);
        applied
    }
}

/// What holds for every delta.
fn well_formed(since: Option<Position>, delta: &Delta) {
    assert!(!delta.reset || delta.changes.is_empty(), "a reset lists no changes");
    assert!(delta.changes.len() <= larder::contract::MAX_CHANGES, "{} changes", delta.changes.len());
    let known = since.is_some_and(|since| since.incarnation == delta.position.incarnation);
    assert!(delta.reset || known, "only a position of this incarnation may be continued");
}
