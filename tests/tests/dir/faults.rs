//! Faults of the filesystem, on two mounts of one directory.

use std::fs::File;
use std::time::{Duration, SystemTime};

use larder::ErrorKind;
use larder::ErrorKind::{Refused, Unavailable};
use larder::contract::{Backend, Op};
use larder::testing::dir::Dir;
use larder_testkit::slowfs::{self, Behaviour, Node, Request, SlowFs};
use rustix::io::Errno;
use tempfile::TempDir;

use super::support::{LARGE, cache, delete, directory, files, get, here, kind, open, put, settings};

/// Two nodes; `None` where there is no FUSE.
struct Nodes {
    first: Node,
    second: Node,
    export: SlowFs,
    directories: [TempDir; 3],
}

fn nodes() -> Option<Nodes> {
    slowfs::available().then(|| {
        let directories = [(); 3].map(|()| directory());
        let export = SlowFs::export(directories[0].path()).unwrap();
        let first = export.mount(directories[1].path(), Behaviour::default()).unwrap();
        let second = export.mount(directories[2].path(), Behaviour::default()).unwrap();
        Nodes { first, second, export, directories }
    })
}

/// Whatever fails while writing: the refusal is true, nothing that stood before is lost, and it
/// heals by itself.
#[test]
fn a_failed_write_loses_nothing() {
    let Some(nodes) = nodes() else { return };
    let (here, there) = (open(nodes.first.path()), open(nodes.second.path()));
    put(&here, b"k", b"old").unwrap();
    for (errno, expected) in [
        (Errno::NOSPC, Refused),
        (Errno::DQUOT, Refused),
        (Errno::FBIG, Refused),
        (Errno::IO, Unavailable),
        (Errno::TIMEDOUT, Unavailable),
    ] {
        nodes.first.fail(Request::Write, errno.raw_os_error());
        for entry in [&b"new"[..], &LARGE] {
            assert_eq!(kind(put(&here, b"k", entry)), expected, "{errno:?}");
            assert_eq!(get(&there, b"k").unwrap().as_deref(), Some(&b"old"[..]), "{errno:?}");
            assert_eq!(get(&here, b"k").unwrap().as_deref(), Some(&b"old"[..]), "{errno:?}");
        }
        assert_eq!(kind(delete(&here, b"k")), expected);
        nodes.first.heal();
        assert_eq!(get(&here, b"k").unwrap().as_deref(), Some(&b"old"[..]), "{errno:?}");
    }
    put(&here, b"k", b"new").unwrap();
    assert_eq!(get(&there, b"k").unwrap().as_deref(), Some(&b"new"[..]));
}

#[test]
fn failing_calls_have_the_kind_that_tells_what_to_do() {
    let Some(nodes) = nodes() else { return };
    let (here, there) = (open(nodes.first.path()), open(nodes.second.path()));
    put(&here, b"large", &LARGE).unwrap();
    for (request, errno, reading, writing) in [
        (Request::Open, Errno::IO, Some(Unavailable), Some(Unavailable)),
        (Request::Open, Errno::ACCESS, Some(Refused), Some(Refused)),
        (Request::Read, Errno::IO, Some(Unavailable), Some(Unavailable)),
        (Request::Lock, Errno::NOLCK, None, Some(Unavailable)),
        (Request::Create, Errno::ROFS, None, Some(Refused)),
    ] {
        // So that there is something to read that is not cached.
        put(&there, b"large", &LARGE).unwrap();
        nodes.first.fail(request, errno.raw_os_error());
        let read = get(&here, b"large");
        match reading {
            Some(expected) => assert_eq!(kind(read), expected, "{request:?} {errno:?}"),
            None => assert_eq!(read.unwrap().as_deref(), Some(&LARGE[..]), "{request:?} {errno:?}"),
        }
        if let Some(expected) = writing {
            assert_eq!(kind(put(&here, b"large", &LARGE)), expected, "{request:?} {errno:?}");
        }
        nodes.first.heal();
        assert_eq!(get(&here, b"large").unwrap().as_deref(), Some(&LARGE[..]));
        put(&here, b"large", &LARGE).unwrap();
    }
}

/// The file of an entry vanished under a reader: the reader looks again once, then it is a miss.
#[test]
fn a_stale_file_is_a_miss() {
    let Some(nodes) = nodes() else { return };
    let (here, there) = (open(nodes.first.path()), open(nodes.second.path()));
    put(&here, b"k", &LARGE).unwrap();
    assert_eq!(get(&there, b"k").unwrap().as_deref(), Some(&LARGE[..]));
    for pack in files(nodes.directories[0].path(), "pack") {
        std::fs::remove_file(pack).unwrap();
    }
    assert_eq!(get(&there, b"k").unwrap(), None);
    put(&here, b"k", &LARGE).unwrap();
    assert_eq!(get(&there, b"k").unwrap().as_deref(), Some(&LARGE[..]));
}

/// Handles that are stale for a while are an outage, not a reason to begin anew.
#[test]
fn stale_handles_do_not_empty_the_store() {
    let Some(nodes) = nodes() else { return };
    let (here, there) = (open(nodes.first.path()), open(nodes.second.path()));
    put(&here, b"k", b"v").unwrap();
    for request in [Request::Open, Request::Read, Request::Lock, Request::Write] {
        // So that there is something to read that is not cached.
        put(&there, b"other", b"v").unwrap();
        nodes.first.fail(request, Errno::STALE.raw_os_error());
        if matches!(request, Request::Open | Request::Read) {
            assert!(get(&here, b"k").is_err(), "{request:?}");
            assert!(get(&open(nodes.first.path()), b"k").is_err(), "{request:?}");
        }
        assert!(put(&here, b"k", b"w").is_err(), "{request:?}");
        nodes.first.heal();
        assert_eq!(get(&here, b"k").unwrap().as_deref(), Some(&b"v"[..]), "{request:?}");
        assert_eq!(get(&there, b"k").unwrap().as_deref(), Some(&b"v"[..]), "{request:?}");
    }
}

/// A server that says nothing costs a bounded wait, and one that answers again is used again.
#[test]
fn a_hanging_server_costs_a_bounded_wait() {
    let Some(nodes) = nodes() else { return };
    let quick =
        larder::testing::dir::Settings { wait: Duration::from_millis(200), ..settings(nodes.first.path()) };
    let (here, there) = (Dir::new(&quick), open(nodes.second.path()));
    put(&here, b"k", b"old").unwrap();
    nodes.first.hang();
    // The first hangs in its first call, the others wait behind it.
    assert_eq!(kind(put(&here, b"k", b"late")), ErrorKind::Unavailable);
    assert_eq!(kind(get(&here, b"k")), ErrorKind::Unavailable);
    assert_eq!(kind(put(&here, b"k", b"later")), ErrorKind::Unavailable);
    put(&there, b"k", b"new").unwrap();
    nodes.first.heal();
    let read = (0..500).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        get(&here, b"k").ok()
    });
    // The writes that were given up took no effect.
    assert_eq!(read.unwrap().as_deref(), Some(&b"new"[..]));
    put(&here, b"k", b"newer").unwrap();
    assert_eq!(get(&there, b"k").unwrap().as_deref(), Some(&b"newer"[..]));
}

/// A node that may only read does.
#[test]
fn a_read_only_mount_is_read() {
    let Some(nodes) = nodes() else { return };
    let there = open(nodes.second.path());
    put(&there, b"k", &LARGE).unwrap();
    let place = directory();
    let node = nodes.export.mount_read_only(place.path(), Behaviour::default()).unwrap();
    let here = open(node.path());
    assert_eq!(get(&here, b"k").unwrap().as_deref(), Some(&LARGE[..]));
    assert_eq!(kind(put(&here, b"k", b"v")), Refused);
    assert_eq!(kind(put(&here, b"k", &LARGE)), Refused);
    assert_eq!(kind(delete(&here, b"k")), Refused);
    put(&there, b"k", b"w").unwrap();
    assert_eq!(get(&here, b"k").unwrap().as_deref(), Some(&b"w"[..]));
}

/// What is below the mount point is not taken for the shared directory.
#[test]
fn a_lost_mount_is_an_outage() {
    let Some(nodes) = nodes() else { return };
    let (here, there) = (open(nodes.first.path()), open(nodes.second.path()));
    put(&here, b"k", b"v").unwrap();
    let path = nodes.first.path().to_owned();
    nodes.first.unmount().unwrap();
    assert_eq!(kind(get(&here, b"k")), ErrorKind::Unavailable);
    assert_eq!(kind(put(&here, b"k", b"w")), ErrorKind::Unavailable);
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0, "nothing was created on the local disk");
    let _again = nodes.export.mount(&path, Behaviour::default()).unwrap();
    assert_eq!(get(&here, b"k").unwrap().as_deref(), Some(&b"v"[..]));
    put(&here, b"k", b"w").unwrap();
    assert_eq!(get(&there, b"k").unwrap().as_deref(), Some(&b"w"[..]));
}

/// A writer that is paused while it holds the lock: others wait as long as they are told to,
/// readers go on.
#[test]
fn a_paused_writer_holds_up_writers_only() {
    let directory = directory();
    put(&open(directory.path()), b"k", b"v").unwrap();
    let (locked, is_locked) = std::sync::mpsc::channel();
    let (resume, resumed) = std::sync::mpsc::channel::<()>();
    let resumed = std::sync::Mutex::new(resumed);
    let observer = move |call: &'static str| {
        if call == "pwrite" {
            let _ = locked.send(());
            let _ = resumed.lock().unwrap().recv();
        }
    };
    std::thread::scope(|scope| {
        let paused = scope.spawn(|| {
            put(&Dir::observed(&settings(directory.path()), std::sync::Arc::new(observer)), b"k", b"late")
        });
        is_locked.recv().unwrap();
        let quick =
            larder::testing::dir::Settings { wait: Duration::from_millis(100), ..settings(directory.path()) };
        let other = Dir::new(&quick);
        assert_eq!(get(&other, b"k").unwrap().as_deref(), Some(&b"v"[..]));
        assert_eq!(kind(put(&other, b"k", b"w")), ErrorKind::Unavailable);
        drop(resume);
        paused.join().unwrap().unwrap();
        assert_eq!(get(&other, b"k").unwrap().as_deref(), Some(&b"late"[..]));
        put(&other, b"k", b"w").unwrap();
    });
}

/// Files whose times are of another clock, and expiry by one: nothing but expiry itself looks at
/// clocks.
#[test]
fn clocks_ten_minutes_off_do_no_harm() {
    const OFF: Duration = Duration::from_secs(600);
    let directory = directory();
    let (writer, reader) = (open(directory.path()), open(directory.path()));
    let now = writer.now();
    let expires = Some(now - 600_000);
    writer
        .apply(
            None,
            &[Op::Set { cache: &cache(), key: b"expired", entry: b"v", expires, guard: None, lock: None }],
        )
        .unwrap();
    for round in 0..3_000_u32 {
        put(&writer, &(round % 100).to_le_bytes(), &[1; 4_000]).unwrap();
        if round % 500 == 0 {
            for file in files(directory.path(), "") {
                let time = if round % 1000 == 0 { SystemTime::now() + OFF } else { SystemTime::now() - OFF };
                File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
            }
        }
    }
    assert!(files(directory.path(), "index").len() > 1, "the log was rotated");
    assert_eq!(get(&reader, &99_u32.to_le_bytes()).unwrap().unwrap().len(), 4_000);
    // By a clock that is ten minutes behind, it has not expired: it is kept for an hour.
    assert!(get(&reader, b"expired").unwrap().is_some());
    let at = here(&reader);
    assert!(!reader.fetch(Some(at), &[]).unwrap().delta.reset);
}

/// However much is written, the directory keeps its size.
#[test]
fn the_size_is_bounded() {
    let directory = directory();
    let small = larder::testing::dir::Settings { max_bytes: 4 << 20, ..settings(directory.path()) };
    let (writer, reader) = (Dir::new(&small), Dir::new(&small));
    for i in 0..2_000_u32 {
        put(&writer, &i.to_le_bytes(), &vec![i.to_le_bytes()[0]; 20_000]).unwrap();
        if i % 100 == 0 {
            let size: u64 =
                files(directory.path(), "").iter().map(|file| file.metadata().unwrap().len()).sum();
            assert!(size < 6 << 20, "{size} bytes after {i} entries");
        }
    }
    assert_eq!(get(&reader, &0_u32.to_le_bytes()).unwrap(), None, "the oldest was given up");
    assert!(get(&reader, &1_999_u32.to_le_bytes()).unwrap().is_some());
    assert_eq!(kind(put(&writer, b"huge", &vec![0; 2 << 20])), ErrorKind::Refused);
}
