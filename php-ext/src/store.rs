//! `Larder\Store`.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use ext_php_rs::boxed::ZBox;
use ext_php_rs::class::RegisteredClass;
use ext_php_rs::prelude::*;
use ext_php_rs::types::{ZendHashTable, Zval};
use larder::contract::{Fact, Facts, MAX_CHANGES, Tier};
use larder::engine::observe::AuditRecord;
use larder::engine::{Handle, named_lock};

use crate::cache::Cache;
use crate::exceptions::{bad_value, misuse, outage};
use crate::keys::{Key, insert, key_bytes, listed};
use crate::locks;
use crate::near::graveyard;
use crate::options;
use crate::registry::{self, Shared};
use crate::statistics;
use crate::values::{Stop, collected, finish, give};
use crate::zend::limit;
use crate::zend::method::hide_argument;

/// A store: a backend with decoded values before it in the memory of this process.
#[php_class]
#[php(name = "Larder\\Store")]
#[php(flags = crate::zend::object::FINAL)]
pub struct Store {
    engine: Shared,
}

/// To be called when the classes are there and no script runs.
pub(crate) fn install() {
    // SAFETY: the class is registered, and a request is about to begin.
    unsafe { hide_argument(Store::get_metadata().ce(), c"open") };
}

impl Store {
    fn read_across(engine: &Shared, wanted: &ZendHashTable) -> Result<ZBox<ZendHashTable>, Stop> {
        let mut caches: Vec<(String, Handle, Vec<Key>)> = Vec::new();
        let mut entries = wanted.iter();
        while let Some((name, keys)) = entries.next_zval() {
            let name = cache_name(&name)?;
            let keys = keys.dereference().array();
            let keys = keys.ok_or_else(|| bad_value("the keys of a cache must be an array".into()))?;
            let handle = engine.cache(&name, false, None).map_err(|error| bad_value(error.to_string()))?;
            caches.push((name, handle, listed(keys)?));
        }
        let keys: Vec<(&Handle, &[u8])> = caches
            .iter()
            .flat_map(|(_, handle, keys)| keys.iter().map(move |key| (handle, key.bytes())))
            .collect();
        let found = outage(engine.get_across(&keys))?.unwrap_or_else(|| vec![None; keys.len()]);
        let mut found = found.into_iter();
        collected(|array| {
            for (name, _, keys) in &caches {
                let values = collected(|values| {
                    for (key, found) in keys.iter().zip(&mut found) {
                        let mut value = Zval::new();
                        if let Some(found) = found
                            && give(&found, &mut value)?
                        {
                            insert(values, key, value)?;
                        }
                        if limit::is_passed() {
                            return Err(Stop::Full);
                        }
                    }
                    Ok(())
                })?;
                array.insert(name.as_str(), values)?;
            }
            Ok(())
        })
    }
}

/// The name of a cache as PHP gives it.
fn cache_name(name: &Zval) -> PhpResult<String> {
    let name = key_bytes(name)?.into_owned();
    String::from_utf8(name).map_err(|_| bad_value("a cache name must be UTF-8".into()))
}

#[php_impl]
impl Store {
    /// The store for a configuration, kept by the process across requests. Does not connect.
    ///
    /// Throws `Larder\ConfigException` for an unknown option or a bad value.
    pub fn open(config: &ZendHashTable) -> PhpResult<Self> {
        let config = options::read(config)?;
        let engine = registry::open(&config)
            .map_err(|error| misuse(&error).unwrap_or_else(|| error.to_string().into()))?;
        Ok(Self { engine })
    }

    /// A cache of this store. Options: `ttl` in seconds, `near` (default true), `durable`.
    #[php(optional = options)]
    pub fn cache(&self, name: &Zval, options: Option<&ZendHashTable>) -> PhpResult<Cache> {
        let name = cache_name(name)?;
        let (mut ttl, mut near, mut durable) = (None, true, false);
        let mut entries = options.into_iter().flat_map(|options| {
            let mut entries = options.iter();
            std::iter::from_fn(move || entries.next_zval())
        });
        entries.try_for_each(|(option, value)| {
            let value = value.dereference();
            match (option.str(), value.long(), value.bool()) {
                (Some("ttl"), Some(seconds), _) => ttl = (seconds != 0).then_some(seconds),
                (Some("ttl"), None, _) if value.is_null() => ttl = None,
                (Some("near"), _, Some(wanted)) => near = wanted,
                (Some("durable"), _, Some(wanted)) => durable = wanted,
                (Some("ttl"), ..) => return Err(bad_value("option 'ttl' must be an integer or null".into())),
                (Some(name @ ("near" | "durable")), ..) => {
                    return Err(bad_value(format!("option '{name}' must be a boolean")));
                }
                (option, ..) => {
                    let option = option.unwrap_or_default().escape_debug();
                    return Err(bad_value(format!(
                        "a cache has no option '{option}'; the options are ttl, near and durable"
                    )));
                }
            }
            Ok(())
        })?;
        let handle =
            if durable { self.engine.durable_cache(&name, ttl) } else { self.engine.cache(&name, near, ttl) };
        let handle = handle.map_err(|error| bad_value(error.to_string()))?;
        Ok(Cache::new(Shared::clone(&self.engine), handle))
    }

    /// The values of keys of several caches that are not kept in memory (`near` is false), by the
    /// caches' names. One round trip.
    pub fn get_many(&self, keys: &ZendHashTable) -> PhpResult<ZBox<ZendHashTable>> {
        // User code may drop the store.
        let engine = Shared::clone(&self.engine);
        finish(Self::read_across(&engine, keys))
    }

    /// A sync point now: later reads see all that was acknowledged before this call.
    pub fn sync(&self) -> PhpResult<()> {
        outage(self.engine.sync()).map(drop)
    }

    /// Fetches the values that other processes hold in their memory; how many there were, 0 if the
    /// backend is away.
    pub fn warm(&self) -> PhpResult<i64> {
        let present = outage(self.engine.warm(|_, _| ()))?.unwrap_or(0);
        Ok(i64::try_from(present).unwrap_or(i64::MAX))
    }

    /// What this process did with the store, and what it holds.
    pub fn stats(&self) -> PhpResult<ZBox<ZendHashTable>> {
        let stats = self.engine.stats();
        let mut array = ZendHashTable::new();
        for (name, count) in [
            ("near_hits", stats.near_hits),
            ("hits", stats.hits),
            ("misses", stats.misses),
            ("sets", stats.sets),
            ("deletes", stats.deletes),
            ("purges", stats.purges),
            ("dropped_fills", stats.dropped_fills),
            ("broken", stats.broken),
            ("resets", stats.resets),
            ("errors", stats.errors),
            ("round_trips", stats.round_trips),
            ("bytes_sent", stats.bytes_sent),
            ("bytes_received", stats.bytes_received),
            ("store_us", stats.store_us),
            ("lock_us", stats.lock_us),
            ("near_entries", stats.near_entries),
            ("near_bytes", stats.near_bytes),
            ("near_limit", stats.near_limit),
            ("graveyard_bytes", graveyard::bytes() as u64),
        ] {
            array.insert(name, i64::try_from(count).unwrap_or(i64::MAX))?;
        }
        Ok(array)
    }

    /// What the nodes did that use this store, and are, by name: of this node as it is now, of the
    /// others as they told within the last minute or so; nothing if the backend is away.
    pub fn statistics(&self) -> PhpResult<ZBox<ZendHashTable>> {
        let mut array = ZendHashTable::new();
        for node in outage(self.engine.statistics())?.unwrap_or_default() {
            array.insert(node.node.as_str(), statistics::of_node(&node)?)?;
        }
        Ok(array)
    }

    /// Asks now: `reachable` (somebody serves), `tier` (`primary`, `fallback` or `none`), `since`
    /// (Unix seconds, 0 if that was never otherwise), `waiting` (invalidations that the server was
    /// not told yet), `refusing` (the server serves but has refused them), `reason` (why it does
    /// not serve, or what it refuses, or empty), `facts` about the backend. Some round trips.
    pub fn health(&self) -> PhpResult<ZBox<ZendHashTable>> {
        let mut array = ZendHashTable::new();
        let health = self.engine.health();
        array.insert("reachable", health.tier != Tier::None)?;
        array.insert("tier", health.tier.name())?;
        let since = health.since.and_then(|since| since.duration_since(UNIX_EPOCH).ok());
        array.insert("since", since.map_or(0.0, |since| since.as_secs_f64()))?;
        // PHP is told one more than what is counted.
        array.insert(
            "waiting",
            i64::try_from(health.waiting.unwrap_or(MAX_CHANGES as u64 + 1)).unwrap_or(i64::MAX),
        )?;
        array.insert("refusing", health.refusing)?;
        array.insert("reason", health.reason)?;
        let backend = self.engine.backend();
        // One without a fallback that did not answer would be waited for again.
        let asked = health.tier != Tier::None || backend.copes_with_outages();
        let described = if asked { backend.describe().unwrap_or_default() } else { Facts::default() };
        let mut facts = ZendHashTable::new();
        for (name, fact) in described {
            match fact {
                Fact::Number(number) => {
                    facts.insert(name.as_str(), i64::try_from(number).unwrap_or(i64::MAX))?;
                }
                Fact::Text(text) => facts.insert(name.as_str(), text)?,
            }
        }
        array.insert("facts", facts)?;
        Ok(array)
    }

    /// Asks the server now, also while it is left alone after a failure: null if it answers, or
    /// `error` and `advice`.
    pub fn reach(&self) -> PhpResult<Option<ZBox<ZendHashTable>>> {
        let Err(error) = self.engine.reach() else { return Ok(None) };
        let mut array = ZendHashTable::new();
        array.insert("error", error.to_string())?;
        array.insert("advice", error.advice())?;
        Ok(Some(array))
    }

    /// Takes the lines that there are to log about who serves: one for each change on this node,
    /// given to one process. No round trip.
    pub fn events(&self) -> Vec<String> {
        self.engine.events()
    }

    /// Adds a record to the audit log: what was done, and by whom or from where; false if the
    /// backend is away or refuses. In names and values, what is not UTF-8 is replaced.
    #[php(optional = details)]
    pub fn audit(&self, action: &str, details: Option<&ZendHashTable>) -> PhpResult<bool> {
        let mut texts = BTreeMap::new();
        let mut entries = details.into_iter().flat_map(|details| {
            let mut entries = details.iter();
            std::iter::from_fn(move || entries.next_zval())
        });
        entries.try_for_each(|(name, value)| {
            let text = value.dereference().zend_str();
            let text = text.ok_or_else(|| bad_value("a detail of a record must be a string".into()))?;
            let name = String::from_utf8_lossy(&key_bytes(&name)?).into_owned();
            texts.insert(name, String::from_utf8_lossy(text.as_bytes()).into_owned());
            Ok::<_, PhpException>(())
        })?;
        Ok(outage(self.engine.audit(action, texts))?.is_some())
    }

    /// The records of the audit log, oldest first; none if the backend is away.
    pub fn audit_log(&self) -> PhpResult<Vec<ZBox<ZendHashTable>>> {
        let records = outage(self.engine.audit_log())?.unwrap_or_default();
        let array = |record: AuditRecord| {
            let mut array = ZendHashTable::new();
            #[expect(clippy::cast_precision_loss, reason = "milliseconds fit for 285,000 years")]
            array.insert("time", record.time_ms as f64 / 1000.0)?;
            array.insert("action", record.action)?;
            let mut details = ZendHashTable::new();
            record.details.into_iter().try_for_each(|(name, value)| details.insert(name.as_str(), value))?;
            array.insert("details", details)?;
            Ok(array)
        };
        records.into_iter().map(array).collect()
    }

    /// Waits for a named lock, `$wait` seconds at the most; false if another had it all the while.
    /// A sync point. Throws `Larder\GraceException` if locks may have been lost, and the grace
    /// outlasts the wait.
    pub fn acquire_lock(&self, name: &Zval, owner: &Zval, wait: f64) -> PhpResult<bool> {
        finish(locks::acquire(&self.engine, named_lock(&key_bytes(name)?), owner, wait))
    }

    /// Gives a named lock back; false if this request did not get it for `$owner`.
    pub fn release_lock(&self, name: &Zval, owner: &Zval) -> PhpResult<bool> {
        locks::release(&self.engine, named_lock(&key_bytes(name)?), owner)
    }

    /// Whose a named lock is, asked now: true = `$owner`'s who got it in this request, false =
    /// another's (or the backend is away), null = nobody's.
    pub fn lock_state(&self, name: &Zval, owner: &Zval) -> PhpResult<Option<bool>> {
        locks::state(&self.engine, named_lock(&key_bytes(name)?), owner)
    }

    /// The locks that are held: `cache` (empty for a named lock), `key`, `owner`, `seconds` that it
    /// is held, and how many `waiters` there are; none if the backend is away. Some round trips.
    pub fn locks(&self) -> PhpResult<Vec<ZBox<ZendHashTable>>> {
        locks::list(&self.engine)
    }

    /// Empties every cache of this namespace, on every node; false if the backend is away or
    /// refuses.
    pub fn purge(&self) -> PhpResult<bool> {
        Ok(outage(self.engine.reset())?.is_some())
    }
}
