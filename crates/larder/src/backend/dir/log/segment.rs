//! The beginning of a segment of the log.
//!
//! ```text
//! magic        16
//! check         4  CRC-32 of the rest of the header
//! incarnation  16
//! base          8  what the offsets of the segments before sum up to
//! inode         8  of this file: a copy of it has another
//! checkpoint   25  the file, or a zero byte and zeros
//! nonce        16  of the file's name; records follow
//! ```

use crate::backend::dir::fs::{Fault, FileId};
use crate::bytes::{Malformed, Reader, Writer};
use crate::contract::Position;

/// The length of the header.
pub(super) const HEADER: usize = 96;
const NONCE_AT: usize = HEADER - 16;

/// What files of this version begin with; the number is the version.
pub(super) const MAGIC: [u8; 16] = *b"larder dir v1\n\0\0";
const FAMILY: usize = 12;

/// What a segment begins with.
pub(super) struct SegmentHeader {
    pub(super) incarnation: u128,
    pub(super) base: u64,
    pub(super) inode: u64,
    pub(super) checkpoint: Option<FileId>,
}

impl SegmentHeader {
    pub(super) fn write(&self, segment: FileId) -> Vec<u8> {
        let mut rest = Writer::default();
        rest.u128(self.incarnation);
        rest.u64(self.base);
        rest.u64(self.inode);
        FileId::write_optional(self.checkpoint, &mut rest);
        rest.0.resize(NONCE_AT - 20, 0);
        rest.u128(segment.nonce);
        let mut out = Writer(MAGIC.to_vec());
        out.u32(crc32fast::hash(&rest.0));
        out.0.append(&mut rest.0);
        out.0
    }

    /// Reads the header of a file that is there.
    pub(super) fn read(bytes: &[u8], segment: FileId) -> Result<Self, Fault> {
        // Which version it is, the root has said.
        if !bytes.starts_with(&MAGIC) {
            return Err(Fault::Lost);
        }
        let rest = bytes.get(20..HEADER).ok_or(Fault::Lost)?;
        let mut input = Reader::new(bytes.get(16..).unwrap_or_default());
        if input.u32() != Ok(crc32fast::hash(rest)) || !rest.ends_with(&segment.nonce.to_le_bytes()) {
            return Err(Fault::Lost);
        }
        Self::fields(&mut input).map_err(|Malformed| Fault::Lost)
    }

    fn fields(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            incarnation: input.u128()?,
            base: input.u64()?,
            inode: input.u64()?,
            checkpoint: FileId::read_optional(input)?,
        })
    }

    /// The position of a log that begins with this segment.
    pub(super) fn first_position(&self, segment: FileId) -> Position {
        let id = u128::from(self.base) + HEADER as u128;
        Position { incarnation: self.incarnation, id, nonce: segment.nonce }
    }
}

/// Whether a file begins as those of another version do, whose number is not zero.
pub(super) fn is_another_version(bytes: &[u8]) -> bool {
    let Some((family, rest)) = bytes.split_at_checked(FAMILY) else { return false };
    let Some(rest) = rest.get(..MAGIC.len() - FAMILY) else { return false };
    let mut parts = rest.splitn(2, |byte| *byte == b'\n');
    let (number, zeros) = (parts.next().unwrap_or_default(), parts.next());
    let is_number =
        number.first().is_some_and(|first| *first != b'0') && number.iter().all(u8::is_ascii_digit);
    MAGIC.starts_with(family)
        && is_number
        && zeros.is_some_and(|zeros| zeros.iter().all(|byte| *byte == 0))
        && !bytes.starts_with(&MAGIC)
}
