//! What failover itself answers when no tier does.

use crate::error::Error;

/// The name of this backend in errors.
pub(super) const NAME: &str = "the server";
/// How often a call goes on after who serves has changed under it.
pub(super) const ATTEMPTS: usize = 4;

pub(super) fn over() -> Error {
    Error::unavailable(NAME, "who serves changes again and again")
}

pub(super) fn entering() -> Error {
    Error::unavailable(NAME, "the fallback takes over in a moment")
}
