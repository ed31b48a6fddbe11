//! How entries are served.

use std::time::{Duration, SystemTime};

use crate::clock::Millis;

/// Which of several backends serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// The server.
    Primary,
    /// What takes over for it.
    Fallback,
    /// None: reads miss and writes are refused.
    None,
}

impl Tier {
    /// Its name: `primary`, `fallback` or `none`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Fallback => "fallback",
            Self::None => "none",
        }
    }
}

/// How a store is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// By whom.
    pub tier: Tier,
    /// Since when; `None` if that was never otherwise, or nobody knows.
    pub since: Option<SystemTime>,
    /// How many invalidations the server has not been told yet; `None` if they are more than can be
    /// counted ([`MAX_CHANGES`](super::MAX_CHANGES)).
    pub waiting: Option<u64>,
    /// Why the server does not serve, serves without its fallback, or what it refuses; empty if all
    /// is well.
    pub reason: String,
    /// Whether the server serves but has refused invalidations. This node serves nothing that it
    /// could not invalidate.
    pub refusing: bool,
}

/// Served by the server, and all is well.
impl Default for Health {
    fn default() -> Self {
        Self { tier: Tier::Primary, since: None, waiting: Some(0), reason: String::new(), refusing: false }
    }
}

impl Health {
    /// Not served at all.
    pub(crate) fn away(reason: String) -> Self {
        Self { tier: Tier::None, reason, ..Self::default() }
    }

    /// The same since a time in milliseconds since 1970; 0 = nobody knows.
    #[must_use]
    pub(crate) fn since(mut self, millis: Millis) -> Self {
        self.since = (millis > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
        self
    }
}
