//! Which tier serves, for people and for logs.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::control::View;
use super::rules::Mode;
use super::{Failover, names};
use crate::backend::{Backend, Read};
use crate::clock::Millis;
use crate::error::{Error, Result};

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

/// What there is to tell.
#[derive(Default)]
pub(super) struct News {
    lines: Mutex<Vec<String>>,
}

impl News {
    /// Has a line to be told.
    pub(super) fn line(&self, line: String) {
        lock(&self.lines).push(line);
    }
}

impl Failover {
    /// Why the primary was last found wanting, by whichever process of the node.
    fn why(&self) -> String {
        let reason = self.breaker.reason();
        if reason.is_empty() { "another process found the server away".to_owned() } else { reason }
    }

    /// How the store is served now. Asks whoever serves.
    pub fn health(&self) -> Health {
        // As an application reads: who may only see who serves reads no entries.
        let asked = self.fetch(None, &[Read { cache: &names::peers(), key: b"" }]);
        let reason = |error: &Error| error.to_string();
        let view = match self.control.read(&*self.fallback) {
            Ok(view) => view,
            Err(error) => {
                let barred = asked.is_ok() && self.is_barred(&error);
                let tier = if barred { Tier::Primary } else { Tier::None };
                return Health { tier, since: 0, waiting: 0, reason: reason(&error), refusing: false };
            }
        };
        let waiting = match self.waiting(&view.at) {
            Ok(Some(waiting)) => waiting as u64,
            Ok(None) => 1001,
            Err(_) => 0,
        };
        let (tier, since, reason) = match asked {
            Err(error) => (Tier::None, self.breaker.away_since().unwrap_or(view.stage.since), reason(&error)),
            Ok(_) if view.stage.tier == Mode::Primary => (Tier::Primary, view.stage.since, String::new()),
            Ok(_) => (Tier::Fallback, view.stage.since, self.why()),
        };
        Health { tier, since, waiting, reason, refusing: false }
    }

    /// Takes what there is to log: one line for each change of the tier that serves this node, whichever of its processes
    /// asks first.
    pub fn news(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.news.lines))
    }

    /// Asks the primary now, also while it is left alone. A round trip or two.
    pub(crate) fn reach(&self) -> Result<()> {
        self.primary.fetch(None, &[]).map(drop)
    }

    /// Round trips to the primary by this handle.
    pub fn primary_trips(&self) -> u64 {
        self.primary.round_trips()
    }

    /// Says, once for the node, who serves now.
    pub(super) fn announce(&self, view: &View) {
        let fallback = view.stage.is_fallback();
        if view.stage.tier == Mode::Fallback && !fallback {
            return;
        }
        let code = (view.stage.epoch << 1) | u64::from(fallback);
        let node = self.breaker.node();
        if node.read().announced == code {
            return;
        }
        let before = node
            .update(|words| (words.announced != code).then(|| std::mem::replace(&mut words.announced, code)));
        let Some(before) = before else { return };
        let line = if fallback {
            format!("the fallback serves now: {}", self.why())
        } else if before == 0 {
            // A node that has just begun.
            return;
        } else {
            "the server serves again".to_owned()
        };
        lock(&self.news.lines).push(line);
    }

    /// Facts about both, for people.
    pub(super) fn describe_both(&self) -> Result<Vec<(String, String)>> {
        let health = self.health();
        let mut facts = vec![("tier".to_owned(), health.tier.name().to_owned())];
        let mut add = |name: &str, fact: String| facts.push((name.to_owned(), fact));
        if health.since > 0 {
            add("tier_since_ms", health.since.to_string());
        }
        add("invalidations_waiting", health.waiting.to_string());
        if !health.reason.is_empty() {
            add("tier_reason", health.reason);
        }
        let described = match health.tier {
            Tier::Fallback => self.fallback.describe(),
            Tier::Primary | Tier::None => self.at_primary(|| self.primary.describe()),
        };
        match described {
            Err(error) if health.tier != Tier::None => return Err(error),
            described => facts.extend(described.unwrap_or_default()),
        }
        Ok(facts)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
