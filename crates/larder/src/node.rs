//! A few numbers that the processes of one user on this node share: a small file, so that what one process learned the hard
//! way the others need not.
//!
//! It is a convenience and nothing is safe because of it: without the file, or with rubbish in it, each process is on its
//! own. The numbers are read with one system call and changed under a lock of the kernel that nobody waits for.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, TryLockError};

use rustix::fs::{FlockOperation, OFlags, fcntl_lock};
use rustix::process::geteuid;

/// How many numbers there are.
const WORDS: usize = 6;
/// What the numbers take in the file, with their checksum.
const BYTES: usize = 8 * WORDS + 4;
/// Tries to get the lock of the file, which is held for some microseconds.
const TRIES: usize = 50;

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
}

impl Words {
    fn encode(self) -> [u8; BYTES] {
        let numbers = [self.open_until, self.away_since, self.back, self.announced, self.told, self.report];
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
        let mut numbers = body.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes));
        let mut next = || numbers.next().unwrap_or(0);
        Self {
            open_until: next(),
            away_since: next(),
            back: next(),
            announced: next(),
            told: next(),
            report: next(),
        }
    }
}

/// The numbers about one backend.
pub(crate) struct Node {
    file: Option<File>,
    /// The numbers of a process without the file.
    own: Mutex<Words>,
}

/// The kernel's locks are those of a process: its threads need one more.
static THREADS: Mutex<()> = Mutex::new(());

impl Node {
    /// Numbers for this process alone.
    pub(crate) fn alone() -> Self {
        Self { file: None, own: Mutex::default() }
    }

    /// The numbers about what `name` names, shared with the node's other processes of this user if that can be.
    pub(crate) fn shared(name: &str) -> Self {
        Self { file: directory().and_then(|directory| open(&directory, name)), own: Mutex::default() }
    }

    /// The numbers now.
    pub(crate) fn read(&self) -> Words {
        match &self.file {
            None => *self.own.lock().unwrap_or_else(PoisonError::into_inner),
            Some(file) => read(file),
        }
    }

    /// Changes the numbers, unless `change` says that there is nothing to be done: `None`. What it said; `None`, too, if
    /// somebody else is at it for longer than that can take.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Words) -> Option<T>) -> Option<T> {
        let Some(file) = &self.file else {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            let mut words = *own;
            let said = change(&mut words)?;
            *own = words;
            return Some(said);
        };
        // In a forked child another thread may seem to hold it for ever.
        let _thread = patiently(|| match THREADS.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        })?;
        patiently(|| fcntl_lock(file, FlockOperation::NonBlockingLockExclusive).ok())?;
        let mut words = read(file);
        let said = change(&mut words);
        if said.is_some() {
            // Should it fail the others learn nothing.
            let _ = file.write_all_at(&words.encode(), 0);
        }
        let _ = fcntl_lock(file, FlockOperation::Unlock);
        said
    }
}

fn read(file: &File) -> Words {
    let mut bytes = [0; BYTES];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Words::decode(&bytes),
        Err(_) => Words::default(),
    }
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
fn directory() -> Option<PathBuf> {
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

fn open(directory: &Path, name: &str) -> Option<File> {
    let path = directory.join(blake3::hash(name.as_bytes()).to_hex().get(..32)?);
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

    fn node(file: Option<File>) -> Node {
        Node { file, own: Mutex::default() }
    }

    #[test]
    fn processes_share_the_numbers_and_rubbish_is_none() {
        let place = place("share");
        let (a, b) = (node(open(&place, "x")), node(open(&place, "x")));
        assert!(a.file.is_some());
        assert_eq!(a.update(|words| Some(std::mem::replace(&mut words.open_until, 7))), Some(0));
        assert_eq!(b.read().open_until, 7);
        for node in [&b, &Node::alone()] {
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
        assert_eq!(node(open(&place, "y")).read(), Words::default());
        a.file.as_ref().unwrap().write_all_at(b"rubbish", 0).unwrap();
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
        assert!(open(&place, "link").is_none());
        drop(open(&place, "open").unwrap());
        let name = blake3::hash(b"open").to_hex();
        fs::set_permissions(place.join(name.get(..32).unwrap()), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(open(&place, "open").is_none());
        fs::remove_dir_all(place).unwrap();
    }
}
