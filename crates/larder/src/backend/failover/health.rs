//! Which tier serves, for people.

use super::backend::Failover;
use super::names;
use super::rules::Mode;
use crate::contract::{Backend, Facts, Health, Read, Tier};
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

    /// Facts about who serves.
    pub(super) fn facts(&self) -> Result<Facts> {
        match self.who_serves().tier {
            Tier::Primary => self.primary.call(|server| server.describe()),
            Tier::Fallback => self.fallback.backend().describe(),
            Tier::None => Ok(Facts::default()),
        }
    }
}
