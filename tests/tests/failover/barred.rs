//! A fallback that a process can never use does not cost it the server.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};

use larder::contract::{Backend as _, Tier};
use larder::{Config, Store};
use larder_testkit::Answers;

use crate::peer::Peer;
use crate::support::{Process, Site, await_that, failover};

const OTHER: u32 = 65_534;

/// Makes the fallback's directory one that this process may not use.
fn bar(site: &Site) {
    let path = site.directory.path().join("fallback");
    fs::create_dir(&path).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(&path, Some(OTHER), None).unwrap();
    } else {
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
    }
}

/// A process that knows of no fallback.
fn plain(site: &Site) -> Process {
    let url = site.server.tcp_url();
    let config = Config::from_options([("server", &*url), ("namespace", "t")]).unwrap();
    let store = Store::open(&config).unwrap();
    let cache = store.cache("c").unwrap();
    Process { store, cache }
}

/// The server serves, also locks; what is written reaches the others; health says what is wrong.
#[test]
fn a_local_one() {
    let site = Site::new();
    bar(&site);
    let plain = plain(&site);
    let barred = site.process();
    await_that("a first set", || barred.set("k", "v"));
    assert_eq!(barred.get("k").as_deref(), Some("v"));
    assert_eq!(plain.get("k").as_deref(), Some("v"));
    assert!(plain.set("k", "w") && barred.get("k").as_deref() == Some("w"));
    assert!(barred.delete("k") && plain.get("k").is_none());
    let lock = barred.cache.lock("k", "me", std::time::Duration::from_secs(15)).unwrap();
    assert!(lock.is_some());
    drop(lock);
    let health = barred.store.health();
    assert_eq!(health.tier, Tier::Primary);
    assert!(health.reason.contains("belongs to user") || health.reason.contains("everybody"), "{health:?}");
    assert_eq!(barred.events().len(), 1);
    await_that("a first set", || barred.set("k", "v"));
    barred.store.reset().unwrap();
    assert_eq!(plain.get("k"), None);
}

/// While the server is away it has nothing, and once it can use the fallback it does.
#[test]
fn it_has_nothing_while_the_server_is_away() {
    let mut site = Site::new();
    bar(&site);
    let barred = site.process();
    await_that("a first set", || barred.set("k", "v"));
    site.server.kill();
    assert_eq!(barred.get("k"), None);
    assert!(!barred.delete("k"));
    site.server.restart();
    await_that("the server again", || barred.set("k", "w"));
    fs::remove_dir(site.directory.path().join("fallback")).unwrap();
    await_that("the fallback's first use", || {
        barred.get("k");
        site.directory.path().join("fallback/data.mdb").exists()
    });
    await_that("its use of both", || barred.set("k", "x") && barred.get("k").as_deref() == Some("x"));
    assert_eq!(barred.store.health().reason, "");
}

/// A node whose fallback works does not go over to it while a process is about that would not know
/// (R15).
#[test]
fn nobody_goes_over_without_it() {
    let mut site = Site::new();
    bar(&site);
    let barred = site.process();
    await_that("a first set", || barred.set("k", "v"));
    let own = format!("local:{}", site.directory.path().join("own").display());
    let node = failover(&site.proxy.url(), &own, "node");
    larder::contract::Backend::fetch(&node, None, &[]).unwrap();
    site.server.kill();
    for _ in 0..5 {
        assert!(larder::contract::Backend::fetch(&node, None, &[]).is_err());
    }
    assert_eq!(node.health().tier, Tier::None);
}

/// Two containers in which processes have the same numbers share the fallback of their node.
#[test]
fn one_that_containers_share() {
    let mut site = Site::new();
    let prefix: Vec<String> = if rustix::process::geteuid().is_root() {
        ["unshare", "--pid", "--fork", "--kill-child"].map(str::to_owned).to_vec()
    } else {
        ["unshare", "--user", "--map-current-user", "--pid", "--fork", "--kill-child"]
            .map(str::to_owned)
            .to_vec()
    };
    let (server, fallback) = (site.proxy.url(), site.fallback());
    let options = [("server", &*server), ("fallback", &*fallback), ("namespace", "t")];
    let mut containers = [(); 2].map(|()| Peer::start(&prefix, &options));
    for (number, peer) in containers.iter_mut().enumerate() {
        let key = format!("k{number}");
        assert_eq!(peer.ask(&format!("set {key} v")), "true");
        assert_eq!(peer.ask(&format!("get {key}")), "v");
        assert_eq!(peer.ask("tier"), "primary");
    }
    site.server.kill();
    for peer in &mut containers {
        peer.await_tier(Tier::Fallback);
    }
    let [one, two] = &mut containers;
    assert_eq!(one.ask("set k w"), "true");
    assert_eq!(two.ask("get k"), "w");
    assert_eq!(two.ask("delete k"), "true");
    assert_eq!(one.ask("get k"), "-");
}

/// A shared one that a process may read, and no more: it tells who serves, and as long as that is
/// the server, it does.
#[test]
fn a_shared_one_of_another_user_is_read() {
    if !rustix::process::geteuid().is_root() {
        return larder_testkit::skipped("needs root, who may give directories away");
    }
    let site = Site::new();
    bar(&site);
    let plain = plain(&site);
    let shared = format!("dir:{}", site.directory.path().join("fallback").display());
    let barred = site.process_with(&[("fallback", &shared)]);
    await_that("a first set", || barred.set("k", "v"));
    assert!(plain.get("k").as_deref() == Some("v"));
    assert!(plain.set("k", "w") && barred.get("k").as_deref() == Some("w"));
    assert!(barred.delete("k") && plain.get("k").is_none());
    assert_eq!(barred.tier(), Tier::Primary);
    assert_eq!(fs::read_dir(site.directory.path().join("fallback")).unwrap().count(), 0, "it made nothing");
}

/// Once others went over to it, the server does not serve who only reads there (R13).
#[test]
fn a_shared_one_that_serves_others_still_rules() {
    if !rustix::process::geteuid().is_root() {
        return larder_testkit::skipped("needs root, who may give directories away");
    }
    let site = Site::new();
    let path = site.directory.path().join("fallback");
    let shared = format!("dir:{}", path.display());
    let owner = site.process_with(&[("fallback", &shared)]);
    assert!(owner.set("k", "old") && owner.set("l", "v"));
    let direct = site.server.tcp_url();
    assert_eq!(plain(&site).get("k").as_deref(), Some("old"));
    site.proxy.answers(Answers::Cut);
    owner.await_tier(Tier::Fallback);
    // As another user sees it. The owner's process knows it already.
    for path in [&path, &path.join("t+fallback")] {
        chown(path, Some(OTHER), None).unwrap();
    }
    await_that("a delete", || owner.delete("k"));
    assert_eq!(plain(&site).get("k").as_deref(), Some("old"), "the server was not told yet");
    let late = site.process_with(&[("fallback", &shared), ("server", &*direct)]);
    assert_eq!((late.get("k"), late.tier()), (None, Tier::None));
    site.proxy.answers(Answers::Pass);
    owner.await_tier(Tier::Primary);
    await_that("the server again", || late.get("l").is_some() || late.set("l", "w"));
    assert_eq!((late.get("k"), late.tier()), (None, Tier::Primary));
}

/// One that cannot be read may serve others as well. But what is deleted is gone in the server.
#[test]
fn a_shared_one_that_cannot_be_read_still_rules() {
    let site = Site::new();
    fs::write(site.directory.path().join("fallback"), "a file").unwrap();
    let plain = plain(&site);
    let shared = format!("dir:{}", site.directory.path().join("fallback").display());
    let barred = site.process_with(&[("fallback", &shared)]);
    assert!(plain.set("k", "v") && plain.set("l", "v"));
    assert_eq!(barred.get("k"), None);
    let health = barred.store.health();
    assert_eq!(health.tier, Tier::None);
    assert!(health.reason.contains("is not a directory"), "{health:?}");
    assert!(!barred.delete("k") && !barred.set("l", "w"), "nothing is promised");
    assert_eq!((plain.get("k"), plain.get("l")), (None, None), "and nothing old is kept");
}
