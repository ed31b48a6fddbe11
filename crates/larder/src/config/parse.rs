//! Values of single options; every refusal names the option.

use std::time::Duration;

use super::secret::Secret;
use crate::error::{Error, Result};

/// A number of bytes: digits and perhaps `K`, `M` or `G`.
pub(super) fn bytes(name: &str, value: &str) -> Result<u64> {
    let (digits, shift) = match value.trim_end_matches(['b', 'B']).char_indices().next_back() {
        Some((at, 'k' | 'K')) => (value.split_at(at).0, 10),
        Some((at, 'm' | 'M')) => (value.split_at(at).0, 20),
        Some((at, 'g' | 'G')) => (value.split_at(at).0, 30),
        _ => (value, 0),
    };
    digits.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift)).ok_or_else(|| {
        Error::config(format!("option '{name}' must be a number of bytes such as 512K, 32M or 1G"))
    })
}

/// A time in seconds, fractions allowed, within bounds.
pub(super) fn seconds(name: &str, value: &str, least: f64, most: f64) -> Result<Duration> {
    match value.trim().parse::<f64>() {
        Ok(seconds) if (least..=most).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(Error::config(format!("option '{name}' must be a time of {least} to {most} seconds"))),
    }
}

/// A name that is safe in keys and file names.
pub(super) fn label(name: &str, value: &str, most: usize) -> Result<String> {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.:@+".contains(c);
    if value.len() > most || !value.chars().all(safe) || value.starts_with('.') {
        return Err(Error::config(format!(
            "option '{name}' must have at most {most} characters out of letters, digits and - _ . : @ +, \
             and must not start with a dot"
        )));
    }
    Ok(value.to_owned())
}

/// An absolute path.
pub(super) fn absolute(name: &str, value: &str) -> Result<String> {
    if !value.starts_with('/') || value.contains('\0') {
        return Err(Error::config(format!("option '{name}' must be an absolute path")));
    }
    Ok(value.to_owned())
}

/// The name or address of a host.
pub(super) fn host_name(name: &str, value: &str) -> Result<String> {
    if rustls::pki_types::ServerName::try_from(value).is_err() {
        return Err(Error::config(format!("option '{name}' must be the name or the address of a host")));
    }
    Ok(value.to_owned())
}

/// A secret of so many bytes or more.
pub(super) fn secret(name: &str, value: &str, least: usize) -> Result<Secret> {
    if value.len() < least {
        return Err(Error::config(format!("option '{name}' must have {least} bytes or more")));
    }
    Ok(Secret::new(value))
}
