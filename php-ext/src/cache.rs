//! `Larder\Cache`.

use std::borrow::Cow;

use ext_php_rs::boxed::ZBox;
use ext_php_rs::prelude::*;
use ext_php_rs::types::{ZendHashTable, ZendStr, Zval};
use larder::contract::Position;
use larder::engine::{Handle, Item, key_lock};

use crate::exceptions::outage;
use crate::interrupts::waiting;
use crate::keys::{Key, insert, key_bytes, listed};
use crate::locks;
use crate::near::{Lent, NearValue};
use crate::registry::Shared;
use crate::values::{Stop, collected, encode, finish, give, release, unless_thrown};
use crate::zend::limit::{self, Meter, Room};

/// One cache of a store. No method throws because the backend is away: reads miss, writes return
/// false.
#[php_class]
#[php(name = "Larder\\Cache")]
#[php(flags = crate::zend::object::FINAL)]
pub struct Cache {
    engine: Shared,
    handle: Handle,
}

impl Cache {
    pub(crate) fn new(engine: Shared, handle: Handle) -> Self {
        Self { engine, handle }
    }

    /// The value of a key if memory has it and it can be given without user code.
    pub(crate) fn hit(&self, key: &[u8]) -> Option<Lent> {
        self.engine.hit(&self.handle, key, NearValue::lend)
    }

    /// The values of keys, and where this process stood when it read them.
    fn read(&self, keys: &[Key]) -> PhpResult<(Vec<Option<NearValue>>, Option<Position>)> {
        let keys: Vec<&[u8]> = keys.iter().map(Key::bytes).collect();
        let found =
            outage(self.engine.get_many(&self.handle, &keys))?.unwrap_or_else(|| vec![None; keys.len()]);
        Ok((found, self.engine.position()))
    }

    /// Gives PHP the value of a key, read at `at`; false if it cannot be made, and then the key is
    /// missing. Runs user code where the value's class has some.
    fn give(
        &self,
        key: &[u8],
        found: &NearValue,
        at: Option<Position>,
        out: &mut Zval,
    ) -> Result<bool, Stop> {
        let given = give(found, out)?;
        if !given {
            self.engine.unreadable(&self.handle, key, at);
        }
        Ok(given)
    }

    /// Whether a value that was read can be given, which only its making tells.
    fn can_be_made(&self, key: &[u8], found: &NearValue, at: Option<Position>) -> Result<bool, Stop> {
        let mut value = Zval::new();
        let given = self.give(key, found, at, &mut value);
        release(value)?;
        given
    }

    fn has_one(&self, key: &Zval) -> Result<bool, Stop> {
        let key = key_bytes(key)?;
        match outage(self.engine.get(&self.handle, &key))?.flatten() {
            Some(found) if found.is_ready() => Ok(true),
            Some(found) => self.can_be_made(&key, &found, self.engine.position()),
            None => Ok(false),
        }
    }

    /// Whether any of the keys has a value (`there`) or lacks one (not `there`).
    fn is_any(&self, keys: &ZendHashTable, there: bool) -> Result<bool, Stop> {
        let keys = listed(keys)?;
        let (found, at) = self.read(&keys)?;
        for (key, found) in keys.iter().zip(&found) {
            let is_there = match found {
                Some(found) => found.is_ready() || self.can_be_made(key.bytes(), found, at)?,
                None => false,
            };
            if is_there == there {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn write(&self, items: &[Item<'_>]) -> PhpResult<bool> {
        Ok(outage(self.engine.set_many_under_locks(&self.handle, items))?.is_some())
    }

    fn read_one(&self, key: &Zval, default: Option<&Zval>) -> Result<Zval, Stop> {
        let key = key_bytes(key)?;
        let mut value = Zval::new();
        let found = waiting(|pause| self.engine.get_or_wait(&self.handle, &key, pause))?.flatten();
        if let Some(found) = found
            && self.give(&key, &found, self.engine.position(), &mut value)?
        {
            return Ok(value);
        }
        Ok(default.map_or_else(Zval::null, Zval::shallow_clone))
    }

    fn read_many(&self, keys: &ZendHashTable) -> Result<ZBox<ZendHashTable>, Stop> {
        let keys = listed(keys)?;
        let bytes: Vec<&[u8]> = keys.iter().map(Key::bytes).collect();
        let found = waiting(|pause| self.engine.get_many_or_wait(&self.handle, &bytes, pause))?;
        let (found, at) = (found.unwrap_or_else(|| vec![None; keys.len()]), self.engine.position());
        collected(|array| {
            for (key, found) in keys.iter().zip(&found) {
                let mut value = Zval::new();
                if let Some(found) = found
                    && self.give(key.bytes(), found, at, &mut value)?
                {
                    insert(array, key, value)?;
                    if !found.is_ready() {
                        // A key that is listed twice has had an object.
                        unless_thrown()?;
                    }
                }
                if limit::is_passed() {
                    return Err(Stop::Full);
                }
            }
            Ok(())
        })
    }

    fn list_keys(&self, prefix: Option<&Zval>) -> Result<ZBox<ZendHashTable>, Stop> {
        let prefix =
            prefix.filter(|prefix| !prefix.is_null()).map_or(Ok(Cow::Borrowed(&b""[..])), key_bytes)?;
        let keys = outage(self.engine.keys(&self.handle, &prefix))?.unwrap_or_default();
        let mut meter = Meter::new();
        collected(|array| {
            for key in &keys {
                meter.spend(size_of::<ZendStr>() + size_of::<Zval>() + key.len())?;
                let mut value = Zval::new();
                value.set_zend_string(ZendStr::new(key, false));
                array.push(value)?;
            }
            Ok(())
        })
    }

    fn write_one(&self, key: &Zval, value: &Zval, ttl: Option<i64>) -> Result<bool, Stop> {
        let payload = encode(value)?;
        Ok(self.write(&[Item { key: &key_bytes(key)?, payload: &payload, ttl, lock: None }])?)
    }

    fn write_many(&self, items: &ZendHashTable) -> Result<i64, Stop> {
        let mut payloads = Vec::with_capacity(items.len());
        let (mut size, mut room) = (0, Room::new());
        let mut entries = items.iter();
        while let Some((key, value)) = entries.next_zval() {
            // Hooks of one value may overwrite an element that is a reference.
            let value = value.dereference().shallow_clone();
            let payload = encode(&value)?;
            size += payload.len();
            room.allows(size)?;
            payloads.push((key_bytes(&key)?.into_owned(), payload));
        }
        let items: Vec<Item<'_>> =
            payloads.iter().map(|(key, payload)| Item { key, payload, ttl: None, lock: None }).collect();
        Ok(if self.write(&items)? { i64::try_from(items.len()).unwrap_or(i64::MAX) } else { 0 })
    }
}

#[php_impl]
impl Cache {
    /// The value of a key, or `$default`.
    #[php(optional = default)]
    pub fn get(&self, key: &Zval, default: Option<&Zval>) -> PhpResult<Zval> {
        finish(self.read_one(key, default))
    }

    /// The values of those keys that have one.
    pub fn get_many(&self, keys: &ZendHashTable) -> PhpResult<ZBox<ZendHashTable>> {
        finish(self.read_many(keys))
    }

    /// Stores a value; false if the backend refused it or is away. `$ttl` in seconds overrides the
    /// cache's; 0 is for ever.
    ///
    /// Throws `Larder\ValueException` if the value cannot be serialized.
    #[php(optional = ttl)]
    pub fn set(&self, key: &Zval, value: &Zval, ttl: Option<i64>) -> PhpResult<bool> {
        finish(self.write_one(key, value, ttl))
    }

    /// Stores `[key => value, …]`, all or none; how many stand.
    ///
    /// Throws `Larder\ValueException` if a value cannot be serialized; then nothing is stored.
    pub fn set_many(&self, items: &ZendHashTable) -> PhpResult<i64> {
        finish(self.write_many(items))
    }

    /// Removes a value; true if there was one and it is gone for good.
    pub fn delete(&self, key: &Zval) -> PhpResult<bool> {
        let deleted = outage(self.engine.delete_many(&self.handle, &[&key_bytes(key)?]))?;
        Ok(deleted.is_some_and(|existed| existed.contains(&true)))
    }

    /// Removes values; how many there were.
    pub fn delete_many(&self, keys: &ZendHashTable) -> PhpResult<i64> {
        let keys = listed(keys)?;
        let keys: Vec<&[u8]> = keys.iter().map(Key::bytes).collect();
        let deleted = outage(self.engine.delete_many(&self.handle, &keys))?.unwrap_or_default();
        Ok(i64::try_from(deleted.iter().filter(|existed| **existed).count()).unwrap_or(i64::MAX))
    }

    /// Whether a key has a value that `get()` would give.
    pub fn has(&self, key: &Zval) -> PhpResult<bool> {
        finish(self.has_one(key))
    }

    /// Whether any of the keys has a value.
    pub fn has_any(&self, keys: &ZendHashTable) -> PhpResult<bool> {
        finish(self.is_any(keys, true))
    }

    /// Whether all of the keys have a value.
    pub fn has_all(&self, keys: &ZendHashTable) -> PhpResult<bool> {
        finish(self.is_any(keys, false).map(|lacks| !lacks))
    }

    /// Removes all values; false if the backend is away or refused.
    pub fn purge(&self) -> PhpResult<bool> {
        Ok(outage(self.engine.purge(&self.handle))?.is_some())
    }

    /// The keys, or those that start with `$prefix`; an empty array if the backend is away.
    #[php(optional = prefix)]
    pub fn keys(&self, prefix: Option<&Zval>) -> PhpResult<ZBox<ZendHashTable>> {
        finish(self.list_keys(prefix))
    }

    /// Waits for the lock on a key, `$wait` seconds at the most; false if it was not to be had. A
    /// sync point.
    ///
    /// It guards entries: once another may have got it, which can be while its holder works, writes
    /// under it are refused. For effects outside of the cache there is `Store::acquireLock()`. The
    /// same owner asking again waits like another. Signal handlers run meanwhile.
    pub fn acquire_lock(&self, key: &Zval, owner: &Zval, wait: f64) -> PhpResult<bool> {
        finish(locks::acquire(&self.engine, key_lock(&self.handle, &key_bytes(key)?), owner, wait))
    }

    /// Gives a lock back; false if this request did not get it for `$owner`.
    pub fn release_lock(&self, key: &Zval, owner: &Zval) -> PhpResult<bool> {
        locks::release(&self.engine, key_lock(&self.handle, &key_bytes(key)?), owner)
    }

    /// Whose the lock on a key is, asked now: true = `$owner`'s who got it in this request, false =
    /// another's (or the backend is away), null = nobody's.
    pub fn lock_state(&self, key: &Zval, owner: &Zval) -> PhpResult<Option<bool>> {
        locks::state(&self.engine, key_lock(&self.handle, &key_bytes(key)?), owner)
    }
}
