//! The directory of a namespace: what it must be like, and its files by their names.

use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat, StatFs};
use rustix::io::Errno;

use super::failure::{self, Fault, NAME};
use super::files::{Files, OpenFile};
use super::names::{FileId, FileKind, ROOT};
use crate::backend::owner;
use crate::error::{Error, ErrorKind};

/// Filesystems whose server may give a process another user's number than it has here.
const MAPPED: [i64; 5] = [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546];

/// The directory of a namespace.
pub(crate) struct Site {
    files: Files,
    path: PathBuf,
    /// The mode of files, once known.
    mode: Option<u32>,
    /// The group of files, if they are shared with it.
    group: Option<u32>,
    /// The type of the filesystem that it was on.
    filesystem: Option<i64>,
    /// Whether a directory that may not be used may be read.
    visits: bool,
    /// Why it may not be used.
    visited: Option<String>,
    /// Whether it may be another directory than others see, if it is empty.
    bare: bool,
}

impl Site {
    pub(crate) fn new(files: Files, directory: &Path, namespace: &str, visits: bool) -> Self {
        let path = directory.join(namespace);
        Self { files, path, mode: None, group: None, filesystem: None, visits, visited: None, bare: false }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure, once, that the directories are there, that they are this user's or its group's,
    /// and that nobody else can write to them. Creates them, but no parents: a path below a mount
    /// that is missing must fail.
    pub(crate) fn prepare(&mut self) -> Result<(), Fault> {
        if self.mode.is_some() {
            return Ok(());
        }
        let Some(directory) = self.path.parent().map(Path::to_owned) else { return Err(Fault::Gone) };
        let directory = &*directory;
        if let Some(before) = self.filesystem
            && filesystem(&self.files, directory)? != before
        {
            // The directory is there, but it is the one below the mount point.
            return Err(Error::unavailable(NAME, "the filesystem is not mounted any more").into());
        }
        self.visited = None;
        match self.check(directory) {
            Err(Fault::Error(error)) if self.visits && error.kind() == ErrorKind::Refused => {
                match self.files.look(directory) {
                    Ok(outer) if FileType::from_raw_mode(outer.st_mode) == FileType::Directory => {
                        // Below a mount that is missing there may be a bare directory, which
                        // belongs to root.
                        self.bare = outer.st_uid == 0;
                        let reason = error.to_string();
                        let own = format!("{NAME} refused: ");
                        self.visited = Some(reason.strip_prefix(&own).unwrap_or(&reason).to_owned());
                        self.mode = Some(0o600);
                        Ok(())
                    }
                    _ => Err(error.into()),
                }
            }
            checked => checked,
        }
    }

    fn check(&mut self, directory: &Path) -> Result<(), Fault> {
        let outer = checked(&self.files, directory, 0o700)?;
        // A directory that its group may write to is shared by several users: what is in it then
        // is, too.
        let shared = outer.st_mode & 0o020 != 0;
        let mode = if shared { 0o2770 } else { 0o700 | (outer.st_mode & 0o050) };
        let inner = checked(&self.files, &self.path, mode)?;
        let mode = inner.st_mode & 0o660;
        self.group = (mode & 0o020 != 0).then_some(inner.st_gid);
        self.filesystem = Some(filesystem(&self.files, directory)?);
        self.mode = Some(mode | 0o600);
        Ok(())
    }

    /// Whether the directory may only be read.
    pub(crate) fn is_visited(&self) -> bool {
        self.visited.is_some()
    }

    /// Fails if nobody can tell whether an empty directory is the one that others share.
    pub(crate) fn refuse_the_bare(&mut self) -> Result<(), Fault> {
        if self.bare { self.refuse_visitors() } else { Ok(()) }
    }

    /// Fails for who may only read, and looks again before the next use.
    pub(crate) fn refuse_visitors(&mut self) -> Result<(), Fault> {
        self.must_be_own().inspect_err(|_| self.distrust())
    }

    /// Fails for who may only read.
    pub(crate) fn must_be_own(&self) -> Result<(), Fault> {
        let Some(reason) = &self.visited else { return Ok(()) };
        Err(Error::refused(NAME, reason).into())
    }

    /// Looks at the directories again before the next use.
    pub(crate) fn distrust(&mut self) {
        self.mode = None;
    }

    /// Opens a file for reading.
    pub(crate) fn read(&self, file: FileId) -> Result<OpenFile, Errno> {
        self.files.read(&file.path(&self.path))
    }

    /// Opens a file for reading and writing.
    pub(crate) fn write(&self, file: FileId) -> Result<OpenFile, Errno> {
        self.files.write(&file.path(&self.path))
    }

    /// Creates a file.
    pub(crate) fn create(&self, file: FileId) -> Result<OpenFile, Errno> {
        if self.is_visited() {
            return Err(Errno::ACCESS);
        }
        let mode = self.mode.unwrap_or(0o600);
        let open = self.files.create(&file.path(&self.path), mode)?;
        self.share(&open, mode)?;
        Ok(open)
    }

    /// Creates a file with its content, and syncs it: in place before any record names it (R19).
    pub(crate) fn create_with(&self, file: FileId, content: &[u8]) -> Result<(), Errno> {
        let open = self.create(file)?;
        let written = open.write_at(content, 0).and_then(|()| open.sync());
        drop(open);
        if written.is_err() {
            // Nothing names it; should this fail, cleaning finds it later.
            let _ = self.remove(file);
        }
        written
    }

    /// Gives the group its part of a new file, which the umask may have taken.
    fn share(&self, open: &OpenFile, mode: u32) -> Result<(), Errno> {
        if mode & 0o060 != 0 {
            open.set_mode(mode)?;
        }
        if let Some(group) = self.group
            && open.look()?.st_gid != group
        {
            open.set_group(group)?;
        }
        Ok(())
    }

    pub(crate) fn remove(&self, file: FileId) -> Result<(), Errno> {
        self.files.remove(&file.path(&self.path))
    }

    /// Whether a file is not there, for sure.
    pub(crate) fn lacks(&self, file: FileId) -> bool {
        self.files.look(&file.path(&self.path)).err() == Some(Errno::NOENT)
    }

    /// The files that are there, and the name of something that Larder did not write, if anything
    /// is.
    pub(crate) fn list(&self) -> Result<(Vec<FileId>, Option<String>), Errno> {
        let (mut files, mut foreign) = (Vec::new(), None);
        for name in self.files.list(&self.path)? {
            match FileId::parse(&name) {
                Some(file) => files.push(file),
                None if name == ROOT => {}
                None => foreign = foreign.or(Some(name)),
            }
        }
        Ok((files, foreign))
    }

    /// Makes the names of new files outlive a crash of the machine.
    pub(crate) fn sync(&self) -> Result<(), Errno> {
        self.files.sync_directory(&self.path)
    }

    /// Opens the root for reading.
    pub(crate) fn root(&self) -> Result<OpenFile, Errno> {
        self.files.read(&self.path.join(ROOT))
    }

    /// Opens the root for reading and writing.
    pub(crate) fn root_to_write(&self) -> Result<OpenFile, Errno> {
        self.files.write(&self.path.join(ROOT))
    }

    /// Opens the root, which is created if it is not there.
    pub(crate) fn root_or_new(&self) -> Result<OpenFile, Errno> {
        let mode = self.mode.unwrap_or(0o600);
        match self.files.create(&self.path.join(ROOT), mode) {
            Ok(root) => {
                self.share(&root, mode)?;
                Ok(root)
            }
            Err(Errno::EXIST) => self.root_to_write(),
            Err(errno) => Err(errno),
        }
    }

    /// The directory and the filesystem that it is on.
    pub(crate) fn status(&self) -> Result<(Stat, StatFs), Errno> {
        Ok((self.files.look(&self.path)?, self.files.filesystem(&self.path)?))
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
            let above = path.parent().and_then(|above| files.look(above).ok());
            let foreign = above.filter(|above| owner::refusal(parts(above), true).is_some());
            if let Some(reason) = foreign.and_then(|above| owner::creation_refusal(above.st_uid)) {
                return Err(refuse(&reason));
            }
            match files.make_directory(path, mode) {
                Err(Errno::NOENT) => return Err(refuse("the directory above it does not exist")),
                // The process's umask may have taken the group's part.
                Ok(()) if mode & 0o020 != 0 => files.set_mode(path, mode)?,
                Err(Errno::EXIST) | Ok(()) => {}
                Err(errno) => return Err(Fault::Error(failure::error(errno))),
            }
            files.look(path)?
        }
        found => found?,
    };
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => {}
        FileType::Symlink => return Err(refuse("is a symbolic link; give the directory itself")),
        _ => return Err(refuse("is not a directory")),
    }
    match owner::refusal(parts(&found), true) {
        Some(_) if found.st_mode & 0o002 == 0 && is_own_there(files, path, &found) => Ok(found),
        Some(reason) => Err(refuse(&reason)),
        None => Ok(found),
    }
}

/// Owner, group and mode.
fn parts(found: &Stat) -> (u32, u32, u32) {
    (found.st_uid, found.st_gid, found.st_mode)
}

/// Whether the server of a network filesystem takes this process for the owner of a directory,
/// whatever the number here.
fn is_own_there(files: &Files, path: &Path, found: &Stat) -> bool {
    if !filesystem(files, path).is_ok_and(|kind| MAPPED.contains(&kind)) {
        return false;
    }
    let Ok(probe) = FileId::new(FileKind::Pack, 0) else { return false };
    let probe = probe.path(path);
    let owner = files.create(&probe, 0o600).and_then(|open| open.look());
    let _ = files.remove(&probe);
    owner.is_ok_and(|owner| owner.st_uid == found.st_uid)
}
