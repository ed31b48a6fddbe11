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
use crate::backend::owner;
use crate::error::{Error, ErrorKind};

/// Bytes that a segment asks the filesystem to keep ready, so that deletes and purges still go through when the disk
/// is full. Where that cannot be asked for, nothing is lost but this.
const RESERVED: u64 = 256 << 10;

/// Filesystems whose server may give a process another user's number than it has here.
const MAPPED: [i64; 5] = [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546];

/// The directory of a namespace.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) path: PathBuf,
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
    pub(super) fn new(directory: &Path, namespace: &str, visits: bool) -> Self {
        let path = directory.join(namespace);
        Self { path, mode: None, group: None, filesystem: None, visits, visited: None, bare: false }
    }

    /// Makes sure, once, that the directories are there, that they are this user's or its group's, and that nobody else
    /// can write to them. Creates them, but no parents: a path below a mount that is missing must fail.
    pub(super) fn prepare(&mut self, files: &Files) -> Result<(), Fault> {
        if self.mode.is_some() {
            return Ok(());
        }
        let Some(directory) = self.path.parent().map(Path::to_owned) else { return Err(Fault::Gone) };
        let directory = &*directory;
        if let Some(before) = self.filesystem
            && filesystem(files, directory)? != before
        {
            // The directory is there, but it is the one below the mount point.
            return Err(Error::unavailable(NAME, "the filesystem is not mounted any more").into());
        }
        self.visited = None;
        match self.check(files, directory) {
            Err(Fault::Error(error)) if self.visits && error.kind() == ErrorKind::Refused => {
                match files.look(directory) {
                    Ok(outer) if FileType::from_raw_mode(outer.st_mode) == FileType::Directory => {
                        // Below a mount that is missing there may be a bare directory, which belongs to root.
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

    fn check(&mut self, files: &Files, directory: &Path) -> Result<(), Fault> {
        let outer = checked(files, directory, 0o700)?;
        // A directory that its group may write to is shared by several users: what is in it then is, too.
        let shared = outer.st_mode & 0o020 != 0;
        let inner =
            checked(files, &self.path, if shared { 0o2770 } else { 0o700 | (outer.st_mode & 0o050) })?;
        let mode = inner.st_mode & 0o660;
        self.group = (mode & 0o020 != 0).then_some(inner.st_gid);
        self.filesystem = Some(filesystem(files, directory)?);
        self.mode = Some(mode | 0o600);
        Ok(())
    }

    /// Whether the directory may only be read.
    pub(super) fn is_visited(&self) -> bool {
        self.visited.is_some()
    }

    /// Fails if nobody can tell whether an empty directory is the one that others share.
    pub(super) fn refuse_the_bare(&mut self) -> Result<(), Fault> {
        if self.bare { self.refuse_visitors() } else { Ok(()) }
    }

    /// Fails for who may only read, and looks again before the next use.
    pub(super) fn refuse_visitors(&mut self) -> Result<(), Fault> {
        let Some(reason) = self.visited.clone() else { return Ok(()) };
        self.distrust();
        Err(Error::refused(NAME, reason).into())
    }

    /// Looks at the directories again before the next use.
    pub(super) fn distrust(&mut self) {
        self.mode = None;
    }

    /// Creates a file with its content, and syncs it: in place before any record names it (R19). Gives its inode.
    pub(super) fn create<'f>(&self, files: &'f Files, file: FileId) -> Result<Opened<'f>, Errno> {
        if self.is_visited() {
            return Err(Errno::ACCESS);
        }
        let mode = self.mode.unwrap_or(0o600);
        let open = files.create(&file.path(&self.path), mode)?;
        self.share(&open, mode)?;
        Ok(open)
    }

    /// Gives the group its part of a new file, which the umask may have taken.
    fn share(&self, open: &Opened<'_>, mode: u32) -> Result<(), Errno> {
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
        let path = self.path.join(ROOT);
        let root = match files.create(&path, mode) {
            Ok(root) => {
                self.share(&root, mode)?;
                root
            }
            Err(Errno::EXIST) => files.write(&path)?,
            Err(errno) => return Err(errno.into()),
        };
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

    /// Begins a new history after a segment that cannot be read, unless the root leads past it by now.
    pub(super) fn replace(&self, files: &Files, damaged: FileId, deadline: Deadline) -> Result<(), Fault> {
        if let Some(reason) = &self.visited {
            return Err(Error::refused(NAME, reason).into());
        }
        let root = Hold::lock(files.write(&self.path.join(ROOT))?, deadline)?;
        let Some(named) = root::named(root.open())? else { return Ok(()) };
        if named != damaged && named.number >= damaged.number {
            return Ok(());
        }
        let segment = self.begin(files, &files.list(&self.path)?, named.number, deadline)?;
        files.sync_directory(&self.path)?;
        root::advance(root.open(), segment)
    }

    /// Whether a file is not there, for sure.
    pub(super) fn lacks(&self, files: &Files, file: FileId) -> bool {
        files.look(&file.path(&self.path)).err() == Some(Errno::NOENT)
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

/// Whether the server of a network filesystem takes this process for the owner of a directory, whatever the number here.
fn is_own_there(files: &Files, path: &Path, found: &Stat) -> bool {
    if !filesystem(files, path).is_ok_and(|kind| MAPPED.contains(&kind)) {
        return false;
    }
    let probe = FileId::new(Kind::Pack, 0).path(path);
    let owner = files.create(&probe, 0o600).and_then(|open| open.look());
    let _ = files.remove(&probe);
    owner.is_ok_and(|owner| owner.st_uid == found.st_uid)
}
