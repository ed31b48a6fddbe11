//! Numbers and byte strings in files: little-endian, strings behind their length.

use super::names::{FileId, Kind};

/// Writes to the end of a buffer.
#[derive(Default)]
pub(super) struct Out(pub(super) Vec<u8>);

impl Out {
    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u128(&mut self, value: u128) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A count or length; nothing that is written has more than 4 Gi of anything.
    pub(super) fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn optional_file(&mut self, file: Option<FileId>) {
        match file {
            None => self.u8(0),
            Some(file) => self.file(file),
        }
    }

    pub(super) fn file(&mut self, file: FileId) {
        self.u8(file.kind as u8);
        self.u64(file.number);
        self.u128(file.nonce);
    }
}

/// Reads from the start of a slice; `None` where it ends too early or says what cannot be.
pub(super) struct In<'a> {
    rest: &'a [u8],
    taken: usize,
}

impl<'a> In<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, taken: 0 }
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        self.taken += N;
        Some(*first)
    }

    /// Bytes taken so far.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        Some(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn u128(&mut self) -> Option<u128> {
        Some(u128::from_le_bytes(self.array()?))
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let (first, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        self.taken += length;
        Some(first)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn file(&mut self) -> Option<FileId> {
        let kind = Kind::from_byte(self.u8()?)?;
        Some(FileId { kind, number: self.u64()?, nonce: self.u128()? })
    }

    /// Takes the zero byte that stands where there is no file; says whether it was there.
    pub(super) fn no_file(&mut self) -> bool {
        match self.rest.split_first() {
            Some((0, rest)) => {
                self.rest = rest;
                self.taken += 1;
                true
            }
            _ => false,
        }
    }
}
