//! What this process knows of the control log, and what it adds to it.
//!
//! Whatever is written to the fallback is in its change log: what is stored and removed while the
//! fallback serves, what is invalidated past a primary that does not answer, and who serves from
//! when on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::absorbed::Absorbed;
use super::super::names;
use super::super::rules::{self, Lease, Mode, Record, Report, Verdict};
use super::beats::Beats;
use super::stage::Stage;
use crate::breaker::Breaker;
use crate::clock::{boottime, wall_clock};
use crate::contract::{Backend, CacheId, Change, Delta, Guard, Op, Outcome, Position, Read};
use crate::error::Result;
use crate::node_state::NodeState;

/// A fallback that fails only after so long hangs.
const HANGS: Duration = Duration::from_millis(250);
/// How long a shared control log may be trusted after it was read (R8).
const LEASE: Duration = Duration::from_secs(2);
/// How long a node counts as one that uses the primary after it was last seen, in milliseconds.
const PRESENT: u64 = 3600 * 1000;

/// What is known of the control log.
#[derive(Default)]
struct Known {
    at: Option<Position>,
    /// When the newest reading began.
    read: Duration,
    control: rules::Control<u128>,
    stage: Stage,
    /// When a reading first said so.
    seen: Duration,
    /// How far the primary has taken it in for sure, under which incarnation of the primary.
    absorbed: Option<(u128, Position)>,
}

/// What a reading said.
#[derive(Clone, Copy)]
pub(in super::super) struct View {
    pub(in super::super) at: Position,
    pub(in super::super) stage: Stage,
    /// How long ago this process first read so.
    pub(in super::super) age: Duration,
    lease: Lease,
    control: rules::Control<u128>,
    read: Duration,
    absorbed: Option<(u128, Position)>,
}

impl View {
    /// Whether an answer of the primary counts, that came under `incarnation` and has to be covered
    /// at `moment` (R8, R10).
    pub(in super::super) fn judge(&self, moment: Duration, incarnation: u128) -> Verdict {
        let absorbed = self.absorbed.filter(|(of, _)| *of == incarnation).map(|(_, absorbed)| absorbed.id);
        self.control.judge(self.lease.covers(self.read, moment), absorbed)
    }

    /// The incarnation under which the primary is known to have taken in all that it must.
    pub(in super::super) fn ready_primary(&self) -> Option<u128> {
        let (incarnation, absorbed) = self.absorbed?;
        (Some(absorbed.id) >= self.control.needed()).then_some(incarnation)
    }

    /// Whether the fleet may go back to the primary, which has taken in so much.
    pub(in super::super) fn may_return(&self, absorbed: Position) -> bool {
        self.control.may_return(Some(absorbed.id))
    }
}

/// A reader and writer of the control log.
pub(in super::super) struct ControlLog {
    fallback: Arc<dyn Backend>,
    /// Whether all nodes that use the primary share it.
    shared: bool,
    known: Mutex<Known>,
    lease: Lease,
    /// How old a reading may be before the next while somebody serves: half a lease.
    reread: Lease,
    /// So that a fallback that hangs is waited for once a second, not once for each read.
    breaker: Breaker,
    beats: Beats,
}

impl ControlLog {
    /// The control log in `fallback`, for the node of this number.
    pub(in super::super) fn new(
        fallback: Arc<dyn Backend>,
        shared: bool,
        node: u64,
        breaker: Breaker,
    ) -> Self {
        let lease = if shared { LEASE } else { Duration::ZERO };
        Self {
            fallback,
            shared,
            known: Mutex::default(),
            lease: Lease::new(lease),
            reread: Lease::new(lease / 2),
            breaker,
            beats: Beats::new(node),
        }
    }

    /// Whether all nodes that use the primary share it.
    pub(in super::super) fn is_shared(&self) -> bool {
        self.shared
    }

    /// What holds at `moment`: as read before if that is recent enough, else read now.
    ///
    /// # Errors
    /// If the control log cannot be read and no reading before covers `moment`.
    pub(in super::super) fn view(&self, moment: Duration) -> Result<View> {
        let known = self.last();
        if let Some(view) = known
            && view.stage.reread(self.reread).covers(view.read, moment)
        {
            return Ok(view);
        }
        self.read().or_else(|error| known.filter(|view| self.lease.covers(view.read, moment)).ok_or(error))
    }

    /// What was read last.
    pub(in super::super) fn last(&self) -> Option<View> {
        self.known().view(self.lease)
    }

    /// Reads what is new.
    pub(in super::super) fn read(&self) -> Result<View> {
        let (began, since) = (boottime(), self.known().at);
        let mode = names::mode();
        let reads = [Read { cache: &mode, key: names::MODE_KEY }];
        let fetched = self.breaker.call(|| {
            let answer = self.fallback.fetch(since, &reads);
            let quick = boottime().saturating_sub(began) < HANGS;
            // What fails at once costs nothing, and the next try may mend it.
            if quick { Ok(answer) } else { answer.map(Ok) }
        })??;
        let stage = Stage::decode(fetched.entries.first().and_then(Option::as_deref));
        Ok(self.known().learn(self.lease, began, since, &fetched.delta, stage))
    }

    /// Changes who serves, unless somebody else did since `view` (R13). What holds then.
    pub(in super::super) fn flip(&self, view: &View, stage: Stage) -> Result<View> {
        self.change(view, stage, &[]).map(|(_, now)| now)
    }

    /// Begins another epoch while the fallback serves, and has the primary emptied. Whether that
    /// was done.
    pub(in super::super) fn forget_everything(&self, view: &View, stage: Stage) -> Result<bool> {
        let everything = names::everything();
        let (own, now) = self.change(view, stage, &[Op::Purge { cache: &everything }])?;
        Ok(own && now.stage == stage && stage.ready)
    }

    fn change(&self, view: &View, stage: Stage, more: &[Op<'_>]) -> Result<(bool, View)> {
        let (cache, entry) = (names::mode(), stage.encode());
        let set = Op::Set {
            cache: &cache,
            key: names::MODE_KEY,
            entry: &entry,
            expires: None,
            guard: Some(Guard::Exchange(view.at)),
            lock: None,
        };
        let applied = self.fallback.apply(Some(view.at), &[&[set], more].concat())?;
        let own = applied.outcomes.first() == Some(&Outcome::Stored);
        Ok((own, self.read()?))
    }

    /// Whether the transition of `view` has lasted so long that every node knows of it, or has no
    /// lease any more (R9).
    pub(in super::super) fn is_drained(&self, view: &View) -> bool {
        view.age >= self.lease.drained_after()
    }

    /// What happened in the fallback since a place in its log.
    pub(in super::super) fn changes(&self, since: Option<Position>) -> Result<Delta> {
        Ok(self.fallback.fetch(since, &[])?.delta)
    }

    /// The primary has taken in the control log up to `absorbed`.
    pub(in super::super) fn absorbed(&self, incarnation: u128, absorbed: Position) {
        let mut known = self.known();
        if known.at.is_some_and(|at| at.incarnation == absorbed.incarnation) {
            known.absorbed = Some((incarnation, absorbed));
        }
    }

    /// Notes how far the primary has taken it in, for those who cannot ask the primary.
    pub(in super::super) fn note_absorbed(&self, entry: &[u8]) {
        // It is for people only.
        let _ = self.note(&names::done(), entry);
    }

    /// What it holds up to `at` that the primary was not told, as far as the fallback alone can
    /// say; `None` = too much to count.
    pub(in super::super) fn waiting(&self, at: &Position) -> Result<Option<usize>> {
        let done = self.noted(&names::done())?.and_then(|entry| Absorbed::decode(at.incarnation, &entry));
        let delta = self.changes(done.map(|done| done.position))?;
        let data = delta.changes.iter().filter(|change| names::is_data(change));
        let counted = !delta.reset && !data.clone().any(|change| matches!(change, Change::Unlisted { .. }));
        Ok(counted.then(|| data.count()))
    }

    /// Notes that other nodes use the primary, each with a control log of its own (R15).
    pub(in super::super) fn note_peers(&self) -> Result<()> {
        self.note(&names::peers(), &wall_clock().to_le_bytes())
    }

    /// Whether another node was seen to use the primary within the hour, so that nothing may be
    /// promised that this node alone knows of (R15).
    fn is_one_of_several(&self) -> Result<bool> {
        let seen = self.noted(&names::peers())?.and_then(|entry| entry.try_into().ok());
        Ok(seen.is_some_and(|seen| wall_clock().saturating_sub(u64::from_le_bytes(seen)) < PRESENT))
    }

    /// Whether this node, which has lost the primary, may decide to enter the fallback (R13).
    /// `node` are the numbers that its processes share about the primary.
    pub(in super::super) fn may_enter(&self, node: &NodeState) -> Result<bool> {
        if !self.shared {
            return Ok(!self.is_one_of_several()?);
        }
        self.beats.tell(&*self.fallback, node, Report::Lost)?;
        Ok(rules::may_enter(self.beats.reports(&*self.fallback)?))
    }

    /// Whether the other nodes let this one, which reaches the primary, take the fleet back to it.
    pub(in super::super) fn may_leave(&self, node: &NodeState) -> Result<bool> {
        if !self.shared {
            return Ok(true);
        }
        self.beats.tell(&*self.fallback, node, Report::Reached)?;
        // Most nodes do not reach it yet.
        Ok(!rules::may_enter(self.beats.reports(&*self.fallback)?))
    }

    /// Keeps something small in the fallback that is not in its log.
    fn note(&self, cache: &CacheId, entry: &[u8]) -> Result<()> {
        let set = Op::Set { cache, key: b"", entry, expires: None, guard: None, lock: None };
        self.fallback.apply(None, &[set]).map(drop)
    }

    fn noted(&self, cache: &CacheId) -> Result<Option<Vec<u8>>> {
        Ok(self.fallback.fetch(None, &[Read { cache, key: b"" }])?.entries.into_iter().next().flatten())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn view(&self, lease: Lease) -> Option<View> {
        self.at.map(|at| self.view_at(lease, at))
    }

    fn view_at(&self, lease: Lease, at: Position) -> View {
        let Self { read, control, stage, absorbed, .. } = *self;
        View { at, stage, age: boottime().saturating_sub(self.seen), lease, control, read, absorbed }
    }

    fn learn(
        &mut self,
        lease: Lease,
        began: Duration,
        since: Option<Position>,
        delta: &Delta,
        stage: Stage,
    ) -> View {
        let at = delta.position;
        let same = self.at.is_some_and(|known| known.incarnation == at.incarnation);
        if !same {
            self.control = rules::Control::default();
            self.absorbed = None;
        }
        // Another thread may have read further meanwhile: that holds.
        if !same || self.at.is_none_or(|known| known.id <= at.id) {
            let complete = same && !delta.reset && since == self.at;
            // What was not listed may have been anything.
            if !complete || delta.changes.iter().any(names::is_data) {
                self.control.learn(at.id, Record::Invalidated);
            }
            if !complete || self.stage != stage {
                let record = if stage.tier == Mode::Primary { Record::Returned } else { Record::Entered };
                self.control.learn(at.id, record);
            }
            if self.stage != stage || self.at.is_none() {
                // Counted from after the reading: what it found may have been written while it was
                // under way.
                (self.stage, self.seen) = (stage, boottime());
            }
            self.at = Some(at);
        }
        self.read = self.read.max(began);
        self.view_at(lease, self.at.unwrap_or(at))
    }
}
