//! Each fault: no error reaches a page that the fallback could have spared, and what changed
//! meanwhile is new afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use larder::CacheKind;
use larder::contract::Tier;
use larder_testkit::{Answers, RedisServer};

use crate::peer::Peer;
use crate::support::{Site, process_and_server};

/// Stores, changes while the fault holds, mends, and looks: the change must have come through for
/// processes that saw the outage and for ones that did not.
fn survives(site: &mut Site, break_it: impl FnOnce(&mut Site), mend: impl FnOnce(&mut Site)) {
    let (a, b) = (site.process(), site.process());
    for key in ["deleted", "set", "kept"] {
        assert!(a.set(key, "old"));
        assert_eq!(b.get(key).as_deref(), Some("old"));
    }
    break_it(site);
    // The first to notice may have to wait, and its write may be refused; nothing fails.
    let _ = a.set("kept", "old");
    let _ = a.get("deleted");
    a.await_tier(Tier::Fallback);
    assert_eq!(a.get("set"), None, "entered empty");
    assert!(a.delete("deleted") && a.set("set", "new"));
    assert_eq!(b.get("deleted"), None);
    assert_eq!(b.get("set").as_deref(), Some("new"));
    let events = [a.events(), b.events()].concat();
    assert_eq!(events.len(), 1, "one line for the node: {events:?}");
    let health = a.store.health();
    assert!(health.waiting >= Some(2) && health.since.is_some() && !health.reason.is_empty(), "{health:?}");

    mend(site);
    let health = b.await_tier(Tier::Primary);
    assert_eq!((health.waiting, &*health.reason), (Some(0), ""));
    for process in [a, b, site.process()] {
        assert_eq!(process.get("deleted"), None);
        assert_ne!(process.get("set").as_deref(), Some("old"));
        assert!(process.set("set", "newer"));
        assert_eq!(process.get("set").as_deref(), Some("newer"));
    }
}

#[test]
fn refused() {
    survives(&mut Site::new(), |site| site.server.kill(), |site| site.server.restart());
}

#[test]
fn stalled() {
    survives(&mut Site::new(), |site| site.server.pause(), |site| site.server.resume());
}

#[test]
fn packets_dropped() {
    let black_hole = |on| move |site: &mut Site| site.proxy.stall_requests(on);
    survives(&mut Site::new(), black_hole(true), black_hole(false));
}

#[test]
fn half_answers() {
    let answers = |how| move |site: &mut Site| site.proxy.answers(how);
    survives(&mut Site::new(), answers(Answers::Half), answers(Answers::Pass));
}

#[test]
fn garbage() {
    let answers = |how| move |site: &mut Site| site.proxy.answers(how);
    survives(&mut Site::new(), answers(Answers::Garbage), answers(Answers::Pass));
}

#[test]
fn slow() {
    let delay = |millis| move |site: &mut Site| site.proxy.delay(Duration::from_millis(millis));
    survives(&mut Site::new(), delay(600), delay(0));
}

#[test]
fn restarted_empty() {
    survives(&mut Site::new(), |site| site.server.kill(), |site| site.server.restart_empty());
}

#[test]
fn restarted_with_an_old_snapshot() {
    let break_it = |site: &mut Site| {
        site.server.save();
        assert!(site.process().set("deleted", "older than deleted"));
        site.server.kill();
    };
    survives(&mut Site::new(), break_it, |site| site.server.restart());
}

#[test]
fn read_only() {
    let primary = RedisServer::start();
    let port = primary.port().to_string();
    let turn = |site: &mut Site| {
        let _: String = site.server.tell(&["REPLICAOF", "127.0.0.1", &port]);
    };
    let back = |site: &mut Site| {
        let _: String = site.server.tell(&["REPLICAOF", "NO", "ONE"]);
    };
    survives(&mut Site::new(), turn, back);
}

#[test]
fn no_credentials_any_more() {
    let password = |word: &'static str| {
        move |site: &mut Site| {
            let _: String = site.server.tell(&["CONFIG", "SET", "requirepass", word]);
            site.proxy.cut();
        }
    };
    let clear = |site: &mut Site| {
        let mut connection = site.server.connect();
        let _: String = redis::cmd("AUTH").arg("sesame").query(&mut connection).unwrap();
        let clear = redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("").query(&mut connection);
        let _: String = clear.unwrap();
    };
    survives(&mut Site::new(), password("sesame"), clear);
}

/// What a server answers that could do nothing, one error after the other.
#[test]
fn error_answers() {
    for answer in [
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-READONLY You can't write against a read only replica.\r\n",
        "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        "-MISCONF Redis is configured to save RDB snapshots\r\n",
        "-NOAUTH Authentication required.\r\n",
        "-ERR max number of clients reached\r\n",
        "-CLUSTERDOWN The cluster is down\r\n",
    ] {
        let answers = |how| move |site: &mut Site| site.proxy.answers(how);
        survives(&mut Site::new(), answers(Answers::Always(answer)), answers(Answers::Pass));
    }
}

/// A full server refuses sets and takes deletes: it goes on serving, and what a set would have
/// replaced is gone.
#[test]
fn full() {
    let site = Site::new();
    let a = site.process();
    assert!(a.set("k", "old"));
    let _: String = site.server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(!a.set("k", "new"));
    assert_eq!(a.tier(), Tier::Primary);
    assert_eq!(a.get("k"), None, "R16");
}

#[test]
fn a_host_that_is_not_known() {
    let site = Site::new();
    let a = site.process_with(&[("server", "redis://no-such-host.invalid")]);
    let _ = a.get("k");
    assert!(a.set("k", "v") && a.tier() == Tier::Fallback);
    assert_eq!(a.get("k").as_deref(), Some("v"));
}

/// What is one process's own trouble is no outage for the others, and nothing is acknowledged that
/// they do not know.
#[test]
fn one_process_cannot_use_the_server() {
    let site = Site::new();
    let a = site.process();
    for key in ["k", "hasty", "unknown"] {
        assert!(a.set(key, "v"));
    }
    site.proxy.delay(Duration::from_millis(20));
    let troubles = [("hasty", ("read_timeout", "0.002")), ("unknown", ("password", "wrong"))];
    for (name, option) in troubles {
        let process = site.process_with(&[option]);
        for _ in 0..3 {
            assert_eq!(process.get("k"), None, "{name}");
            assert!(!process.delete(name), "{name}");
            assert_eq!((a.get("k").as_deref(), a.tier()), (Some("v"), Tier::Primary), "{name}");
        }
        assert_eq!(a.get(name), None, "{name}: what it could not delete was noted");
    }
    assert_eq!(a.events(), Vec::<String>::new());
}

/// Short stalls are waited out.
#[test]
fn a_stall_of_a_tenth_of_a_second_is_no_outage() {
    let site = Site::new();
    let a = site.process();
    assert!(a.set("k", "v"));
    site.server.pause();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(100));
            site.server.resume();
        });
        assert!(a.set("k", "w"));
    });
    assert_eq!((a.get("k").as_deref(), a.tier()), (Some("w"), Tier::Primary));
}

#[test]
fn both_gone() {
    let mut site = Site::new();
    let a = site.process();
    assert!(a.set("k", "old"));
    let place = site.directory.path().join("fallback");
    site.server.save();
    site.server.kill();
    fs::remove_dir_all(&place).unwrap();
    fs::write(&place, b"no directory").unwrap();
    assert_eq!(a.get("k"), None);
    assert!(!a.delete("k") && !a.set("k", "new"));
    assert_eq!(a.tier(), Tier::None);
    site.server.restart();
    assert_eq!(a.get("k"), None, "nobody can tell what the server missed");
    fs::remove_file(&place).unwrap();
    a.await_tier(Tier::Primary);
    assert_eq!(a.get("k"), None, "the journal was lost, so all is");
    assert!(a.set("k", "new"));
}

/// The journal is lost with the node's boot, or with the directory: all that the server holds may
/// be old.
#[test]
fn a_lost_journal_empties_the_server() {
    let site = Site::new();
    let a = site.process();
    let kept = a.store.cache_with("kept", CacheKind::Durable, None).unwrap();
    kept.set("k", "old").unwrap();
    assert!(a.set("k", "old"));
    site.server.pause();
    let _ = a.get("k");
    assert!(a.delete("k") && kept.delete("k").is_ok());
    // As after a restart of the machine: no process that lives saw the files.
    fs::remove_dir_all(site.directory.path().join("fallback")).unwrap();
    site.server.resume();
    let b = site.process();
    b.await_tier(Tier::Primary);
    for process in [&a, &b] {
        assert_eq!(process.get("k"), None);
        let kept = process.store.cache_with("kept", CacheKind::Durable, None).unwrap();
        assert_eq!(kept.get::<String>("k").unwrap(), None);
    }
}

/// More changes than the log lists: the caches of the server are emptied, all of them.
#[test]
fn more_than_the_journal_lists() {
    let site = Site::new();
    let a = site.process();
    assert!(a.set("k", "old"));
    site.server.pause();
    let _ = a.get("k");
    assert!(a.delete("k"));
    for n in 0..1100 {
        assert!(a.set(&format!("k{n}"), "v"));
    }
    assert_eq!(a.store.health().waiting, None);
    site.server.resume();
    a.await_tier(Tier::Primary);
    assert_eq!(a.get("k"), None);
}

/// Up and down every 300 ms: what is acknowledged stays so, and the fallback is not left at each
/// sign of life.
#[test]
fn flapping() {
    flap(Duration::from_secs(6));
}

#[test]
#[ignore = "takes a minute"]
fn flapping_for_a_minute() {
    flap(Duration::from_secs(60));
}

fn flap(lasts: Duration) {
    let site = Site::new();
    let (a, b) = (site.process(), site.process());
    let over = Arc::new(AtomicBool::new(false));
    let flips = thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..lasts.as_millis() / 300 {
                site.proxy.answers(if n % 2 == 0 { Answers::Cut } else { Answers::Pass });
                thread::sleep(Duration::from_millis(300));
            }
            site.proxy.answers(Answers::Pass);
            over.store(true, Ordering::SeqCst);
        });
        let mut flips = 0;
        for n in 0_u32.. {
            if over.load(Ordering::SeqCst) {
                break;
            }
            let (key, new) = (format!("k{}", n % 5), n.to_string());
            let _ = a.set(&key, &new);
            if a.delete(&key) {
                assert_eq!(b.get(&key), None, "after {n}");
            }
            flips += a.events().len() + b.events().len();
            thread::sleep(Duration::from_millis(5));
        }
        flips
    });
    // It stays 5 s from the second time in a minute on.
    let most = 4 + 2 * (lasts.as_secs() / 5 + 1);
    assert!(flips as u64 <= most, "{flips} changes in {lasts:?}");
    a.await_tier(Tier::Primary);
}

/// Packets are dropped, and processes of one node do as much as they can: counted at the other end,
/// one request is waited for in each interval between two probes.
#[test]
fn a_node_waits_once_in_each_interval() {
    let site = Site::new();
    let (server, fallback) = (site.proxy.url(), site.fallback());
    let options = [("server", &*server), ("fallback", &*fallback), ("namespace", "t")];
    let mut peers = [(); 4].map(|()| Peer::start(&[], &options));
    for peer in &mut peers {
        assert_eq!(peer.ask("set k old"), "true");
    }
    site.proxy.stall_requests(true);
    peers[0].ask("get k");
    for peer in &mut peers {
        peer.await_tier(Tier::Fallback);
    }
    let (before, started) = (site.proxy.requests_held(), std::time::Instant::now());
    let mut done = 0;
    while started.elapsed() < Duration::from_secs(5) {
        for order in ["set k new", "get k"] {
            for peer in &mut peers {
                peer.tell(order);
            }
            done += peers.iter_mut().map(Peer::answer).filter(|answer| answer != "false").count();
        }
    }
    let held = site.proxy.requests_held() - before;
    assert!(held >= 1 && held <= started.elapsed().as_secs() + 1, "{held} waits in {done} operations");
    site.proxy.stall_requests(false);
    peers[1].await_tier(Tier::Primary);
    assert_ne!(peers[2].ask("get k"), "old");
}

#[test]
fn a_stall_of_five_seconds() {
    long_stall(5);
}

#[test]
#[ignore = "takes a minute"]
fn a_stall_of_a_minute() {
    long_stall(60);
}

/// While the server is stalled the node waits for it once in each interval between two probes,
/// however much it does.
fn long_stall(seconds: u64) {
    let site = Site::new();
    let (processes, servers): (Vec<_>, Vec<_>) = (0..4).map(|_| process_and_server(&site)).unzip();
    for process in &processes {
        assert!(process.set("k", "old"));
    }
    let trips = || servers.iter().map(|server| server.round_trips()).sum::<u64>();
    site.server.pause();
    let _ = processes[0].get("k");
    let before = trips();
    let started = std::time::Instant::now();
    let mut done = 0_u64;
    while started.elapsed() < Duration::from_secs(seconds) {
        for process in &processes {
            assert!(process.set("k", "new") && process.get("k").is_some());
            done += 1;
        }
    }
    // One for each second, and one that the clock may have begun before.
    let waits = trips() - before;
    assert!(waits <= seconds + 1, "{waits} waits in {done} operations");
    site.server.resume();
    processes[0].await_tier(Tier::Primary);
    assert_ne!(processes[1].get("k").as_deref(), Some("old"));
}

/// A node tier before the two passes on who serves, and has no breaker of its own before them.
#[test]
fn behind_a_node_tier() {
    let mut site = Site::new();
    let tier = format!("local:{}", site.directory.path().join("tier").display());
    let process = site.process_with(&[("node_tier", &tier)]);
    assert!(process.set("k", "old"));
    site.server.kill();
    let _ = process.get("k");
    process.await_tier(Tier::Fallback);
    assert!(process.set("k", "new"));
    assert_eq!(process.get("k").as_deref(), Some("new"));
    assert_eq!(process.events().len(), 1);
    site.server.restart();
    process.await_tier(Tier::Primary);
    assert_ne!(process.get("k").as_deref(), Some("old"));
}
