//! Programs that this one starts inherit none of its sockets, pipes and files.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use crate::support::Site;

/// What the descriptors of a started program lead to.
fn inherited() -> BTreeSet<String> {
    let output = Command::new("sh").args(["-c", "exec readlink /proc/self/fd/*"]).output().unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    // Those that it has of its own differ each time.
    found
        .lines()
        .filter(|path| !path.starts_with("/proc/") && !path.starts_with("pipe:"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn programs_inherit_none() {
    let before = inherited();
    let site = Site::new();
    let tier = format!("local:{}", site.directory.path().join("tier").display());
    let shared = format!("dir:{}", site.directory.path().join("shared").display());
    let own = format!("local:{}", site.directory.path().join("own").display());
    for more in [&[("node_tier", &*tier)][..], &[("fallback", &*shared)]] {
        let process = site.process_with(more);
        assert!(process.set("k", "v"));
        let lock = process.cache.lock("k", "me", Duration::from_secs(15)).unwrap();
        assert!(lock.is_some());
        let waiting = process.cache.lock("k", "another", Duration::from_millis(300)).unwrap();
        assert!(waiting.is_none());
        assert_eq!(inherited(), before, "{more:?}");
    }
    let store = larder::Store::open(&larder::Config::from_url(&own).unwrap()).unwrap();
    let cache = store.cache("c").unwrap();
    let held = cache.lock("k", "me", Duration::from_secs(15)).unwrap();
    assert!(held.is_some());
    let waits = std::thread::spawn(move || cache.lock("k", "another", Duration::from_secs(1)).map(drop));
    let pipes = site.directory.path().join("own/larder.wake");
    crate::support::await_that("somebody who waits", || {
        std::fs::read_dir(&pipes).is_ok_and(|mut pipes| pipes.next().is_some())
    });
    assert_eq!(inherited(), before, "while it waits");
    waits.join().unwrap().unwrap();
}
