//! The end of the log as one process knows it: up to a record, with the replica that the records
//! make.

use rustix::io::Errno;

use super::frame::{self, NONCE, Next};
use super::segment::{self, SegmentHeader};
use super::setup;
use crate::backend::dir::fs::{self, Fault, FileId, FileKind, NAME, OpenFile, Site, foreign};
use crate::backend::dir::replica::{CarryOver, FileNumber, Replica, Seal, Standing, seal_body};
use crate::bytes::Malformed;
use crate::clock::boot_millis;
use crate::contract::Position;
use crate::error::Error;
use crate::random::random;

/// What a sync reads beyond the record it knows: enough for what happens between two requests.
const WINDOW: usize = 64 << 10;
/// What it reads at once when there is more.
const LARGE_WINDOW: usize = 1 << 20;

/// What is known of the log.
pub(crate) struct LogTail {
    /// The segment that is appended to, as far as known.
    segment: FileId,
    incarnation: u128,
    /// What the offsets of the segments before sum up to.
    base: u64,
    /// Where the newest known record of the segment ends.
    end: u64,
    /// Its nonce.
    last: u128,
    replica: Replica,
    /// Bytes of the checkpoint that the segment begins with.
    checkpoint_bytes: u64,
    /// Whether what a torn write left stands behind the newest record.
    torn: bool,
}

/// A part of a file that was read on the way.
pub(crate) struct Chunk {
    pub(crate) file: FileNumber,
    pub(crate) start: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Why a record is not there.
pub(crate) enum Commit {
    /// It is surely not there.
    Undone(Fault),
    /// It may be there.
    Unknown(Error),
}

impl From<Commit> for Fault {
    fn from(commit: Commit) -> Self {
        match commit {
            Commit::Undone(fault) => fault,
            Commit::Unknown(error) => Error::unavailable(NAME, error).into(),
        }
    }
}

impl From<Fault> for Commit {
    fn from(fault: Fault) -> Self {
        Self::Undone(fault)
    }
}

impl LogTail {
    /// Reads the beginning of a segment and the checkpoint that it names. Also says whether the
    /// file is the one that Larder created, not a copy of it.
    pub(super) fn load(site: &Site, segment: FileId) -> Result<(Self, bool), Fault> {
        let (header, original) = {
            let open = site.read(segment)?;
            let inode = open.look()?.st_ino;
            let mut bytes = Vec::new();
            open.read_more(&mut bytes, 0, segment::HEADER)?;
            let header = SegmentHeader::read(&bytes, segment)?;
            let original = inode == header.inode;
            (header, original)
        };
        let first = header.first_position(segment);
        let (mut replica, mut checkpoint_bytes) = (None, 0);
        if let Some(file) = header.checkpoint {
            let mut bytes = Vec::new();
            // The segment is there and names it: if it is not, history was lost.
            let open = site.read(file).map_err(|errno| match errno {
                Errno::NOENT => Fault::Lost,
                errno => errno.into(),
            })?;
            while open.read_more(&mut bytes, checkpoint_bytes, LARGE_WINDOW)? == LARGE_WINDOW {
                checkpoint_bytes = bytes.len() as u64;
            }
            checkpoint_bytes = bytes.len() as u64;
            let restored = Replica::restore(&bytes, first, boot_millis());
            replica = Some(restored.map_err(|Malformed| Fault::Lost)?);
        }
        let mut replica = replica.unwrap_or_else(|| Replica::new(first, boot_millis()));
        let end = segment::HEADER as u64;
        replica.begin_segment(segment, end);
        let tail = Self {
            segment,
            incarnation: header.incarnation,
            base: header.base,
            end,
            last: segment.nonce,
            replica,
            checkpoint_bytes,
            torn: false,
        };
        Ok((tail, original))
    }

    /// The place of the newest known record in the whole log.
    pub(super) fn id(&self) -> u128 {
        u128::from(self.base) + u128::from(self.end)
    }

    pub(crate) fn segment(&self) -> FileId {
        self.segment
    }

    pub(crate) fn incarnation(&self) -> u128 {
        self.incarnation
    }

    /// Bytes of the segment.
    pub(crate) fn bytes(&self) -> u64 {
        self.end
    }

    /// Bytes of the checkpoint that the segment begins with.
    pub(crate) fn checkpoint_bytes(&self) -> u64 {
        self.checkpoint_bytes
    }

    pub(crate) fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Reads what is new in the open segment: from the newest known record on, which must still be
    /// there (R1). What was read goes to `chunks`. Gives the seal if the segment ended.
    ///
    /// Without the lock, a record that is just being written may look like damage.
    pub(super) fn read_tail(
        &mut self,
        open: &OpenFile,
        chunks: &mut Vec<Chunk>,
    ) -> Result<Option<Seal>, Fault> {
        let mut offset = self.end - NONCE as u64;
        let mut bytes = Vec::new();
        let mut more = open.read_more(&mut bytes, offset, WINDOW)? == WINDOW;
        if bytes.first_chunk() != Some(&self.last.to_le_bytes()) {
            return Err(Fault::Lost);
        }
        let mut at = NONCE;
        let seal = loop {
            match frame::next(&bytes, at, self.end, self.last) {
                Next::Record { body, nonce } => {
                    at = body.end + NONCE;
                    let seal = self.take_in(bytes.get(body).unwrap_or_default(), nonce)?;
                    if seal.is_some() {
                        break seal;
                    }
                }
                Next::Part if more => {
                    let read = offset + bytes.len() as u64;
                    if bytes.len() > 8 * LARGE_WINDOW && at > bytes.len() / 2 {
                        // A long log is not kept in memory as a whole.
                        let rest = bytes.split_off(at);
                        offset += at as u64;
                        at = 0;
                        bytes = rest;
                    }
                    more = open.read_more(&mut bytes, read, LARGE_WINDOW)? == LARGE_WINDOW;
                }
                Next::Part | Next::End => {
                    self.torn = at < bytes.len();
                    while more && self.torn {
                        let read = offset + bytes.len() as u64;
                        more = open.read_more(&mut bytes, read, LARGE_WINDOW)? == LARGE_WINDOW;
                    }
                    if self.torn && frame::is_damage(&bytes, at, self.end, self.last) {
                        return Err(Fault::Damaged);
                    }
                    break None;
                }
            }
        };
        chunks.push(Chunk { file: self.replica.index().segment(), start: offset, bytes });
        Ok(seal)
    }

    /// Appends one record, under the lock, and takes it in.
    pub(super) fn append(&mut self, open: &OpenFile, body: &[u8]) -> Result<(), Commit> {
        let nonce = random().map_err(|error| Commit::Undone(error.into()))?;
        let nonce = u128::from_le_bytes(nonce);
        let frame = frame::frame(body, self.end, self.last, nonce);
        if std::mem::take(&mut self.torn) {
            // So that nothing but whole records stands behind this one.
            open.truncate(self.end).map_err(|errno| Commit::Undone(fs::error(errno).into()))?;
        }
        if let Err(errno) = open.write_at(&frame, self.end).and_then(|()| open.sync()) {
            // A part of it, or all, may be there: take it back, so that the refusal is true.
            let error = fs::error(errno);
            return Err(match open.truncate(self.end).and_then(|()| open.sync()) {
                Ok(()) => Commit::Undone(error.into()),
                Err(_) => Commit::Unknown(error),
            });
        }
        self.take_in(body, nonce)?;
        Ok(())
    }

    /// Creates the segment that follows this one, and its checkpoint. Gives the body of the record
    /// that leads there.
    pub(super) fn prepare_next(&mut self, site: &Site, keep: CarryOver) -> Result<(Seal, Vec<u8>), Fault> {
        let number = self.segment.number + 1;
        let content = self.replica.checkpoint(keep);
        let incarnation = match keep {
            CarryOver::Everything => self.incarnation,
            CarryOver::Unlogged | CarryOver::Nothing => u128::from_le_bytes(random()?),
        };
        let (successor, checkpoint) =
            (FileId::new(FileKind::Log, number)?, FileId::new(FileKind::Index, number)?);
        let seal = Seal { successor, incarnation, checkpoint_bytes: content.len() as u64 };
        let body = seal_body(seal);
        let base = self.base + self.end + frame::OVERHEAD + body.len() as u64;
        site.create_with(checkpoint, &content)?;
        setup::create_segment(site, successor, incarnation, base, Some(checkpoint))?;
        site.sync()?;
        Ok((seal, body))
    }

    /// Goes on in the next segment, which continues the same history.
    pub(super) fn go_on(&mut self, seal: Seal) {
        self.base += self.end;
        self.segment = seal.successor;
        self.end = segment::HEADER as u64;
        self.last = seal.successor.nonce;
        self.replica.begin_segment(seal.successor, self.end);
        self.checkpoint_bytes = seal.checkpoint_bytes;
    }

    /// Takes in the next record, given its body.
    fn take_in(&mut self, body: &[u8], nonce: u128) -> Result<Option<Seal>, Fault> {
        let begin = self.end + frame::BEFORE_BODY;
        self.end += frame::OVERHEAD + body.len() as u64;
        self.last = nonce;
        let position = Position { incarnation: self.incarnation, id: self.id(), nonce };
        let at = Standing { body: begin, end: self.end, position };
        self.replica
            .take_in(body, at, boot_millis())
            .map_err(|Malformed| foreign("the log has records of another version"))
    }
}
