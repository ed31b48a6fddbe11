//! How entries are served.

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
    /// Since when, in milliseconds since 1970; 0 if that was never otherwise, or nobody knows.
    pub since: Millis,
    /// How many invalidations the server has not been told yet. 1001 stands for more than 1000.
    pub waiting: u64,
    /// Why the server does not serve, serves without its fallback, or what it refuses; empty if all is well.
    pub reason: String,
    /// Whether the server serves but has refused invalidations. This node serves nothing that it could not invalidate.
    pub refusing: bool,
}

/// Served by the server, and all is well.
impl Default for Health {
    fn default() -> Self {
        Self { tier: Tier::Primary, since: 0, waiting: 0, reason: String::new(), refusing: false }
    }
}

impl Health {
    /// Not served at all.
    pub(crate) fn away(reason: String) -> Self {
        Self { tier: Tier::None, reason, ..Self::default() }
    }
}
