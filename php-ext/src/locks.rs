//! Locks of a request, on a key of a cache or named, as PHP asks for them.

use std::time::Duration;

use ext_php_rs::boxed::ZBox;
use ext_php_rs::prelude::*;
use ext_php_rs::types::{ZendHashTable, ZendStr, Zval};
use larder::contract::{LockBackend, LockInfo, parse_lock_name};

use crate::exceptions::{bad_value, outage};
use crate::interrupts::{self, Served};
use crate::keys::key_bytes;
use crate::registry::Shared;
use crate::values::Stop;

/// Nobody waits longer for a lock.
const LONGEST_WAIT: Duration = Duration::from_secs(86400);

/// Waits for a lock, `wait` seconds at the most. Whether it is held now.
pub(crate) fn acquire(
    engine: &Shared,
    name: larder::contract::Result<Vec<u8>>,
    owner: &Zval,
    wait: f64,
) -> Result<bool, Stop> {
    let wait = Duration::try_from_secs_f64(wait.max(0.0))
        .ok()
        .filter(|wait| *wait <= LONGEST_WAIT)
        .ok_or_else(|| bad_value("a wait must be a number of seconds, a day at most".into()))?;
    let Some(name) = outage(name)? else { return Ok(false) };
    let Some(token) = outage(engine.begin_lock(&name, &key_bytes(owner)?, wait))? else { return Ok(false) };
    loop {
        match outage(engine.advance_lock(token))? {
            Some(None) => {}
            got => return Ok(got.flatten().unwrap_or(false)),
        }
        // The wait is known to the engine by its token: whatever happens here, the request's end
        // ends it.
        match interrupts::serve() {
            Ok(Served::GoOn) => {}
            Ok(Served::OverLimit) => {
                engine.named_locks().give_up(token);
                return Ok(false);
            }
            Err(stop) => {
                engine.named_locks().give_up(token);
                return Err(stop);
            }
        }
    }
}

/// Gives a lock back; false if this request did not get it for `owner`.
pub(crate) fn release(
    engine: &Shared,
    name: larder::contract::Result<Vec<u8>>,
    owner: &Zval,
) -> PhpResult<bool> {
    let Some(name) = outage(name)? else { return Ok(false) };
    Ok(engine.release_lock(&name, &key_bytes(owner)?))
}

/// Whose a lock is: true = `owner`'s who got it in this request, false = another's, or the backend
/// is away, null = nobody's.
pub(crate) fn state(
    engine: &Shared,
    name: larder::contract::Result<Vec<u8>>,
    owner: &Zval,
) -> PhpResult<Option<bool>> {
    let Some(name) = outage(name)? else { return Ok(Some(false)) };
    Ok(outage(engine.lock_state(&name, &key_bytes(owner)?))?.unwrap_or(Some(false)))
}

/// The locks that are held.
pub(crate) fn list(engine: &Shared) -> PhpResult<Vec<ZBox<ZendHashTable>>> {
    let locks = outage(engine.lock_backend().and_then(LockBackend::list))?.unwrap_or_default();
    let array = |lock: LockInfo| {
        let (cache, key) = parse_lock_name(&lock.name).unwrap_or(("", &lock.name));
        let mut array = ZendHashTable::new();
        array.insert("cache", cache)?;
        for (name, bytes) in [("key", key), ("owner", &lock.owner[..])] {
            let mut text = Zval::new();
            text.set_zend_string(ZendStr::new(bytes, false));
            array.insert(name, text)?;
        }
        array.insert("seconds", lock.age.as_secs_f64())?;
        array.insert("waiters", i64::try_from(lock.waiters).unwrap_or(i64::MAX))?;
        Ok(array)
    };
    locks.into_iter().map(array).collect()
}
