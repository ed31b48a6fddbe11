//! The files of a namespace, and what they are called.
//!
//! A name is used once: its nonce is random. So no node can take a file for one that it has cached under the same
//! name (R19). Its number is that of the log segment that was current when the file was created; cleaning goes by it,
//! not by any clock.

use std::path::{Path, PathBuf};

/// The file that says where the log is; the only one whose name is fixed.
pub(super) const ROOT: &str = "root";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A segment of the log, with the small entries in it.
    Log = 1,
    /// Larger entries, those of one write.
    Pack = 2,
    /// The index as it stood where a segment begins.
    Index = 3,
}

impl Kind {
    const ALL: [(Self, &'static str); 3] = [(Self::Log, "log"), (Self::Pack, "pack"), (Self::Index, "index")];

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().map(|(kind, _)| kind).find(|kind| *kind as u8 == byte)
    }

    fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }
}

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    pub(super) kind: Kind,
    pub(super) number: u64,
    pub(super) nonce: u128,
}

impl FileId {
    pub(super) fn new(kind: Kind, number: u64) -> Self {
        Self { kind, number, nonce: super::random() }
    }

    pub(super) fn name(self) -> String {
        format!("{}-{:016x}-{:032x}", self.kind.word(), self.number, self.nonce)
    }

    pub(super) fn path(self, site: &Path) -> PathBuf {
        site.join(self.name())
    }

    /// The file that has a name; `None` for a name that Larder does not give.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        let (word, number, nonce) = (parts.next()?, parts.next()?, parts.next()?);
        let kind = Kind::ALL.into_iter().find(|(_, known)| *known == word)?.0;
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
        let file = FileId { kind: Kind::Pack, number: 7, nonce: 9 };
        assert_eq!(FileId::parse(&file.name()), Some(file));
        for name in ["root", "pack", "pack-7-9", "x-0000000000000007-0", "", "pack-+000000000000007-0"] {
            assert_eq!(FileId::parse(name), None, "{name}");
        }
        assert_eq!(FileId::parse(&format!("{}x", file.name())), None);
    }
}
