//! Which tier serves, for people.

use std::time::UNIX_EPOCH;

use super::backend::Failover;
use super::names;
use super::rules::Mode;
use crate::clock::millis;
use crate::contract::{Backend, Health, MAX_CHANGES, Read, Tier};
use crate::error::Result;

impl Failover {
    /// How the store is served now. Asks whoever serves.
    pub(super) fn who_serves(&self) -> Health {
        // As an application reads: who may only see who serves reads no entries.
        let asked = self.fetch(None, &[Read { cache: &names::peers(), key: b"" }]);
        let view = match self.control.read() {
            Ok(view) => view,
            Err(error) => {
                let barred = asked.is_ok() && self.is_barred(&error);
                let tier = if barred { Tier::Primary } else { Tier::None };
                return Health { tier, reason: error.to_string(), ..Health::default() };
            }
        };
        let waiting = self.control.waiting(&view.at).unwrap_or(Some(0)).map(|waiting| waiting as u64);
        let since = view.stage.since;
        let (tier, since, reason) = match asked {
            Err(error) => (Tier::None, self.primary.away_since().unwrap_or(since), error.to_string()),
            Ok(_) if view.stage.tier == Mode::Primary => (Tier::Primary, since, String::new()),
            Ok(_) => (Tier::Fallback, since, self.primary.why()),
        };
        Health { tier, waiting, reason, ..Health::default() }.since(since)
    }

    /// Facts about both, for people.
    pub(super) fn describe_both(&self) -> Result<Vec<(String, String)>> {
        let health = self.who_serves();
        let mut facts = vec![("tier".to_owned(), health.tier.name().to_owned())];
        let mut add = |name: &str, fact: String| facts.push((name.to_owned(), fact));
        if let Some(since) = health.since.and_then(|since| since.duration_since(UNIX_EPOCH).ok()) {
            add("tier_since_ms", millis(since).to_string());
        }
        add("invalidations_waiting", health.waiting.unwrap_or(MAX_CHANGES as u64 + 1).to_string());
        if !health.reason.is_empty() {
            add("tier_reason", health.reason);
        }
        let described = match health.tier {
            Tier::Fallback => self.fallback.backend().describe(),
            Tier::Primary | Tier::None => self.primary.call(|server| server.describe()),
        };
        match described {
            Err(error) if health.tier != Tier::None => return Err(error),
            described => facts.extend(described.unwrap_or_default()),
        }
        Ok(facts)
    }
}
