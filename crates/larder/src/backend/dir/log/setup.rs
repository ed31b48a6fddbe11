//! Beginning a log where there is none, or none that can be read.

use rustix::io::Errno;

use super::root;
use super::segment::SegmentHeader;
use crate::backend::dir::fs::{Deadline, Fault, FileId, FileKind, Hold, Site, foreign};
use crate::random::random;

/// Bytes that a segment asks the filesystem to keep ready, so that deletes and purges still go
/// through when the disk is full. Where that cannot be asked for, nothing is lost but this.
const RESERVED: u64 = 256 << 10;

/// Sets the namespace up, unless somebody else just did.
pub(super) fn set_up(site: &Site, deadline: Deadline) -> Result<(), Fault> {
    let root = Hold::lock(site.root_or_new()?, deadline)?;
    if root::named(root.open())?.is_some() {
        return Ok(());
    }
    let (files, unknown) = site.list()?;
    if let Some(name) = unknown {
        return Err(foreign(format!("'{name}' was not written by Larder")));
    }
    let segment = begin(site, &files, 0, deadline)?;
    root::write_first(root.open(), segment)?;
    Ok(site.sync()?)
}

/// Begins a new history after a segment that cannot be read, unless the root leads past it by now.
pub(super) fn replace(site: &Site, damaged: FileId, deadline: Deadline) -> Result<(), Fault> {
    site.must_be_own()?;
    let root = Hold::lock(site.root_to_write()?, deadline)?;
    let Some(named) = root::named(root.open())? else { return Ok(()) };
    if named != damaged && named.number >= damaged.number {
        return Ok(());
    }
    let segment = begin(site, &site.list()?.0, named.number, deadline)?;
    site.sync()?;
    root::advance(root.open(), segment)
}

/// Makes the root name a segment.
pub(super) fn advance_root(site: &Site, segment: FileId, deadline: Deadline) -> Result<(), Fault> {
    let root = Hold::lock(site.root_to_write()?, deadline)?;
    root::advance(root.open(), segment)
}

/// Creates a segment of the log that continues at `base`.
pub(super) fn create_segment(
    site: &Site,
    segment: FileId,
    incarnation: u128,
    base: u64,
    checkpoint: Option<FileId>,
) -> Result<(), Errno> {
    let open = site.create(segment)?;
    let _ = open.reserve(RESERVED);
    let inode = open.look()?.st_ino;
    let header = SegmentHeader { incarnation, base, inode, checkpoint };
    open.write_at(&header.write(segment), 0)?;
    open.sync()
}

/// Ends what is left of a log from a segment on, so that nobody goes on with it, and creates the
/// first segment of another.
fn begin(site: &Site, files: &[FileId], from: u64, deadline: Deadline) -> Result<FileId, Fault> {
    let mut last = from;
    for file in files {
        last = last.max(file.number);
        if file.kind == FileKind::Log && file.number >= from {
            retire(site, *file, deadline)?;
        }
    }
    let segment = FileId::new(FileKind::Log, last + 1)?;
    create_segment(site, segment, u128::from_le_bytes(random()?), 0, None)?;
    Ok(segment)
}

/// Ends a segment without a seal. Who still follows it finds its anchor gone, also under the append
/// lock, and begins anew at the root.
fn retire(site: &Site, segment: FileId, deadline: Deadline) -> Result<(), Fault> {
    match site.write(segment) {
        Ok(open) => {
            let hold = Hold::lock(open, deadline)?;
            hold.open().truncate(0)?;
            hold.open().sync()?;
        }
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    }
    site.remove(segment).or_else(|errno| if errno == Errno::NOENT { Ok(()) } else { Err(errno.into()) })
}
