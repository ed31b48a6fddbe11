//! Many processes that write at once.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use larder::ErrorKind;
use larder::testing::dir::{Dir, Settings};
use larder_testkit::slowfs::{self, Behaviour, SlowFs};

use super::support::{directory, get, here, kind, open, put, settings};

/// Two nodes with four processes each write the same keys, and keys of their own. Nothing that was
/// acknowledged is lost, the history is one, and both nodes see the same.
#[test]
fn two_nodes_of_four_processes_write_the_same_keys() {
    let places = [(); 3].map(|()| directory());
    let [exported, first, second] = places.each_ref().map(tempfile::TempDir::path);
    let export = SlowFs::export(exported).unwrap();
    let mut mounts = Vec::new();
    let mut nodes = [exported; 2];
    if slowfs::available() {
        nodes = [first, second];
        mounts.extend(nodes.map(|node| export.mount(node, Behaviour::default()).unwrap()));
    }
    let readers = nodes.map(open);
    let before = here(&readers[0]);
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_dir_writer"));
            command.arg(nodes[writer % 2]).arg(writer.to_string()).spawn().unwrap()
        })
        .collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success(), "every write was acknowledged");
    }
    let after = readers.each_ref().map(|reader| here(reader));
    assert_eq!(after[0], after[1]);
    assert_eq!(after[0].incarnation, before.incarnation, "no writer destroyed what another wrote");
    for key in 0..5 {
        let seen = readers.each_ref().map(|reader| get(reader, format!("shared {key}").as_bytes()).unwrap());
        assert!(seen[0].as_deref().is_some_and(|value| value.ends_with(b"last")), "{seen:?}");
        assert_eq!(seen[0], seen[1]);
    }
    for writer in 0..8 {
        for reader in &readers {
            let own = get(reader, format!("own {writer}").as_bytes()).unwrap();
            assert!(own.is_some_and(|value| value.ends_with(b"last")), "{writer}");
        }
    }
}

/// Who comes off badly among many that write waits on, as long as the others do write: that is no
/// outage.
#[test]
fn a_lock_that_changes_hands_is_waited_for() {
    let directory = directory();
    put(&open(directory.path()), b"k", b"v").unwrap();
    let (wrote, has_written) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let goes_on = Mutex::new(goes_on);
    // Has written, and gives the lock back when it is told to.
    let slow = Dir::observed(
        &settings(directory.path()),
        Arc::new(move |call| {
            if call == "unlock" {
                let _ = wrote.send(());
                let _ = goes_on.lock().unwrap().recv();
            }
        }),
    );
    let quick = Settings { wait: Duration::from_millis(100), ..settings(directory.path()) };
    let longer = Settings { wait: Duration::from_secs(1), ..settings(directory.path()) };
    let (hasty, go_on, waits) = (Dir::new(&quick), Mutex::new(Some(go_on)), Arc::new(AtomicBool::new(false)));
    // Asks for the lock until its time is up, then reads whether anything was written. Only then
    // the lock becomes free.
    let told = Arc::clone(&waits);
    let patient = Dir::observed(
        &longer,
        Arc::new(move |call| {
            if call == "pread" && told.load(Ordering::Relaxed) {
                go_on.lock().unwrap().take();
            }
        }),
    );
    here(&patient);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| put(&slow, b"k", b"slow"));
        has_written.recv().unwrap();
        here(&hasty);
        assert_eq!(kind(put(&hasty, b"k", b"late")), ErrorKind::Unavailable, "nobody wrote meanwhile");
        assert_eq!(get(&hasty, b"k").unwrap().as_deref(), Some(&b"slow"[..]));
        waits.store(true, Ordering::Relaxed);
        put(&patient, b"k", b"patient").unwrap();
        writing.join().unwrap().unwrap();
        assert_eq!(get(&hasty, b"k").unwrap().as_deref(), Some(&b"patient"[..]));
    });
}
