//! `stats`, `keys` and `get`.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use larder::contract::{CacheId, Fact};
use larder::engine::Server;
use larder::engine::payload::Value;
use larder::{Cache, CacheKind, Config, Store};
use serde_json::json;

use crate::args::CacheName;
use crate::failure::Failure;
use crate::json::Json;
use crate::{output, text};

/// Opens the store; refuses to make a directory that is not there, which is most likely a misspelt
/// path, or would then be this user's. A fallback of another user is refused, too: the server would
/// go on without it, for all programs.
pub(crate) fn open(config: &Config) -> Result<Store, Failure> {
    let servers = [Some(config.server()), config.fallback()].into_iter().flatten();
    let tier = config.node_tier().map(|(path, _)| (path, true));
    let directories = servers
        .filter_map(|server| Some((server.path()?, matches!(server, Server::Local { .. }))))
        .chain(tier);
    for (path, local) in directories {
        let Ok(found) = std::fs::metadata(path) else {
            return Err(Failure::NotFound(format!("there is no directory {}", path.display())));
        };
        if local && found.uid() != rustix::process::geteuid().as_raw() {
            let (path, user) = (path.display(), found.uid());
            return Err(Failure::NotFound(format!("{path} belongs to user {user}; run larder as that user")));
        }
    }
    Ok(Store::open(config)?)
}

/// What a cache is called by people.
pub(crate) fn sort(logged: bool) -> &'static str {
    if logged { "logged" } else { "unlogged" }
}

/// Opens one of the two caches that a name may stand for. A name that begins with `~` is that of a
/// durable cache, whose entries count as unlogged.
pub(crate) fn cache(store: &Store, name: &str, logged: bool) -> Result<Cache, Failure> {
    let durable = name.strip_prefix('~');
    let kind = match durable {
        Some(_) => CacheKind::Durable,
        None if logged => CacheKind::Logged,
        None => CacheKind::Session,
    };
    Ok(store.cache_with(durable.unwrap_or(name), kind, None)?)
}

/// The cache that is meant: the one that holds entries, unless the user says which.
fn find(store: &Store, wanted: &CacheName) -> Result<Cache, Failure> {
    CacheId::new(&wanted.name, true)?;
    let usage = store.usage()?;
    let sorts: Vec<bool> = usage
        .iter()
        .map(|usage| &usage.cache)
        .filter(|cache| cache.name() == wanted.name)
        .map(CacheId::logged)
        .filter(|logged| if *logged { !wanted.unlogged } else { !wanted.logged })
        .collect();
    match sorts.as_slice() {
        [] => Err(Failure::NotFound(format!(
            "no cache '{}' holds entries in this namespace; larder stats lists those that do",
            wanted.name
        ))),
        [logged] => cache(store, &wanted.name, *logged),
        _ => {
            Err(Failure::Usage(format!("there are two caches '{}': add --logged or --unlogged", wanted.name)))
        }
    }
}

/// Lists caches and facts. Some round trips.
pub(crate) fn stats(store: &Store, as_json: bool, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let mut usage = store.usage()?;
    usage.sort_by(|a, b| a.cache.name().cmp(b.cache.name()).then(a.cache.logged().cmp(&b.cache.logged())));
    let facts = store.backend().describe()?;
    if as_json {
        let caches: Vec<_> = usage
            .iter()
            .map(|usage| {
                json!({"cache": usage.cache.name(), "logged": usage.cache.logged(), "entries": usage.entries})
            })
            .collect();
        let facts: serde_json::Map<_, _> = facts
            .into_iter()
            .map(|(name, fact)| match fact {
                Fact::Number(number) => (name, number.into()),
                Fact::Text(text) => (name, text.into()),
            })
            .collect();
        output::json(out, &json!({"caches": caches, "backend": facts}))?;
        return Ok(ExitCode::SUCCESS);
    }
    if usage.is_empty() {
        writeln!(out, "No cache of this namespace holds entries.")?;
    } else {
        let rows = usage.iter().map(|usage| {
            [usage.cache.name().to_owned(), sort(usage.cache.logged()).to_owned(), usage.entries.to_string()]
        });
        output::table(out, Some(["CACHE", "CHANGES", "ENTRIES"]), rows)?;
    }
    writeln!(out)?;
    output::table(out, None, facts.into_iter().map(|(name, fact)| [name, fact.to_string()]))?;
    Ok(ExitCode::SUCCESS)
}

/// Lists keys, escaped, in the order of their bytes.
pub(crate) fn keys(
    store: &Store,
    wanted: &CacheName,
    prefix: &[u8],
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let mut keys = find(store, wanted)?.keys(prefix)?;
    keys.sort_unstable();
    for key in keys {
        writeln!(out, "{}", text::escape(&key))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints one entry as JSON.
pub(crate) fn get(
    store: &Store,
    wanted: &CacheName,
    key: &[u8],
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let Some(payload) = find(store, wanted)?.payload(key)? else {
        return Err(Failure::NotFound(if store.stats().broken == 0 {
            format!("'{}' holds no key '{}'", wanted.name, text::escape(key))
        } else {
            "the entry cannot be read: it is broken, of another version, or not sealed with this seal_key"
                .into()
        }));
    };
    let value = Value::decode(&payload).map_err(larder::Error::from)?;
    output::json(out, &Json(&value))?;
    Ok(ExitCode::SUCCESS)
}
