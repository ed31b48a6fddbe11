//! The directory: what it must be like, and the mark that says whose files are in it.
//!
//! `larder.mark` holds the version of the format, the identity of the running boot, and that of
//! `data.mdb`. LMDB runs without syncing to disk, so after a crash of the operating system the file
//! may be anything: a mark of another boot means that it is not looked at but removed. The identity
//! of the file tells a copy that somebody restored from the file that all live processes write to,
//! and that of `lock.mdb` a table of readers that others do not know of.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::fault::{NAME, io_error};
use crate::backend::owner;
use crate::clock::{Millis, boot_millis, wall_clock};
use crate::error::{Error, Result};

const FORMAT: &str = "larder local 1";
const MARK: &str = "larder.mark";
const NEW_MARK: &str = "larder.mark.new";
pub(super) const LOCK: &str = "larder.lock";
pub(super) const DATA: &str = "data.mdb";
/// LMDB's table of readers, with its mutexes.
pub(super) const READERS: &str = "lock.mdb";
/// The subdirectory of those who wait for locks.
pub(super) const PIPES: &str = "larder.wake";
const OWN_FILES: [&str; 6] = [MARK, NEW_MARK, LOCK, DATA, READERS, PIPES];
/// What a directory has of these, if Larder's data was in it before.
const TRACES: [&str; 4] = [NEW_MARK, DATA, READERS, PIPES];
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Filesystems that several machines see: LMDB's locks and its map do not reach across.
const NETWORK: [(i64, &str); 6] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
];

/// Which file: its device and inode, and when it was made, for a filesystem may give the number of
/// a removed file to the copy that takes its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FileIdentity {
    place: (u64, u64),
    /// `None` where that is not told.
    born: Option<SystemTime>,
}

impl FileIdentity {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self { place: (metadata.dev(), metadata.ino()), born: metadata.created().ok() }
    }
}

/// What stands before the time in the mark.
const BORN: char = '@';

impl fmt::Display for FileIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.place.0, self.place.1)?;
        let since_1970 = self.born.and_then(|born| born.duration_since(SystemTime::UNIX_EPOCH).ok());
        since_1970.map_or(Ok(()), |born| write!(f, "{BORN}{}", born.as_nanos()))
    }
}

/// Whether two marks are of the same files. A process that is not told when a file was made, as one
/// that may not call `statx`, goes by the rest.
fn are_of_the_same(one: &str, other: &str) -> bool {
    let place = |line: &str| line.split(BORN).next().map(str::to_owned);
    let same = |(one, other): (&str, &str)| {
        one == other || (one.contains(BORN) != other.contains(BORN) && place(one) == place(other))
    };
    one.lines().count() == other.lines().count() && one.lines().zip(other.lines()).all(same)
}

/// What was in a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// The file that is there now.
    Same,
    /// One of an earlier boot, which no living process used.
    EarlierBoot,
    /// Nothing, and nothing was removed there since this time of the boot clock.
    Nothing(Millis),
    /// One that a living process may have used, or traces of it.
    Unknown,
}

/// A directory that may be used.
pub(super) struct Directory {
    path: PathBuf,
    quiet: QuietSince,
}

/// Since when nothing was put into a directory or taken out but by this process.
#[derive(Clone, Copy)]
pub(super) struct QuietSince {
    /// On the boot clock. If the directory was not there, this is of its parent.
    since: Millis,
    /// The last change of the directory, as its filesystem says.
    stamp: (i64, i64),
}

impl QuietSince {
    /// The status of a directory cannot be dated back, as its content can.
    fn of(directory: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(directory)?;
        let changed = u64::try_from(found.ctime()).unwrap_or(0).saturating_add(1).saturating_mul(1_000);
        let ago = wall_clock().saturating_sub(changed);
        let now = boot_millis();
        Ok(Self { since: now.saturating_sub(ago), stamp: (found.ctime(), found.ctime_nsec()) })
    }
}

impl Directory {
    /// Creates the directory if it is not there (its parents are not created) and checks it.
    pub(super) fn prepare(path: &Path) -> Result<Self> {
        let refuse = |reason: &str| Error::refused(NAME, format!("{}: {reason}", path.display()));
        if !path.is_absolute() {
            return Err(refuse("the path must be absolute"));
        }
        let before = QuietSince::of(path).or_else(|_| QuietSince::of(path.parent().unwrap_or(path)));
        if let Err(error) = fs::symlink_metadata(path)
            && error.kind() == io::ErrorKind::NotFound
        {
            let above = path.parent().and_then(|above| fs::symlink_metadata(above).ok());
            if let Some(reason) = above.and_then(|above| owner::creation_refusal(above.uid())) {
                return Err(refuse(&reason));
            }
            match DirBuilder::new().mode(0o700).create(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(refuse(&error.to_string()));
                }
                _ => {}
            }
        }
        let found = fs::symlink_metadata(path).map_err(|error| refuse(&error.to_string()))?;
        if found.is_symlink() {
            return Err(refuse("is a symbolic link; give the directory itself"));
        }
        if !found.is_dir() {
            return Err(refuse("is not a directory"));
        }
        if let Some(reason) = owner::refusal((found.uid(), found.gid(), found.mode()), false) {
            return Err(refuse(&reason));
        }
        let kind = rustix::fs::statfs(path).map_err(|errno| refuse(&errno.to_string()))?.f_type;
        if let Some((_, name)) = NETWORK.iter().find(|(magic, _)| *magic == kind) {
            return Err(refuse(&format!("is on a network filesystem ({name}); local: needs a local disk")));
        }
        let path = path.canonicalize().map_err(|error| refuse(&error.to_string()))?;
        let mut quiet = QuietSince::of(&path).map_err(|error| Error::refused(NAME, error))?;
        quiet.since = before.map_or(quiet.since, |before| before.since);
        Ok(Self { path, quiet })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn lock_file(&self) -> PathBuf {
        self.path.join(LOCK)
    }

    pub(super) fn quiet(&self) -> QuietSince {
        self.quiet
    }

    /// This process looked at the directory before, and may have created it.
    pub(super) fn recall(&mut self, before: QuietSince) {
        if before.stamp == self.quiet.stamp {
            self.quiet.since = self.quiet.since.min(before.since);
        }
    }

    /// The data file that is there now.
    pub(super) fn data(&self) -> Option<FileIdentity> {
        self.find(DATA)
    }

    /// The file of a name.
    pub(super) fn find(&self, name: &str) -> Option<FileIdentity> {
        fs::symlink_metadata(self.path.join(name)).ok().map(|metadata| FileIdentity::of(&metadata))
    }

    /// Makes sure, under the lock, that what is in the directory may be opened: removes files of
    /// another boot, copies, data whose table of readers is gone, and the data file `damaged`. What
    /// there was before.
    ///
    /// `ours` = the lock file says that the files are Larder's, though the mark may be gone.
    ///
    /// # Errors
    /// Foreign if there are files that Larder did not write, or those of another version.
    pub(super) fn certify(&self, damaged: Option<FileIdentity>, ours: bool) -> Result<Before> {
        let mark = match fs::read(self.path.join(MARK)) {
            Ok(mark) => String::from_utf8_lossy(&mark).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.refuse_foreign_files(ours)?;
                String::new()
            }
            Err(error) => return Err(self.refused(error)),
        };
        let format = mark.lines().next().unwrap_or_default();
        if !mark.is_empty() && format != FORMAT {
            let reason = format!("'{}' says '{format}', this is '{FORMAT}'", self.path.join(MARK).display());
            return Err(Error::foreign(NAME, reason));
        }
        let data = self.data();
        let boot_id = boot_id()?;
        let whole = are_of_the_same(&mark, &self.contents(&boot_id))
            // That of the version before, which said nothing of the readers.
            || (are_of_the_same(&mark, &contents(&boot_id, data)) && self.find(READERS).is_some());
        if data.is_some() && data != damaged && whole {
            return Ok(Before::Same);
        }
        let untouched = !ours && mark.is_empty() && !TRACES.iter().any(|name| self.path.join(name).exists());
        self.wipe()?;
        self.write_mark(&self.contents(&boot_id))?;
        Ok(match () {
            () if untouched => Before::Nothing(self.quiet.since),
            () if !mark.is_empty() && !mark.contains(&boot_id) => Before::EarlierBoot,
            () => Before::Unknown,
        })
    }

    /// Says, under the lock, that the data file that is there now was written in this boot, by
    /// Larder.
    pub(super) fn sign(&self) -> Result<()> {
        let mark = self.contents(&boot_id()?);
        if fs::read(self.path.join(MARK)).is_ok_and(|written| written == mark.as_bytes()) {
            return Ok(());
        }
        self.write_mark(&mark)
    }

    fn contents(&self, boot_id: &str) -> String {
        let readers = self.find(READERS).map_or_else(|| "none".to_owned(), |readers| readers.to_string());
        format!("{}readers {readers}\n", contents(boot_id, self.data()))
    }

    /// Removes the data. Processes that have it open go on with files without a name until their
    /// next call.
    fn wipe(&self) -> Result<()> {
        for name in [DATA, READERS] {
            match fs::remove_file(self.path.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(self.refused(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// A mark is there whole or not at all, whether the process is killed or the machine.
    fn write_mark(&self, mark: &str) -> Result<()> {
        let new = self.path.join(NEW_MARK);
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&new);
        let written = file.and_then(|mut file| {
            file.write_all(mark.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, self.path.join(MARK))
        });
        written.map_err(|error| self.refused(error))
    }

    fn refuse_foreign_files(&self, ours: bool) -> Result<()> {
        for file in fs::read_dir(&self.path).map_err(|error| self.refused(error))? {
            let name = file.map_err(|error| self.refused(error))?.file_name();
            // Without a mark or another sign, data is not ours either.
            if (name == DATA && !ours) || !OWN_FILES.iter().any(|own| name == *own) {
                let reason = format!("'{}' was not written by Larder", self.path.join(name).display());
                return Err(Error::foreign(NAME, reason));
            }
        }
        Ok(())
    }

    fn refused(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound => io_error(error),
            _ => Error::refused(NAME, format!("{}: {error}", self.path.display())).because_of(error),
        }
    }
}

fn contents(boot_id: &str, data: Option<FileIdentity>) -> String {
    let data = data.map_or_else(|| "none".to_owned(), |data| data.to_string());
    format!("{FORMAT}\nboot {boot_id}\ndata {data}\n")
}

fn boot_id() -> Result<String> {
    let read = fs::read_to_string(BOOT_ID);
    read.map(|id| id.trim().to_owned()).map_err(|error| Error::refused(NAME, format!("{BOOT_ID}: {error}")))
}

/// Whether an open file still has a name.
pub(super) fn has_a_name(file: &File) -> bool {
    length_of_named(file).is_some()
}

/// The length of an open file; `None` if it has no name any more.
pub(super) fn length_of_named(file: &File) -> Option<u64> {
    let found = rustix::fs::fstat(file).ok().filter(|found| found.st_nlink > 0)?;
    u64::try_from(found.st_size).ok()
}
