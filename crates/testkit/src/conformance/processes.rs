//! Several threads, then several processes, each with a near cache, against a model.
//!
//! Each peer owns one cache: only it writes the true values there, numbered upwards; all peers read
//! all caches through a near cache kept as the protocol says, and fill what they miss under a
//! guard. Every write and read is reported with the time before and after it; afterwards each read
//! must have returned a state that was current at some time between the last write acknowledged
//! before it began and its end, or nothing if a fill lost against that write.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::Stdio;
use std::sync::Arc;

use larder::contract::{Backend, CacheId, Change, Delta, Op, Outcome, Position, Read};
use rustix::time::{ClockId, clock_gettime};

use super::{Fixture, Sure, delete, logged, purge, set, set_if};

const PEERS: usize = 4;
const KEYS: u64 = 12;
const STEPS: u64 = 1_500;
const FILLED: &[u8] = b"filled";

/// Peers that are threads with handles of their own.
pub fn threads_keep_near_caches_right(fixture: &dyn Fixture) {
    let reports: Vec<_> = std::thread::scope(|scope| {
        let peers: Vec<_> = (0..PEERS)
            .map(|id| {
                let backend = fixture.open();
                scope.spawn(move || Peer::new(backend, id, 1).run(STEPS))
            })
            .collect();
        peers.into_iter().filter_map(|peer| peer.join().ok()).collect()
    });
    judge(&reports);
}

/// Peers that are processes.
pub fn processes_keep_near_caches_right(fixture: &dyn Fixture) {
    let reports: Vec<_> = std::thread::scope(|scope| {
        let peers: Vec<_> = (0..PEERS)
            .map(|id| {
                let mut command = fixture.peer();
                command.args([id.to_string(), "2".to_owned()]).stdout(Stdio::piped());
                scope.spawn(move || {
                    let output = command.output();
                    output.ok().filter(|output| output.status.success()).map(|output| output.stdout)
                })
            })
            .collect();
        peers.into_iter().filter_map(|peer| peer.join().ok().flatten()).collect()
    });
    let reports: Vec<_> = reports.iter().map(|report| String::from_utf8_lossy(report).into_owned()).collect();
    judge(&reports);
}

pub(super) fn peer(backend: Arc<dyn Backend>, mut args: impl Iterator<Item = String>) -> io::Result<()> {
    let mut number = || args.next().and_then(|arg| arg.parse().ok()).ok_or(io::ErrorKind::InvalidInput);
    let (id, seed) = (number()?, number()?);
    let report = Peer::new(backend, id, seed as u64).run(STEPS);
    io::stdout().write_all(report.as_bytes())
}

type Name = (usize, u64);

struct Peer {
    backend: Arc<dyn Backend>,
    id: usize,
    caches: Vec<CacheId>,
    random: u64,
    version: u64,
    position: Option<Position>,
    near: HashMap<Name, Option<Vec<u8>>>,
    report: String,
}

impl Peer {
    fn new(backend: Arc<dyn Backend>, id: usize, seed: u64) -> Self {
        let caches = (0..PEERS).map(|owner| logged(&format!("owner {owner}"))).collect();
        let random = seed * 1_000_003 + id as u64 + 1;
        let near = HashMap::new();
        Self { backend, id, caches, random, version: 0, position: None, near, report: String::new() }
    }

    fn run(mut self, steps: u64) -> String {
        for _ in 0..steps {
            match self.random(100) {
                0..60 => self.read(),
                60..80 => self.write(1),
                80..85 => self.write(3),
                85..87 => self.purge(),
                _ => self.fill(),
            }
        }
        self.report
    }

    /// A xorshift generator: reproducible, good enough to mix.
    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % below
    }

    fn pick(&mut self) -> Name {
        let owner = usize::try_from(self.random(PEERS as u64)).unwrap_or(0);
        (owner, self.random(KEYS))
    }

    fn absorb(&mut self, delta: &Delta) {
        if delta.reset {
            self.near.clear();
        }
        for change in &delta.changes {
            let owner = |cache: &str| self.caches.iter().position(|known| known.name() == cache);
            match change {
                Change::Key { cache, key } => {
                    let key = key.as_ref().try_into().map(u64::from_be_bytes);
                    if let (Some(owner), Ok(key)) = (owner(cache), key) {
                        self.near.remove(&(owner, key));
                    }
                }
                Change::Cache { cache } | Change::Unlisted { cache } => {
                    let purged = owner(cache);
                    self.near.retain(|(owner, _), _| Some(*owner) != purged);
                }
            }
        }
        self.position = Some(delta.position);
    }

    fn fetch(&mut self, name: Name) -> Option<Vec<u8>> {
        let cache = self.caches.get(name.0).cloned().unwrap_or_else(|| unreachable!("an owner"));
        let key = name.1.to_be_bytes();
        let mut fetched = self.backend.sure_fetch(self.position, &[Read { cache: &cache, key: &key }]);
        if fetched.delta.reset {
            // R2: the answer of a gap is discarded.
            self.absorb(&fetched.delta);
            fetched = self.backend.sure_fetch(self.position, &[Read { cache: &cache, key: &key }]);
        }
        let entry = fetched.entries.pop().flatten();
        let kept = !fetched.delta.reset;
        self.absorb(&fetched.delta);
        if kept {
            self.near.insert(name, entry.clone());
        }
        entry
    }

    /// A sync point, then the near cache if it has the key, else the backend.
    fn read(&mut self) {
        let name = self.pick();
        let start = now();
        let delta = self.backend.sync(self.position);
        self.absorb(&delta);
        let entry = match self.near.get(&name) {
            Some(entry) => entry.clone(),
            None => self.fetch(name),
        };
        let version = entry.filter(|entry| entry != FILLED).and_then(|entry| entry.try_into().ok());
        self.line('R', name, version.map_or(0, u64::from_be_bytes), start, now());
    }

    /// Sets and deletes in the own cache: its versions are odd for a value and even for none.
    fn write(&mut self, count: u64) {
        let cache = self.caches.get(self.id).cloned().unwrap_or_else(|| unreachable!("the own cache"));
        let mut writes: BTreeMap<u64, u64> = BTreeMap::new();
        for _ in 0..count {
            let (key, gone) = (self.random(KEYS), self.random(4) == 0);
            self.version += 2;
            writes.insert(key, if gone { self.version } else { self.version + 1 });
        }
        let bytes: Vec<_> =
            writes.iter().map(|(key, version)| (key.to_be_bytes(), version.to_be_bytes())).collect();
        let ops: Vec<Op<'_>> = bytes
            .iter()
            .zip(writes.values())
            .map(
                |((key, entry), version)| {
                    if version % 2 == 0 { delete(&cache, key) } else { set(&cache, key, entry) }
                },
            )
            .collect();
        // R4: dropped before sending, inserted at the own record.
        for key in writes.keys() {
            self.near.remove(&(self.id, *key));
        }
        let start = now();
        let applied = self.backend.sure_apply(self.position, &ops);
        let end = now();
        self.absorb(&applied.delta);
        for ((key, version), (_, entry)) in writes.iter().zip(&bytes) {
            self.line('W', (self.id, *key), *version, start, end);
            self.near.insert((self.id, *key), (version % 2 == 1).then(|| entry.to_vec()));
        }
    }

    fn purge(&mut self) {
        let cache = self.caches.get(self.id).cloned().unwrap_or_else(|| unreachable!("the own cache"));
        let own = self.id;
        self.near.retain(|(owner, _), _| *owner != own);
        self.version += 2;
        let start = now();
        let applied = self.backend.sure_apply(self.position, &[purge(&cache)]);
        let end = now();
        self.absorb(&applied.delta);
        for key in 0..KEYS {
            self.line('W', (own, key), self.version, start, end);
        }
    }

    /// A miss, then a guarded set: what is filled stands for "nothing there" and must not outlive a
    /// write.
    fn fill(&mut self) {
        let name = self.pick();
        if self.fetch(name).is_some() {
            return;
        }
        let Some(guard) = self.position else { return };
        let cache = self.caches.get(name.0).cloned().unwrap_or_else(|| unreachable!("an owner"));
        let key = name.1.to_be_bytes();
        if self.random(2) == 0 {
            std::thread::yield_now();
        }
        self.near.remove(&name);
        let start = now();
        let applied = self.backend.sure_apply(self.position, &[set_if(&cache, &key, FILLED, guard)]);
        self.absorb(&applied.delta);
        if applied.outcomes == [Outcome::Cleared] {
            self.line('C', name, 0, start, now());
        }
        if applied.outcomes == [Outcome::Stored] {
            self.near.insert(name, Some(FILLED.to_vec()));
        }
    }

    fn line(&mut self, kind: char, (owner, key): Name, version: u64, start: u64, end: u64) {
        let written = writeln!(self.report, "{kind} {owner} {key} {version} {start} {end}");
        assert!(written.is_ok(), "a string takes everything");
    }
}

/// Nanoseconds on a clock that all processes of the machine share.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

struct Event {
    version: u64,
    start: u64,
    end: u64,
}

fn judge(reports: &[String]) {
    assert_eq!(reports.len(), PEERS, "a peer failed");
    let mut writes: HashMap<(u64, u64), Vec<Event>> = HashMap::new();
    let mut clears: HashMap<(u64, u64), Vec<Event>> = HashMap::new();
    let mut reads = Vec::new();
    for line in reports.iter().flat_map(|report| report.lines()) {
        let mut fields = line.split(' ');
        let kind = fields.next();
        let mut number = || -> u64 { fields.next().and_then(|field| field.parse().ok()).unwrap_or(u64::MAX) };
        let (name, event) =
            ((number(), number()), Event { version: number(), start: number(), end: number() });
        match kind {
            // Each owner reports its writes in order.
            Some("W") => writes.entry(name).or_default().push(event),
            Some("C") => clears.entry(name).or_default().push(event),
            _ => reads.push((name, event)),
        }
    }
    let hits = reads.iter().filter(|(_, read)| read.version != 0).count();
    assert!(hits > 100 && hits < reads.len(), "{hits} hits of {} prove little", reads.len());
    for (name, read) in &reads {
        let history = writes.get(name).map_or(&[][..], Vec::as_slice);
        let acked = history.iter().rposition(|write| write.end < read.start);
        let mut possible = history.iter().skip(acked.unwrap_or(0)).take_while(|write| write.start < read.end);
        let none_yet = acked.is_none() && read.version == 0;
        let seen = possible.any(|write| {
            if write.version % 2 == 0 { read.version == 0 } else { read.version == write.version }
        });
        let since = acked.and_then(|last| history.get(last)).map_or(0, |write| write.start);
        let cleared = read.version == 0
            && clears.get(name).is_some_and(|clears| {
                clears.iter().any(|clear| clear.end >= since && clear.start <= read.end)
            });
        let newest = acked.and_then(|last| history.get(last)).map_or(0, |write| write.version);
        assert!(
            none_yet || seen || cleared,
            "{name:?}: read version {} after {newest} was acknowledged",
            read.version
        );
    }
}
