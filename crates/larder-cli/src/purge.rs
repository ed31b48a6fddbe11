//! `purge`.

use std::io::Write;
use std::process::ExitCode;

use larder::Store;
use larder::contract::CacheId;

use crate::args::OptionalCacheName;
use crate::audit;
use crate::failure::Failure;
use crate::inspect::{cache, sort};
use crate::text::count;

/// Empties every cache of the namespace.
pub(crate) fn all(store: &Store, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let usage = store.usage()?;
    store.reset()?;
    audit::note(store, "purge", "all");
    let entries: u64 = usage.iter().map(|usage| usage.entries).sum();
    let (caches, entries) =
        (count(usage.len() as u64, "cache", "caches"), count(entries, "entry", "entries"));
    writeln!(out, "Purged the namespace: {caches}, {entries}.")?;
    Ok(ExitCode::SUCCESS)
}

/// Empties the caches of a name: both sorts, unless one is asked for. A logged cache that holds
/// nothing is purged all the same, because processes may keep in memory what the server evicted.
pub(crate) fn one(
    store: &Store,
    wanted: &OptionalCacheName,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let name = wanted.name.as_deref().unwrap_or_default();
    CacheId::new(name, true)?;
    let usage = store.usage()?;
    let held = |logged: bool| {
        let found = usage.iter().find(|usage| usage.cache.name() == name && usage.cache.logged() == logged);
        found.map(|usage| usage.entries)
    };
    let sorts: &[bool] = match (wanted.logged, wanted.unlogged) {
        (true, _) => &[true],
        (_, true) => &[false],
        _ => &[true, false],
    };
    for &logged in sorts {
        let entries = held(logged);
        if logged || entries.is_some() {
            cache(store, name, logged)?.purge()?;
        }
        if let Some(entries) = entries {
            let entries = count(entries, "entry", "entries");
            writeln!(out, "Purged the {} cache '{name}': {entries}.", sort(logged))?;
        }
    }
    audit::note(store, "purge", name);
    if sorts.iter().all(|&logged| held(logged).is_none()) {
        writeln!(
            out,
            "Purged '{name}', of which the server held nothing; larder stats lists what it holds."
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
