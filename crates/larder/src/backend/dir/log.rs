//! The log as one process knows it: up to a record, with the index and the history that it makes.

use std::path::Path;

use rustix::io::Errno;

use super::checkpoint::{self, Checkpoint};
use super::failure::{Fault, foreign};
use super::files::{Files, Opened};
use super::history::History;
use super::index::{FileNumber, Index};
use super::lock_table::LockTable;
use super::names::FileId;
use super::record::{self, Body, NONCE, Next, Seal};
use super::segment::{self, Header};
use crate::contract::Position;

/// What a sync reads beyond the record it knows: enough for what happens between two requests.
const WINDOW: usize = 64 << 10;
/// What it reads at once when there is more.
const LARGE_WINDOW: usize = 1 << 20;

/// What is known of the log.
pub(super) struct Log {
    /// The segment that is appended to, as far as known.
    pub(super) segment: FileId,
    /// Its place in the index.
    pub(super) number: FileNumber,
    pub(super) incarnation: u128,
    /// What the offsets of the segments before sum up to.
    pub(super) base: u64,
    /// Where the newest known record of the segment ends.
    pub(super) end: u64,
    /// Its nonce.
    pub(super) last: u128,
    pub(super) index: Index,
    pub(super) history: History,
    pub(super) locks: LockTable,
    /// Bytes of the checkpoint that the segment begins with.
    pub(super) checkpoint_bytes: u64,
    /// Whether what a torn write left stands behind the newest record.
    pub(super) torn: bool,
    /// Files and bytes of packs that records of this segment brought.
    pub(super) packs: u64,
    pub(super) pack_bytes: u64,
}

/// A part of a file that was read on the way.
pub(super) struct Chunk {
    pub(super) file: FileNumber,
    pub(super) start: u64,
    pub(super) bytes: Vec<u8>,
}

impl Log {
    /// Reads the beginning of a segment and the checkpoint that it names. Also says whether the file is the one that
    /// Larder created, not a copy of it.
    pub(super) fn load(files: &Files, site: &Path, segment: FileId) -> Result<(Self, bool), Fault> {
        let (header, original) = {
            let open = files.read(&segment.path(site))?;
            let original = open.look()?.st_ino;
            let mut bytes = Vec::new();
            open.read_more(&mut bytes, 0, segment::HEADER)?;
            let header = Header::read(&bytes, segment)?;
            let same = original == header.inode;
            (header, same)
        };
        let mut log = Self {
            segment,
            number: 0,
            incarnation: header.incarnation,
            base: header.base,
            end: segment::HEADER as u64,
            last: segment.nonce,
            index: Index::default(),
            history: History::new(header.first_position(segment)),
            locks: LockTable::new(super::now()),
            checkpoint_bytes: 0,
            torn: false,
            packs: 0,
            pack_bytes: 0,
        };
        if let Some(file) = header.checkpoint {
            let mut bytes = Vec::new();
            // The segment is there and names it: if it is not, history was lost.
            let open = files.read(&file.path(site)).map_err(|errno| match errno {
                Errno::NOENT => Fault::Lost,
                errno => errno.into(),
            })?;
            while open.read_more(&mut bytes, log.checkpoint_bytes, LARGE_WINDOW)? == LARGE_WINDOW {
                log.checkpoint_bytes = bytes.len() as u64;
            }
            log.checkpoint_bytes = bytes.len() as u64;
            let Checkpoint { index, history, locks } = checkpoint::decode(&bytes).ok_or(Fault::Lost)?;
            log.index = index;
            for change in &locks {
                log.locks.apply(change, super::now());
            }
            if history.last().incarnation == header.incarnation {
                log.history = history;
            }
        }
        log.number = log.index.add_file(segment, log.end);
        Ok((log, original))
    }

    /// The place of the newest known record in the whole log.
    pub(super) fn id(&self) -> u128 {
        u128::from(self.base) + u128::from(self.end)
    }

    /// Reads what is new in the open segment: from the newest known record on, which must still be there (R1). What
    /// was read goes to `chunks`. Gives the seal if the segment ended.
    ///
    /// Without the lock, a record that is just being written may look like damage.
    pub(super) fn read_tail(
        &mut self,
        open: &Opened<'_>,
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
            match record::next(&bytes, at, self.end, self.last) {
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
                    if self.torn && record::is_damage(&bytes, at, self.end, self.last) {
                        return Err(Fault::Damaged);
                    }
                    break None;
                }
            }
        };
        chunks.push(Chunk { file: self.number, start: offset, bytes });
        Ok(seal)
    }

    /// Takes in the next record, given its body.
    pub(super) fn take_in(&mut self, body: &[u8], nonce: u128) -> Result<Option<Seal>, Fault> {
        let body_at = self.end + record::BEFORE_BODY;
        self.end += record::OVERHEAD + body.len() as u64;
        self.last = nonce;
        let read = record::read(body).ok_or_else(|| foreign("the log has records of another version"))?;
        match read {
            Body::Ops { caches, pack, changes } => {
                if let Some((_, bytes)) = pack {
                    self.packs += 1;
                    self.pack_bytes += bytes;
                }
                let listed = self.index.apply(self.number, body_at, &caches, pack, &changes);
                if !listed.is_empty() {
                    let position = Position { incarnation: self.incarnation, id: self.id(), nonce };
                    self.history.push(position, listed);
                }
            }
            Body::Trim { below, expired } => self.index.trim(self.number, below, expired),
            Body::Locks(changes) => changes.iter().for_each(|change| self.locks.apply(change, super::now())),
            Body::Seal(seal) => return Ok(Some(seal)),
        }
        self.index.set_bytes(self.number, self.end);
        Ok(None)
    }

    /// Goes on in the next segment, which continues the same history.
    pub(super) fn go_on(&mut self, seal: Seal) {
        self.index.set_bytes(self.number, self.end);
        self.index.drop_if_empty(self.number);
        self.base += self.end;
        self.segment = seal.successor;
        self.end = segment::HEADER as u64;
        self.last = seal.successor.nonce;
        self.number = self.index.add_file(seal.successor, self.end);
        (self.packs, self.pack_bytes) = (0, 0);
        self.checkpoint_bytes = seal.checkpoint_bytes;
    }
}
