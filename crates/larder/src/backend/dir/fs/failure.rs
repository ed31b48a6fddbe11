//! What can go wrong with a filesystem call, by what is to be done about it.

use rustix::io::Errno;

use crate::error::Error;

/// The backend's name in messages.
pub(crate) const NAME: &str = "shared directory";

/// Why a step did not happen.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A file is not there any more (`ENOENT`, `ESTALE`): what is known of the directory is old,
    /// look again.
    Gone,
    /// The log does not continue what is known of it: the directory lost history (R14).
    Lost,
    /// There is no log yet, and this process may not begin one.
    NotSetUp,
    /// Bytes of the log are not those that were written, and acknowledged records among them.
    Damaged,
    /// Another holds the lock for as long as it may be waited for.
    Busy,
    /// Nothing to be done here.
    Error(Error),
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::STALE => Self::Gone,
            _ => Self::Error(error(errno)),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Gone => Self::unavailable(NAME, "files vanish while they are used"),
            Fault::Lost => Self::unavailable(NAME, "the log changes in ways that Larder did not cause"),
            Fault::NotSetUp => Self::refused(NAME, "nobody who may use it has set it up"),
            Fault::Damaged => Self::unavailable(NAME, "the log is damaged"),
            Fault::Busy => Self::unavailable(NAME, "another process has held the lock for too long"),
            Fault::Error(error) => error,
        }
    }
}

/// The error that a failed call is to the caller.
pub(crate) fn error(errno: Errno) -> Error {
    match errno {
        Errno::ACCESS
        | Errno::PERM
        | Errno::ROFS
        | Errno::NOSPC
        | Errno::DQUOT
        | Errno::FBIG
        | Errno::NOTDIR
        | Errno::ISDIR
        | Errno::NAMETOOLONG => Error::refused(NAME, errno).because_of(errno),
        Errno::LOOP => Error::refused(NAME, "a symbolic link stands where a file of Larder should be"),
        _ => Error::unavailable(NAME, errno).because_of(errno),
    }
}

/// Bytes that Larder did not write, or another version of it did.
pub(crate) fn foreign(reason: impl std::fmt::Display) -> Fault {
    Fault::Error(Error::foreign(NAME, reason))
}
