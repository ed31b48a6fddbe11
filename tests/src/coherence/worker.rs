//! One process of a run: requests of random reads, writes and fills, each told to the journal.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use larder::contract::MAX_CHANGES;
use larder::engine::{Decode, Engine, Handle, Item};
use larder::{Config, ErrorKind, Health};

use super::{CACHES, Journal, KEYS, Name, Outcome, Truth, Write, now};

/// A value of the run as it is kept in memory: its version.
struct Versions;

impl Decode for Versions {
    type Value = u64;

    fn decode(&self, payload: &[u8]) -> Option<(u64, usize)> {
        Some((u64::from_le_bytes(*payload.first_chunk()?), payload.len()))
    }
}

/// Who a worker is.
pub struct Worker<'a> {
    /// The store's configuration.
    pub config: &'a Config,
    /// Where journals and truths are.
    pub directory: &'a Path,
    /// Its number in the run, never used twice.
    pub process: u64,
    /// How long it works.
    pub time: Duration,
    /// The most floods at the beginning of a request: each changes more keys that nobody reads than
    /// an answer lists.
    pub floods: u64,
}

/// Works, and leaves the journal `<process>.journal` in the directory.
///
/// # Errors
/// If journal or truths cannot be written. Errors of the store are part of the run.
pub fn run(worker: &Worker<'_>) -> io::Result<()> {
    let until = now() + nanos(worker.time);
    let mut state = State::new(worker)?;
    while now() < until {
        state.request()?;
    }
    state.flush()
}

pub(super) struct State {
    engine: Engine<Versions>,
    caches: Vec<Handle>,
    staleness: u64,
    truth: Truth,
    journal: Journal,
    process: u64,
    random: u64,
    versions: u64,
    floods: u64,
    /// A time before the request of the last sync point was sent.
    sync: u64,
    /// Whether the next operation is a sync point.
    due: bool,
    /// What was missing when it was last read in this request, and not stored since: a set of it
    /// counts as a fill.
    missing: HashSet<Name>,
}

impl State {
    pub(super) fn new(worker: &Worker<'_>) -> io::Result<Self> {
        let engine = Engine::open(worker.config, Versions).map_err(io::Error::other)?;
        let open = |number| engine.cache(&format!("cache {number}"), true, None).map_err(io::Error::other);
        Ok(Self {
            // One more than the workers use.
            caches: (0..=CACHES).map(open).collect::<io::Result<_>>()?,
            engine,
            staleness: nanos(worker.config.max_staleness()),
            truth: Truth::open(&worker.directory.join("truth"))?,
            journal: Journal::create(&worker.directory.join(format!("{}.journal", worker.process)))?,
            process: worker.process,
            random: now() ^ (worker.process << 48) | 1,
            versions: 0,
            floods: worker.floods,
            sync: 0,
            due: true,
            missing: HashSet::new(),
        })
    }

    /// Does `steps` as one request.
    pub(super) fn request_of<T>(&mut self, steps: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        self.engine.begin_request();
        self.due = true;
        self.missing.clear();
        let done = steps(self)?;
        let errors = self.engine.stats().errors;
        self.engine.end_request();
        if self.engine.stats().errors == errors {
            self.journal.settled(now());
        }
        Ok(done)
    }

    fn request(&mut self) -> io::Result<()> {
        self.request_of(Self::random_steps)
    }

    fn random_steps(&mut self) -> io::Result<()> {
        for _ in 0..self.below(self.floods + 1) {
            self.flood();
        }
        for _ in 0..self.below(60) {
            match self.below(100) {
                0..62 => self.get(1).map(drop)?,
                62..74 => self.get(6).map(drop)?,
                74..80 => self.set(1)?,
                80..82 => self.set(4)?,
                82..85 => self.delete(1)?,
                85..86 => self.delete(3)?,
                86..98 => self.fill()?,
                98 => self.sync(),
                _ => match self.below(8) {
                    0..2 => self.purge()?,
                    2..4 => self.flood(),
                    _ => {}
                },
            }
        }
        Ok(())
    }

    /// Reads up to so many keys of a cache; answers those that were missing, if the store answers.
    fn get(&mut self, most: u64) -> io::Result<Vec<Name>> {
        let names = self.pick(most);
        Ok(self.read(names)?.unwrap_or_default())
    }

    /// Reads keys of a cache; answers those that were missing, or `None` if the store does not
    /// answer.
    pub(super) fn read(&mut self, names: Vec<Name>) -> io::Result<Option<Vec<Name>>> {
        let keys: Vec<[u8; 8]> = names.iter().map(key).collect();
        let keys: Vec<&[u8]> = keys.iter().map(<[u8; 8]>::as_slice).collect();
        let Some(cache) = self.cache(&names) else { return Ok(None) };
        let read = |engine: &Engine<Versions>| match keys.as_slice() {
            [key] => Ok(vec![engine.get(&cache, key)?]),
            keys => engine.get_many(&cache, keys),
        };
        let (start, found) = self.call(read);
        let Ok(found) = found else {
            // The engine may have found some missing before it failed.
            self.missing.extend(names);
            return Ok(None);
        };
        let sync = self.sync.max(start.saturating_sub(self.staleness));
        let reads: Vec<_> = names.iter().copied().zip(found).collect();
        self.journal.reads((start, now()), sync, &reads)?;
        for (name, version) in &reads {
            if version.is_some() {
                self.missing.remove(name)
            } else {
                self.missing.insert(*name)
            };
        }
        Ok(Some(reads.into_iter().filter(|(_, version)| version.is_none()).map(|(name, _)| name).collect()))
    }

    /// Reads, computes what is missing from the truth, and stores it.
    fn fill(&mut self) -> io::Result<()> {
        let most = 1 + self.below(4);
        let missing = self.get(most)?;
        let truths: Vec<u64> =
            missing.iter().map(|name| self.truth.read(*name)).collect::<io::Result<_>>()?;
        // Time for others to change it.
        match self.below(10) {
            0..4 => {}
            4..9 => std::thread::yield_now(),
            _ => std::thread::sleep(Duration::from_micros(self.below(3000))),
        }
        let writes: Vec<_> =
            missing.into_iter().zip(truths).map(|(name, truth)| self.value(name, truth, true)).collect();
        self.store(&writes).map(drop)
    }

    /// Stores what was not computed from anything, half the time after a change of the truth.
    fn set(&mut self, most: u64) -> io::Result<()> {
        let mut writes = Vec::new();
        for name in self.pick(most) {
            let truth = self.new_truth(name)?;
            writes.push(self.value(name, truth, false));
        }
        self.store(&writes).map(drop)
    }

    pub(super) fn value(&mut self, name: Name, truth: u64, fill: bool) -> Write {
        self.versions += 1;
        let version = self.process << 40 | self.versions;
        Write::Set { name, version, truth, fill, certain: !self.missing.contains(&name) }
    }

    /// Stores values; whether that was acknowledged.
    pub(super) fn store(&mut self, writes: &[Write]) -> io::Result<bool> {
        let sets = |write: &Write| match write {
            Write::Set { name, version, .. } => Some((*name, *version)),
            _ => None,
        };
        let values: Vec<(Name, u64)> = writes.iter().filter_map(sets).collect();
        let names: Vec<Name> = values.iter().map(|(name, _)| *name).collect();
        let Some(cache) = self.cache(&names) else { return Ok(false) };
        let length = usize::try_from(self.below(200) + 8).unwrap_or(8);
        let entries: Vec<([u8; 8], Vec<u8>)> = values
            .iter()
            .map(|(name, version)| {
                let mut payload = version.to_le_bytes().to_vec();
                payload.resize(length, b'.');
                (key(name), payload)
            })
            .collect();
        let items: Vec<Item<'_>> =
            entries.iter().map(|(key, payload)| Item { key, payload, ttl: None, lock: None }).collect();
        let start = now();
        let done = self.write(writes, |engine| engine.set_many(&cache, &items))?;
        match done {
            Ok(()) => self.missing.retain(|name| !names.contains(name)),
            // What it would have replaced was deleted, so that nothing old stays: if that went
            // through, it was the sync point of what memory still serves.
            Err(ErrorKind::Refused) => (self.sync, self.due) = (start, false),
            Err(_) => {}
        }
        Ok(done.is_ok())
    }

    fn delete(&mut self, most: u64) -> io::Result<()> {
        let names = self.pick(most);
        let truths = names.iter().map(|name| self.new_truth(*name)).collect::<io::Result<Vec<_>>>()?;
        self.remove(&names, &truths).map(drop)
    }

    /// Deletes keys of a cache, whose truths are so; whether that was acknowledged.
    pub(super) fn remove(&mut self, names: &[Name], truths: &[u64]) -> io::Result<bool> {
        let Some(cache) = self.cache(names) else { return Ok(false) };
        let delete = |(name, truth): (&Name, &u64)| Write::Delete { name: *name, truth: *truth };
        let writes: Vec<Write> = names.iter().zip(truths).map(delete).collect();
        let keys: Vec<[u8; 8]> = names.iter().map(key).collect();
        let keys: Vec<&[u8]> = keys.iter().map(<[u8; 8]>::as_slice).collect();
        self.write(&writes, |engine| engine.delete_many(&cache, &keys).map(drop)).map(|done| done.is_ok())
    }

    pub(super) fn health(&self) -> Health {
        self.engine.health()
    }

    /// Writes what the journal still holds back.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.journal.flush()
    }

    fn purge(&mut self) -> io::Result<()> {
        let number = self.index(CACHES);
        let Some(cache) = self.caches.get(number).cloned() else { return Ok(()) };
        let truths = Name::all_of(number).map(|name| self.new_truth(name)).collect::<io::Result<_>>()?;
        self.write(&[Write::Purge { cache: number, truths }], |engine| engine.purge(&cache)).map(drop)
    }

    /// Changes more keys that nobody reads than an answer lists: the next requests of others are
    /// told which caches changed.
    fn flood(&mut self) {
        let number = if self.below(4) == 0 { self.index(CACHES) } else { CACHES };
        let Some(cache) = self.caches.get(number).cloned() else { return };
        let keys: Vec<Vec<u8>> = (0..=MAX_CHANGES).map(|number| number.to_string().into_bytes()).collect();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let (together, rest) = keys.split_at(if self.below(2) == 0 { keys.len() } else { keys.len() / 2 });
        for keys in [together, rest].into_iter().filter(|keys| !keys.is_empty()) {
            let _ = self.call(|engine| engine.delete_many(&cache, keys));
        }
    }

    fn sync(&mut self) {
        let _ = self.call(Engine::sync);
    }

    /// The truth of a key, half the time changed before.
    fn new_truth(&mut self, name: Name) -> io::Result<u64> {
        if self.below(2) == 0 {
            self.truth.change(name)?;
        }
        self.truth.read(name)
    }

    fn write(
        &mut self,
        writes: &[Write],
        call: impl FnOnce(&Engine<Versions>) -> larder::contract::Result<()>,
    ) -> io::Result<Result<(), ErrorKind>> {
        self.journal.begin(now(), writes)?;
        let trips = self.engine.backend().round_trips();
        let (_, done) = self.call(call);
        let outcome = match &done {
            Err(_) => Outcome::Failed,
            Ok(()) if self.engine.backend().round_trips() == trips => Outcome::Sent,
            Ok(()) => Outcome::Acknowledged,
        };
        self.journal.end(now(), outcome);
        Ok(done)
    }

    /// Calls the engine; answers when it began, and what it said.
    fn call<T>(
        &mut self,
        call: impl FnOnce(&Engine<Versions>) -> larder::contract::Result<T>,
    ) -> (u64, Result<T, ErrorKind>) {
        let trips = self.engine.backend().round_trips();
        let start = now();
        let answer = call(&self.engine).map_err(|error| error.kind());
        if answer.is_err() {
            // What is in memory is not served before the backend answers again.
            self.due = true;
            std::thread::sleep(Duration::from_millis(5));
        } else if self.due || self.engine.backend().round_trips() > trips {
            self.sync = start;
            self.due = false;
        }
        (start, answer)
    }

    /// Some keys of one cache, a few much more often than others.
    fn pick(&mut self, most: u64) -> Vec<Name> {
        let cache = self.index(CACHES);
        let mut names: Vec<Name> = Vec::new();
        for _ in 0..most {
            let name = Name { cache, key: self.index(KEYS).min(self.index(KEYS)) };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    fn cache(&self, names: &[Name]) -> Option<Handle> {
        self.caches.get(names.first()?.cache).cloned()
    }

    fn index(&mut self, below: usize) -> usize {
        usize::try_from(self.below(below as u64)).unwrap_or(0)
    }

    /// A xorshift generator.
    fn below(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % below
    }
}

fn key(name: &Name) -> [u8; 8] {
    (name.key as u64).to_be_bytes()
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
