//! What happens to the places: time, losses, and going over to the other tier.

use larder::testing::lock_rules::{Common, Row};

use super::scenario::Rule;
use super::state::{Leaving, Place, Stage, State, Tier};
use super::{NOW, World, millis};

impl<const N: usize> World<N> {
    /// What a snapshot on disk, or a replica, has from now on, while the primary goes on.
    pub(crate) fn save(&self, s: &mut State<N>) -> Option<()> {
        let useful = s.saved.is_none() && s.primary.row.holder.is_some();
        (useful && s.faults < self.bounds.faults).then_some(())?;
        s.saved = Some(Box::new(s.primary.clone()));
        Some(())
    }

    /// Another server answers, with what it has. That takes time.
    pub(crate) fn replace(&self, s: &mut State<N>, with: Option<Place>) -> Option<()> {
        (s.faults < self.bounds.faults).then_some(())?;
        let with = with?;
        s.pass(1);
        s.faults += 1;
        s.saved = None;
        s.primary = Place { certified: false, ..with };
        Some(())
    }

    /// A server with another identity is emptied, but for its locks. Some may be lost: since when,
    /// a server that began with nothing can tell (R23).
    pub(crate) fn certify(&self, s: &mut State<N>) -> Option<()> {
        (!s.primary.certified && self.has(Rule::Certify)).then_some(())?;
        let place = &mut s.primary;
        place.certified = true;
        place.stored = None;
        place.common.born = millis(place.empty_since.take().unwrap_or(NOW));
        Some(())
    }

    /// The fallback is entered, empty. It does not serve yet.
    pub(crate) fn enter(&self, s: &mut State<N>) -> Option<()> {
        (s.entered < self.bounds.entered && s.stage.0.is_multiple_of(4)).then_some(())?;
        s.entered += 1;
        s.fallback.stored = None;
        Self::flip(s);
        Some(())
    }

    /// Makes the primary ready to take over: what is written there under a lock from now on is
    /// refused, what was is absorbed.
    pub(crate) fn prepare(&self, s: &mut State<N>) -> Option<()> {
        (s.stage.0 % 4 == 2 && s.leaving == Leaving::No).then_some(())?;
        self.forget(s, Tier::Primary)?;
        if s.fallback.stored.is_some() && self.has(Rule::Absorb) {
            s.primary.stored = None;
        }
        s.leaving = Leaving::Absorbed;
        Some(())
    }

    /// The fleet goes back to the primary, which grants no locks yet.
    pub(crate) fn leave(s: &mut State<N>) -> Option<()> {
        (s.leaving == Leaving::Absorbed).then_some(())?;
        s.leaving = Leaving::No;
        Self::flip(s);
        Some(())
    }

    /// The tier that takes over forgets its locks, when neither grants any.
    pub(crate) fn distrust(&self, s: &mut State<N>) -> Option<()> {
        let between = if self.has(Rule::Between) {
            !s.stage.grants() && self.drained(s)
        } else {
            s.stage.grants() && self.bounds.entered > 0
        };
        (between && !s.distrusted).then_some(())?;
        let Stage(number) = s.stage;
        let next = if self.has(Rule::Between) { s.stage } else { Stage(number + 1) };
        self.forget(s, next.tier())?;
        s.distrusted = true;
        Some(())
    }

    /// The tier that took over grants locks from now on.
    pub(crate) fn serve(&self, s: &mut State<N>) -> Option<()> {
        let ready = s.distrusted || !self.has(Rule::Distrust);
        (!s.stage.grants() && ready && self.drained(s)).then_some(())?;
        s.distrusted = false;
        Self::flip(s);
        Some(())
    }

    /// Whether no node uses the locks of the tier that served before.
    pub(crate) fn drained(&self, s: &State<N>) -> bool {
        s.stage.0 % 4 != 1
            || !self.has(Rule::LeaseAck)
            || self.bounds.trust == 0
            || NOW > s.since + self.bounds.trust
    }

    fn flip(s: &mut State<N>) {
        // Who knows of the stage that ends has read so just now, at the worst.
        let (stage, knows) = (s.stage.next(), s.stage);
        s.processes
            .iter_mut()
            .filter(|process| process.seen.0 == knows)
            .for_each(|process| process.seen.1 = NOW);
        s.stage = stage;
        s.since = NOW;
    }

    /// A tier forgets its locks, and goes on above the fencing numbers of the other. That takes
    /// time.
    fn forget(&self, s: &mut State<N>, tier: Tier) -> Option<()> {
        if !self.has(Rule::Distrust) {
            return Some(());
        }
        (s.primary.certified || tier == Tier::Fallback).then_some(())?;
        s.pass(1);
        let now = millis(NOW);
        let floor = if self.has(Rule::Floor) { s.newest } else { 0 };
        let place = s.place(tier);
        place.common = Common { born: now, fence: place.common.fence.max(floor) };
        place.row = Row::default();
        Some(())
    }
}
