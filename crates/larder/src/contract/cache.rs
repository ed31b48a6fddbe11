//! The names of caches.

use std::sync::Arc;

use crate::error::{Error, Result};

/// What the names of caches begin with that Larder keeps for itself.
const RESERVED: char = '\u{1}';

/// What the names of durable caches begin with.
pub(crate) const DURABLE: char = '~';

/// Digits of an epoch in a name.
const EPOCH_DIGITS: usize = 16;

/// The name of a cache and whether its changes are logged.
///
/// Two caches with the same name, one logged and one not, are different caches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheId {
    name: Arc<str>,
    logged: bool,
}

impl CacheId {
    /// The longest name, in bytes.
    pub const MAX_NAME: usize = 200;

    /// Names a cache. Changes of a *logged* cache reach every near cache; an unlogged one is for
    /// entries that nobody keeps in memory.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) if the name is empty, longer than [`MAX_NAME`](Self::MAX_NAME) bytes
    /// or contains a control character.
    pub fn new(name: &str, logged: bool) -> Result<Self> {
        if name.is_empty() || name.len() > Self::MAX_NAME {
            return Err(Error::value(format!("a cache name must have 1 to {} bytes", Self::MAX_NAME)));
        }
        if name.chars().any(char::is_control) {
            return Err(Error::value("a cache name must not contain control characters"));
        }
        Ok(Self { name: name.into(), logged })
    }

    /// One of Larder's own.
    pub(crate) fn own(name: &str, logged: bool) -> Self {
        Self::stored(&format!("{RESERVED}{name}"), logged)
    }

    /// A cache whose name was stored before, or is one of Larder's own, which begin with
    /// [`RESERVED`].
    pub(crate) fn stored(name: &str, logged: bool) -> Self {
        Self { name: name.into(), logged }
    }

    /// Whether it keeps or logs the entries of a durable cache.
    pub(crate) fn is_durable(&self) -> bool {
        self.name.starts_with(DURABLE)
    }

    /// Whether it is one of Larder's own, which no name given to [`new`](Self::new) can be.
    pub fn is_reserved(&self) -> bool {
        self.name.starts_with(RESERVED)
    }

    /// The cache that stands for this one while a backend serves in place of another, in the epoch
    /// of that time. It is one of Larder's own, and logged.
    pub(crate) fn in_epoch(&self, epoch: u64) -> Self {
        let kind = if self.logged { 'l' } else { 'u' };
        Self::stored(&format!("{RESERVED}{epoch:0EPOCH_DIGITS$x}{kind}{}", self.name), true)
    }

    /// The reverse of [`in_epoch`](Self::in_epoch) by name; `None` for a name that stands for no
    /// other.
    pub(crate) fn original(name: &str) -> Option<(u64, Self)> {
        let (epoch, rest) = name.strip_prefix(RESERVED)?.split_at_checked(EPOCH_DIGITS)?;
        let epoch = u64::from_str_radix(epoch, 16).ok()?;
        let (kind, name) = rest.split_at_checked(1)?;
        Some((epoch, Self::stored(name, kind == "l")))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether changes are logged.
    pub fn logged(&self) -> bool {
        self.logged
    }
}
