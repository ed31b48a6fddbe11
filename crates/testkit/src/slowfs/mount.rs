//! The FUSE side of a mount: each call to the server costs a delay and may meet a fault.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request as Caller, TimeOrNow, WriteFlags,
};

use super::client::Caches;
use super::faults::{Faults, Request};
use super::server::{Attributes, Holder, Id, ROOT, Server};

/// The most that one request carries, as `rsize` and `wsize` of NFS.
const TRANSFER: usize = 1 << 20;

/// What a mount shares with those who steer it.
pub(super) struct Shared {
    pub(super) server: Arc<Server>,
    pub(super) caches: Caches,
    pub(super) faults: Faults,
    pub(super) delay: Duration,
    /// How long names and attributes are believed.
    pub(super) attribute_cache: Duration,
    pub(super) client: u64,
    pub(super) requests: AtomicU64,
    pub(super) handles: AtomicU64,
}

/// Kinds of locks, `F_RDLCK` and `F_UNLCK`.
const SHARED: i32 = 0;
const UNLOCK: i32 = 2;

pub(super) struct Mount(pub(super) Arc<Shared>);

impl Shared {
    /// One round trip to the server.
    fn trip(&self, request: Request) -> Result<(), Errno> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if !self.delay.is_zero() {
            std::thread::sleep(self.delay);
        }
        self.faults.meet(request).map_or(Ok(()), Err)
    }

    fn flush(&self, id: Id, handle: FileHandle) -> Result<(), Errno> {
        if !self.caches.waits(id, handle.0) {
            return Ok(());
        }
        let fault = self.trip(Request::Write).err();
        self.caches.flush(&self.server, id, fault)
    }

    fn holder(&self, handle: FileHandle) -> Holder {
        Holder { client: self.client, handle: handle.0 }
    }

    fn lookup(&self, parent: INodeNo, name: &OsStr) -> Result<Attributes, Errno> {
        self.trip(Request::Look)?;
        self.server.lookup(parent.0, name)
    }

    fn getattr(&self, id: INodeNo) -> Result<Attributes, Errno> {
        self.trip(Request::Look)?;
        self.server.attributes(id.0)
    }

    fn open(&self, id: INodeNo) -> Result<FileHandle, Errno> {
        self.trip(Request::Open)?;
        self.caches.opened(&self.server.attributes(id.0)?);
        Ok(self.handle())
    }

    fn handle(&self) -> FileHandle {
        FileHandle(self.handles.fetch_add(1, Ordering::Relaxed))
    }

    fn create(&self, parent: INodeNo, name: &OsStr, mode: u32, flags: i32) -> Result<Attributes, Errno> {
        self.trip(Request::Create)?;
        let exclusive = flags & rustix::fs::OFlags::EXCL.bits().cast_signed() != 0;
        let attributes = self.server.create(parent.0, name, mode, exclusive)?;
        self.caches.opened(&attributes);
        Ok(attributes)
    }

    fn read(&self, id: INodeNo, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        self.caches.read(&self.server, id.0, offset, size.into(), || self.trip(Request::Read))
    }

    fn set(
        &self,
        id: INodeNo,
        handle: Option<FileHandle>,
        mode: Option<u32>,
        size: Option<u64>,
    ) -> Result<Attributes, Errno> {
        if let Some(handle) = handle {
            self.flush(id.0, handle)?;
        }
        self.trip(Request::Create)?;
        if let Some(size) = size {
            self.server.truncate(id.0, size)?;
        }
        if let Some(mode) = mode {
            self.server.set_mode(id.0, mode)?;
        }
        let attributes = self.server.attributes(id.0)?;
        self.caches.locked(&attributes);
        Ok(attributes)
    }

    fn set_lock(&self, id: INodeNo, handle: FileHandle, kind: i32) -> Result<(), Errno> {
        if kind == UNLOCK {
            self.flush(id.0, handle)?;
            self.trip(Request::Look)?;
            self.server.unlock(id.0, self.holder(handle));
            return Ok(());
        }
        self.trip(Request::Lock)?;
        self.server.lock(id.0, self.holder(handle), kind == SHARED)?;
        self.flush(id.0, handle)?;
        self.caches.locked(&self.server.attributes(id.0)?);
        Ok(())
    }
}

fn attr(attributes: &Attributes) -> FileAttr {
    let metadata = &attributes.metadata;
    let kind = FileType::from_std(metadata.file_type()).unwrap_or(FileType::RegularFile);
    let time = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    FileAttr {
        ino: INodeNo(attributes.id),
        size: metadata.len(),
        blocks: metadata.blocks(),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm: u16::try_from(metadata.mode() & 0o7777).unwrap_or_default(),
        nlink: 1,
        uid: metadata.uid(),
        gid: metadata.gid(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

/// What is served must not be kept by the kernel, which caches by other rules than NFS.
const UNCACHED: FopenFlags = FopenFlags::FOPEN_DIRECT_IO;

fn done(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

impl Filesystem for Mount {
    fn init(&mut self, _: &Caller, config: &mut KernelConfig) -> io::Result<()> {
        let _ = config.add_capabilities(InitFlags::FUSE_POSIX_LOCKS | InitFlags::FUSE_FLOCK_LOCKS);
        let _ = config.set_max_write(u32::try_from(TRANSFER).unwrap_or(u32::MAX));
        Ok(())
    }

    fn lookup(&self, _: &Caller, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let shared = &self.0;
        match shared.lookup(parent, name) {
            Ok(found) => reply.entry(&shared.attribute_cache, &attr(&found), Generation(0)),
            // That a name is not there is believed, too.
            Err(errno) if errno.code() == Errno::ENOENT.code() => match shared.server.attributes(ROOT) {
                Ok(any) => {
                    let none = FileAttr { ino: INodeNo(0), ..attr(&any) };
                    reply.entry(&shared.attribute_cache, &none, Generation(0));
                }
                Err(errno) => reply.error(errno),
            },
            Err(errno) => reply.error(errno),
        }
    }

    fn getattr(&self, _: &Caller, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.0.getattr(ino) {
            Ok(found) => reply.attr(&self.0.attribute_cache, &attr(&found)),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _: &Caller,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        match self.0.set(ino, handle, mode, size) {
            Ok(found) => reply.attr(&self.0.attribute_cache, &attr(&found)),
            Err(errno) => reply.error(errno),
        }
    }

    fn mkdir(&self, _: &Caller, parent: INodeNo, name: &OsStr, permissions: u32, _: u32, reply: ReplyEntry) {
        let shared = &self.0;
        let created = shared
            .trip(Request::Create)
            .and_then(|()| shared.server.make_directory(parent.0, name, permissions));
        match created {
            Ok(found) => reply.entry(&shared.attribute_cache, &attr(&found), Generation(0)),
            Err(errno) => reply.error(errno),
        }
    }

    fn unlink(&self, _: &Caller, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.0.trip(Request::Remove).and_then(|()| self.0.server.remove(parent.0, name, false));
        done(reply, removed);
    }

    fn rmdir(&self, _: &Caller, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.0.trip(Request::Remove).and_then(|()| self.0.server.remove(parent.0, name, true));
        done(reply, removed);
    }

    fn rename(
        &self,
        _: &Caller,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = self.0.trip(Request::Create);
        done(reply, renamed.and_then(|()| self.0.server.rename((parent.0, name), (new_parent.0, new_name))));
    }

    fn open(&self, _: &Caller, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.0.open(ino) {
            Ok(handle) => reply.opened(handle, UNCACHED),
            Err(errno) => reply.error(errno),
        }
    }

    fn create(
        &self,
        _: &Caller,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let shared = &self.0;
        match shared.create(parent, name, mode, flags) {
            Ok(found) => {
                reply.created(
                    &shared.attribute_cache,
                    &attr(&found),
                    Generation(0),
                    shared.handle(),
                    UNCACHED,
                );
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Caller,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.read(ino, offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _: &Caller,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.0.caches.write(ino.0, handle.0, offset, data);
        reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX));
    }

    fn flush(&self, _: &Caller, ino: INodeNo, handle: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        done(reply, self.0.flush(ino.0, handle));
    }

    fn release(
        &self,
        _: &Caller,
        ino: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        // A process that is killed does not wait for its `flush`: what it wrote is sent now, before
        // another may lock.
        let _ = self.0.flush(ino.0, handle);
        // The locks of a descriptor end with it. The kernel says so for its own kinds of locks
        // only.
        self.0.server.unlock(ino.0, self.0.holder(handle));
        reply.ok();
    }

    fn fsync(&self, _: &Caller, ino: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        done(reply, self.0.flush(ino.0, handle));
    }

    fn fsyncdir(&self, _: &Caller, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn readdir(&self, _: &Caller, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = if offset == 0 { self.0.trip(Request::Look) } else { Ok(()) };
        let mut names = match listed.and_then(|()| self.0.server.list(ino.0)) {
            Ok(names) => names,
            Err(errno) => return reply.error(errno),
        };
        // By number, which never changes, so that a listing can be continued while files come and
        // go.
        names.sort_by_key(|(attributes, _)| attributes.id);
        for (attributes, name) in names.iter().filter(|(attributes, _)| attributes.id > offset) {
            let kind = attr(attributes).kind;
            if reply.add(INodeNo(attributes.id), attributes.id, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Caller, _: INodeNo, reply: ReplyStatfs) {
        match self.0.trip(Request::Look) {
            Ok(()) => reply.statfs(1 << 30, 1 << 29, 1 << 29, 1 << 20, 1 << 19, 4096, 255, 4096),
            Err(errno) => reply.error(errno),
        }
    }

    fn setlk(
        &self,
        _: &Caller,
        ino: INodeNo,
        handle: FileHandle,
        _: LockOwner,
        _: u64,
        _: u64,
        kind: i32,
        _: u32,
        _: bool,
        reply: ReplyEmpty,
    ) {
        done(reply, self.0.set_lock(ino, handle, kind));
    }
}
