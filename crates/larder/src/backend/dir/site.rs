//! The directory of a namespace: what it must be like, and how it is set up.

use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::failure::{self, Fault, NAME, foreign};
use super::files::{Files, Opened};
use super::hold::{Deadline, Hold};
use super::names::{FileId, Kind, ROOT};
use super::root;
use super::segment::Header;
use crate::error::Error;

/// Bytes that a segment asks the filesystem to keep ready, so that deletes and purges still go through when the disk
/// is full. Where that cannot be asked for, nothing is lost but this.
const RESERVED: u64 = 256 << 10;

/// The directory of a namespace.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) path: PathBuf,
    /// The mode of files, once known.
    mode: Option<u32>,
    /// The type of the filesystem that it was on.
    filesystem: Option<i64>,
}

impl Site {
    pub(super) fn new(directory: &Path, namespace: &str) -> Self {
        Self { path: directory.join(namespace), mode: None, filesystem: None }
    }

    /// Makes sure, once, that the directories are there and that only their owner or group can write to them. Creates
    /// them, but no parents: a path below a mount that is missing must fail.
    pub(super) fn prepare(&mut self, files: &Files) -> Result<(), Fault> {
        if self.mode.is_some() {
            return Ok(());
        }
        let Some(directory) = self.path.parent() else { return Err(Fault::Gone) };
        if let Some(before) = self.filesystem
            && filesystem(files, directory)? != before
        {
            // The directory is there, but it is the one below the mount point.
            return Err(Error::unavailable(NAME, "the filesystem is not mounted any more").into());
        }
        let outer = checked(files, directory, 0o700)?;
        // A directory that its group may write to is shared by several users: what is in it then is, too.
        let group = outer.st_mode & 0o070;
        let inner = checked(files, &self.path, 0o700 | group)?;
        let mode = inner.st_mode & 0o660;
        self.filesystem = Some(filesystem(files, directory)?);
        self.mode = Some(mode | 0o600);
        Ok(())
    }

    /// Looks at the directories again before the next use.
    pub(super) fn distrust(&mut self) {
        self.mode = None;
    }

    /// Creates a file with its content, and syncs it: in place before any record names it (R19). Gives its inode.
    pub(super) fn create<'f>(&self, files: &'f Files, file: FileId) -> Result<Opened<'f>, Errno> {
        let mode = self.mode.unwrap_or(0o600);
        let open = files.create(&file.path(&self.path), mode)?;
        if mode & 0o060 != 0 {
            // The process's umask may have taken the group's part.
            open.set_mode(mode)?;
        }
        Ok(open)
    }

    /// Creates a file with content. Gives nothing back that could be used before it is synced.
    pub(super) fn write(&self, files: &Files, file: FileId, content: &[u8]) -> Result<(), Errno> {
        let open = self.create(files, file)?;
        let written = open.write_at(content, 0).and_then(|()| open.sync());
        drop(open);
        if written.is_err() {
            // Nothing names it; should this fail, cleaning finds it later.
            let _ = files.remove(&file.path(&self.path));
        }
        written
    }

    /// Creates a segment of the log that continues at `base`.
    pub(super) fn create_segment(
        &self,
        files: &Files,
        segment: FileId,
        incarnation: u128,
        base: u64,
        checkpoint: Option<FileId>,
    ) -> Result<(), Errno> {
        let open = self.create(files, segment)?;
        let _ = open.reserve(RESERVED);
        let inode = open.look()?.st_ino;
        let header = Header { incarnation, base, inode, checkpoint };
        open.write_at(&header.write(segment), 0)?;
        open.sync()
    }

    /// Sets the namespace up, unless somebody else just did.
    pub(super) fn set_up(&self, files: &Files, deadline: Deadline) -> Result<(), Fault> {
        let mode = self.mode.unwrap_or(0o600);
        let root = files.write_or_create(&self.path.join(ROOT), mode)?;
        if mode & 0o060 != 0 {
            root.set_mode(mode)?;
        }
        let root = Hold::lock(root, deadline)?;
        if root::named(root.open())?.is_some() {
            return Ok(());
        }
        let names = files.list(&self.path)?;
        if let Some(name) = names.iter().find(|name| *name != ROOT && FileId::parse(name).is_none()) {
            return Err(foreign(format!("'{name}' was not written by Larder")));
        }
        let segment = self.begin(files, &names, 0, deadline)?;
        root::write_first(root.open(), segment)?;
        Ok(files.sync_directory(&self.path)?)
    }

    /// Ends what is left of a log from a segment on, so that nobody goes on with it, and creates the first segment of
    /// another.
    fn begin(&self, files: &Files, names: &[String], from: u64, deadline: Deadline) -> Result<FileId, Fault> {
        let mut last = from;
        for file in names.iter().filter_map(|name| FileId::parse(name)) {
            last = last.max(file.number);
            if file.kind == Kind::Log && file.number >= from {
                self.retire(files, file, deadline)?;
            }
        }
        let segment = FileId::new(Kind::Log, last + 1);
        self.create_segment(files, segment, super::random(), 0, None)?;
        Ok(segment)
    }

    /// Makes the root name a segment.
    pub(super) fn advance_root(
        &self,
        files: &Files,
        segment: FileId,
        deadline: Deadline,
    ) -> Result<(), Fault> {
        let root = Hold::lock(files.write(&self.path.join(ROOT))?, deadline)?;
        root::advance(root.open(), segment)
    }

    /// Begins a new history after a segment that cannot be read.
    pub(super) fn replace(&self, files: &Files, damaged: FileId, deadline: Deadline) -> Result<(), Fault> {
        let root = Hold::lock(files.write(&self.path.join(ROOT))?, deadline)?;
        if root::named(root.open())? != Some(damaged) {
            return Ok(());
        }
        let segment = self.begin(files, &files.list(&self.path)?, damaged.number, deadline)?;
        files.sync_directory(&self.path)?;
        root::advance(root.open(), segment)
    }

    /// Ends a segment without a seal. Who still follows it finds its anchor gone, also under the append lock, and
    /// begins anew at the root.
    fn retire(&self, files: &Files, segment: FileId, deadline: Deadline) -> Result<(), Fault> {
        let path = segment.path(&self.path);
        match files.write(&path) {
            Ok(open) => {
                let hold = Hold::lock(open, deadline)?;
                hold.open().truncate(0)?;
                hold.open().sync()?;
            }
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
        files.remove(&path).or_else(|errno| if errno == Errno::NOENT { Ok(()) } else { Err(errno.into()) })
    }
}

fn filesystem(files: &Files, path: &Path) -> Result<i64, Fault> {
    let found = match (files.filesystem(path), path.parent()) {
        // It was removed, or the mount that it was on.
        (Err(Errno::NOENT), Some(above)) => files.filesystem(above),
        (found, _) => found,
    };
    match found {
        Ok(found) => Ok(found.f_type),
        Err(errno) => Err(failure::error(errno).into()),
    }
}

/// What stands at `path`, created if nothing does, if it is a directory that may be trusted.
fn checked(files: &Files, path: &Path, mode: u32) -> Result<Stat, Fault> {
    let refuse = |reason: &str| Fault::Error(Error::refused(NAME, format!("{}: {reason}", path.display())));
    let found = match files.look(path) {
        Err(Errno::NOENT) => {
            match files.make_directory(path, mode) {
                Err(Errno::NOENT) => return Err(refuse("the directory above it does not exist")),
                Err(Errno::EXIST) | Ok(()) => {}
                Err(errno) => return Err(Fault::Error(failure::error(errno))),
            }
            files.look(path)?
        }
        found => found?,
    };
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory if found.st_mode & 0o002 != 0 => Err(refuse("is writable by everybody")),
        FileType::Directory => Ok(found),
        FileType::Symlink => Err(refuse("is a symbolic link; give the directory itself")),
        _ => Err(refuse("is not a directory")),
    }
}
