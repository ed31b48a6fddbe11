//! The fallback's disk fails, too: full, hung, lost. Pages go on, and what was acknowledged does
//! not come back.

use std::time::{Duration, Instant};

use larder::contract::Tier;
use larder_testkit::SmallDisk;
use larder_testkit::slowfs::{self, Behaviour, Node, Request, SlowFs};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::support::{Process, Site};

/// A server, and a shared directory on a mount that can fail.
struct Mounted {
    /// Goes first: nothing could be removed below a mount that hangs.
    node: Option<Node>,
    site: Site,
    export: SlowFs,
    _exported: TempDir,
}

impl Mounted {
    /// `None` where there is no FUSE.
    fn new() -> Option<Self> {
        slowfs::available().then(|| {
            let (site, exported) = (Site::new(), TempDir::new().unwrap());
            let export = SlowFs::export(exported.path()).unwrap();
            let mut mounted = Self { site, export, node: None, _exported: exported };
            std::fs::create_dir(mounted.place()).unwrap();
            mounted.mount();
            mounted
        })
    }

    fn place(&self) -> std::path::PathBuf {
        self.site.directory.path().join("mount")
    }

    fn mount(&mut self) {
        self.node = Some(self.export.mount(&self.place(), Behaviour::default()).unwrap());
    }

    fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    fn process(&self) -> Process {
        self.site.process_with(&[("fallback", &format!("dir:{}/shared", self.place().display()))])
    }
}

/// Deletes keys, and answers those for which that was acknowledged.
fn delete(process: &Process, keys: [&'static str; 2]) -> Vec<&'static str> {
    keys.into_iter().filter(|key| process.delete(key)).collect()
}

fn store_old(process: &Process) {
    for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        assert!(process.set(key, "old"));
    }
}

/// Full when the server goes, then not, then full again until the server is back.
fn full(site: &Site, processes: [&Process; 3], fill: impl Fn(), clear: impl Fn()) {
    let [first, second, third] = processes;
    store_old(first);
    fill();
    site.server.pause();
    let mut gone = delete(first, ["a", "b"]);
    assert_ne!(first.get("a").as_deref(), Some("old"), "nobody may serve the server's");
    clear();
    first.await_tier(Tier::Fallback);
    let acknowledged = delete(second, ["c", "d"]);
    assert_eq!(acknowledged, ["c", "d"]);
    gone.extend(acknowledged);
    fill();
    gone.extend(delete(first, ["e", "f"]));
    let _ = second.set("g", "new");
    assert_eq!((first.get("c"), second.get("d")), (None, None));
    site.server.resume();
    gone.extend(delete(second, ["g", "h"]));
    for _ in 0..20 {
        assert_eq!(second.get("c"), None);
    }
    clear();
    second.await_tier(Tier::Primary);
    for process in [first, second, third] {
        for key in &gone {
            assert_ne!(process.get(key).as_deref(), Some("old"), "{key} of {gone:?}");
        }
        assert!(process.set("k", "v"));
        assert_eq!(process.get("k").as_deref(), Some("v"));
    }
}

#[test]
fn full_local() {
    let site = Site::new();
    let place = site.directory.path().join("disk");
    let Some(disk) = SmallDisk::mount(&place) else { return };
    let fallback = format!("local:{}/fallback", place.display());
    let processes = [(); 3].map(|()| site.process_with(&[("fallback", &fallback)]));
    full(&site, processes.each_ref(), || disk.fill(), || disk.clear());
}

#[test]
fn full_dir() {
    let Some(mounted) = Mounted::new() else { return };
    let processes = [(); 3].map(|()| mounted.process());
    let fill = || {
        for request in [Request::Write, Request::Create] {
            mounted.node().fail(request, Errno::NOSPC.raw_os_error());
        }
    };
    full(&mounted.site, processes.each_ref(), fill, || mounted.node().heal());
}

/// A directory that does not answer costs the cache, though the server is well; and a node waits
/// for it once in a while, not once for each read.
#[test]
fn hung() {
    let Some(mounted) = Mounted::new() else { return };
    let [first, second] = [(); 2].map(|()| mounted.process());
    store_old(&first);
    mounted.node().hang();
    let (started, mut reads) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(6) {
        let _ = (first.get("a"), second.get("a"));
        reads += 2;
    }
    assert!(reads > 200, "each of {reads} reads waited");
    assert_eq!((first.get("a"), first.tier()), (None, Tier::None));
    assert!(!second.delete("a"), "nobody can be told");
    mounted.node().heal();
    first.await_tier(Tier::Primary);
    assert!(first.set("a", "old") && second.get("a").as_deref() == Some("old"));

    // In the middle of an outage.
    mounted.site.server.pause();
    let _ = first.get("a");
    first.await_tier(Tier::Fallback);
    assert_eq!(delete(&first, ["a", "b"]), ["a", "b"]);
    mounted.node().hang();
    assert_eq!((first.get("a"), second.get("b")), (None, None));
    mounted.site.server.resume();
    assert_eq!((first.get("a"), second.get("b")), (None, None), "nobody knows what the server missed");
    mounted.node().heal();
    second.await_tier(Tier::Primary);
    assert_eq!((first.get("a"), second.get("b")), (None, None));
    assert!(second.set("a", "new") && first.get("a").as_deref() == Some("new"));
}

/// The mount goes in the middle of an outage: the directory below it is no new fallback.
#[test]
fn lost() {
    let Some(mut mounted) = Mounted::new() else { return };
    let [first, second] = [(); 2].map(|()| mounted.process());
    store_old(&first);
    assert_eq!(second.get("a").as_deref(), Some("old"));
    mounted.site.server.pause();
    let _ = first.get("a");
    first.await_tier(Tier::Fallback);
    assert_eq!(delete(&first, ["a", "b"]), ["a", "b"]);
    mounted.node.take().unwrap().unmount().unwrap();
    assert_eq!((first.get("a"), second.get("c")), (None, None));
    assert!(!first.delete("c") && first.tier() == Tier::None);
    mounted.site.server.resume();
    let third = mounted.process();
    for process in [&first, &second] {
        assert_eq!(process.get("a"), None, "the control log is away");
    }
    mounted.mount();
    third.await_tier(Tier::Primary);
    for process in [&first, &second, &third] {
        assert_eq!((process.get("a"), process.get("b")), (None, None));
        assert!(process.set("a", "new") && process.get("a").as_deref() == Some("new"));
        assert!(process.delete("a"));
    }
}
