//! Files that somebody removes, cuts short or sets back while processes use them: nothing old is
//! served, and nobody goes on alone.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use larder::contract::Backend;

use crate::place::{Place, cache, get, put};

/// Names that a cleaner of old files may take for old: they are written to once.
const OLD: [&[&str]; 5] = [
    &["lock.mdb"],
    &["larder.mark"],
    &["larder.lock"],
    &["lock.mdb", "larder.mark"],
    &["lock.mdb", "larder.mark", "larder.lock"],
];

fn remove(place: &Place, names: &[&str]) {
    for name in names {
        fs::remove_file(place.path().join(name)).unwrap();
    }
}

/// Whoever writes, the other sees it.
fn agree(place: &Place, backend: &dyn Backend, what: &str) {
    let once = cache("once");
    for round in ["1", "2", "3"] {
        put(backend, &once, round.as_bytes(), b"ours").expect(what);
        assert_eq!(place.once(round), "ok", "{what}");
        assert_eq!(get(backend, &once, round.as_bytes()).as_deref(), Some(&b"v"[..]), "{what}");
    }
}

#[test]
fn files_removed_under_a_process_do_not_part_it_from_others() {
    for names in OLD {
        for others_first in [false, true] {
            let place = Place::new("4M");
            let (backend, once) = (place.open(), cache("once"));
            put(&*backend, &once, b"k", b"ours").unwrap();
            remove(&place, names);
            let what = format!("{names:?} {others_first}");
            if others_first {
                // Without any file that says whose the data is, a new process leaves it alone until
                // one that knows comes.
                let said = place.once("k");
                assert!(said == "ok" || names.len() == 3, "{what}: {said}");
                if said == "ok" {
                    assert_eq!(get(&*backend, &once, b"k").as_deref(), Some(&b"v"[..]), "{what}");
                }
            }
            agree(&place, &*backend, &what);
        }
    }
}

#[test]
fn files_removed_while_nobody_uses_them_are_made_anew() {
    for names in OLD.iter().filter(|names| names.len() < 3) {
        let place = Place::new("4M");
        assert_eq!(place.once("k"), "ok");
        remove(&place, names);
        assert_eq!(place.once("l"), "ok", "{names:?}");
    }
}

/// With all of its other files gone, the data might be anybody's.
#[test]
fn data_alone_is_left_alone() {
    let place = Place::new("4M");
    assert_eq!(place.once("k"), "ok");
    remove(&place, &["lock.mdb", "larder.mark", "larder.lock"]);
    assert!(place.once("k").starts_with("Foreign"));
    assert!(place.once("k").starts_with("Foreign"), "what the first attempt left is no sign");
}

/// An older copy over the file itself, which stays the same inode.
#[test]
fn an_older_copy_written_over_the_file_is_noticed() {
    for live in [false, true] {
        let place = Place::new("4M");
        let (data, backup) = (place.path().join("data.mdb"), place.root.path().join("backup"));
        let (mut backend, c) = (place.open(), cache("c"));
        put(&*backend, &c, b"k", b"old").unwrap();
        fs::copy(&data, &backup).unwrap();
        backend.apply(None, &[larder::contract::Op::Delete { cache: &c, key: b"k" }]).unwrap();
        if live {
            fs::copy(&backup, &data).unwrap();
        } else {
            drop(backend);
            fs::copy(&backup, &data).unwrap();
            backend = place.open();
        }
        assert_eq!(get(&*backend, &c, b"k"), None, "live: {live}");
        agree(&place, &*backend, "after");
        assert_eq!(get(&*backend, &c, b"k"), None, "live: {live}");
    }
}

/// The filesystem may give a copy of the directory the inode numbers of the files that were
/// removed. Then only the time tells.
#[test]
fn a_copy_in_the_inodes_of_removed_files_is_noticed() {
    let place = Place::new("4M");
    let (backend, c) = (place.open(), cache("c"));
    put(&*backend, &c, b"k", b"old").unwrap();
    drop(backend);
    let path = place.path().join("larder.mark");
    let mark = fs::read_to_string(&path).unwrap();
    assert_eq!(mark.contains('@'), fs::metadata(&path).unwrap().created().is_ok());
    let data = |mark: &str| mark.lines().find(|line| line.starts_with("data ")).unwrap().to_owned();
    let untold = data(&mark).split('@').next().unwrap().to_owned();
    let earlier = format!("{untold}@1");
    for (line, kept) in [(data(&mark), true), (untold, true), (earlier, !mark.contains('@'))] {
        fs::write(&path, mark.replace(&data(&mark), &line)).unwrap();
        assert_eq!(get(&*place.open(), &c, b"k").is_some(), kept, "{line}");
    }
}

/// A page that is not there any more ends a process that touches it.
#[test]
fn files_cut_short_under_a_process_end_nobody() {
    for (name, parts) in [("data.mdb", 5), ("lock.mdb", 3)] {
        for part in 0..parts {
            let place = Place::new("4M");
            let (backend, c) = (place.open(), cache("c"));
            put(&*backend, &c, b"k", &[7; 9_000]).unwrap();
            put(&*backend, &c, b"gone", b"old").unwrap();
            backend.apply(None, &[larder::contract::Op::Delete { cache: &c, key: b"gone" }]).unwrap();
            let file = File::options().write(true).open(place.path().join(name)).unwrap();
            let length = file.metadata().unwrap().len();
            file.set_len(length * part / parts).unwrap();
            let found = get(&*backend, &c, b"k");
            assert!(found.is_none() || found == Some(vec![7; 9_000]), "{name} {part}");
            assert_eq!(get(&*backend, &c, b"gone"), None, "{name} {part}");
            agree(&place, &*backend, &format!("{name} {part}"));
        }
    }
}

/// Also if nobody had it open.
#[test]
fn data_cut_short_while_nobody_uses_it_is_not_believed() {
    let place = Place::new("4M");
    let (backend, c) = (place.open(), cache("c"));
    for key in 0..200_u8 {
        put(&*backend, &c, &[key], &[7; 3_000]).unwrap();
    }
    backend.apply(None, &[larder::contract::Op::Delete { cache: &c, key: &[3] }]).unwrap();
    drop(backend);
    let file = File::options().write(true).open(place.path().join("data.mdb")).unwrap();
    file.set_len(file.metadata().unwrap().len() - 8_192).unwrap();
    let backend = place.open();
    for key in 0..200_u8 {
        assert_eq!(get(&*backend, &c, &[key]), None);
    }
    agree(&place, &*backend, "after");
}

/// What the descriptors of a program that this process starts lead to.
fn inherited() -> Vec<String> {
    let output = Command::new("sh").args(["-c", "exec readlink /proc/self/fd/*"]).output().unwrap();
    let mut found: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    found.retain(|path| path.starts_with('/') && !path.starts_with("/proc/"));
    found
}

#[test]
fn programs_that_are_started_inherit_no_file() {
    let place = Place::new("4M");
    let (backend, c) = (place.open(), cache("c"));
    put(&*backend, &c, b"k", b"v").unwrap();
    let own = place.root.path().to_string_lossy().into_owned();
    let open: Vec<String> = open_files();
    assert!(open.iter().any(|path| path.starts_with(&own) && path.ends_with("data.mdb")), "{open:?}");
    let left: Vec<String> = inherited().into_iter().filter(|path| path.starts_with(&own)).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn open_files() -> Vec<String> {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().flatten();
    descriptors
        .filter_map(|descriptor| Some(fs::read_link(descriptor.path()).ok()?.to_string_lossy().into_owned()))
        .collect()
}

/// A program in a container of its own, as far as process numbers go: its own is 1.
fn contained(program: &Command) -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-current-user"]);
    }
    command.args(["--pid", "--fork", "--kill-child"]).arg(program.get_program()).args(program.get_args());
    command.stdout(Stdio::piped());
    command
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk().unwrap())
}

/// Two containers in which processes have the same numbers share a directory.
#[test]
fn containers_share_a_directory() {
    let place = Place::new("16M");
    let mut writer = Running(contained(&place.peer(&["write", "w"])).spawn().unwrap());
    let mut said = writer.0.stdout.take().unwrap();
    let mut next = || {
        let mut bytes = [0; 8];
        said.read_exact(&mut bytes).unwrap();
        number(&bytes)
    };
    next();
    // Its own reads keep a slot from here on, as those of a process that serves pages.
    let mut reader = Running(contained(&place.peer(&["read", "none"])).spawn().unwrap());
    let mut dots = reader.0.stdout.take().unwrap();
    dots.read_exact(&mut [0; 3]).unwrap();
    for key in ["a", "b", "c"] {
        let output = contained(&place.peer(&["once", key])).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.trim_end(), "ok", "{}", String::from_utf8_lossy(&output.stderr));
    }
    dots.read_exact(&mut [0; 3]).unwrap();
    let backend = place.open();
    let acknowledged = next();
    let seen = number(&get(&*backend, &cache("numbers"), b"w a").unwrap());
    assert!(seen >= acknowledged, "{seen} {acknowledged}");
    assert!(get(&*backend, &cache("once"), b"c").is_some());
    assert!(Path::new(&place.path()).join("data.mdb").exists());
}
