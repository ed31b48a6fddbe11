//! Steps of a process that writes.

use larder::testing::failover::rules::Mode;

use super::canonical::bit;
use super::scenario::Rule;
use super::state::{Entry, Invalidation, Kind, Miss, Note, Position, Process, State, Value, Values, Write};
use super::world::{Told, World};

/// What a fill lost against.
enum Lost {
    /// A set of another value: each has its own here.
    ToSet,
    ToRemoval,
}

impl<const N: usize> World<N> {
    /// Computes what was missing. It is stored later, if nothing changed.
    pub(crate) fn compute(&self, s: &mut State<N>, i: usize) -> Option<()> {
        self.fill(s, i, 0)
    }

    /// Commits what was missing anew, and sends it like a fill. Once that is acknowledged, nobody
    /// reads what was computed before; but what others had sent by then may come after it.
    pub(crate) fn commit(&self, s: &mut State<N>, i: usize) -> Option<()> {
        (s.spent.commits < self.bounds.commits).then_some(())?;
        s.spent.commits += 1;
        let sent = |(j, process): (usize, &Process)| match process.write {
            Some(Write::Fill { value, .. }) if j != i => bit(value),
            _ => 0,
        };
        let sent = s.processes.iter().enumerate().map(sent).fold(0, |all, values| all | values);
        self.fill(s, i, s.kills(i) & !sent)
    }

    fn fill(&self, s: &mut State<N>, i: usize, own: Values) -> Option<()> {
        let guard = s.processes[i].miss.filter(|_| s.processes[i].write.is_none())?;
        let value = self.new_value(s)?;
        let process = &mut s.processes[i];
        process.miss = None;
        if process.posts && process.position.map(Miss::OnPrimary) == Some(guard) {
            process.near = Some(value);
            process.stored = None;
        }
        s.processes[i].write = Some(Write::Fill { value, guard, identity: s.primary.identity, own });
        Some(())
    }

    /// Begins to replace the value by a new one.
    pub(crate) fn begin_set(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let free = s.processes[i].write.is_none() && s.processes[i].invalidation.is_none();
        (free && s.spent.sets < self.bounds.sets && self.served(s, i)).then_some(())?;
        let kills = s.kills(i);
        let value = self.new_value(s)?;
        s.spent.sets += 1;
        s.processes[i].near = None;
        s.processes[i].write = Some(Write::Set { value, identity: s.primary.identity, kills });
        Some(())
    }

    fn new_value(&self, s: &mut State<N>) -> Option<u8> {
        let value = s.values;
        s.values += 1;
        (s.values <= self.bounds.values).then_some(value)
    }

    /// The primary executes a write, or refuses it, and its sender hears of that if it still waits.
    /// It needs no link: the request may have been in a buffer for long.
    pub(crate) fn land(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let write = s.processes[i].write.filter(|_| s.primary.up)?;
        let fenced = matches!(write, Write::GivenUp { .. }) || write.identity() != s.primary.identity;
        let lost = match write {
            Write::Fill { guard: Miss::InFallback(_), .. } => return None,
            Write::Fill { guard: Miss::OnPrimary(position), .. } => self.lost(s, position),
            _ => None,
        };
        s.processes[i].write = None;
        if !self.certified(s) || (fenced && self.has(Rule::Fence)) {
            if let Write::Invalidate { purge, kills, .. } = write {
                s.processes[i].invalidation = Some(Invalidation { kills, purge, noted: None });
            }
            return Some(());
        }
        match lost {
            None => {
                s.primary.now.value = write.value();
                let kind = match write {
                    Write::Invalidate { purge: true, .. } => Kind::Purged,
                    Write::Invalidate { purge: false, .. } => Kind::Deleted,
                    _ => Kind::Stored,
                };
                self.log(s, kind);
            }
            Some(Lost::ToSet) if self.has(Rule::Clear) => {
                s.primary.now.value = None;
                self.log(s, Kind::Deleted);
            }
            Some(_) => {}
        }
        self.hear(s, i, write);
        match write {
            Write::Set { kills, .. } | Write::Invalidate { kills, .. } => s.dead |= kills,
            // The fleet may have gone over meanwhile: its sender does not wait for the answer.
            Write::Fill { own, .. } if self.counts(s, i) => s.dead |= own,
            _ => {}
        }
        Some(())
    }

    /// A process that kept what it filled in hears what became of it.
    fn hear(&self, s: &mut State<N>, i: usize, write: Write) {
        let record = s.primary.now.log.last().copied();
        let stored = s.primary.now.value == write.value();
        let process = &mut s.processes[i];
        if !process.posts || !matches!(write, Write::Fill { .. }) {
            return;
        }
        if process.near == write.value() && !stored {
            process.near = None;
        }
        if stored || !self.has(Rule::OwnRecord) {
            process.stored = record.map(|record| record.nonce);
        }
    }

    /// What a fill lost against, if anything happened to the key since it was missing on the
    /// primary (R6).
    fn lost(&self, s: &State<N>, position: Position) -> Option<Lost> {
        let now = &s.primary.now;
        if !self.has(Rule::Guard) {
            return None;
        }
        let counts = |entry: &&Entry| match entry.kind {
            Kind::Stored | Kind::Deleted => true,
            Kind::Purged => self.has(Rule::GuardPurge),
            Kind::Elsewhere => false,
        };
        let to_set = match self.told(now, position) {
            Told::Listed(since) => since.iter().rfind(counts)?.kind == Kind::Stored,
            Told::Unlisted { changed: false } => return None,
            Told::Unlisted { changed: true } | Told::Gap => now.value.is_some(),
        };
        Some(if to_set { Lost::ToSet } else { Lost::ToRemoval })
    }

    /// No answer came in time. Nobody knows what became of the write, so a set becomes a delete
    /// (R16).
    pub(crate) fn give_up(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let (invalidation, left) = match s.processes[i].write? {
            Write::Set { value, identity, .. } => (s.invalidation(i, false), self.given_up(value, identity)),
            // If it is executed late, no harm is done.
            Write::Invalidate { purge, kills, .. } => (Invalidation { kills, purge, noted: None }, None),
            Write::Fill { own, .. } if own != 0 && s.processes[i].posts && !s.processes[i].busy() => {
                s.processes[i].near = None;
                if !self.has(Rule::Lost) {
                    s.processes[i].write = None;
                    s.dead |= own;
                    return Some(());
                }
                (Invalidation { kills: own, purge: false, noted: None }, None)
            }
            _ => return None,
        };
        if s.processes[i].invalidation.is_some() {
            return None;
        }
        s.processes[i].write = left;
        s.processes[i].invalidation = Some(invalidation);
        Some(())
    }

    /// The deadline of a set without a sender passed.
    pub(crate) fn lapse(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let Some(Write::Orphan { value, identity }) = s.processes[i].write else { return None };
        s.processes[i].write = self.given_up(value, identity);
        Some(())
    }

    /// What is left of a set when its time is over: it takes no effect any more (R7).
    fn given_up(&self, value: Value, identity: u8) -> Option<Write> {
        (!self.has(Rule::Fence)).then_some(Write::GivenUp { value, identity })
    }

    /// The fallback executes a fill, or drops it.
    pub(crate) fn fill_fallback(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let Some(Write::Fill { value, guard: Miss::InFallback(guard), own, .. }) = s.processes[i].write
        else {
            return None;
        };
        let log = &s.fallback.log;
        let entered = s.fallback.control(s.fallback.length()).entered().unwrap_or(0);
        let mut since = log.iter().skip(guard.into());
        let counts = |note: &&Note| **note != Note::Purged || self.has(Rule::GuardPurge);
        let lost = since.rfind(counts).copied().filter(|_| self.has(Rule::Guard));
        if s.fallback.mode() == Mode::Fallback && self.drained(s, i, entered) {
            match lost {
                None => {
                    s.fallback.log.push(Note::Stored);
                    s.fallback.value = Some(value);
                }
                Some(Note::Stored) if self.has(Rule::Clear) => {
                    s.fallback.log.push(Note::Deleted);
                    s.fallback.value = None;
                }
                Some(_) => {}
            }
            s.dead |= own;
        }
        s.processes[i].write = None;
        Some(())
    }

    pub(crate) fn begin_invalidation(&self, s: &mut State<N>, i: usize, purge: bool) -> Option<()> {
        let process = &s.processes[i];
        let free = process.invalidation.is_none() && !process.busy();
        (free && s.spent.invalidations < self.bounds.invalidations && s.values > 1).then_some(())?;
        s.spent.invalidations += 1;
        s.processes[i].invalidation = Some(s.invalidation(i, purge));
        Some(())
    }

    /// Sends an invalidation to the primary.
    pub(crate) fn send_invalidation(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let Invalidation { kills, purge, noted: None } = s.processes[i].invalidation? else { return None };
        (s.processes[i].write.is_none() && self.served(s, i)).then_some(())?;
        let process = &mut s.processes[i];
        process.near = None;
        process.invalidation = None;
        process.write = Some(Write::Invalidate { purge, identity: s.primary.identity, kills });
        Some(())
    }

    /// An invalidation goes into the control log: the primary is out of reach, or does not serve.
    pub(crate) fn note(s: &mut State<N>, i: usize) -> Option<()> {
        let pending = s.processes[i].invalidation.filter(|pending| pending.noted.is_none())?;
        (!s.reaches(i) || s.fallback.mode() == Mode::Fallback).then_some(())?;
        s.fallback.log.push(if pending.purge { Note::Purged } else { Note::Deleted });
        s.fallback.value = None;
        let length = s.fallback.length();
        let process = &mut s.processes[i];
        process.near = None;
        process.position = None;
        process.read = length;
        process.invalidation.as_mut()?.noted = Some(length);
        Some(())
    }

    pub(crate) fn acknowledge_note(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let pending = s.processes[i].invalidation?;
        let at = pending.noted?;
        let control = s.fallback.control(at);
        // Where the fallback served, whoever was served read the log to its end.
        let known = if control.mode() == Mode::Fallback { control.entered()? } else { at };
        self.drained(s, i, known).then_some(())?;
        s.dead |= pending.kills;
        s.processes[i].invalidation = None;
        Some(())
    }

    /// A process is killed; another takes its place on the node, and knows what the node knows.
    pub(crate) fn crash(&self, s: &mut State<N>, i: usize) -> Option<()> {
        (s.spent.crashes < self.bounds.crashes).then_some(())?;
        s.spent.crashes += 1;
        let process = &mut s.processes[i];
        process.write = match process.write {
            Some(Write::Set { value, identity, .. }) => Some(Write::Orphan { value, identity }),
            Some(Write::Invalidate { .. }) => None,
            // Nobody is told of its end.
            Some(Write::Fill { value, guard, identity, .. }) => {
                Some(Write::Fill { value, guard, identity, own: 0 })
            }
            write => write,
        };
        process.near = None;
        process.position = None;
        process.emptied = false;
        process.fetch = None;
        process.miss = None;
        process.invalidation = None;
        Some(())
    }
}
