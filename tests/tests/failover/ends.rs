//! Processes and machines that end in the middle of an outage, and a name that is not known any
//! more: what they acknowledged holds.

use std::fs;
use std::process::{Command, Stdio};

use larder::contract::Tier;
use larder_testkit::Answers;

use crate::peer::Peer;
use crate::support::Site;

/// A prefix for a program that sees other files in the place of some of the system's; `None`, and a
/// line that says so, where that takes rights that we do not have.
fn seeing(files: &[(&str, &str)], more: &[&str]) -> Option<Vec<String>> {
    let words = ["unshare", "--mount", "--fork", "--kill-child"];
    let prefix: Vec<String> = words.iter().chain(more).map(|&word| word.to_owned()).collect();
    let possible = Command::new(&prefix[0]).args(&prefix[1..]).arg("true").stderr(Stdio::null()).status();
    if !possible.is_ok_and(|status| status.success()) {
        larder_testkit::skipped("a process cannot be given files of its own here");
        return None;
    }
    let binds: Vec<String> =
        files.iter().map(|(own, system)| format!("mount --bind '{own}' {system} && ")).collect();
    let script = format!("{}exec \"$@\"", binds.concat());
    let shell = ["sh", "-c", &script, "sh"].map(str::to_owned);
    Some([prefix, shell.to_vec()].concat())
}

fn shared(site: &Site) -> String {
    format!("dir:{}/shared", site.directory.path().display())
}

/// All processes of the node are killed while they delete; what was acknowledged is gone when the
/// server is back.
fn killed(site: &Site, fallback: &str) {
    let server = site.proxy.url();
    let options = [("server", &*server), ("fallback", fallback), ("namespace", "t")];
    let key = |n: usize| format!("k{n}");
    let mut peers = [(); 2].map(|()| Peer::start(&[], &options));
    for n in 0..400 {
        assert_eq!(peers[0].ask(&format!("set {} old", key(n))), "true");
    }
    site.server.pause();
    for peer in &mut peers {
        peer.ask("get k0");
        peer.await_tier(Tier::Fallback);
    }
    for n in 0..200 {
        peers[0].tell(&format!("delete {}", key(n)));
        peers[1].tell(&format!("delete {}", key(200 + n)));
    }
    // Some of them, and the rest is under way.
    let mut gone: Vec<usize> = Vec::new();
    for n in 0..20 {
        assert_eq!((peers[0].answer(), peers[1].answer()), ("true".to_owned(), "true".to_owned()));
        gone.extend([n, 200 + n]);
    }
    for (first, peer) in [20, 220].into_iter().zip(peers) {
        let answers = peer.kill();
        gone.extend((first..).zip(answers).filter(|(_, answer)| answer == "true").map(|(n, _)| n));
    }
    site.server.resume();
    let mut next = Peer::start(&[], &options);
    next.await_tier(Tier::Primary);
    for n in gone {
        assert_eq!(next.ask(&format!("get {}", key(n))), "-", "{}", key(n));
    }
    assert_eq!(next.ask("set k0 new"), "true");
    assert_eq!(next.ask("get k0"), "new");
}

#[test]
fn killed_with_a_local_fallback() {
    let site = Site::new();
    killed(&site, &site.fallback());
}

#[test]
fn killed_with_a_shared_fallback() {
    let site = Site::new();
    killed(&site, &shared(&site));
}

/// The machine is restarted in the middle of an outage: the boot clock begins anew, and what only
/// the old boot's memory held may be lost.
fn rebooted(site: &Site, fallback: &str) {
    let server = site.proxy.url();
    let options = [("server", &*server), ("fallback", fallback), ("namespace", "t")];
    let boot = |name: &str, uptime: &str| {
        let file = site.directory.path().join(name).display().to_string();
        fs::write(&file, format!("{name}\n")).unwrap();
        let place = [(&*file, "/proc/sys/kernel/random/boot_id")];
        seeing(&place, &["--time", "--boottime", uptime])
    };
    let (Some(before), Some(after)) = (boot("a", "1000000"), boot("b", "100")) else { return };
    let mut peer = Peer::start(&before, &options);
    for key in ["a", "b"] {
        assert_eq!(peer.ask(&format!("set {key} old")), "true");
    }
    site.server.pause();
    peer.ask("get a");
    peer.await_tier(Tier::Fallback);
    assert_eq!((peer.ask("delete a"), peer.ask("set b new")), ("true".to_owned(), "true".to_owned()));
    peer.kill();
    let mut next = Peer::start(&after, &options);
    assert_eq!(next.ask("get a"), "-");
    assert_ne!(next.ask("get b"), "old");
    site.server.resume();
    next.await_tier(Tier::Primary);
    assert_eq!(next.ask("get a"), "-");
    assert_ne!(next.ask("get b"), "old");
    assert_eq!((next.ask("set a newer"), next.ask("get a")), ("true".to_owned(), "newer".to_owned()));
}

#[test]
fn rebooted_with_a_local_fallback() {
    let site = Site::new();
    rebooted(&site, &site.fallback());
}

#[test]
fn rebooted_with_a_shared_fallback() {
    let site = Site::new();
    rebooted(&site, &shared(&site));
}

/// The server's name is not known any more, and its connections end: it is found where it was, as
/// long as it is there.
#[test]
fn the_name_is_gone() {
    let site = Site::new();
    let [hosts, switch] =
        ["hosts", "nsswitch.conf"].map(|name| site.directory.path().join(name).display().to_string());
    fs::write(&switch, "hosts: files\n").unwrap();
    let known =
        |known: bool| fs::write(&hosts, if known { "127.0.0.1 larder.test\n" } else { "\n" }).unwrap();
    known(true);
    let Some(prefix) = seeing(&[(&hosts, "/etc/hosts"), (&switch, "/etc/nsswitch.conf")], &[]) else {
        return;
    };
    let (server, fallback) = (format!("redis://larder.test:{}", site.proxy.port()), site.fallback());
    let options = [("server", &*server), ("fallback", &*fallback), ("namespace", "t")];
    let mut peer = Peer::start(&prefix, &options);
    assert_eq!((peer.ask("set k old"), peer.ask("get k")), ("true".to_owned(), "old".to_owned()));
    known(false);
    site.proxy.cut();
    peer.ask("get k");
    peer.await_tier(Tier::Primary);
    site.proxy.answers(Answers::Cut);
    site.proxy.cut();
    peer.ask("get k");
    peer.await_tier(Tier::Fallback);
    assert_eq!(peer.ask("delete k"), "true");
    known(true);
    site.proxy.answers(Answers::Pass);
    peer.await_tier(Tier::Primary);
    assert_eq!(peer.ask("get k"), "-");
}
