//! A process of its own for tests: opens the store that the options `name=value` before `--`
//! describe, and does what the words after it say.

use std::io::{self, BufRead, Write};
use std::sync::Arc;

use larder::contract::{Backend, CacheId, Op, Read};
use larder::{Config, Store};
use larder_testkit::conformance;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).peekable();
    let options: Vec<String> = args.by_ref().take_while(|arg| arg != "--").collect();
    let config = Config::from_options(options.iter().filter_map(|option| option.split_once('=')))?;
    // What the conformance suite asks, if the word is none of these.
    let word = args.next_if(|arg| ["obey", "write", "read", "once"].contains(&arg.as_str()));
    if word.as_deref() == Some("obey") {
        return obey(&config);
    }
    let backend = larder::engine::open_backend(&config)?;
    match word.as_deref() {
        None => conformance::peer(backend, args)?,
        Some("write") => write_for_ever(&*backend, &args.next().unwrap_or_default())?,
        Some("read") => read_for_ever(&*backend, &args.next().unwrap_or_default())?,
        Some(_) => once(&backend, &args.next().unwrap_or_default())?,
    }
    Ok(())
}

/// `get KEY`, `set KEY VALUE`, `delete KEY`, `tier`: each is a request, and is answered by a line.
fn obey(config: &Config) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open(config)?;
    let cache = store.cache("c")?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        // As a page does: a failure is a miss.
        let _ = store.sync();
        let answer = match *line.split(' ').collect::<Vec<_>>().as_slice() {
            ["get", key] => cache.get::<String>(key).unwrap_or(None).unwrap_or_else(|| "-".to_owned()),
            ["set", key, value] => cache.set(key, value).is_ok().to_string(),
            ["delete", key] => cache.delete(key).is_ok().to_string(),
            ["tier"] => store.health().tier.name().to_owned(),
            _ => return Err(line.into()),
        };
        writeln!(io::stdout(), "{answer}")?;
    }
    Ok(())
}

/// Writes one number to three keys at a time, in entries of changing size, and says each number
/// once it is acknowledged.
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

/// Reads one key over and over; ends only if an entry is not what was written: bytes that are all
/// the same.
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
