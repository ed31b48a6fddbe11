//! The directory: hostile ones are refused by name, a removed or replaced one is noticed, nothing
//! of another boot is read.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::place::{Place, cache, get, here, put, quiet};
use larder::ErrorKind;

fn kind(place: &Place, path: &Path) -> ErrorKind {
    let error = place.open().fetch(None, &[]).unwrap_err();
    let message = error.to_string();
    assert!(message.contains(&*path.to_string_lossy()), "{message} does not name {}", path.display());
    error.kind()
}

/// Made on first use, for the owner alone; not before, and not its parents.
#[test]
fn created_on_first_use() {
    let place = Place::new("4M");
    let backend = place.open();
    assert!(!place.path().exists());
    put(&*backend, &cache("c"), b"k", b"v").unwrap();
    assert_eq!(fs::metadata(place.path()).unwrap().mode() & 0o7777, 0o700);
    for file in fs::read_dir(place.path()).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().mode() & 0o077, 0);
    }
    let url = format!("local:{}/no/store", place.root.path().display());
    let orphan = larder::engine::open_backend(&larder::Config::from_url(&url).unwrap()).unwrap();
    assert_eq!(orphan.fetch(None, &[]).unwrap_err().kind(), ErrorKind::Refused);
    assert!(!place.root.path().join("no").exists());
}

#[test]
fn hostile_directories_are_refused() {
    let place = Place::new("4M");
    let path = place.path();
    fs::write(&path, b"a file").unwrap();
    assert_eq!(kind(&place, &path), ErrorKind::Refused);
    fs::remove_file(&path).unwrap();

    symlink(place.root.path(), &path).unwrap();
    assert_eq!(kind(&place, &path), ErrorKind::Refused);
    fs::remove_file(&path).unwrap();

    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
    assert_eq!(kind(&place, &path), ErrorKind::Refused);
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();

    if rustix::process::geteuid().is_root() {
        chown(&path, Some(65_534), None).unwrap();
        assert_eq!(kind(&place, &path), ErrorKind::Refused);
        chown(&path, Some(0), None).unwrap();
    }
    assert_eq!(place.once("k"), "ok");
}

/// Nothing is touched that Larder did not write.
#[test]
fn foreign_files_are_left_alone() {
    for name in ["data.mdb", "lock.mdb.bak", "index.php"] {
        let place = Place::new("4M");
        fs::create_dir(place.path()).unwrap();
        let file = place.path().join(name);
        fs::write(&file, b"not ours").unwrap();
        assert_eq!(kind(&place, &file), ErrorKind::Foreign);
        assert_eq!(fs::read(&file).unwrap(), b"not ours");
    }
}

/// A newer version's directory is left alone too.
#[test]
fn another_format_is_foreign() {
    let place = Place::new("4M");
    assert_eq!(place.once("k"), "ok");
    let mark = place.path().join("larder.mark");
    let text = fs::read_to_string(&mark).unwrap();
    fs::write(&mark, text.replace("larder local 1", "larder local 2")).unwrap();
    assert_eq!(kind(&place, &mark), ErrorKind::Foreign);
    assert!(place.once("k").starts_with("Foreign"));
}

/// No rights: refused, not a panic. Seen as a user without any, since root may do everything.
#[test]
fn unwritable_directories_are_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = Place::new("4M");
    fs::set_permissions(place.root.path(), Permissions::from_mode(0o755)).unwrap();
    let nobody = || {
        let program = place.root.path().join("peer");
        fs::copy(env!("CARGO_BIN_EXE_peer"), &program).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let mut command = std::process::Command::new(program);
        let output = command
            .arg(format!("server={}", place.url()))
            .args(["--", "once", "k"])
            .uid(65_534)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = nobody();
    assert!(said.starts_with("Refused"), "{said}");
    fs::create_dir(place.path()).unwrap();
    chown(place.path(), Some(65_534), None).unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o500)).unwrap();
    let said = nobody();
    assert!(said.starts_with("Refused"), "{said}");
    fs::set_permissions(place.path(), Permissions::from_mode(0o700)).unwrap();
    assert_eq!(nobody().trim_end(), "ok");
}

fn fill(place: &Place) -> larder::contract::Position {
    let backend = place.open();
    put(&*backend, &cache("c"), b"k", b"v").unwrap();
    put(&*backend, &quiet("s"), b"k", b"v").unwrap();
    here(&*backend)
}

fn is_empty_and_new(place: &Place, before: larder::contract::Position) {
    let backend = place.open();
    let fetched = backend.fetch(Some(before), &[]).unwrap();
    assert!(fetched.delta.reset);
    assert_ne!(fetched.delta.position.incarnation, before.incarnation);
    assert_eq!(get(&*backend, &cache("c"), b"k"), None);
    assert_eq!(get(&*backend, &quiet("s"), b"k"), None);
    put(&*backend, &cache("c"), b"k", b"new").unwrap();
    drop(backend);
    assert_eq!(get(&*place.open(), &cache("c"), b"k").as_deref(), Some(&b"new"[..]));
}

/// What another boot left may be torn: it is not read.
#[test]
fn another_boot_begins_empty() {
    let place = Place::new("4M");
    let before = fill(&place);
    assert_eq!(get(&*place.open(), &quiet("s"), b"k").as_deref(), Some(&b"v"[..]), "kept within a boot");
    let mark = place.path().join("larder.mark");
    let text = fs::read_to_string(&mark).unwrap();
    let boot = text.lines().nth(1).unwrap();
    fs::write(&mark, text.replace(boot, "boot 00000000-0000-0000-0000-000000000000")).unwrap();
    is_empty_and_new(&place, before);
}

/// A copy that was put back has forgotten what was acknowledged since.
#[test]
fn a_restored_copy_begins_empty() {
    let place = Place::new("4M");
    let before = fill(&place);
    let data = place.path().join("data.mdb");
    fs::copy(&data, place.root.path().join("backup")).unwrap();
    fs::rename(place.root.path().join("backup"), &data).unwrap();
    is_empty_and_new(&place, before);
}

/// Damage is no error either.
#[test]
fn a_damaged_file_begins_empty() {
    for len in [0, 100, 4_096, 8_192, 12_288] {
        let place = Place::new("4M");
        let before = fill(&place);
        let data = fs::File::options().write(true).open(place.path().join("data.mdb")).unwrap();
        data.set_len(len).unwrap();
        is_empty_and_new(&place, before);
    }
    let place = Place::new("4M");
    let before = fill(&place);
    let data = place.path().join("data.mdb");
    let len = fs::metadata(&data).unwrap().len();
    fs::write(&data, vec![0xa5; usize::try_from(len).unwrap()]).unwrap();
    is_empty_and_new(&place, before);
}

/// A directory removed beneath live handles is made anew, the same for all.
#[test]
fn removed_beneath() {
    let place = Place::new("4M");
    let (backend, other, c) = (place.open(), place.open(), cache("c"));
    put(&*backend, &c, b"k", b"v").unwrap();
    let before = here(&*other);
    fs::remove_dir_all(place.path()).unwrap();
    assert!(other.fetch(Some(before), &[]).unwrap().delta.reset);
    assert_eq!(get(&*backend, &c, b"k"), None);
    put(&*backend, &c, b"k", b"w").unwrap();
    assert_eq!(get(&*other, &c, b"k").as_deref(), Some(&b"w"[..]));

    // Removed, and made anew by another process.
    fs::remove_dir_all(place.path()).unwrap();
    assert_eq!(place.once("theirs"), "ok");
    assert_eq!(get(&*backend, &cache("once"), b"theirs").as_deref(), Some(&b"v"[..]));
    assert_eq!(get(&*backend, &c, b"k"), None);

    // Only the data, and again and again while it is used.
    for round in 0..20_u8 {
        fs::remove_file(place.path().join("data.mdb")).unwrap();
        put(&*backend, &c, &[round], b"v").unwrap();
        assert_eq!(get(&*other, &c, &[round]).as_deref(), Some(&b"v"[..]));
    }
}

/// Renamed away, which takes up to a second to notice.
#[test]
fn renamed_away() {
    let place = Place::new("4M");
    let (backend, c) = (place.open(), cache("c"));
    put(&*backend, &c, b"k", b"v").unwrap();
    fs::rename(place.path(), place.root.path().join("old")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert_eq!(get(&*backend, &c, b"k"), None);
    assert_eq!(place.once("k"), "ok");
    assert_eq!(get(&*backend, &cache("once"), b"k").as_deref(), Some(&b"v"[..]));
}

/// Many processes meet in a directory that is not there yet.
#[test]
fn opened_by_many_at_once() {
    for _ in 0..5 {
        let place = Place::new("4M");
        let peers: Vec<_> =
            (0..8).map(|i| place.peer(&["once", &format!("k{i}")]).spawn().unwrap()).collect();
        for peer in peers {
            let output = peer.wait_with_output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n");
        }
        let backend = place.open();
        for i in 0..8 {
            assert!(get(&*backend, &cache("once"), format!("k{i}").as_bytes()).is_some());
        }
    }
}

/// Namespaces share a directory and nothing else.
#[test]
fn namespaces_are_apart() {
    let place = Place::new("4M");
    let open = |namespace: &str| {
        let options = [("server", place.url()), ("namespace", namespace.to_owned())];
        let options = options.each_ref().map(|(name, value)| (*name, value.as_str()));
        larder::engine::open_backend(&larder::Config::from_options(options).unwrap()).unwrap()
    };
    let (one, two) = (open("one"), open("two"));
    let before = here(&*two);
    put(&*one, &cache("c"), b"k", b"1").unwrap();
    assert_eq!(get(&*two, &cache("c"), b"k"), None);
    assert!(two.fetch(Some(before), &[]).unwrap().delta.changes.is_empty());
    put(&*two, &cache("c"), b"k", b"2").unwrap();
    one.reset().unwrap();
    assert_eq!(get(&*one, &cache("c"), b"k"), None);
    assert_eq!(get(&*two, &cache("c"), b"k").as_deref(), Some(&b"2"[..]));
    assert!(!two.fetch(Some(before), &[]).unwrap().delta.reset);
}

/// Nor do those whose parts are joined by what joins parts.
#[test]
fn pairs_of_namespace_and_generation_are_apart() {
    let place = Place::new("4M");
    let open = |(namespace, generation): (&str, &str)| {
        let options =
            [("server", place.url()), ("namespace", namespace.into()), ("generation", generation.into())];
        let options = options.each_ref().map(|(name, value): &(_, String)| (*name, value.as_str()));
        larder::engine::open_backend(&larder::Config::from_options(options).unwrap()).unwrap()
    };
    let pairs = [("a", "b+c"), ("a+b", "c"), ("a+b+c", ""), ("a+", "b+c"), ("a", "+b+c"), ("a", "fallback")];
    for pair in pairs {
        let backend = open(pair);
        assert_eq!(get(&*backend, &cache("c"), b"k"), None, "{pair:?}");
        put(&*backend, &cache("c"), b"k", b"v").unwrap();
    }
}
