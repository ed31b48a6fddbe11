//! The rules of failover, each where leaving it out would show.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use larder::CacheKind;
use larder::ErrorKind;
use larder::contract::{Backend as _, Tier};
use larder_testkit::{Answers, Proxy};

use crate::support::{Process, Site, await_that, failover, patient_failover};

/// R10: who was not there during the outage asks the journal, not the server, whether the server
/// may serve. The node is one of several with journals of their own, so that nothing is promised
/// and the fallback serves nothing (R15).
#[test]
fn r10_r15_a_node_among_several_promises_nothing_and_yet_forgets_nothing() {
    let site = Site::new();
    let other = Site::new();
    let away = site.backend("another node", other.directory.path());
    away.fetch(None, &[]).unwrap();
    let (a, b) = (site.process(), site.process());
    assert!(a.set("k", "old"));
    assert_eq!(b.get("k").as_deref(), Some("old"));
    site.proxy.stall_requests(true);
    assert_eq!(a.get("k"), None);
    assert!(!a.delete("k"), "R15: other nodes cannot know");
    assert!(!a.set("k2", "v"));
    assert_eq!(a.tier(), Tier::None, "R15");
    site.proxy.stall_requests(false);
    b.await_tier(Tier::Primary);
    assert_eq!(b.get("k"), None, "R10");
}

#[test]
fn r10_a_purge_is_told_too_and_caches_that_are_not_logged() {
    let site = Site::new();
    let a = site.process();
    let session = a.store.cache_with("session", CacheKind::Session, None).unwrap();
    session.set("k", "old").unwrap();
    assert!(a.set("k", "old"));
    site.server.pause();
    let _ = a.get("k");
    session.set("k", "new").unwrap();
    a.cache.purge().unwrap();
    site.server.resume();
    a.await_tier(Tier::Primary);
    assert_ne!(session.get::<String>("k").unwrap().as_deref(), Some("old"));
    assert_eq!(a.get("k"), None);
}

/// R11: what the fallback held in an earlier outage is old by the next.
#[test]
fn r11_the_fallback_is_entered_empty() {
    let site = Site::new();
    let (a, b) = (site.process(), site.process());
    let outage = |on| site.proxy.stall_requests(on);
    outage(true);
    let _ = a.get("k");
    assert!(a.set("k", "old"));
    outage(false);
    a.await_tier(Tier::Primary);
    assert!(b.delete("k"));
    outage(true);
    let _ = a.get("k");
    a.await_tier(Tier::Fallback);
    assert_eq!((a.get("k"), b.get("k")), (None, None));
}

/// R12: memory is emptied on the way to the fallback and on the way back.
#[test]
fn r12_nothing_is_remembered_across_a_change_of_tier() {
    let site = Site::new();
    let a = site.process();
    assert!(a.set("k", "server's"));
    site.proxy.stall_requests(true);
    let _ = a.store.sync();
    a.await_tier(Tier::Fallback);
    assert_eq!(a.get("k"), None);
    assert!(a.set("k", "fallback's"));
    site.proxy.stall_requests(false);
    a.await_tier(Tier::Primary);
    assert_eq!(a.get("k"), None);
}

/// A request that was sent before the return to the server and fails after it says nothing of the
/// server that came back.
#[test]
fn r13_a_failure_from_before_the_return_does_not_undo_it() {
    let site = Site::new();
    let late_proxy = Proxy::new(site.server.port());
    let late = patient_failover(&late_proxy.url(), &site.fallback(), "a", "30");
    let quick = failover(&site.proxy.url(), &site.fallback(), "a");
    for backend in [&late, &quick] {
        backend.fetch(None, &[]).unwrap();
    }
    late_proxy.answers(Answers::Stall);
    let asked = late_proxy.bytes_sent();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| late.fetch(None, &[]));
        await_that("the request is under way", || late_proxy.bytes_sent() > asked);
        site.proxy.answers(Answers::Stall);
        await_that("the fallback serves", || quick.health().tier == Tier::Fallback);
        site.proxy.answers(Answers::Pass);
        await_that("the server serves", || quick.health().tier == Tier::Primary);
        assert_eq!(quick.events().len(), 2);
        // A connection that is cut may only have been an old one, so that it asks twice.
        for _ in 0..2 {
            let asked = late_proxy.bytes_sent();
            late_proxy.cut();
            await_that("it asks again", || late_proxy.bytes_sent() > asked || waiting.is_finished());
        }
        late_proxy.answers(Answers::Pass);
        waiting.join().unwrap().expect("it is asked again");
    });
    assert_eq!((quick.health().tier, late.health().tier), (Tier::Primary, Tier::Primary));
    assert_eq!((quick.events(), late.events()), (vec![], vec![]));
}

/// Whoever sees that the server is back asks it, though another process has just been the only one
/// to ask.
#[test]
fn r13_the_return_is_not_undone_by_those_who_were_kept_away() {
    let site = Site::new();
    let processes = [(); 4].map(|()| site.process_with(&[("read_timeout", "1")]));
    assert!(processes[0].set("k", "v"));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for process in &processes[1..] {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let _ = process.get("k");
                }
            });
        }
        site.server.pause();
        processes[0].await_tier(Tier::Fallback);
        // Whoever brings it back has questions left when the others see that it is.
        site.proxy.delay(Duration::from_millis(50));
        site.server.resume();
        processes[0].await_tier(Tier::Primary);
        thread::sleep(Duration::from_millis(500));
        over.store(true, Ordering::Relaxed);
    });
    let events: Vec<String> = processes.iter().flat_map(Process::events).collect();
    assert_eq!(events.len(), 2, "{events:?}");
}

/// R23, R25: nobody gets a named lock twice over a change of tier, and its holder keeps it.
#[test]
fn r23_a_named_lock_has_one_holder_through_an_outage() {
    let site = Site::new();
    let options = [("lock_lease", "2")];
    let (a, b) = (site.process_with(&options), site.process_with(&options));
    let brief = Duration::from_millis(50);
    let lock = |process: &Process, wait| process.store.lock("k", "me", wait);
    // A server that has just begun may have lost some.
    let held = lock(&a, Duration::from_secs(5)).unwrap().unwrap();
    site.proxy.stall_requests(true);
    let _ = b.get("k");
    b.await_tier(Tier::Fallback);
    assert!(lock(&b, Duration::from_secs(3)).unwrap().is_none(), "the holder renewed it there");
    assert!(held.confirm().unwrap());
    site.proxy.stall_requests(false);
    b.await_tier(Tier::Primary);
    match lock(&b, brief) {
        Ok(got) => assert!(got.is_none()),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Grace, "{error}"),
    }
    assert!(held.confirm().unwrap());
    let fence = held.proof().fence;
    drop(held);
    let next = lock(&b, Duration::from_secs(5)).unwrap().unwrap();
    assert!(next.proof().fence > fence);
}

/// R23, R24: a cache lock makes nobody wait over a change of tier, and who held it before writes
/// nothing more.
#[test]
fn r23_a_cache_lock_is_to_be_had_at_once_in_the_other_tier() {
    let site = Site::new();
    let options = [("lock_lease", "30")];
    let (a, b) = (site.process_with(&options), site.process_with(&options));
    let at_once = Duration::ZERO;
    let first = a.cache.lock("k", "a", at_once).unwrap().unwrap();
    a.cache.set_locked(&first, "k", "first").unwrap();
    site.proxy.stall_requests(true);
    let _ = b.get("k");
    b.await_tier(Tier::Fallback);
    let second = b.cache.lock("k", "b", at_once).unwrap().unwrap();
    assert!(second.fence() > first.fence());
    b.cache.set_locked(&second, "k", "second").unwrap();
    assert_eq!(a.cache.set_locked(&first, "k", "late").unwrap_err().kind(), ErrorKind::LockLost);
    site.proxy.stall_requests(false);
    b.await_tier(Tier::Primary);
    let third = b.cache.lock("k", "b", at_once).unwrap().unwrap();
    assert!(third.fence() > second.fence());
    for lost in [&first, &second] {
        assert_eq!(a.cache.set_locked(lost, "k", "late").unwrap_err().kind(), ErrorKind::LockLost);
    }
    assert_eq!(b.get("k"), None, "what was written in the fallback is old here");
    b.cache.set_locked(&third, "k", "third").unwrap();
    assert_eq!(a.get("k").as_deref(), Some("third"));
}

/// A lost fallback costs the cache, though the server is well: nobody could be told.
#[test]
fn r13_without_the_control_log_the_server_does_not_serve() {
    let site = Site::new();
    let a = site.process();
    assert!(a.set("k", "v"));
    let place = site.directory.path().join("fallback");
    fs::remove_dir_all(&place).unwrap();
    fs::write(&place, b"in the way").unwrap();
    assert_eq!((a.get("k"), a.delete("k")), (None, false));
    fs::remove_file(&place).unwrap();
    assert_eq!(a.get("k"), None);
    assert!(a.set("k", "new") && a.get("k").as_deref() == Some("new"));
}

/// R16: the set that found the server gone may not have happened, and the value before it must not
/// come back.
#[test]
fn r16_an_overwrite_that_failed_removes() {
    let site = Site::new();
    let (a, b) = (site.process(), site.process());
    assert!(a.set("k", "old"));
    site.proxy.stall_requests(true);
    assert!(!a.set("k", "new"));
    site.proxy.cut();
    site.proxy.stall_requests(false);
    b.await_tier(Tier::Primary);
    assert_ne!(b.get("k").as_deref(), Some("old"));
}
