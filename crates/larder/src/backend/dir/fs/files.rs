//! Every filesystem call of this backend, counted: on a network filesystem each is a round trip.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::Gid;
use rustix::fs::{self, AtFlags, CWD, FallocateFlags, Mode, OFlags, Stat};
use rustix::io::{self, Errno, retry_on_intr};

/// Told of each call before it is made, by its name.
pub type Observer = Arc<dyn Fn(&'static str) + Send + Sync>;

/// Makes the calls.
#[derive(Clone, Default)]
pub(crate) struct Files {
    calls: Arc<AtomicU64>,
    observer: Option<Observer>,
}

impl Files {
    pub(crate) fn observed(observer: Observer) -> Self {
        Self { observer: Some(observer), ..Self::default() }
    }

    /// Calls made so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn call<T>(&self, name: &'static str, call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            observer(name);
        }
        retry_on_intr(call)
    }

    fn open(&self, path: &Path, flags: OFlags, mode: u32) -> io::Result<OpenFile> {
        // Never through a symbolic link: who could plant one could make Larder read or write any
        // file.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self.call("open", || fs::openat(CWD, path, flags, Mode::from_raw_mode(mode)))?;
        Ok(OpenFile { files: self.clone(), fd })
    }

    /// Opens for reading. On NFS this is the check that what is cached of the file is still
    /// current.
    pub(super) fn read(&self, path: &Path) -> io::Result<OpenFile> {
        self.open(path, OFlags::RDONLY, 0)
    }

    /// Opens for reading and writing.
    pub(super) fn write(&self, path: &Path) -> io::Result<OpenFile> {
        self.open(path, OFlags::RDWR, 0)
    }

    /// Creates a file that is not there.
    pub(super) fn create(&self, path: &Path, mode: u32) -> io::Result<OpenFile> {
        self.open(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode)
    }

    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.call("unlink", || fs::unlinkat(CWD, path, AtFlags::empty()))
    }

    pub(super) fn make_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.call("mkdir", || fs::mkdirat(CWD, path, Mode::from_raw_mode(mode)))
    }

    /// Sets the mode of a directory that this process just made.
    pub(super) fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        let directory = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        directory.set_mode(mode)
    }

    /// What stands at a path; a symbolic link is not followed.
    pub(super) fn look(&self, path: &Path) -> io::Result<Stat> {
        self.call("lstat", || fs::lstat(path))
    }

    pub(super) fn filesystem(&self, path: &Path) -> io::Result<fs::StatFs> {
        self.call("statfs", || fs::statfs(path))
    }

    /// The names in a directory.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = self.open(path, flags, 0)?;
        self.call("readdir", || {
            let mut names = Vec::new();
            for entry in fs::Dir::read_from(&directory.fd)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if name != "." && name != ".." {
                    names.push(name);
                }
            }
            Ok(names)
        })
    }

    /// Makes the names of new files in a directory outlive a crash of the machine.
    pub(super) fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let directory = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        self.call("fsync", || fs::fsync(&directory.fd))
    }
}

/// An open file. Dropping it is a call, too.
pub(crate) struct OpenFile {
    files: Files,
    fd: OwnedFd,
}

impl OpenFile {
    /// Reads up to `length` bytes to the end of `buffer`; less at the end of the file only.
    pub(crate) fn read_more(&self, buffer: &mut Vec<u8>, offset: u64, length: usize) -> io::Result<usize> {
        let start = buffer.len();
        buffer.resize(start + length, 0);
        let mut got = 0;
        while got < length {
            let rest = buffer.get_mut(start + got..).unwrap_or_default();
            let read = self.files.call("pread", || io::pread(&self.fd, &mut *rest, offset + got as u64));
            match read {
                // A file that is shorter than asked for says so at once on every filesystem that
                // Linux has: no second call just to hear "end of file".
                Ok(n) if n < rest.len() => {
                    got += n;
                    break;
                }
                Ok(n) => got += n,
                Err(errno) => {
                    buffer.truncate(start);
                    return Err(errno);
                }
            }
        }
        buffer.truncate(start + got);
        Ok(got)
    }

    pub(crate) fn write_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.files.call("pwrite", || io::pwrite(&self.fd, bytes, offset))?;
            if written == 0 {
                return Err(Errno::IO);
            }
            bytes = bytes.get(written..).unwrap_or_default();
            offset += written as u64;
        }
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.files.call("fdatasync", || fs::fdatasync(&self.fd))
    }

    pub(crate) fn truncate(&self, length: u64) -> io::Result<()> {
        self.files.call("ftruncate", || fs::ftruncate(&self.fd, length))
    }

    pub(crate) fn look(&self) -> io::Result<Stat> {
        self.files.call("fstat", || fs::fstat(&self.fd))
    }

    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.files.call("fchmod", || fs::fchmod(&self.fd, Mode::from_raw_mode(mode)))
    }

    pub(super) fn set_group(&self, group: u32) -> io::Result<()> {
        self.files.call("fchown", || fs::fchown(&self.fd, None, Some(Gid::from_raw(group))))
    }

    /// Asks for room for `length` bytes without changing the length of the file.
    pub(crate) fn reserve(&self, length: u64) -> io::Result<()> {
        self.files.call("fallocate", || fs::fallocate(&self.fd, FallocateFlags::KEEP_SIZE, 0, length))
    }

    /// Tries to lock the whole file for this descriptor alone: an open-file-description lock, which
    /// threads and processes of all nodes respect and which ends with the descriptor. False if
    /// another holds it.
    pub(super) fn try_lock(&self) -> io::Result<bool> {
        match self.set_lock(libc::F_WRLCK) {
            Ok(()) => Ok(true),
            Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Frees the lock, also for descriptors that a forked child inherited.
    pub(super) fn unlock(&self) -> io::Result<()> {
        self.set_lock(libc::F_UNLCK)
    }

    fn set_lock(&self, kind: libc::c_int) -> io::Result<()> {
        let lock = libc::flock {
            l_type: libc::c_short::try_from(kind).unwrap_or_default(),
            l_whence: 0,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        let name = if kind == libc::F_UNLCK { "unlock" } else { "lock" };
        let locked = self.files.call(name, || {
            fcntl(&self.fd, FcntlArg::F_OFD_SETLK(&lock)).map_err(|e| Errno::from_raw_os_error(e as i32))
        });
        locked.map(drop)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        // Counted here, done by the descriptor's own drop. What was written was synced before, so
        // an error of close has nothing to say.
        let _ = self.files.call("close", || Ok(()));
    }
}
