//! The directory that is exported: what an NFS server would be.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fuser::Errno;

/// The number of a file: drawn once and never again, so that a client that remembers a removed file
/// is told so.
pub(super) type Id = u64;
/// The exported directory itself.
pub(super) const ROOT: Id = 1;

/// An exported directory.
pub(super) struct Server {
    state: Mutex<State>,
}

struct State {
    ids: HashMap<PathBuf, Id>,
    nodes: HashMap<Id, Node>,
    next: Id,
    locks: Vec<Lock>,
}

struct Node {
    path: PathBuf,
    /// What tells it from another file at the same path.
    inode: u64,
    /// Counts its changes, as the change attribute of `NFSv4` does.
    version: u64,
}

struct Lock {
    file: Id,
    holder: Holder,
    shared: bool,
}

/// Who holds a lock: an open file of a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) client: u64,
    pub(super) handle: u64,
}

/// What a client is told of a file.
#[derive(Clone)]
pub(super) struct Attributes {
    pub(super) id: Id,
    pub(super) metadata: Metadata,
    pub(super) version: (u64, i64, u64),
}

impl Server {
    pub(super) fn export(directory: &Path) -> io::Result<Self> {
        let directory = directory.canonicalize()?;
        let inode = fs::metadata(&directory)?.ino();
        let node = Node { path: directory.clone(), inode, version: 0 };
        let state = State {
            ids: HashMap::from([(directory, ROOT)]),
            nodes: HashMap::from([(ROOT, node)]),
            next: ROOT + 1,
            locks: Vec::new(),
        };
        Ok(Self { state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lookup(&self, parent: Id, name: &OsStr) -> Result<Attributes, Errno> {
        let mut state = self.state();
        let path = state.path(parent)?.join(name);
        state.identify(&path)
    }

    pub(super) fn attributes(&self, id: Id) -> Result<Attributes, Errno> {
        let mut state = self.state();
        let path = state.path(id)?;
        state.identify(&path)
    }

    pub(super) fn create(
        &self,
        parent: Id,
        name: &OsStr,
        mode: u32,
        exclusive: bool,
    ) -> Result<Attributes, Errno> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut state = self.state();
        let path = state.path(parent)?.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(mode).custom_flags(nofollow());
        if exclusive {
            options.create_new(true);
        } else {
            options.create(true).truncate(false);
        }
        drop(options.open(&path)?);
        state.identify(&path)
    }

    pub(super) fn make_directory(&self, parent: Id, name: &OsStr, mode: u32) -> Result<Attributes, Errno> {
        use std::os::unix::fs::DirBuilderExt;
        let mut state = self.state();
        let path = state.path(parent)?.join(name);
        fs::DirBuilder::new().mode(mode).create(&path)?;
        state.identify(&path)
    }

    pub(super) fn remove(&self, parent: Id, name: &OsStr, directory: bool) -> Result<(), Errno> {
        let mut state = self.state();
        let path = state.path(parent)?.join(name);
        if directory {
            fs::remove_dir(&path)?;
        } else {
            fs::remove_file(&path)?;
        }
        if let Some(id) = state.ids.remove(&path) {
            state.nodes.remove(&id);
        }
        Ok(())
    }

    /// Gives a file another name, in place of the file of that name.
    pub(super) fn rename(&self, from: (Id, &OsStr), to: (Id, &OsStr)) -> Result<(), Errno> {
        let mut state = self.state();
        let (from, to) = (state.path(from.0)?.join(from.1), state.path(to.0)?.join(to.1));
        fs::rename(&from, &to)?;
        if let Some(replaced) = state.ids.remove(&to) {
            state.nodes.remove(&replaced);
        }
        if let Some(id) = state.ids.remove(&from) {
            state.ids.insert(to.clone(), id);
            state.nodes.entry(id).and_modify(|node| node.path = to);
        }
        Ok(())
    }

    /// The names in a directory.
    pub(super) fn list(&self, id: Id) -> Result<Vec<(Attributes, std::ffi::OsString)>, Errno> {
        let mut state = self.state();
        let path = state.path(id)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&path)? {
            let name = entry?.file_name();
            if let Ok(attributes) = state.identify(&path.join(&name)) {
                names.push((attributes, name));
            }
        }
        Ok(names)
    }

    pub(super) fn read(&self, id: Id, offset: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let file = self.state().file(id)?;
        let mut bytes = vec![0; length];
        let mut got = 0;
        while let Some(rest) = bytes.get_mut(got..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + got as u64)? {
                0 => break,
                read => got += read,
            }
        }
        bytes.truncate(got);
        Ok(bytes)
    }

    pub(super) fn write(&self, id: Id, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let file = self.state().file(id)?;
        file.write_all_at(bytes, offset)?;
        self.state().changed(id);
        Ok(())
    }

    pub(super) fn truncate(&self, id: Id, length: u64) -> Result<(), Errno> {
        let file = self.state().file(id)?;
        file.set_len(length)?;
        self.state().changed(id);
        Ok(())
    }

    pub(super) fn set_mode(&self, id: Id, mode: u32) -> Result<(), Errno> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.state().path(id)?;
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777))?)
    }

    /// Takes a lock of the whole file, for all clients, in place of the one that the holder may
    /// have.
    pub(super) fn lock(&self, file: Id, holder: Holder, shared: bool) -> Result<(), Errno> {
        let mut state = self.state();
        state.path(file)?;
        let others = |lock: &&Lock| lock.file == file && lock.holder != holder;
        if state.locks.iter().filter(others).any(|lock| !(shared && lock.shared)) {
            return Err(Errno::EAGAIN);
        }
        state.locks.retain(|lock| lock.file != file || lock.holder != holder);
        state.locks.push(Lock { file, holder, shared });
        Ok(())
    }

    pub(super) fn unlock(&self, file: Id, holder: Holder) {
        self.state().locks.retain(|lock| lock.file != file || lock.holder != holder);
    }
}

impl State {
    /// Where a file is, if it is still that file.
    fn path(&self, id: Id) -> Result<PathBuf, Errno> {
        let node = self.nodes.get(&id).ok_or(Errno::ESTALE)?;
        match fs::symlink_metadata(&node.path) {
            Ok(found) if found.ino() == node.inode => Ok(node.path.clone()),
            _ => Err(Errno::ESTALE),
        }
    }

    fn identify(&mut self, path: &Path) -> Result<Attributes, Errno> {
        let metadata = fs::symlink_metadata(path)?;
        let known = self.ids.get(path).copied();
        let known = known.filter(|id| self.nodes.get(id).is_some_and(|node| node.inode == metadata.ino()));
        let id = known.unwrap_or_else(|| {
            let id = self.next;
            self.next += 1;
            self.ids.insert(path.to_owned(), id);
            let node = Node { path: path.to_owned(), inode: metadata.ino(), version: 0 };
            self.nodes.insert(id, node);
            id
        });
        let count = self.nodes.get(&id).map_or(0, |node| node.version);
        let version = (count, metadata.mtime_nsec(), metadata.size());
        Ok(Attributes { id, metadata, version })
    }

    /// Opens a file for one call: kept open, the files of a store would be more than a process may
    /// have.
    fn file(&self, id: Id) -> Result<File, Errno> {
        Ok(OpenOptions::new().read(true).write(true).open(self.path(id)?)?)
    }

    fn changed(&mut self, id: Id) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.version += 1;
        }
    }
}

fn nofollow() -> i32 {
    rustix::fs::OFlags::NOFOLLOW.bits().cast_signed()
}
