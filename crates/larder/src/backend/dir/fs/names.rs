//! The files of a namespace, and what they are called.
//!
//! A name is used once: its nonce is random. So no node can take a file for one that it has cached
//! under the same name (R19). Its number is that of the log segment that was current when the file
//! was created; cleaning goes by it, not by any clock.

use std::path::{Path, PathBuf};

use crate::bytes::{Malformed, Reader, Writer};
use crate::error::Result;
use crate::random::random;

/// The file that says where the log is; the only one whose name is fixed.
pub(super) const ROOT: &str = "root";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FileKind {
    /// A segment of the log, with the small entries in it.
    Log = 1,
    /// Larger entries, those of one write.
    Pack = 2,
    /// The index as it stood where a segment begins.
    Index = 3,
}

impl FileKind {
    const ALL: [(Self, &'static str); 3] = [(Self::Log, "log"), (Self::Pack, "pack"), (Self::Index, "index")];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().map(|(kind, _)| kind).find(|kind| *kind as u8 == byte)
    }

    fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }
}

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    pub(crate) kind: FileKind,
    pub(crate) number: u64,
    pub(crate) nonce: u128,
}

impl FileId {
    /// A file that is not there yet.
    ///
    /// # Errors
    /// If the operating system has no random numbers.
    pub(crate) fn new(kind: FileKind, number: u64) -> Result<Self> {
        Ok(Self { kind, number, nonce: u128::from_le_bytes(random()?) })
    }

    pub(crate) fn write(self, out: &mut Writer) {
        out.u8(self.kind as u8);
        out.u64(self.number);
        out.u128(self.nonce);
    }

    /// Writes a zero byte where there is no file.
    pub(crate) fn write_optional(file: Option<Self>, out: &mut Writer) {
        match file {
            None => out.u8(0),
            Some(file) => file.write(out),
        }
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::read_optional(input)?.ok_or(Malformed)
    }

    pub(crate) fn read_optional(input: &mut Reader<'_>) -> Result<Option<Self>, Malformed> {
        let kind = input.u8()?;
        if kind == 0 {
            return Ok(None);
        }
        let kind = FileKind::from_byte(kind).ok_or(Malformed)?;
        Ok(Some(Self { kind, number: input.u64()?, nonce: input.u128()? }))
    }

    fn name(self) -> String {
        format!("{}-{:016x}-{:032x}", self.kind.word(), self.number, self.nonce)
    }

    pub(super) fn path(self, site: &Path) -> PathBuf {
        site.join(self.name())
    }

    /// The file that has a name; `None` for a name that Larder does not give.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        let (word, number, nonce) = (parts.next()?, parts.next()?, parts.next()?);
        let kind = FileKind::ALL.into_iter().find(|(_, known)| *known == word)?.0;
        let file = Self {
            kind,
            number: u64::from_str_radix(number, 16).ok()?,
            nonce: u128::from_str_radix(nonce, 16).ok()?,
        };
        (file.name() == name).then_some(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_written() {
        let file = FileId { kind: FileKind::Pack, number: 7, nonce: 9 };
        assert_eq!(FileId::parse(&file.name()), Some(file));
        for name in ["root", "pack", "pack-7-9", "x-0000000000000007-0", "", "pack-+000000000000007-0"] {
            assert_eq!(FileId::parse(name), None, "{name}");
        }
        assert_eq!(FileId::parse(&format!("{}x", file.name())), None);
    }
}
