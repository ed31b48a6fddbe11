//! `locks`.

use std::io::Write;
use std::process::ExitCode;

use larder::Store;
use larder::contract::{CacheId, LockInfo, LockKind, lock_name, named_lock_name, parse_lock_name};
use serde_json::json;

use crate::failure::Failure;
use crate::{output, text};

/// Lists the locks that are held. Some round trips, more with more locks.
pub(crate) fn list(store: &Store, as_json: bool, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let mut locks = store.locks()?;
    locks.sort_by(|a, b| b.age.cmp(&a.age).then_with(|| a.name.cmp(&b.name)));
    if as_json {
        let locks: Vec<_> = locks
            .iter()
            .map(|lock| {
                let (cache, key) = names(lock);
                json!({
                    "cache": cache,
                    "key": key,
                    "owner": text::escape(&lock.owner),
                    "seconds_held": lock.age.as_secs_f64(),
                    "seconds_left": lock.left.as_secs_f64(),
                    "waiters": lock.waiters,
                    "fence": lock.fence,
                })
            })
            .collect();
        output::json(out, &json!({ "locks": locks }))?;
    } else if locks.is_empty() {
        writeln!(out, "No lock of this namespace is held.")?;
    } else {
        let rows = locks.iter().map(|lock| {
            let (cache, key) = names(lock);
            let held = format!("{:.1} s", lock.age.as_secs_f64());
            [cache, key, text::escape(&lock.owner), held, lock.waiters.to_string()]
        });
        output::table(out, Some(["CACHE", "KEY", "OWNER", "HELD", "WAITERS"]), rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes a lock from its holder: from those of both sorts of caches, if there are two of the name;
/// a named one if the cache is `-`.
pub(crate) fn break_one(store: &Store, words: &[String], out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let [cache, key] = words else { return Err(Failure::Usage("--break takes a cache and a key".into())) };
    let bytes = text::unescape(key)?;
    let mut broken = false;
    if cache == NO_CACHE {
        broken |= store.break_lock(&named_lock_name(&bytes))?;
    }
    for logged in [true, false] {
        broken |= store.break_lock(&lock_name(&CacheId::new(cache, logged)?, &bytes))?;
    }
    if !broken {
        return Err(Failure::NotFound(format!("nobody holds the lock on '{key}' of '{cache}'")));
    }
    writeln!(out, "Took the lock on '{key}' of '{cache}' from its holder.")?;
    Ok(ExitCode::SUCCESS)
}

/// What stands for the cache of a named lock.
const NO_CACHE: &str = "-";

fn names(lock: &LockInfo) -> (String, String) {
    match parse_lock_name(&lock.name) {
        Some((_, name)) if LockKind::of(&lock.name) == LockKind::Named => {
            (NO_CACHE.to_owned(), text::escape(name))
        }
        Some((cache, key)) => (cache.to_owned(), text::escape(key)),
        None => (String::new(), text::escape(&lock.name)),
    }
}
