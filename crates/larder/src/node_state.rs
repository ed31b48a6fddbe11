//! What the processes of one user on this node share about a backend: a small file with a few
//! numbers, the reason of an outage and a list of what the backend refused, so that what one
//! process learned the hard way the others need not.
//!
//! It is a convenience and nothing that was acknowledged is safe because of it: without the file,
//! or with rubbish in it, each process is on its own. The numbers are read with one system call;
//! all else is looked at only where they say so. They are changed under a lock of the kernel that
//! nobody waits for.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use rustix::fs::{FlockOperation, OFlags, fcntl_lock};
use rustix::process::geteuid;

use crate::bytes::Reader;

/// How many numbers there are.
const WORDS: usize = 9;
/// What the numbers take in the file, with their checksum.
const BYTES: usize = 8 * WORDS + 4;
/// Where the reason stands in the file, and the most bytes of it.
const REASON: (u64, usize) = (128, 376);
/// Where the list stands in the file, and the most bytes of it.
const LIST: (u64, usize) = (512, 64 << 10);
/// Tries to get the lock of the file, which is held for some microseconds.
const TRIES: usize = 50;
/// The most such files that a process keeps open. It opens more of them for each look.
const KEPT_OPEN: usize = 64;

/// The numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// Milliseconds of the boot clock until which the backend is left alone; 0 = it answers.
    pub(crate) open_until: u64,
    /// Milliseconds since 1970 when it was found away; 0 = it answers.
    pub(crate) away_since: u64,
    /// Milliseconds of the boot clock when it was back after it had been away.
    pub(crate) back: u64,
    /// Which of the tiers was announced last.
    pub(crate) announced: u64,
    /// Milliseconds of the boot clock when this node last told the others that it is alive.
    pub(crate) told: u64,
    /// What it told.
    pub(crate) report: u64,
    /// Who leaves the backend alone, as `breaker` writes it.
    pub(crate) concerned: u64,
    /// What the backend refused to forget, as `refusals` writes it; even = nothing.
    pub(crate) refused: u64,
    /// Milliseconds of the boot clock until which nobody asks it again to forget that.
    pub(crate) retry: u64,
}

impl Words {
    fn encode(self) -> [u8; BYTES] {
        let numbers = [
            self.open_until,
            self.away_since,
            self.back,
            self.announced,
            self.told,
            self.report,
            self.concerned,
            self.refused,
            self.retry,
        ];
        let mut bytes = [0; BYTES];
        let (body, check) = bytes.split_at_mut(8 * WORDS);
        body.copy_from_slice(numbers.map(u64::to_le_bytes).as_flattened());
        check.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
        bytes
    }

    /// All zeros if the bytes are no such numbers.
    fn decode(bytes: &[u8; BYTES]) -> Self {
        let (body, check) = bytes.split_at(8 * WORDS);
        if check != crc32fast::hash(body).to_le_bytes() {
            return Self::default();
        }
        let mut numbers = Reader::new(body);
        let mut next = || numbers.u64().unwrap_or(0);
        Self {
            open_until: next(),
            away_since: next(),
            back: next(),
            announced: next(),
            told: next(),
            report: next(),
            concerned: next(),
            refused: next(),
            retry: next(),
        }
    }
}

/// What a process without the file knows.
#[derive(Debug, Default)]
struct Own {
    words: Words,
    reason: String,
    list: Vec<u8>,
}

/// Where the numbers stand.
enum Place {
    Own,
    Open(File),
    /// Opened for each look.
    Closed(PathBuf),
}

/// What is shared about one backend.
pub(crate) struct NodeState {
    place: Place,
    own: Mutex<Own>,
}

/// The kernel's locks are those of a process: its threads need one more, also to close a file,
/// which gives up the process's lock on it.
static THREADS: Mutex<()> = Mutex::new(());
/// The files that are open.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// All that is shared, for who has the lock on it.
pub(crate) struct Page<'a> {
    words: Words,
    place: Locked<'a>,
}

enum Locked<'a> {
    File(&'a File),
    Own(&'a mut Own),
}

impl Deref for Page<'_> {
    type Target = Words;

    fn deref(&self) -> &Words {
        &self.words
    }
}

impl DerefMut for Page<'_> {
    fn deref_mut(&mut self) -> &mut Words {
        &mut self.words
    }
}

impl Page<'_> {
    /// Keeps why the backend is left alone; the end of a long reason is cut off.
    pub(crate) fn set_reason(&mut self, reason: &str) {
        let mut length = reason.len().min(REASON.1);
        while !reason.is_char_boundary(length) {
            length -= 1;
        }
        let reason = reason.get(..length).unwrap_or_default();
        match &mut self.place {
            // Should it fail the others learn no reason.
            Locked::File(file) => drop(write_part(file, REASON.0, reason.as_bytes())),
            Locked::Own(own) => reason.clone_into(&mut own.reason),
        }
    }

    /// The list; `None` if it cannot be read.
    pub(crate) fn list(&self) -> Option<Vec<u8>> {
        match &self.place {
            Locked::File(file) => read_part(file, LIST),
            Locked::Own(own) => Some(own.list.clone()),
        }
    }

    /// Keeps the list; false if that is not possible, because it is too long above all.
    pub(crate) fn set_list(&mut self, list: &[u8]) -> bool {
        if list.len() > LIST.1 {
            return false;
        }
        match &mut self.place {
            Locked::File(file) => write_part(file, LIST.0, list).is_ok(),
            Locked::Own(own) => {
                own.list = list.to_vec();
                true
            }
        }
    }
}

impl NodeState {
    /// Numbers for this process alone.
    pub(crate) fn alone() -> Self {
        Self { place: Place::Own, own: Mutex::default() }
    }

    /// The numbers about what `name` names, shared with the node's other processes of this user if
    /// that can be.
    pub(crate) fn shared(name: &str) -> Self {
        Self {
            place: directory().map_or(Place::Own, |directory| Place::of(&directory, name)),
            own: Mutex::default(),
        }
    }

    /// The numbers now.
    pub(crate) fn read(&self) -> Words {
        match &self.place {
            Place::Own => self.own().words,
            Place::Open(file) => read(file),
            Place::Closed(path) => {
                let _thread = alone_in_process();
                open(path).map_or_else(Words::default, |file| read(&file))
            }
        }
    }

    /// Why the backend is left alone; empty if nobody said.
    pub(crate) fn reason(&self) -> String {
        let of_file = |file: &File| String::from_utf8(read_part(file, REASON).unwrap_or_default());
        match &self.place {
            Place::Own => self.own().reason.clone(),
            Place::Open(file) => of_file(file).unwrap_or_default(),
            Place::Closed(path) => {
                let _thread = alone_in_process();
                open(path).map_or_else(String::new, |file| of_file(&file).unwrap_or_default())
            }
        }
    }

    /// Changes what is shared, unless `change` says that there is nothing to be done: `None`. What
    /// it said; `None`, too, if somebody else is at it for longer than that can take.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Page<'_>) -> Option<T>) -> Option<T> {
        match &self.place {
            Place::Own => {
                let mut own = self.own();
                let mut page = Page { words: own.words, place: Locked::Own(&mut own) };
                let said = change(&mut page)?;
                let words = page.words;
                own.words = words;
                Some(said)
            }
            Place::Open(file) => {
                // In a forked child another thread may seem to hold it for ever.
                let _thread = alone_in_process()?;
                update(file, change)
            }
            Place::Closed(path) => {
                let _thread = alone_in_process()?;
                update(&open(path)?, change)
            }
        }
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NodeState {
    fn drop(&mut self) {
        if let Place::Open(_) = self.place {
            let _thread = alone_in_process();
            self.place = Place::Own;
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Place {
    fn of(directory: &Path, name: &str) -> Self {
        let name = blake3::hash(name.as_bytes()).to_hex();
        let path = directory.join(name.get(..32).unwrap_or(&name));
        let Some(file) = open(&path) else { return Self::Own };
        if OPEN.fetch_add(1, Ordering::Relaxed) < KEPT_OPEN {
            return Self::Open(file);
        }
        OPEN.fetch_sub(1, Ordering::Relaxed);
        let _thread = alone_in_process();
        drop(file);
        Self::Closed(path)
    }
}

/// No other thread of the process is at such a file; `None` if one is for longer than that can
/// take.
pub(crate) fn alone_in_process() -> Option<MutexGuard<'static, ()>> {
    patiently(|| match THREADS.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    })
}

fn update<T>(file: &File, change: impl FnOnce(&mut Page<'_>) -> Option<T>) -> Option<T> {
    locked(file, || {
        let mut page = Page { words: read(file), place: Locked::File(file) };
        let said = change(&mut page);
        if said.is_some() {
            // Should it fail the others learn nothing.
            let _ = file.write_all_at(&page.words.encode(), 0);
        }
        said
    })?
}

/// Does something while no other process does with such a file; `None` if one is at it for longer
/// than that can take. The caller sees to it that it is [alone in its process](alone_in_process).
pub(crate) fn locked<T>(file: &File, work: impl FnOnce() -> T) -> Option<T> {
    patiently(|| fcntl_lock(file, FlockOperation::NonBlockingLockExclusive).ok())?;
    let done = work();
    let _ = fcntl_lock(file, FlockOperation::Unlock);
    Some(done)
}

fn read(file: &File) -> Words {
    let mut bytes = [0; BYTES];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Words::decode(&bytes),
        Err(_) => Words::default(),
    }
}

/// What a part holds: its length, its checksum, and the bytes.
fn read_part(file: &File, (at, most): (u64, usize)) -> Option<Vec<u8>> {
    let mut head = [0; 8];
    file.read_exact_at(&mut head, at).ok()?;
    let mut head = Reader::new(&head);
    let length = head.count().ok().filter(|length| *length <= most)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at + 8).ok()?;
    (head.u32() == Ok(crc32fast::hash(&bytes))).then_some(bytes)
}

fn write_part(file: &File, at: u64, bytes: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let head = [length.to_le_bytes(), crc32fast::hash(bytes).to_le_bytes()];
    file.write_all_at(&[head.as_flattened(), bytes].concat(), at)
}

fn patiently<T>(mut get: impl FnMut() -> Option<T>) -> Option<T> {
    (0..TRIES).find_map(|turn| {
        if turn > 0 {
            std::thread::yield_now();
        }
        get()
    })
}

/// This user's directory for such files: nobody else can write to it.
pub(crate) fn directory() -> Option<PathBuf> {
    let user = geteuid().as_raw();
    let path = match env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) if Path::new(&directory).is_absolute() => PathBuf::from(directory).join("larder"),
        _ => env::temp_dir().join(format!("larder-{user}")),
    };
    // It may be there already.
    let _ = DirBuilder::new().mode(0o700).create(&path);
    let found = fs::symlink_metadata(&path).ok()?;
    (found.is_dir() && found.uid() == user && is_private(&found)).then_some(path)
}

/// A file there that nobody else can write to, made if there is none.
pub(crate) fn open(path: &Path) -> Option<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let file = options.open(path).ok()?;
    let found = file.metadata().ok()?;
    (found.is_file() && found.uid() == geteuid().as_raw() && is_private(&found)).then_some(file)
}

/// Whether nobody but its owner can use it.
fn is_private(found: &fs::Metadata) -> bool {
    found.mode().trailing_zeros() >= 6
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn place(name: &str) -> PathBuf {
        let place = env::temp_dir().join(format!("larder-node-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        fs::create_dir(&place).unwrap();
        place
    }

    fn node(place: &Path, name: &str) -> NodeState {
        NodeState { place: Place::of(place, name), own: Mutex::default() }
    }

    fn is_shared(place: &Path, name: &str) -> bool {
        !matches!(Place::of(place, name), Place::Own)
    }

    #[test]
    fn processes_share_the_numbers_and_rubbish_is_none() {
        let place = place("share");
        let (a, b) = (node(&place, "x"), node(&place, "x"));
        assert!(is_shared(&place, "x"));
        assert_eq!(a.update(|words| Some(std::mem::replace(&mut words.open_until, 7))), Some(0));
        assert_eq!(b.read().open_until, 7);
        for node in [&b, &NodeState::alone()] {
            assert_eq!(
                node.update(|words| {
                    words.open_until = 8;
                    None::<()>
                }),
                None
            );
            assert_ne!(node.read().open_until, 8);
        }
        assert_eq!(a.read().open_until, 7, "nothing was to be done");
        assert_eq!(node(&place, "y").read(), Words::default());
        let file = open(&place.join(blake3::hash(b"x").to_hex().get(..32).unwrap())).unwrap();
        file.write_all_at(b"rubbish", 0).unwrap();
        assert_eq!(b.read(), Words::default());
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn what_another_user_could_have_made_is_not_used() {
        let place = place("others");
        let target = place.join("target");
        fs::write(&target, b"").unwrap();
        let name = blake3::hash(b"link").to_hex();
        symlink(&target, place.join(name.get(..32).unwrap())).unwrap();
        assert!(!is_shared(&place, "link"));
        assert!(is_shared(&place, "open"));
        let name = blake3::hash(b"open").to_hex();
        fs::set_permissions(place.join(name.get(..32).unwrap()), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(!is_shared(&place, "open"));
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn reason_and_list_are_shared_bounded_and_whole_or_not_there() {
        let place = place("parts");
        let (a, b) = (node(&place, "x"), node(&place, "x"));
        let list = |node: &NodeState| node.update(|page| Some(page.list()));
        assert_eq!((b.reason(), list(&b)), (String::new(), Some(None)));
        let long = "ä".repeat(1000);
        a.update(|page| {
            page.set_reason(&long);
            assert!(page.set_list(b"some") && !page.set_list(&vec![0; LIST.1 + 1]));
            Some(())
        });
        assert!(long.starts_with(&b.reason()) && b.reason().len() == REASON.1);
        assert_eq!(list(&b), Some(Some(b"some".to_vec())));
        let file = open(&place.join(blake3::hash(b"x").to_hex().get(..32).unwrap())).unwrap();
        file.write_all_at(b"S", LIST.0 + 8).unwrap();
        assert_eq!(list(&b), Some(None));
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn a_process_keeps_few_files_open_and_yet_uses_all() {
        let place = place("many");
        let nodes: Vec<_> = (0..KEPT_OPEN + 9).map(|number| node(&place, &number.to_string())).collect();
        let open = nodes.iter().filter(|node| matches!(node.place, Place::Open(_))).count();
        assert!(open <= KEPT_OPEN, "{open}");
        for (number, node) in (1..).zip(&nodes) {
            node.update(|page| {
                page.report = number;
                Some(())
            });
        }
        for (number, node) in (1..).zip(&nodes) {
            assert_eq!(node.read().report, number);
        }
        fs::remove_dir_all(place).unwrap();
    }
}
