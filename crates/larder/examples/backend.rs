//! A backend of one's own: a file of changes, which each handle reads on from where it stands. It
//! is neither quick nor ever shortened, but it keeps the contract: `tests/tests/example.rs` runs
//! the conformance suite on it.
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use larder::contract::{
    Applied, Backend, CacheId, CacheUsage, Change, Delta, Facts, Fetched, MAX_CHANGES, Op, Outcome, Position,
    Read, Result, Ruling, Since,
};
use larder::{Config, Error, Store};
use serde_bytes::ByteBuf as Bytes;

/// A change: a random number, the cache, whether it is logged, the key if this is no purge, the
/// entry if it is a set.
type Row = (u64, String, bool, Option<Bytes>, Option<Bytes>);

/// All changes, of which the first says that a history begins, and how many at the end are not in
/// the file yet.
#[derive(Default)]
struct Rows(Vec<Row>, usize);

/// A handle on a file.
pub(crate) struct Journal(Mutex<(File, Rows)>, AtomicU64);

impl Rows {
    fn add(&mut self, row: Row) {
        if row.1.is_empty() {
            self.0.clear();
        }
        self.0.push(row);
        self.1 += 1;
    }
    fn begin(&mut self) {
        self.add((random(), String::new(), true, None, None));
    }
    fn touches(row: &Row, cache: &CacheId, key: &[u8]) -> bool {
        (&*row.1, row.2) == (cache.name(), cache.logged())
            && row.3.as_ref().is_none_or(|other| **other == *key)
    }
    fn get(&self, cache: &CacheId, key: &[u8]) -> Option<Vec<u8>> {
        self.0.iter().rfind(|row| Self::touches(row, cache, key))?.4.as_ref().map(|entry| entry.to_vec())
    }
    fn position(&self) -> Position {
        let at = self.0.iter().rposition(|row| row.2).unwrap_or(0);
        let number = |at: usize| self.0.get(at).map_or(0, |row| row.0).into();
        Position { incarnation: number(0), id: at as u128, nonce: number(at) }
    }
    /// What was logged since a position, before the change of this number; `None` if the position
    /// is not of this history (rule 2 of the contract).
    fn since(&self, at: Position, until: usize) -> Option<Vec<&Row>> {
        let mut rows = self.0.iter().take(until).skip(usize::try_from(at.id).ok()?).filter(|row| row.2);
        let known = rows.next()?.0 == u64::try_from(at.nonce).ok()?;
        (known && at.incarnation == self.position().incarnation).then(|| rows.collect())
    }
    fn delta(&self, since: Option<Position>) -> Delta {
        let change = |(_, cache, _, key, _): &Row| match key {
            Some(key) => Change::Key { cache: cache.as_str().into(), key: key.as_slice().into() },
            None => Change::Cache { cache: cache.as_str().into() },
        };
        let rows = since.and_then(|since| self.since(since, self.0.len()));
        let reset = rows.is_none();
        let rows = rows.unwrap_or_default();
        let changes = if rows.len() <= MAX_CHANGES {
            rows.into_iter().map(change).collect()
        } else {
            let caches: BTreeSet<&str> = rows.iter().map(|row| &*row.1).collect();
            caches.into_iter().map(|cache| Change::Unlisted { cache: cache.into() }).collect()
        };
        Delta { reset, changes, position: self.position() }
    }
    /// Makes one change of a batch, before which there were so many (rule 4).
    fn change(&mut self, op: &Op<'_>, before: usize) -> Outcome {
        let cache = op.cache();
        let (outcome, key, entry) = match *op {
            Op::Purge { .. } => (Outcome::Purged, None, None),
            Op::Delete { key, .. } => {
                (Outcome::Deleted { existed: self.get(cache, key).is_some() }, Some(key), None)
            }
            Op::Set { key, entry, guard, .. } => {
                let ruling = guard.filter(|_| cache.logged()).map_or(Ok(Ruling::Store), |guard| {
                    let rows = self.since(guard.position(), before);
                    let (known, rows) = (rows.is_some(), rows.unwrap_or_default());
                    let far = rows.len() > MAX_CHANGES;
                    let last = rows
                        .iter()
                        .rfind(|row| (far && row.1 == cache.name()) || Self::touches(row, cache, key));
                    let since = match last {
                        None if known => Since::Nothing,
                        Some((.., Some(_))) if !far => Since::Stored,
                        _ => Since::Changed,
                    };
                    guard.judge(since, entry, || Ok::<_, Error>(self.get(cache, key)))
                });
                match ruling {
                    Ok(Ruling::Store) => (Outcome::Stored, Some(key), Some(entry)),
                    Ok(Ruling::Clear) => (Outcome::Cleared, Some(key), None),
                    Ok(Ruling::Drop) | Err(_) => return Outcome::Dropped,
                }
            }
        };
        self.add((
            random(),
            cache.name().into(),
            cache.logged(),
            key.map(Bytes::from),
            entry.map(Bytes::from),
        ));
        outcome
    }
}

impl Journal {
    /// A handle on the file, which is made if it is not there.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        Ok(Self(Mutex::new((file, Rows::default())), AtomicU64::new(0)))
    }
    /// Reads on, and appends what `work` adds, while no other handle does.
    fn with<T>(&self, work: impl FnOnce(&mut Rows) -> T) -> Result<T> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let mut state = self.0.lock().map_err(|_| Error::unavailable("journal", "a call panicked"))?;
        let (file, rows) = &mut *state;
        let answer = file.lock().and_then(|()| {
            let (mut bytes, mut out) = (Vec::new(), Vec::new());
            file.read_to_end(&mut bytes)?;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                rows.add(rmp_serde::from_read(&mut rest).map_err(std::io::Error::other)?);
            }
            rows.1 = 0;
            if rows.0.is_empty() {
                rows.begin();
            }
            let answer = work(rows);
            for row in rows.0.iter().rev().take(rows.1).rev() {
                rmp_serde::encode::write(&mut out, row).map_err(std::io::Error::other)?;
            }
            file.write_all(&out)?;
            Ok(answer)
        });
        file.unlock().and(answer).map_err(|error| Error::unavailable("journal", &error).because_of(error))
    }
}

impl Backend for Journal {
    fn fetch(&self, since: Option<Position>, reads: &[Read<'_>]) -> Result<Fetched> {
        let get = |rows: &Rows, read: &Read<'_>| rows.get(read.cache, read.key);
        self.with(|rows| Fetched {
            delta: rows.delta(since),
            entries: reads.iter().map(|read| get(rows, read)).collect(),
        })
    }
    fn apply(&self, since: Option<Position>, ops: &[Op<'_>]) -> Result<Applied> {
        self.with(|rows| {
            let delta = rows.delta(since);
            let before = rows.0.len();
            let outcomes = ops.iter().map(|op| rows.change(op, before)).collect();
            Applied { delta: Delta { position: rows.position(), ..delta }, outcomes }
        })
    }
    fn list(&self, cache: &CacheId, prefix: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut keys = self.with(|rows| rows.keys())?;
        keys.retain(|(name, logged, key)| {
            (&**name, *logged) == (cache.name(), cache.logged()) && key.starts_with(prefix)
        });
        for (.., key) in &keys {
            visit(key);
        }
        Ok(())
    }
    fn usage(&self) -> Result<Vec<CacheUsage>> {
        let keys = self.with(|rows| rows.keys())?;
        let caches = keys.chunk_by(|one, other| (&one.0, one.1) == (&other.0, other.1));
        let usage = |keys: &[(String, bool, Vec<u8>)]| {
            let (name, logged, _) = keys.first()?;
            Some(CacheUsage { cache: CacheId::new(name, *logged).ok()?, entries: keys.len() as u64 })
        };
        Ok(caches.filter_map(usage).collect())
    }
    fn reset(&self) -> Result<()> {
        self.with(Rows::begin)
    }
    fn now(&self) -> u64 {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
    }
    fn round_trips(&self) -> u64 {
        self.1.load(Ordering::Relaxed)
    }
    fn describe(&self) -> Result<Facts> {
        let mut facts = Facts::default();
        facts.push("changes", self.with(|rows| rows.0.len())? as u64);
        Ok(facts)
    }
}

impl Rows {
    /// The keys that have entries, each after its cache, in order.
    fn keys(&self) -> Vec<(String, bool, Vec<u8>)> {
        let mut keys = BTreeSet::new();
        for (_, cache, logged, key, entry) in &self.0 {
            match key {
                Some(key) if entry.is_some() => drop(keys.insert((cache.clone(), *logged, key.to_vec()))),
                Some(key) => drop(keys.remove(&(cache.clone(), *logged, key.to_vec()))),
                None => keys.retain(|(name, of, _)| (name, of) != (cache, logged)),
            }
        }
        keys.into_iter().collect()
    }
}

fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let open = || -> std::result::Result<Store, Box<dyn std::error::Error>> {
        let journal = Arc::new(Journal::open(&directory.path().join("journal"))?);
        Ok(Store::with_backend(journal, &Config::from_url("local:/unused")?))
    };
    let (one, other) = (open()?.cache("c")?, open()?);
    one.set("k", "v")?;
    assert_eq!(other.cache("c")?.get::<String>("k")?.as_deref(), Some("v"));
    one.delete("k")?;
    other.sync()?;
    assert_eq!(other.cache("c")?.get::<String>("k")?, None);
    println!("two handles on one file see each other's writes");
    Ok(())
}
