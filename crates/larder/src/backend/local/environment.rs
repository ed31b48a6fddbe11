//! The open file: shared by all handles of the process, opened anew when it is no longer the right
//! one.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock, TryLockError, Weak};

use heed::{AnyTls, Env, EnvFlags, EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls};
use rustix::fs::OFlags;
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};

use super::bounds::Bounds;
use super::directory::{Before, DATA, Directory, FileIdentity, LOCK, QuietSince, READERS, length_of_named};
use super::fault::{Fault, NAME, io_error};
use super::lock_row;
use super::tables::{TABLES, Tables};
use super::write_lock::{Mark, WriteGuard, WriteLock, wait_for};
use crate::clock;
use crate::contract::Facts;
use crate::error::{Error, Result};

const PAGE: u64 = 4096;
/// As many processes may be in the middle of reading at once.
const MAX_READERS: u32 = 1024;

/// An open file. Belongs to the process that opened it.
pub(crate) struct Open {
    pub(super) env: Env<WithoutTls>,
    pub(crate) tables: Tables,
    pub(crate) lock: WriteLock,
    pub(crate) bounds: Bounds,
    pub(super) path: PathBuf,
    data: File,
    id: FileIdentity,
    /// The most bytes that the file was seen to have; it never shrinks.
    bytes: AtomicU64,
    /// LMDB's table of readers, only to be looked at, and its length.
    readers: (File, u64),
    process: u32,
    /// When the path was last seen to lead to this file, in seconds since the boot.
    looked: AtomicU64,
}

/// What reads of one snapshot go through.
pub(crate) enum Reading<'o> {
    /// A reader's slot.
    Slot(RoTxn<'o, WithoutTls>),
    /// A writer's turn, in which nothing is written.
    Turn { txn: RwTxn<'o>, _turn: WriteGuard<'o> },
}

impl<'o> Deref for Reading<'o> {
    type Target = RoTxn<'o, AnyTls>;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Slot(txn) => txn,
            Self::Turn { txn, .. } => txn,
        }
    }
}

impl Open {
    /// Whether these are still the files that others find: not removed, not inherited from a parent
    /// process.
    ///
    /// A removed file has no name any more, which costs one system call to see, for the data and
    /// for the table of readers: without either, this process and those that come later would not
    /// know of each other. A directory that was renamed is noticed within a second.
    ///
    /// # Errors
    /// Damaged if the file is shorter than it was: what is missing must not be touched.
    pub(super) fn is_current(&self) -> Result<bool, Fault> {
        if self.process != std::process::id() || !self.has_names()? {
            return Ok(false);
        }
        let now = clock::boottime().as_secs();
        if self.looked.load(Ordering::Relaxed) == now {
            return Ok(true);
        }
        let is = |name, id| is_at(&self.path.join(name), id);
        let same = is(DATA, Some(self.id)) && is(LOCK, self.lock.id());
        if same {
            self.looked.store(now, Ordering::Relaxed);
        }
        Ok(same)
    }

    fn has_names(&self) -> Result<bool, Fault> {
        let (readers, length) = &self.readers;
        // Before the look: another thread may see it grow meanwhile.
        let before = self.bytes.load(Ordering::Acquire);
        let (Some(bytes), Some(found)) = (length_of_named(&self.data), length_of_named(readers)) else {
            return Ok(false);
        };
        if bytes < before || found < *length {
            return Err(Fault::Damaged("a file was cut short while it was in use".to_owned()));
        }
        if bytes > before {
            self.bytes.fetch_max(bytes, Ordering::Release);
        }
        Ok(true)
    }

    /// Begins a read transaction.
    ///
    /// LMDB knows readers by their process numbers, and containers have the same ones. A process
    /// whose number is taken reads in a writer's turn instead: slower, but the same.
    pub(crate) fn read(&self) -> Result<Reading<'_>, Fault> {
        let txn = match self.env.read_txn() {
            Err(heed::Error::Mdb(MdbError::ReadersFull)) => {
                self.env.clear_stale_readers()?;
                self.env.read_txn()
            }
            txn => txn,
        };
        match txn {
            Err(heed::Error::Io(error)) if is_taken(&error) => {
                let turn = self.lock.acquire()?;
                Ok(Reading::Turn { txn: self.write()?, _turn: turn })
            }
            txn => {
                let txn = txn?;
                self.must_have(txn.id())?;
                Ok(Reading::Slot(txn))
            }
        }
    }

    /// Begins a write transaction; under the lock.
    pub(crate) fn write(&self) -> Result<RwTxn<'_>, Fault> {
        let txn = self.env.write_txn()?;
        self.must_have(txn.id().saturating_sub(1))?;
        Ok(txn)
    }

    /// Fails if the file does not have the transaction that all who use it have seen.
    fn must_have(&self, transaction: usize) -> Result<(), Fault> {
        if self.env.info().last_txn_id >= transaction {
            return Ok(());
        }
        Err(Fault::Damaged("the file was overwritten with an older one".to_owned()))
    }

    /// Facts about the file and a namespace in it.
    pub(crate) fn describe(&self, namespace: &str) -> Result<Facts, Fault> {
        let txn = self.read()?;
        let mut facts = Facts::default();
        facts.push("path", self.path.display().to_string());
        if let Some(space) = self.tables.space(&txn, namespace)? {
            facts.push("incarnation", format!("{:032x}", space.incarnation));
            facts.push("log_records", space.last - space.first + 1);
        }
        facts.push("bytes_of_all_namespaces", self.tables.counters(&txn)?.live);
        facts.push("file_bytes", self.env.real_disk_size()?);
        facts.push("max_bytes", self.env.info().map_size as u64);
        Ok(facts)
    }

    /// Fails if a file was removed: what is written now, nobody will find.
    pub(crate) fn still_named(&self) -> Result<(), Fault> {
        if self.has_names()? { Ok(()) } else { Err(Fault::Stale("the directory was removed".to_owned())) }
    }

    /// After a commit, under the lock: notes how far the data has come. Fails as
    /// [`still_named`](Self::still_named).
    pub(crate) fn committed(&self) -> Result<(), Fault> {
        self.still_named()?;
        let (transactions, bytes) = (self.env.info().last_txn_id as u64, self.bytes.load(Ordering::Acquire));
        self.lock.put_mark(Mark { transactions, bytes });
        Ok(())
    }

    /// Makes the table of readers as long as LMDB takes it to be, so that letting go of it touches
    /// nothing that is missing.
    fn mend_readers(&self) {
        use std::os::fd::AsRawFd;
        let (readers, length) = &self.readers;
        if self.process == std::process::id() && readers.metadata().is_ok_and(|found| found.len() < *length) {
            let again = OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", readers.as_raw_fd()));
            let _ = again.and_then(|again| again.set_len(*length));
        }
    }
}

/// The place of one directory's open file in this process. LMDB forbids opening a file twice in a
/// process.
pub(super) struct FileSlot {
    path: PathBuf,
    max_bytes: u64,
    /// As the directory was found.
    quiet: QuietSince,
    open: RwLock<Option<Open>>,
}

static SLOTS: LazyLock<Mutex<HashMap<PathBuf, Weak<FileSlot>>>> = LazyLock::new(Mutex::default);

impl FileSlot {
    /// The slot of a directory, which is created if it is not there. The size is that of the first
    /// who asks.
    pub(super) fn of(path: &Path, max_bytes: u64) -> Result<Arc<Self>> {
        let directory = Directory::prepare(path)?;
        let (path, quiet) = (directory.path().to_owned(), directory.quiet());
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&path).and_then(Weak::upgrade) {
            return Ok(slot);
        }
        slots.retain(|_, slot| slot.strong_count() > 0);
        let slot = Arc::new(Self { path: path.clone(), max_bytes, quiet, open: RwLock::new(None) });
        slots.insert(path, Arc::downgrade(&slot));
        Ok(slot)
    }

    /// Runs `work` on the open file, after opening it if need be; again on a new one if the file
    /// turns out to be removed, damaged or hopelessly full.
    pub(super) fn with<T>(&self, mut work: impl FnMut(&Open) -> Result<T, Fault>) -> Result<T> {
        let mut last = String::new();
        let mut full = false;
        for _ in 0..4 {
            let fault = {
                let open = wait_for(|| match self.open.try_read() {
                    Ok(open) => Ok(Some(open)),
                    Err(TryLockError::Poisoned(poisoned)) => Ok(Some(poisoned.into_inner())),
                    Err(TryLockError::WouldBlock) => Ok(None),
                })?;
                match open.as_ref() {
                    Some(open) => match open.is_current().and_then(|is| is.then(|| work(open)).transpose()) {
                        Ok(Some(done)) => return Ok(done),
                        Ok(None) => None,
                        Err(fault) => Some((fault, open.id)),
                    },
                    None => None,
                }
            };
            full = matches!(fault, Some((Fault::Full(_), _)));
            let damaged = match fault {
                None => None,
                Some((Fault::Error(error), _)) => return Err(error),
                Some((Fault::Stale(reason), _)) => {
                    last = reason;
                    None
                }
                Some((Fault::Damaged(reason) | Fault::Full(reason), id)) => {
                    last = reason;
                    Some(id)
                }
            };
            self.renew(damaged, !last.is_empty())?;
        }
        Err(if full { Error::refused(NAME, last) } else { Error::unavailable(NAME, last) })
    }

    /// Opens the file, or a new one in place of the file `damaged`. `forced` replaces a handle that
    /// looks good.
    fn renew(&self, damaged: Option<FileIdentity>, forced: bool) -> Result<()> {
        let mut slot = wait_for(|| match self.open.try_write() {
            Ok(slot) => Ok(Some(slot)),
            Err(TryLockError::Poisoned(poisoned)) => Ok(Some(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => Ok(None),
        })?;
        // Another thread may have done it meanwhile.
        let good =
            |open: &Open| open.is_current().is_ok_and(|is| is) && damaged.is_none_or(|id| open.id != id);
        if !forced && slot.as_ref().is_some_and(good) {
            return Ok(());
        }
        // No transaction is open: all run under the read lock. In a child, closing frees the
        // parent's handle here and leaves the parent's locks and reader slots alone, which are
        // known by its process id.
        let data = self.path.join(DATA);
        let ours = slot.as_ref().filter(|open| is_at(&data, Some(open.id))).map(|open| open.id);
        if let Some(open) = &*slot {
            open.mend_readers();
        }
        *slot = None;
        *slot = Some(self.open(damaged, ours)?);
        Ok(())
    }

    /// Opens the files; `ours` = data that this process had open before.
    fn open(&self, damaged: Option<FileIdentity>, ours: Option<FileIdentity>) -> Result<Open> {
        let mut directory = Directory::prepare(&self.path)?;
        directory.recall(self.quiet);
        let lock = WriteLock::open(&directory.lock_file())?;
        let guard = lock.acquire()?;
        let certify = |damaged| -> Result<Before> {
            let ours = lock.mark().is_some() || (ours.is_some() && ours == directory.data());
            let before = directory.certify(damaged, ours)?;
            if before != Before::Same {
                lock.put_mark(Mark::default());
            }
            Ok(before)
        };
        let mut before = certify(damaged)?;
        let opened = self.open_certified(&directory, &lock).or_else(|fault| match fault {
            Fault::Damaged(_) => {
                before = certify(directory.data())?;
                self.open_certified(&directory, &lock)
            }
            fault => Err(fault),
        });
        let (env, tables, data) = opened.map_err(|fault| match fault {
            Fault::Error(error) => error,
            Fault::Full(reason) => Error::refused(NAME, format!("{}: {reason}", self.path.display())),
            Fault::Damaged(reason) | Fault::Stale(reason) => Error::unavailable(NAME, reason),
        })?;
        if before != Before::Same {
            lock_row::begin(&env, &tables, before).map_err(|fault| match fault {
                Fault::Error(error) => error,
                fault => Error::unavailable(NAME, format!("{fault:?}")),
            })?;
        }
        directory.sign()?;
        let found = data.metadata().map_err(io_error)?;
        let mark = Mark { transactions: env.info().last_txn_id as u64, bytes: found.len() };
        lock.put_mark(mark);
        drop(guard);
        // Only its path is opened: closing another descriptor would free the locks that LMDB has on
        // it.
        let path_only = (OFlags::PATH | OFlags::NOFOLLOW).bits().cast_signed();
        let readers =
            OpenOptions::new().read(true).custom_flags(path_only).open(directory.path().join(READERS));
        let readers = readers.and_then(|readers| readers.metadata().map(|found| (readers, found.len())));
        Ok(Open {
            bounds: Bounds::new(env.info().map_size as u64),
            env,
            tables,
            lock,
            path: directory.path().to_owned(),
            data,
            id: FileIdentity::of(&found),
            bytes: AtomicU64::new(found.len()),
            readers: readers.map_err(io_error)?,
            process: std::process::id(),
            looked: AtomicU64::new(0),
        })
    }

    fn open_certified(
        &self,
        directory: &Directory,
        lock: &WriteLock,
    ) -> Result<(Env<WithoutTls>, Tables, File), Fault> {
        let map = self.max_bytes.next_multiple_of(PAGE);
        let map =
            usize::try_from(map).map_err(|_| Error::refused(NAME, "the size does not fit this machine"))?;
        let env = wait_for(|| match open_env(directory.path(), map) {
            Ok(env) => Ok(Some(Ok(env))),
            // Another thread is just closing it.
            Err(heed::Error::EnvAlreadyOpened) => Ok(None),
            Err(error) => Ok(Some(Err(Fault::from(error)))),
        })??;
        env.clear_stale_readers()?;
        let data = env.try_clone_inner_file()?;
        let (last, mark) = (env.info().last_txn_id as u64, lock.mark().unwrap_or_default());
        if last < mark.transactions || data.metadata()?.len() < mark.bytes {
            return Err(Fault::Damaged("the file is older or shorter than what was acknowledged".to_owned()));
        }
        // A file that somebody cut short must not end the process: what is missing reads as zeros,
        // which LMDB reports as damage.
        let needed = (env.info().last_page_number as u64 + 1) * PAGE;
        if data.metadata()?.len() < needed {
            data.set_len(needed)?;
        }
        let tables = Tables::create(&env)?;
        Ok((env, tables, data))
    }
}

/// Whether a file stands at a path.
fn is_at(path: &Path, id: Option<FileIdentity>) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| Some(FileIdentity::of(&found)) == id)
}

fn open_env(path: &Path, map_size: usize) -> heed::Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(map_size).max_readers(MAX_READERS).max_dbs(TABLES);
    #[expect(unsafe_code, reason = "opening a memory map is unsafe: nobody else may change the file")]
    // SAFETY: The file is only ever changed through LMDB, which orders readers and writers by its
    // lock file: the directory is ours alone (mode 0700, checked owner, not a symbolic link, not a
    // network filesystem), its mark says that we wrote the file in this boot, and files are
    // replaced by removing their name, never in place. The map is read-only (no WRITE_MAP), so the
    // file is written by system calls and never through a stray pointer. heed refuses to open a
    // path twice in a process. NO_SYNC risks a damaged file only when the operating system crashes;
    // the mark of the boot keeps such a file from ever being opened.
    unsafe {
        let env = options.flags(EnvFlags::NO_SYNC).open(path)?;
        // LMDB leaves the descriptor of the data to programs that this one starts. The number is
        // that of a descriptor that the environment keeps open for longer than this block.
        for number in descriptors_of(&path.join(DATA)) {
            let fd = BorrowedFd::borrow_raw(number);
            let _ = fcntl_getfd(fd).and_then(|flags| fcntl_setfd(fd, flags | FdFlags::CLOEXEC));
        }
        Ok(env)
    }
}

/// The descriptors of this process that have a file open.
fn descriptors_of(path: &Path) -> Vec<i32> {
    let id = |path: &Path| fs::metadata(path).ok().map(|found| FileIdentity::of(&found));
    let wanted = id(path);
    let descriptors = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let of_file = descriptors.filter(|descriptor| wanted.is_some() && id(&descriptor.path()) == wanted);
    of_file.filter_map(|descriptor| descriptor.file_name().to_str()?.parse().ok()).collect()
}

/// Whether another process with the number of this one has a reader's slot.
fn is_taken(error: &std::io::Error) -> bool {
    [Errno::AGAIN, Errno::ACCESS].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
