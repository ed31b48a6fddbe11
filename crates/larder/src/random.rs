//! Random numbers of the operating system, so that forked processes draw different ones.

use crate::error::{Error, Result};

/// Bytes that nobody else has drawn. Nonces carry R1 and R19, so nothing takes their place where
/// there are none.
///
/// # Errors
/// Refused if the operating system has no random numbers.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::refused("the operating system", error).because_of(error))?;
    Ok(bytes)
}
