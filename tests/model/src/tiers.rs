//! Steps between the tiers, and faults.

use larder::testing::failover::rules::Mode;

use super::scenario::Rule;
use super::state::{Contents, Entry, Kind, Note, State};
use super::world::World;

impl<const N: usize> World<N> {
    /// One that does not reach the primary takes the fleet to the fallback (R13 says when; here it
    /// always may).
    pub(crate) fn enter(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let possible = !s.processes[i].busy() && !s.reaches(i) && s.fallback.mode() == Mode::Primary;
        (possible && s.spent.entered < self.bounds.entered).then_some(())?;
        s.spent.entered += 1;
        s.fallback.log.push(Note::Entered);
        if self.has(Rule::Empty) {
            s.fallback.value = None;
        }
        self.moved(s, i);
        s.processes[i].leased = self.bounds.timed_lease;
        Some(())
    }

    /// The primary takes in what it missed, as far as this process knows.
    pub(crate) fn absorb(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let needed = s.fallback.control(s.processes[i].read).needed()?;
        let behind = self.has(Rule::Absorb) && s.primary.now.absorbed < needed;
        (behind && !s.processes[i].busy() && self.answers(s, i)).then_some(())?;
        let mut missed = s.fallback.log.iter().take(needed.into()).skip(s.primary.now.absorbed.into());
        if let Some(change) = missed.rfind(|note| note.names_key()).copied() {
            s.primary.now.value = None;
            self.log(s, if change == Note::Purged { Kind::Purged } else { Kind::Deleted });
        }
        s.primary.now.absorbed = needed;
        Some(())
    }

    /// One that has read all of the control log takes the fleet back to the primary.
    pub(crate) fn go_back(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let length = s.fallback.length();
        let process = &s.processes[i];
        let possible = !process.busy() && process.read == length && self.answers(s, i);
        (possible && s.fallback.control(length).may_return(self.absorbed(s))).then_some(())?;
        s.fallback.log.push(Note::Returned);
        self.moved(s, i);
        Some(())
    }

    fn moved(&self, s: &mut State<N>, i: usize) {
        let length = s.fallback.length();
        let process = &mut s.processes[i];
        process.read = length;
        process.position = None;
        if self.has(Rule::Switch) {
            process.near = None;
        }
    }

    /// A server with another identity is emptied, and is trusted from then on.
    pub(crate) fn certify(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let unknown = self.has(Rule::Certify) && s.primary.now.certified != s.primary.identity;
        (unknown && !s.processes[i].busy() && s.reaches(i)).then_some(())?;
        let absorbed = s.fallback.control(s.processes[i].read).needed().unwrap_or(0);
        let nonce = s.fresh_nonce();
        s.primary.now = Contents {
            value: None,
            log: vec![Entry { nonce, kind: Kind::Deleted }],
            incarnation: self.bounds.incarnation(s.primary.identity),
            last_change: 0,
            certified: s.primary.identity,
            absorbed,
        };
        s.processes[i].near = None;
        s.processes[i].position = None;
        Some(())
    }

    pub(crate) fn cut(&self, s: &mut State<N>, i: usize) -> Option<()> {
        (s.processes[i].linked && s.spent.cuts < self.bounds.cuts).then_some(())?;
        s.spent.cuts += 1;
        s.processes[i].linked = false;
        s.processes[i].fetch = None;
        Some(())
    }

    pub(crate) fn heal(s: &mut State<N>, i: usize) -> Option<()> {
        (!s.processes[i].linked).then_some(())?;
        s.processes[i].linked = true;
        Some(())
    }

    /// What a snapshot on disk, or a replica, has from now on, while the primary goes on.
    pub(crate) fn snapshot(&self, s: &mut State<N>) -> Option<()> {
        let useful = s.primary.up && s.primary.snapshot.is_none() && s.primary.now.value.is_some();
        (useful && s.spent.faults < self.bounds.faults).then_some(())?;
        s.primary.snapshot = Some(Box::new(s.primary.now.clone()));
        Some(())
    }

    pub(crate) fn stall(&self, s: &mut State<N>) -> Option<()> {
        (s.primary.up && s.spent.faults < self.bounds.faults).then_some(())?;
        s.spent.faults += 1;
        s.primary.up = false;
        Some(())
    }

    pub(crate) fn resume(s: &mut State<N>) -> Option<()> {
        (!s.primary.up).then_some(())?;
        s.primary.up = true;
        Some(())
    }

    pub(crate) fn restart_empty(s: &mut State<N>) -> Option<()> {
        (!s.primary.up).then_some(())?;
        let empty = Contents {
            value: None,
            log: Vec::new(),
            incarnation: 0,
            last_change: 0,
            certified: 0,
            absorbed: 0,
        };
        Self::replace(s, empty);
        Some(())
    }

    pub(crate) fn restart_old(s: &mut State<N>) -> Option<()> {
        let old = s.primary.snapshot.as_ref().filter(|_| !s.primary.up)?;
        let old = Contents::clone(old);
        Self::replace(s, old);
        Some(())
    }

    /// A replica becomes the primary, with all that was acknowledged or with less.
    pub(crate) fn promote(&self, s: &mut State<N>, lagging: bool) -> Option<()> {
        (s.primary.up && s.spent.faults < self.bounds.faults).then_some(())?;
        let contents =
            if lagging { Contents::clone(s.primary.snapshot.as_ref()?) } else { s.primary.now.clone() };
        s.spent.faults += 1;
        Self::replace(s, contents);
        Some(())
    }

    /// Another server answers. Fetches are cut off, but writes may still be in some buffer.
    fn replace(s: &mut State<N>, contents: Contents) {
        s.primary.up = true;
        s.primary.identity += 1;
        s.primary.now = contents;
        s.processes.iter_mut().for_each(|process| process.fetch = None);
    }
}
