//! Locks: each sentence of the contract of [`LockBackend`] as a case.
//!
//! The store's `lock_lease` must be [`LEASE`]. Cases wait for leases to end, but never measure
//! time.

use std::io::{self, Write};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use larder::ErrorKind;
use larder::contract::{
    Attempt, Backend, Claim, Handed, LockBackend, LockProof, Op, Renewal, Token, lock_name,
};

use super::{Fixture, Sure, logged, unlogged};

/// The lease that a [`Fixture`]'s store must be opened with.
pub const LEASE: Duration = Duration::from_secs(1);
/// Longer than a waiter keeps its place without asking.
const SILENCE: Duration = Duration::from_millis(3_300);
const LONG: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(5);

/// A handle, as a process would have it, with short words for what a case does.
struct Handle(Arc<dyn Backend>);

impl Handle {
    fn locks(&self) -> &dyn LockBackend {
        self.0.locks().unwrap_or_else(|| unreachable!("the backend keeps locks"))
    }

    fn ask(&self, name: &[u8], token: u128, queue: bool) -> Attempt {
        let token = Token::from_number(token);
        let claim = Claim { name, token, owner: b"owner", lease: LEASE, queue };
        sure(self.locks().acquire(&claim))
    }

    /// The fence, if the lock is the token's now.
    fn take(&self, name: &[u8], token: u128) -> Option<u64> {
        match self.ask(name, token, false) {
            Attempt::Mine { fence } => Some(fence),
            Attempt::Wait { .. } | Attempt::Grace { .. } => None,
        }
    }

    fn sure_take(&self, name: &[u8], token: u128) -> u64 {
        self.take(name, token).unwrap_or_else(|| unreachable!("the lock is to be had"))
    }

    fn stand_in_line(&self, name: &[u8], token: u128) {
        assert!(matches!(self.ask(name, token, true), Attempt::Wait { .. }));
    }

    /// Waits until the lock is the token's, as a waiter does.
    fn wait(&self, name: &[u8], token: u128) -> u64 {
        loop {
            match self.ask(name, token, true) {
                Attempt::Mine { fence } => return fence,
                Attempt::Wait { at_most } | Attempt::Grace { left: at_most } => {
                    let park = at_most.min(LEASE / 2);
                    if let Some(Handed { fence, .. }) = self.locks().park(Token::from_number(token), park) {
                        return fence;
                    }
                }
            }
        }
    }

    fn release(&self, name: &[u8], token: u128) -> bool {
        sure(self.locks().release(name, Token::from_number(token)))
    }

    fn renew(&self, name: &[u8], token: u128, fence: u64) -> bool {
        self.renew_until(name, token, fence, Duration::MAX)
    }

    fn renew_until(&self, name: &[u8], token: u128, fence: u64, believed_until: Duration) -> bool {
        let proof = LockProof { token: Token::from_number(token), fence };
        let renewal = Renewal { name, owner: b"owner", proof, believed_until };
        sure(self.locks().renew(&[renewal], LEASE)) == [true]
    }

    fn holder(&self, name: &[u8]) -> Option<u128> {
        sure(self.locks().holder(name)).map(Token::number)
    }

    /// Waits until nobody holds the lock.
    fn await_free(&self, name: &[u8]) {
        while self.holder(name).is_some() {
            thread::sleep(PAUSE);
        }
    }

    /// Waits until so many stand in line.
    fn await_waiters(&self, name: &[u8], waiters: u64) {
        let enough = |lock: &larder::contract::LockInfo| lock.name == name && lock.waiters >= waiters;
        while !sure(self.locks().list()).iter().any(enough) {
            thread::sleep(PAUSE);
        }
    }
}

fn sure<T>(result: larder::contract::Result<T>) -> T {
    result.unwrap_or_else(|error| unreachable!("{error}"))
}

/// Two handles on a store that is past its first grace, in which it grants no named lock (R23).
///
/// Names in these cases begin with `n` where it matters, and so are those of named locks.
fn ready(fixture: &dyn Fixture) -> (Handle, Handle) {
    let (a, b) = (Handle(fixture.open()), Handle(fixture.open()));
    a.wait(b"n ready", u128::MAX);
    assert!(a.release(b"n ready", u128::MAX));
    (a, b)
}

/// Who asks for a free lock has it, and whoever asks then has not.
pub fn a_free_lock_is_granted_once(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    a.sure_take(b"n", 1);
    assert_eq!(b.take(b"n", 2), None);
    assert_eq!(a.take(b"n", 2), None, "owners and handles say nothing");
    assert_eq!((a.holder(b"n"), b.holder(b"n")), (Some(1), Some(1)));
    b.sure_take(b"another", 2);
}

/// Asking again after an answer was lost brings the same grant.
pub fn asking_again_changes_nothing(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    let fence = a.sure_take(b"n", 1);
    assert_eq!((a.take(b"n", 1), b.take(b"n", 1)), (Some(fence), Some(fence)));
    assert!(matches!(a.ask(b"n", 1, true), Attempt::Mine { fence: same } if same == fence));
    assert!(a.release(b"n", 1));
    assert_eq!(b.holder(b"n"), None, "it does not stand in its own line");
}

/// A lock is given back by its token and by no other, once.
pub fn only_its_token_releases(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    assert!(!a.release(b"n", 1), "nobody held it");
    a.sure_take(b"n", 1);
    assert!(!b.release(b"n", 2));
    assert_eq!(b.holder(b"n"), Some(1));
    assert!(b.release(b"n", 1), "any handle may say so");
    assert!(!a.release(b"n", 1));
    b.sure_take(b"n", 2);
    assert!(!a.release(b"n", 1), "the release of one who had it takes nothing");
    assert_eq!(a.holder(b"n"), Some(2));
}

/// Fencing numbers grow from grant to grant, whichever lock and handle.
pub fn fences_grow(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    let mut last = 0;
    for round in 0..20 {
        let handle = if round % 2 == 0 { &a } else { &b };
        let name = format!("n{}", round % 3);
        let fence = handle.sure_take(name.as_bytes(), round);
        assert!(fence > last, "{fence} after {last}");
        assert!(handle.release(name.as_bytes(), round));
        last = fence;
    }
}

/// Names and owners are any bytes; locks on a key of a logged cache and of an unlogged one are two.
pub fn any_bytes_are_a_name(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    let long = vec![b'k'; 60_000];
    let (cache, quiet) = (logged("c"), unlogged("c"));
    let keys: [&[u8]; 7] = [b"", b"\0", b"a\nb \xff", b"{x}:*", &long, b"%s %d", b"#"];
    let names: Vec<_> =
        keys.iter().flat_map(|key| [lock_name(&cache, key), lock_name(&quiet, key)]).collect();
    let fences: Vec<_> = names
        .iter()
        .zip(1..)
        .map(|(name, token)| {
            let token = Token::from_number(token);
            let claim = Claim { name, token, owner: name, lease: LEASE, queue: false };
            match sure(a.locks().acquire(&claim)) {
                Attempt::Mine { fence } => fence,
                attempt => unreachable!("the lock is free: {attempt:?}"),
            }
        })
        .collect();
    let renewals: Vec<_> = names
        .iter()
        .zip(fences)
        .zip(1..)
        .map(|((name, fence), token)| {
            let proof = LockProof { token: Token::from_number(token), fence };
            Renewal { name, owner: name, proof, believed_until: Duration::MAX }
        })
        .collect();
    assert!(sure(a.locks().renew(&renewals, LONG)).iter().all(|held| *held));
    for (name, token) in names.iter().zip(1..) {
        assert_eq!(b.holder(name), Some(token));
    }
    let mut listed = sure(b.locks().list());
    listed.sort_by_key(|lock| lock.fence);
    assert!(
        listed.iter().map(|lock| &lock.name).eq(&names) && listed.iter().map(|lock| &lock.owner).eq(&names)
    );
}

/// Those in line get the lock in the order in which they came, whatever the order in which they ask
/// again.
pub fn first_come_first_served(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    a.sure_take(b"n", 100);
    for token in 0..8 {
        b.stand_in_line(b"n", token);
    }
    for token in (0..8).rev() {
        b.stand_in_line(b"n", token);
    }
    let mut before = 100;
    for token in 0..8 {
        assert!(a.release(b"n", before));
        assert_eq!(b.holder(b"n"), Some(token));
        assert_eq!(a.take(b"n", 200), None, "nobody is served before those in line");
        before = token;
    }
}

/// Who leaves the line is passed over, first in it or not.
pub fn who_leaves_the_line_is_passed_over(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    a.sure_take(b"n", 100);
    for token in 0..4 {
        b.stand_in_line(b"n", token);
    }
    for token in [0, 2] {
        assert!(!b.release(b"n", token), "it was never its");
    }
    assert!(a.release(b"n", 100));
    assert_eq!(b.holder(b"n"), Some(1));
    assert!(b.release(b"n", 1));
    assert_eq!(b.holder(b"n"), Some(3));
    assert!(b.release(b"n", 3));
    a.sure_take(b"n", 5);
}

/// Who stands in line and does not ask again for three seconds has lost its place.
pub fn who_is_silent_is_passed_over(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    let fence = a.sure_take(b"n", 100);
    b.stand_in_line(b"n", 1);
    for _ in 0..8 {
        thread::sleep(SILENCE / 8);
        assert!(a.renew(b"n", 100, fence));
    }
    b.stand_in_line(b"n", 2);
    assert!(a.release(b"n", 100));
    assert_eq!(a.holder(b"n"), Some(2));
}

/// A wake-up that comes before the sleep is not lost, and what a sleeper is told is what it has.
pub fn a_wake_up_before_the_sleep_counts(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    for round in 0..20 {
        let (holder, waiter) = (2 * round, 2 * round + 1);
        a.sure_take(b"n", holder);
        b.stand_in_line(b"n", waiter);
        assert!(a.release(b"n", holder));
        let handed = b.locks().park(Token::from_number(waiter), LEASE / 4);
        let fence = b.sure_take(b"n", waiter);
        assert!(handed.is_none_or(|handed| handed.fence == fence && handed.lease <= LEASE));
        assert!(b.release(b"n", waiter));
    }
}

/// Who was given a lock and did not say that it is alive loses it, and is not told of it when it
/// asks again.
pub fn a_stale_wake_up_is_not_believed(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    a.sure_take(b"n", 1);
    b.stand_in_line(b"n", 2);
    assert!(a.release(b"n", 1));
    a.wait(b"n", 3);
    b.stand_in_line(b"n", 2);
    assert_eq!(b.locks().park(Token::from_number(2), PAUSE), None);
    assert_eq!(b.holder(b"n"), Some(3));
}

/// A lease that is not renewed ends. Then another has the lock, and the one before can do nothing
/// to it.
pub fn an_unrenewed_lease_ends(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    let fence = a.sure_take(b"n", 1);
    b.await_free(b"n");
    let next = b.sure_take(b"n", 2);
    assert!(next > fence);
    assert!(!a.renew(b"n", 1, fence));
    assert!(!a.release(b"n", 1));
    assert_eq!((a.take(b"n", 1), a.holder(b"n")), (None, Some(2)));
}

/// A lease that is renewed goes on; what was released or never granted is not renewed.
pub fn a_renewed_lease_goes_on(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    let fence = a.sure_take(b"n", 1);
    for _ in 0..12 {
        thread::sleep(LEASE / 4);
        assert!(a.renew(b"n", 1, fence));
        assert_eq!(b.take(b"n", 2), None);
    }
    assert!(!b.renew(b"n", 2, fence + 1) && !b.renew(b"never", 2, fence + 1));
    assert!(a.release(b"n", 1));
    assert!(!a.renew(b"n", 1, fence));
    assert_eq!(b.holder(b"n"), None);
}

/// A lock that is broken is the next one's, and its holder finds out.
pub fn a_broken_lock_is_the_next_ones(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    assert!(!sure(a.locks().break_lock(b"n")));
    let fence = a.sure_take(b"n", 1);
    b.stand_in_line(b"n", 2);
    assert!(sure(b.locks().break_lock(b"n")));
    assert_eq!(a.holder(b"n"), Some(2));
    assert!(!a.renew(b"n", 1, fence) && !a.release(b"n", 1));
    assert!(b.release(b"n", 2));
}

/// A list says who holds what and how many wait.
pub fn a_list_says_who_holds_and_waits(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    let fence = a.sure_take(b"n", 1);
    a.sure_take(b"other", 2);
    b.stand_in_line(b"n", 3);
    b.stand_in_line(b"n", 4);
    let mut listed = sure(b.locks().list());
    listed.sort_by_key(|lock| lock.fence);
    let [first, second] = listed.as_slice() else { unreachable!("two locks are held") };
    assert_eq!(
        (&*first.name, &*first.owner, first.fence, first.waiters),
        (&b"n"[..], &b"owner"[..], fence, 2)
    );
    assert_eq!((&*second.name, second.waiters), (&b"other"[..], 0));
    assert!(first.left <= LEASE && first.age <= LONG);
}

/// A write with a lock's proof happens while the lock is held, whole or not at all.
pub fn a_write_needs_its_lock(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    let (cache, key) = (logged("c"), b"k");
    let name = lock_name(&cache, key);
    let write = |entry: &[u8], token, fence| {
        let lock = Some(LockProof { token: Token::from_number(token), fence });
        let set = |key, lock| Op::Set { cache: &cache, key, entry, expires: None, guard: None, lock };
        match b.0.apply(None, &[set(b"beside", None), set(key, lock)]) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::LockLost);
                false
            }
        }
    };
    assert!(!write(b"0", 1, 1), "nobody holds it");
    let fence = a.sure_take(&name, 1);
    assert!(write(b"1", 1, fence));
    assert!(!write(b"2", 2, fence) && !write(b"2", 1, fence + 1));
    assert!(a.release(&name, 1));
    assert!(!write(b"3", 1, fence));
    let next = a.sure_take(&name, 2);
    assert!(!write(b"4", 1, fence) && !write(b"4", 2, fence));
    assert_eq!((b.0.get(&cache, key), b.0.get(&cache, b"beside")), (Some(b"1".into()), Some(b"1".into())));
    assert!(write(b"5", 2, next));
    assert_eq!((b.0.get(&cache, key), b.0.get(&cache, b"beside")), (Some(b"5".into()), Some(b"5".into())));
}

/// Emptying the store takes no lock from its holder.
pub fn a_reset_spares_locks(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    let fence = a.sure_take(b"n", 1);
    sure(b.0.reset());
    assert_eq!(b.take(b"n", 2), None);
    assert!(a.renew(b"n", 1, fence));
}

/// After a loss of locks a cache lock is to be had at once, under a larger number; its holder has
/// lost it, and finds out when it writes or renews.
pub fn a_cache_lock_has_no_grace(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    let (cache, key) = (logged("c"), b"k");
    let name = lock_name(&cache, key);
    let write = |handle: &Handle, token, fence| {
        let lock = Some(LockProof { token: Token::from_number(token), fence });
        let set = Op::Set { cache: &cache, key, entry: b"v", expires: None, guard: None, lock };
        handle.0.apply(None, &[set]).map(drop).map_err(|error| error.kind())
    };
    let fence = a.sure_take(&name, 1);
    assert_eq!(write(&a, 1, fence), Ok(()));
    sure(b.locks().distrust(fence));
    assert_eq!(write(&a, 1, fence), Err(ErrorKind::LockLost));
    assert!(!a.renew(&name, 1, fence), "nobody knows who had it since");
    let next = b.sure_take(&name, 2);
    assert!(next > fence);
    assert!(!a.renew(&name, 1, fence) && !a.release(&name, 1));
    assert_eq!((write(&a, 1, fence), write(&b, 2, next)), (Err(ErrorKind::LockLost), Ok(())));
    // The line moves on, too.
    a.stand_in_line(&name, 3);
    assert!(b.release(&name, 2));
    assert_eq!(a.holder(&name), Some(3));
    assert!(!a.renew(&name, 1, fence));
}

/// After a loss of locks nobody new gets a named lock for a lease, and is told so; its holder has
/// it back by renewing.
pub fn a_named_lock_has_a_grace(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    let (kept, gone) = (a.sure_take(b"n kept", 1), a.sure_take(b"n gone", 2));
    sure(b.locks().distrust(gone));
    assert!(matches!(b.ask(b"n gone", 3, true), Attempt::Grace { left } if left <= 2 * LEASE));
    assert!(!a.renew_until(b"n gone", 2, gone, Duration::ZERO), "its lease was over before");
    assert!(a.renew(b"n kept", 1, kept));
    assert!(matches!(b.ask(b"n kept", 4, false), Attempt::Wait { .. }), "its holder is known again");
    assert_eq!(a.holder(b"n kept"), Some(1));
    assert!(b.wait(b"n gone", 3) > gone);
    assert!(!a.renew(b"n gone", 2, gone));
    assert!(b.wait(b"n kept", 4) > kept, "nobody renewed it again");
}

/// Threads that queue up for a lock are never in it together, and see fences grow.
pub fn one_at_a_time(fixture: &dyn Fixture) {
    ready(fixture);
    let (inside, last) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for id in 0..6 {
            let handle = Handle(fixture.open());
            let (inside, last) = (&inside, &last);
            scope.spawn(move || {
                for round in 0..25 {
                    let token = id * 1_000 + round;
                    let fence = handle.wait(b"n", token);
                    assert!(!inside.swap(true, Ordering::SeqCst), "two at once");
                    assert!(last.swap(fence, Ordering::SeqCst) < fence, "a lower number after a higher one");
                    thread::yield_now();
                    inside.store(false, Ordering::SeqCst);
                    assert!(handle.release(b"n", token));
                }
            });
        }
    });
}

/// A process that is killed while it holds a lock keeps it for a lease at the most.
pub fn a_killed_holder_loses_its_lock(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    let peer = Peer::start(fixture, b"n", 7);
    while a.holder(b"n") != Some(7) {
        thread::sleep(PAUSE);
    }
    drop(peer);
    b.wait(b"n", 1);
}

/// A process that is killed in the line does not stop it.
pub fn a_killed_waiter_is_passed_over(fixture: &dyn Fixture) {
    let (a, b) = ready(fixture);
    let fence = a.sure_take(b"n", 1);
    let peer = Peer::start(fixture, b"n", 7);
    a.await_waiters(b"n", 1);
    assert!(a.renew(b"n", 1, fence));
    drop(peer);
    assert!(a.release(b"n", 1));
    b.wait(b"n", 2);
}

/// A process that waits for a lock and then holds it, until it is dropped: killed.
struct Peer(Child);

impl Peer {
    fn start(fixture: &dyn Fixture, name: &[u8], token: u128) -> Self {
        let mut command = fixture.peer();
        command.args(["lock", &String::from_utf8_lossy(name), &token.to_string()]);
        let child = command.stdin(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|error| unreachable!("start a peer: {error}")))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the program of [`Fixture::peer`] does if the suite's first argument is `lock`: it waits for
/// a lock and renews it for ever.
///
/// # Errors
/// If the arguments are not the suite's.
pub fn peer(backend: Arc<dyn Backend>, mut args: impl Iterator<Item = String>) -> io::Result<()> {
    let name = args.next().ok_or(io::ErrorKind::InvalidInput)?;
    let token = args.next().and_then(|arg| arg.parse().ok()).ok_or(io::ErrorKind::InvalidInput)?;
    let handle = Handle(backend);
    let fence = handle.wait(name.as_bytes(), token);
    while handle.renew(name.as_bytes(), token, fence) {
        thread::sleep(LEASE / 4);
    }
    io::stderr().write_all(b"the peer lost its lock\n")
}
