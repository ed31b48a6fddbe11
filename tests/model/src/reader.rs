//! Steps of a process that reads.

use larder::testing::failover::rules::Mode;

use super::scenario::Rule;
use super::state::{Entry, Fetch, Kind, Miss, State};
use super::world::{Told, World};

impl<const N: usize> World<N> {
    /// Reads the control log to its end.
    pub(crate) fn renew(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let length = s.fallback.length();
        let before = s.fallback.control(s.processes[i].read).mode();
        let process = &mut s.processes[i];
        let news = process.read < length;
        (!process.busy() && (news || (self.bounds.timed_lease && !process.leased))).then_some(())?;
        let mode = s.fallback.mode();
        if mode != before {
            process.position = None;
            if self.has(Rule::Switch) {
                process.near = None;
            }
        } else if mode == Mode::Fallback && news {
            process.near = None;
        }
        process.read = length;
        process.leased = self.bounds.timed_lease;
        if self.served_by_fallback(s, i) {
            s.yields(s.processes[i].near, s.dead, "a sync with the fallback serves what was invalidated");
        }
        Some(())
    }

    /// Time passes for a process that does not read the control log.
    pub(crate) fn expire(s: &mut State<N>, i: usize) -> Option<()> {
        let length = s.fallback.length();
        let process = &mut s.processes[i];
        (process.leased && process.read < length).then_some(())?;
        process.leased = false;
        Some(())
    }

    /// Asks the primary what has changed, and reads from memory.
    pub(crate) fn sync(&self, s: &mut State<N>, i: usize) -> Option<()> {
        (self.served(s, i) && s.processes[i].invalidation.is_none() && s.processes[i].near.is_some())
            .then_some(())?;
        let near = self.near_after_sync(s, i);
        s.yields(near, s.dead, "a sync with the primary serves what was invalidated");
        s.processes[i].emptied = self.emptied_after_sync(s, i);
        s.processes[i].near = near;
        s.processes[i].position = Some(s.primary.now.tail());
        Some(())
    }

    /// Asks the primary what has changed. A purge, and nothing of the key since, says that it is
    /// missing.
    pub(crate) fn tell_missing(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let process = &s.processes[i];
        let wants = process.near.is_none() && process.miss.is_none() && process.invalidation.is_none();
        (process.follows && wants && self.served(s, i) && self.emptied_after_sync(s, i)).then_some(())?;
        if s.primary.now.value.is_some() {
            s.broken = Some("a value that is there is said to be missing");
        }
        let tail = s.primary.now.tail();
        let process = &mut s.processes[i];
        process.emptied = true;
        process.position = Some(tail);
        process.miss = Some(Miss::OnPrimary(tail));
        Some(())
    }

    /// Whether the key is known to be missing when the primary has told the changes.
    fn emptied_after_sync(&self, s: &State<N>, i: usize) -> bool {
        let process = &s.processes[i];
        if !process.follows {
            return false;
        }
        match process.position.map_or(Told::Gap, |position| self.told(&s.primary.now, position)) {
            Told::Listed(news) => {
                let last = news.iter().rfind(|entry| entry.kind != Kind::Elsewhere);
                last.map_or(process.emptied, |entry| entry.kind == Kind::Purged)
            }
            Told::Unlisted { changed: false } => process.emptied,
            Told::Unlisted { changed: true } | Told::Gap => process.emptied && !self.has(Rule::Emptied),
        }
    }

    /// What is left in memory when the primary has told the changes: all records are about the one
    /// key, or another cache.
    fn near_after_sync(&self, s: &State<N>, i: usize) -> Option<u8> {
        let process = &s.processes[i];
        let spares = |entry: &Entry| entry.kind == Kind::Elsewhere || process.stored == Some(entry.nonce);
        let kept = match self.told(&s.primary.now, process.position?) {
            Told::Listed(news) => news.iter().all(spares),
            Told::Unlisted { changed } => !changed,
            Told::Gap => false,
        };
        process.near.filter(|_| kept)
    }

    /// Asks for a value that memory has not. The primary answers in two halves: position and
    /// changes, then the value (R3).
    pub(crate) fn begin_fetch(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let free = s.processes[i].invalidation.is_none() && s.processes[i].miss.is_none();
        (free && self.served(s, i) && self.near_after_sync(s, i).is_none()).then_some(())?;
        let emptied = self.emptied_after_sync(s, i);
        let process = &mut s.processes[i];
        process.near = None;
        process.emptied = emptied;
        if self.has(Rule::LogFirst) {
            process.position = Some(s.primary.now.tail());
            process.fetch = Some(Fetch { told: false, value: None, dead: s.dead });
        } else {
            process.fetch = Some(Fetch { told: true, value: s.primary.now.value, dead: s.dead });
        }
        Some(())
    }

    pub(crate) fn end_fetch(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let fetch = s.processes[i].fetch.filter(|_| self.answers(s, i))?;
        let value = if fetch.told { fetch.value } else { s.primary.now.value };
        s.yields(value, fetch.dead, "a fetch from the primary gives what was invalidated");
        let emptied = self.emptied_after_sync(s, i);
        let process = &mut s.processes[i];
        if fetch.told {
            process.emptied = emptied;
            process.position = Some(s.primary.now.tail());
        }
        process.fetch = None;
        process.near = value;
        process.miss = process.position.filter(|_| value.is_none()).map(Miss::OnPrimary);
        Some(())
    }

    /// Reads the fallback's log, and then a value, in one.
    pub(crate) fn fetch_in_fallback(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let process = &s.processes[i];
        let wants = process.near.is_none() && process.miss.is_none() && process.invalidation.is_none();
        (wants && !process.busy() && self.served_by_fallback(s, i)).then_some(())?;
        let value = s.fallback.value;
        s.yields(value, s.dead, "a fetch from the fallback gives what was invalidated");
        let process = &mut s.processes[i];
        process.near = value;
        process.miss = if value.is_none() { Some(Miss::InFallback(process.read)) } else { None };
        Some(())
    }
}
