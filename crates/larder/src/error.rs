//! The one error type of the crate.

use std::fmt;

/// A result whose error is Larder's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is wrong; the message names the option.
    Config,
    /// A key, cache name or value cannot be stored; the message names it.
    Value,
    /// The backend cannot be reached or did not answer in time. Reads may be treated as misses. A write may or
    /// may not have taken effect, but will not take effect later.
    Unavailable,
    /// The backend answered and refused: no permission, read-only, out of memory, out of space.
    Refused,
    /// The backend holds something that Larder did not write or does not understand.
    Foreign,
    /// A lock was lost while its holder worked: another may have got it, so the write under it did not happen.
    LockLost,
}

/// An error of Larder. Messages never contain passwords, keys of seals or values.
pub struct Error {
    repr: Box<Repr>,
}

#[derive(Debug, thiserror::Error)]
enum Repr {
    #[error("{0}")]
    Config(String),
    #[error("{0}")]
    Value(String),
    #[error("the lock is held no longer; nothing was stored")]
    LockLost,
    #[error("{backend} is unavailable: {reason}")]
    Unavailable { backend: &'static str, reason: String },
    #[error("{backend} refused: {reason}")]
    Refused { backend: &'static str, reason: String },
    #[error("{backend} holds something foreign: {reason}")]
    Foreign { backend: &'static str, reason: String },
}

impl Error {
    /// The kind of this error.
    pub fn kind(&self) -> ErrorKind {
        match *self.repr {
            Repr::Config(_) => ErrorKind::Config,
            Repr::Value(_) => ErrorKind::Value,
            Repr::LockLost => ErrorKind::LockLost,
            Repr::Unavailable { .. } => ErrorKind::Unavailable,
            Repr::Refused { .. } => ErrorKind::Refused,
            Repr::Foreign { .. } => ErrorKind::Foreign,
        }
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Repr::Config(message.into()).into()
    }

    pub(crate) fn value(message: impl Into<String>) -> Self {
        Repr::Value(message.into()).into()
    }

    /// A write was refused because its lock is gone. For implementers of [`Backend`](crate::Backend).
    pub fn lock_lost() -> Self {
        Repr::LockLost.into()
    }

    /// `backend` cannot be reached or did not answer in time. For implementers of [`Backend`](crate::Backend).
    pub fn unavailable(backend: &'static str, reason: impl fmt::Display) -> Self {
        Repr::Unavailable { backend, reason: reason.to_string() }.into()
    }

    /// `backend` answered and refused. For implementers of [`Backend`](crate::Backend).
    pub fn refused(backend: &'static str, reason: impl fmt::Display) -> Self {
        Repr::Refused { backend, reason: reason.to_string() }.into()
    }

    /// `backend` holds what Larder did not write. For implementers of [`Backend`](crate::Backend).
    pub fn foreign(backend: &'static str, reason: impl fmt::Display) -> Self {
        Repr::Foreign { backend, reason: reason.to_string() }.into()
    }
}

impl From<Repr> for Error {
    fn from(repr: Repr) -> Self {
        Self { repr: Box::new(repr) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.repr, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.repr, f)
    }
}

impl std::error::Error for Error {}
