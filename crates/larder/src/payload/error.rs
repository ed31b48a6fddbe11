//! Why a value could not become a payload or a payload a value.

use super::format::MAX_DEPTH;
use super::read::Broken;

/// Why a payload could not be written or read.
///
/// The text of its `Display` is for people; [`is_broken`](Self::is_broken) and
/// [`is_php_only`](Self::is_php_only) are for programs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct PayloadError(Kind);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Kind {
    #[error("the payload is broken")]
    Broken,
    #[error("the value was written by PHP's own serializer, which only PHP can read")]
    PhpOnly,
    #[error("the integer {0} does not fit PHP's 64-bit signed integer")]
    Integer(String),
    #[error("the value nests deeper than {0} levels")]
    TooDeep(u32),
    #[error("a string or container is longer than 4 GiB")]
    TooLong,
    #[error("an array key is a string or an integer, not {0}")]
    Key(&'static str),
    #[error("two entries of a map have the same key {0:?}")]
    DuplicateKey(String),
    #[error("{0}")]
    Serde(String),
}

impl PayloadError {
    pub(super) fn php_only() -> Self {
        Self(Kind::PhpOnly)
    }
    pub(super) fn integer(number: impl std::fmt::Display) -> Self {
        Self(Kind::Integer(format!("{number}")))
    }
    pub(super) fn too_deep() -> Self {
        Self(Kind::TooDeep(MAX_DEPTH))
    }
    pub(super) fn too_long() -> Self {
        Self(Kind::TooLong)
    }
    pub(super) fn key(kind: &'static str) -> Self {
        Self(Kind::Key(kind))
    }
    pub(super) fn duplicate_key(key: String) -> Self {
        Self(Kind::DuplicateKey(key))
    }

    /// True when the bytes are no payload; a store treats that as a miss.
    pub fn is_broken(&self) -> bool {
        self.0 == Kind::Broken
    }

    /// True when the value is carried by PHP's own serializer and so cannot be read here.
    pub fn is_php_only(&self) -> bool {
        self.0 == Kind::PhpOnly
    }
}

impl From<Broken> for PayloadError {
    fn from(_: Broken) -> Self {
        Self(Kind::Broken)
    }
}

impl serde::ser::Error for PayloadError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(Kind::Serde(message.to_string()))
    }
}

impl serde::de::Error for PayloadError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(Kind::Serde(message.to_string()))
    }
}

impl From<PayloadError> for crate::error::Error {
    fn from(error: PayloadError) -> Self {
        Self::value(error.to_string()).because_of(error)
    }
}
