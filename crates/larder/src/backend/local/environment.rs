//! The open file: shared by all handles of the process, opened anew when it is no longer the right one.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock, TryLockError, Weak};

use heed::{Env, EnvFlags, EnvOpenOptions, MdbError, RoTxn, WithoutTls};

use super::directory::{Before, Directory, FileId, has_a_name};
use super::fault::{Fault, NAME};
use super::lock::{WriteLock, wait_for};
use super::locks;
use super::room::Bounds;
use super::tables::{TABLES, Tables};
use crate::clock;
use crate::error::{Error, Result};

const PAGE: u64 = 4096;
/// As many processes may be in the middle of reading at once.
const READERS: u32 = 1024;

/// An open file. Belongs to the process that opened it.
pub(super) struct Open {
    pub(super) env: Env<WithoutTls>,
    pub(super) tables: Tables,
    pub(super) lock: WriteLock,
    pub(super) bounds: Bounds,
    pub(super) path: PathBuf,
    data: File,
    id: FileId,
    process: u32,
    /// When the path was last seen to lead to this file, in seconds since the boot.
    looked: AtomicU64,
}

impl Open {
    /// Whether this is still the file that others find: not removed, not inherited from a parent process.
    ///
    /// A removed file has no name any more, which costs one system call to see. A directory that was renamed
    /// is noticed within a second.
    pub(super) fn is_current(&self) -> bool {
        if self.process != std::process::id() || !has_a_name(&self.data) {
            return false;
        }
        let now = clock::boottime().as_secs();
        if self.looked.load(Ordering::Relaxed) == now {
            return true;
        }
        let found = fs::symlink_metadata(self.path.join("data.mdb"));
        let same = found.is_ok_and(|found| FileId::of(&found) == self.id);
        if same {
            self.looked.store(now, Ordering::Relaxed);
        }
        same
    }

    /// Begins a read transaction.
    pub(super) fn read(&self) -> Result<RoTxn<'_, WithoutTls>, Fault> {
        match self.env.read_txn() {
            Err(heed::Error::Mdb(MdbError::ReadersFull)) => {
                self.env.clear_stale_readers()?;
                Ok(self.env.read_txn()?)
            }
            txn => Ok(txn?),
        }
    }

    /// Facts for people.
    pub(super) fn describe(&self, namespace: &str) -> Result<Vec<(&'static str, String)>, Fault> {
        let txn = self.read()?;
        let (info, counters) = (self.env.info(), self.tables.counters(&txn)?);
        let mut facts = vec![
            ("backend", "local (LMDB)".to_owned()),
            ("directory", self.path.display().to_string()),
            ("size", format!("{} bytes at most", info.map_size)),
            ("file", format!("{} bytes", self.env.real_disk_size()?)),
            ("entries of all namespaces", format!("{} bytes, estimated", counters.live)),
        ];
        if let Some(space) = self.tables.space(&txn, namespace)? {
            facts.push(("incarnation", format!("{:032x}", space.incarnation)));
            facts.push(("log", format!("{} records", space.last - space.first + 1)));
        }
        Ok(facts)
    }

    /// Fails if the file was removed: what is written to it now, nobody will find.
    pub(super) fn still_named(&self) -> Result<(), Fault> {
        if has_a_name(&self.data) {
            Ok(())
        } else {
            Err(Fault::Stale("the directory was removed".to_owned()))
        }
    }
}

/// The place of one directory's open file in this process. LMDB forbids opening a file twice in a process.
pub(super) struct Slot {
    path: PathBuf,
    max_bytes: u64,
    open: RwLock<Option<Open>>,
}

static SLOTS: LazyLock<Mutex<HashMap<PathBuf, Weak<Slot>>>> = LazyLock::new(Mutex::default);

impl Slot {
    /// The slot of a directory, which is created if it is not there. The size is that of the first who asks.
    pub(super) fn of(path: &Path, max_bytes: u64) -> Result<Arc<Self>> {
        let path = Directory::prepare(path)?.path().to_owned();
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&path).and_then(Weak::upgrade) {
            return Ok(slot);
        }
        slots.retain(|_, slot| slot.strong_count() > 0);
        let slot = Arc::new(Self { path: path.clone(), max_bytes, open: RwLock::new(None) });
        slots.insert(path, Arc::downgrade(&slot));
        Ok(slot)
    }

    /// Runs `work` on the open file, after opening it if need be; again on a new one if the file turns out to be
    /// removed, damaged or hopelessly full.
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
                match open.as_ref().filter(|open| open.is_current()) {
                    Some(open) => match work(open) {
                        Ok(done) => return Ok(done),
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

    /// Opens the file, or a new one in place of the file `damaged`. `forced` replaces a handle that looks good.
    fn renew(&self, damaged: Option<FileId>, forced: bool) -> Result<()> {
        let mut slot = wait_for(|| match self.open.try_write() {
            Ok(slot) => Ok(Some(slot)),
            Err(TryLockError::Poisoned(poisoned)) => Ok(Some(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => Ok(None),
        })?;
        // Another thread may have done it meanwhile.
        let good = |open: &Open| open.is_current() && damaged.is_none_or(|id| open.id != id);
        if !forced && slot.as_ref().is_some_and(good) {
            return Ok(());
        }
        // No transaction is open: all run under the read lock. In a child, closing frees the parent's handle
        // here and leaves the parent's locks and reader slots alone, which are known by its process id.
        *slot = None;
        *slot = Some(self.open(damaged)?);
        Ok(())
    }

    fn open(&self, damaged: Option<FileId>) -> Result<Open> {
        let directory = Directory::prepare(&self.path)?;
        let lock = WriteLock::open(&directory.lock_file())?;
        let guard = lock.acquire()?;
        let mut before = directory.certify(damaged)?;
        let opened = self.open_certified(&directory).or_else(|fault| match fault {
            Fault::Damaged(_) => {
                before = directory.certify(directory.data())?;
                self.open_certified(&directory)
            }
            fault => Err(fault),
        });
        let (env, tables, data) = opened.map_err(|fault| match fault {
            Fault::Error(error) => error,
            Fault::Full(reason) => Error::refused(NAME, format!("{}: {reason}", self.path.display())),
            Fault::Damaged(reason) | Fault::Stale(reason) => Error::unavailable(NAME, reason),
        })?;
        if before != Before::Same {
            locks::begin(&env, &tables, before).map_err(|fault| match fault {
                Fault::Error(error) => error,
                fault => Error::unavailable(NAME, format!("{fault:?}")),
            })?;
        }
        directory.sign()?;
        drop(guard);
        let id = data.metadata().map(|metadata| FileId::of(&metadata));
        Ok(Open {
            bounds: Bounds::new(env.info().map_size as u64),
            env,
            tables,
            lock,
            path: directory.path().to_owned(),
            data,
            id: id.map_err(|error| Error::unavailable(NAME, error))?,
            process: std::process::id(),
            looked: AtomicU64::new(0),
        })
    }

    fn open_certified(&self, directory: &Directory) -> Result<(Env<WithoutTls>, Tables, File), Fault> {
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
        // A file that somebody cut short must not end the process: what is missing reads as zeros, which LMDB
        // reports as damage.
        let needed = (env.info().last_page_number as u64 + 1) * PAGE;
        if data.metadata()?.len() < needed {
            data.set_len(needed)?;
        }
        let tables = Tables::create(&env)?;
        Ok((env, tables, data))
    }
}

fn open_env(path: &Path, map_size: usize) -> heed::Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(map_size).max_readers(READERS).max_dbs(TABLES);
    #[expect(unsafe_code, reason = "opening a memory map is unsafe: nobody else may change the file")]
    // SAFETY: The file is only ever changed through LMDB, which orders readers and writers by its lock file:
    // the directory is ours alone (mode 0700, checked owner, not a symbolic link, not a network filesystem), its mark says
    // that we wrote the file in this boot, and files are replaced by removing their name, never in place. The map
    // is read-only (no WRITE_MAP), so the file is written by system calls and never through a stray pointer. heed
    // refuses to open a path twice in a process. NO_SYNC risks a damaged file only when the operating system
    // crashes; the mark of the boot keeps such a file from ever being opened.
    unsafe {
        options.flags(EnvFlags::NO_SYNC).open(path)
    }
}
