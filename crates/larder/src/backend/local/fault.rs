//! What can go wrong in a transaction, by what is to be done about it.

use std::io;

use heed::MdbError;
use rustix::io::Errno;

use crate::bytes::Malformed;
use crate::error::Error;

/// The backend's name in messages.
pub(super) const NAME: &str = "local directory";

/// Why a transaction did not happen.
#[derive(Debug)]
pub(crate) enum Fault {
    /// There is no page left, in the map or on the disk: evict and try again.
    Full(String),
    /// The file is damaged: begin a new one.
    Damaged(String),
    /// This handle no longer fits the file: open it again.
    Stale(String),
    /// Nothing to be done here.
    Error(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        damaged("too short")
    }
}

impl From<heed::Error> for Fault {
    fn from(error: heed::Error) -> Self {
        let reason = error.to_string();
        match error {
            heed::Error::Io(error) => Self::from(error),
            heed::Error::Mdb(MdbError::MapFull | MdbError::TxnFull | MdbError::PageFull) => {
                Self::Full(reason)
            }
            heed::Error::Mdb(
                MdbError::PageNotFound
                | MdbError::Corrupted
                | MdbError::Invalid
                | MdbError::VersionMismatch
                | MdbError::Incompatible,
            )
            | heed::Error::Decoding(_) => Self::Damaged(reason),
            heed::Error::Mdb(MdbError::MapResized | MdbError::Panic | MdbError::BadDbi)
            | heed::Error::EnvAlreadyOpened => Self::Stale(reason),
            heed::Error::Mdb(_) | heed::Error::Encoding(_) => Self::Error(Error::unavailable(NAME, reason)),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        // LMDB says EIO when the disk took only a part of what it wrote.
        const NO_SPACE: [Errno; 4] = [Errno::NOSPC, Errno::DQUOT, Errno::FBIG, Errno::IO];
        if NO_SPACE.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) {
            return Self::Full(error.to_string());
        }
        Self::Error(io_error(error))
    }
}

/// An I/O error for the caller.
pub(super) fn io_error(error: io::Error) -> Error {
    let failed = match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::NotFound => Error::refused(NAME, &error),
        _ => Error::unavailable(NAME, &error),
    };
    failed.because_of(error)
}

/// A value that no version of this program wrote.
pub(crate) fn damaged(what: &str) -> Fault {
    Fault::Damaged(format!("broken record: {what}"))
}
