//! The file `root`: where a process that knows nothing finds the log.
//!
//! It names a segment of the log, the newest one but for a moment after each rotation; the seals of
//! the segments lead on from there. Two slots are written in turn, so that a torn write leaves the
//! other.
//!
//! ```text
//! magic  16
//! slot   32  number 8, nonce 16, CRC-32 of both 4, zeros 4
//! slot   32
//! ```

use rustix::io::Errno;

use super::segment::{self, MAGIC};
use crate::backend::dir::fs::{Fault, FileId, FileKind, OpenFile, Site, foreign};
use crate::bytes::{Malformed, Reader, Writer};

const SLOT: usize = 32;
const LENGTH: usize = MAGIC.len() + 2 * SLOT;

/// The segment that the root names; `None` if the namespace is not set up.
pub(super) fn read(site: &Site) -> Result<Option<FileId>, Fault> {
    match site.root() {
        Ok(open) => named(&open),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The segment that an open root names.
pub(super) fn named(open: &OpenFile) -> Result<Option<FileId>, Fault> {
    let mut bytes = Vec::new();
    open.read_more(&mut bytes, 0, LENGTH)?;
    if bytes.len() < LENGTH {
        // Whoever sets it up writes all at once.
        return if MAGIC.starts_with(&bytes) || bytes.starts_with(&MAGIC) {
            Ok(None)
        } else {
            Err(foreign("the file 'root' was not written by Larder"))
        };
    }
    if segment::is_another_version(&bytes) {
        return Err(foreign("the files are those of another version of Larder"));
    }
    let slots = bytes.get(MAGIC.len()..).unwrap_or_default().chunks_exact(SLOT);
    let newest = slots.filter_map(|slot| read_slot(slot).ok()).max_by_key(|file| file.number);
    if newest.is_none() && !bytes.starts_with(&MAGIC) {
        return Err(foreign("the file 'root' was not written by Larder"));
    }
    Ok(newest)
}

fn read_slot(bytes: &[u8]) -> Result<FileId, Malformed> {
    let mut input = Reader::new(bytes);
    let (number, nonce, check) = (input.u64()?, input.u128()?, input.u32()?);
    let sound = bytes.get(..24).is_some_and(|bytes| check == crc32fast::hash(bytes)) && number > 0;
    if sound { Ok(FileId { kind: FileKind::Log, number, nonce }) } else { Err(Malformed) }
}

fn slot(segment: FileId) -> Vec<u8> {
    let mut out = Writer::default();
    out.u64(segment.number);
    out.u128(segment.nonce);
    out.u32(crc32fast::hash(&out.0));
    out.0.resize(SLOT, 0);
    out.0
}

/// Writes a root that names its first segment.
pub(super) fn write_first(open: &OpenFile, segment: FileId) -> Result<(), Fault> {
    let mut bytes = MAGIC.to_vec();
    for turn in 0..2 {
        bytes.append(&mut if segment.number % 2 == turn { slot(segment) } else { vec![0; SLOT] });
    }
    open.write_at(&bytes, 0)?;
    Ok(open.sync()?)
}

/// Makes the root name a later segment; under its lock, so that it never goes back.
pub(super) fn advance(open: &OpenFile, segment: FileId) -> Result<(), Fault> {
    if named(open)?.is_some_and(|named| named.number >= segment.number) {
        return Ok(());
    }
    let place = MAGIC.len() as u64 + (segment.number % 2) * SLOT as u64;
    open.write_at(&slot(segment), place)?;
    Ok(open.sync()?)
}
