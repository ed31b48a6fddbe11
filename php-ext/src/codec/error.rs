//! Why a value was not written or read.

use crate::zend::guard::Stopped;
use crate::zend::limit::NoRoom;

/// Why a value was not written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The bytes are no payload, or the object they hold cannot be made any more. The entry is a
    /// miss.
    #[error("the entry is broken")]
    Broken,
    /// A PHP exception is pending: leave to PHP at once. From [`encode`](super::encode) it is the
    /// value's own, such as "Serialization of 'Closure' is not allowed"; from
    /// [`decode`](super::decode) it can only be the one by which `exit` unwinds.
    #[error("an exception is pending")]
    Thrown,
    /// The value nests too deep to be read again.
    #[error("the value nests deeper than unserialize() follows")]
    TooDeep,
    /// A string or array of more than 4 GiB.
    #[error("the value is longer than 4 GiB")]
    TooLong,
    /// `memory_limit` is passed, which the engine reports when the method has returned: give
    /// nothing, keep nothing.
    #[error("memory_limit is passed")]
    Full,
    /// The engine bailed out: drop everything, then [`resume_bailout`](super::resume_bailout).
    #[error("the engine bailed out")]
    Bailout,
}

impl From<NoRoom> for Error {
    fn from(no_room: NoRoom) -> Self {
        match no_room {
            NoRoom::Full => Self::Full,
            NoRoom::Bailout => Self::Bailout,
        }
    }
}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Bailout => Self::Bailout,
            Stopped::Panic => Self::Broken,
        }
    }
}
