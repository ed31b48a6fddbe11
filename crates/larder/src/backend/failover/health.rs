//! Which tier serves, for people and for logs.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::control::View;
use super::rules::Mode;
use super::{Failover, names};
use crate::contract::{Backend, Health, Read, Tier};
use crate::error::{Error, Result};

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
    pub(super) fn who_serves(&self) -> Health {
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

    /// Takes what there is to log.
    pub(super) fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.news.lines))
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
        let health = self.who_serves();
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
