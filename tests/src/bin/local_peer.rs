//! A process that opens the store of its first argument, a URL, and does what its second says.

use std::io::{self, Write};
use std::sync::Arc;

use larder::{Backend, CacheId, Op, Read};
use larder_testkit::conformance;

/// What the conformance suite asks, if the argument is none of the others.
fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1).peekable();
    let url = args.next().unwrap_or_default();
    let config = larder::Config::from_options([("server", url.as_str()), ("lock_lease", "1")])
        .map_err(io::Error::other)?;
    let backend = larder::open_backend(&config).map_err(io::Error::other)?;
    let Some(word) = args.next_if(|arg| ["write", "read", "once"].contains(&arg.as_str())) else {
        return conformance::peer(backend, args);
    };
    let id = args.next().unwrap_or_default();
    match &*word {
        "write" => write_for_ever(&*backend, &id),
        "read" => read_for_ever(&*backend, &id),
        _ => once(&backend, &id),
    }
}

/// Writes one number to three keys at a time, in entries of changing size, and says each number once it is
/// acknowledged.
fn write_for_ever(backend: &dyn Backend, id: &str) -> io::Result<()> {
    let (logged, unlogged) = (cache("numbers", true)?, cache("numbers", false)?);
    let keys = ["a", "b"].map(|end| format!("{id} {end}"));
    for number in 1_u64.. {
        let mut entry = number.to_le_bytes().to_vec();
        entry.resize(8 + usize::try_from(number * 7919 % 50_000).unwrap_or(0), b'.');
        let set = |cache, key| Op::Set { cache, key, entry: &entry, expires: None, guard: None, lock: None };
        let [a, b] = keys.each_ref().map(String::as_bytes);
        let ops = [set(&logged, a), set(&logged, b), set(&unlogged, a)];
        backend.apply(None, &ops).map_err(io::Error::other)?;
        io::stdout().write_all(&number.to_le_bytes())?;
        io::stdout().flush()?;
    }
    Ok(())
}

/// Reads one key over and over; ends only if an entry is not what was written: bytes that are all the same.
fn read_for_ever(backend: &dyn Backend, key: &str) -> io::Result<()> {
    let cache = cache("large", true)?;
    loop {
        let reads = [Read { cache: &cache, key: key.as_bytes() }; 4];
        let fetched = backend.fetch(None, &reads).map_err(io::Error::other)?;
        for entry in fetched.entries.iter().flatten() {
            if entry.iter().any(|byte| Some(byte) != entry.first()) {
                return Err(io::Error::other("a torn entry"));
            }
        }
        io::stdout().write_all(b".")?;
    }
}

/// Stores a key, reads it, and prints what went wrong, if anything did.
fn once(backend: &Arc<dyn Backend>, key: &str) -> io::Result<()> {
    let cache = cache("once", true)?;
    let key = key.as_bytes();
    let set = Op::Set { cache: &cache, key, entry: b"v", expires: None, guard: None, lock: None };
    let done = backend.apply(None, &[set]).and_then(|_| backend.fetch(None, &[Read { cache: &cache, key }]));
    match done {
        Ok(fetched) => {
            println!("{}", if fetched.entries == [Some(b"v".to_vec())] { "ok" } else { "missing" });
        }
        Err(error) => println!("{:?}: {error}", error.kind()),
    }
    Ok(())
}

fn cache(name: &str, logged: bool) -> io::Result<CacheId> {
    CacheId::new(name, logged).map_err(io::Error::other)
}
