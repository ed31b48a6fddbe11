//! The control log: what this process knows of it, and the one entry in it that says who serves.
//!
//! It is the fallback's own change log. Whatever is written to the fallback is in it: what is stored and removed while
//! the fallback serves, what is invalidated past a primary that does not answer, and who serves from when on.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::names;
use super::rules::{self, Lease, Mode, Record, Verdict};
use crate::breaker::Breaker;
use crate::bytes::Reader;
use crate::clock::{Millis, boottime};
use crate::contract::{Backend, Delta, Guard, Op, Outcome, Position, Read};
use crate::error::Result;

/// How old a reading may be while nobody serves, because the fallback is being entered.
const ENTERING: Lease = Lease::new(Duration::from_millis(100));
/// A fallback that fails only after so long hangs.
const HANGS: Duration = Duration::from_millis(250);

/// Numbers in a stage.
const NUMBERS: usize = 4;
/// What stands behind them in the stage of a primary that grants no locks yet.
const NOT_READY: u8 = 1;

/// Who serves, since when, and in which epoch of the fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) tier: Mode,
    /// Whether its locks forgot what they knew (R23). The fallback does that when every node knows of it, or has no lease any more
    /// (R9), and does not serve before; the primary serves, but for locks.
    pub(super) ready: bool,
    pub(super) epoch: u64,
    /// When it began, in milliseconds since 1970.
    pub(super) since: Millis,
    /// The last two times that the fallback was entered, the newest first.
    pub(super) entered: [Millis; 2],
}

/// The primary, which has always served.
impl Default for Stage {
    fn default() -> Self {
        Self { tier: Mode::Primary, ready: true, epoch: 0, since: 0, entered: [0; 2] }
    }
}

impl Stage {
    fn encode(self) -> Vec<u8> {
        let kind = match (self.tier, self.ready) {
            (Mode::Primary, _) => 0,
            (Mode::Fallback, false) => 1,
            (Mode::Fallback, true) => 2,
        };
        let numbers: [u64; NUMBERS] = [self.epoch, self.since, self.entered[0], self.entered[1]];
        // Older versions look no further.
        let more: &[u8] = if self.tier == Mode::Primary && !self.ready { &[NOT_READY] } else { &[] };
        [&[kind][..], numbers.map(u64::to_le_bytes).as_flattened(), more].concat()
    }

    /// What cannot be read, or is not there, means that the primary serves: it has to take in all that it missed first.
    fn decode(bytes: Option<&[u8]>) -> Self {
        let Some((kind, rest)) = bytes.and_then(<[u8]>::split_first) else { return Self::default() };
        let mut numbers = Reader::new(rest);
        let mut next = || numbers.u64().unwrap_or(0);
        let last = rest.get(NUMBERS * 8..).unwrap_or_default();
        Self {
            tier: if *kind == 0 { Mode::Primary } else { Mode::Fallback },
            ready: *kind == 2 || (*kind == 0 && last != [NOT_READY]),
            epoch: next(),
            since: next(),
            entered: [next(), next()],
        }
    }

    /// How long the control log is not read again, if that is `usually` so long.
    fn reread(&self, usually: Lease) -> Lease {
        if self.tier == Mode::Fallback && !self.ready { ENTERING } else { usually }
    }

    /// Whether the fallback serves.
    pub(super) fn is_fallback(&self) -> bool {
        self.tier == Mode::Fallback && self.ready
    }
}

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
pub(super) struct View {
    pub(super) at: Position,
    pub(super) stage: Stage,
    /// How long ago this process first read so.
    pub(super) age: Duration,
    control: rules::Control<u128>,
    read: Duration,
    absorbed: Option<(u128, Position)>,
}

impl View {
    /// Whether an answer of the primary counts, that came under `incarnation` and has to be covered at `moment` (R8, R10).
    pub(super) fn judge(&self, lease: Lease, moment: Duration, incarnation: u128) -> Verdict {
        let absorbed = self.absorbed.filter(|(of, _)| *of == incarnation).map(|(_, absorbed)| absorbed.id);
        self.control.judge(lease.covers(self.read, moment), absorbed)
    }

    /// The incarnation under which the primary is known to have taken in all that it must.
    pub(super) fn ready_primary(&self) -> Option<u128> {
        let (incarnation, absorbed) = self.absorbed?;
        (Some(absorbed.id) >= self.control.needed()).then_some(incarnation)
    }

    /// Whether the fleet may go back to the primary, which has taken in so much.
    pub(super) fn may_return(&self, absorbed: Position) -> bool {
        self.control.may_return(Some(absorbed.id))
    }
}

/// A reader and writer of the control log.
pub(super) struct ControlLog {
    known: Mutex<Known>,
    lease: Lease,
    /// How old a reading may be before the next while somebody serves: half a lease.
    reread: Lease,
    /// So that a fallback that hangs is waited for once a second, not once for each read.
    breaker: Breaker,
}

impl ControlLog {
    pub(super) fn new(lease: Duration, breaker: Breaker) -> Self {
        Self { known: Mutex::default(), lease: Lease::new(lease), reread: Lease::new(lease / 2), breaker }
    }

    pub(super) fn lease(&self) -> Lease {
        self.lease
    }

    /// What holds at `moment`: as read before if that is recent enough, else read now.
    ///
    /// # Errors
    /// If the control log cannot be read and no reading before covers `moment`.
    pub(super) fn view(&self, fallback: &dyn Backend, moment: Duration) -> Result<View> {
        let known = self.last();
        if let Some(view) = known
            && view.stage.reread(self.reread).covers(view.read, moment)
        {
            return Ok(view);
        }
        self.read(fallback)
            .or_else(|error| known.filter(|view| self.lease.covers(view.read, moment)).ok_or(error))
    }

    /// What was read last.
    pub(super) fn last(&self) -> Option<View> {
        self.known().view()
    }

    /// Reads what is new.
    pub(super) fn read(&self, fallback: &dyn Backend) -> Result<View> {
        let (began, since) = (boottime(), self.known().at);
        let mode = names::mode();
        let reads = [Read { cache: &mode, key: names::MODE_KEY }];
        let fetched = self.breaker.call(|| {
            let answer = fallback.fetch(since, &reads);
            let quick = boottime().saturating_sub(began) < HANGS;
            // What fails at once costs nothing, and the next try may mend it.
            if quick { Ok(answer) } else { answer.map(Ok) }
        })??;
        let stage = Stage::decode(fetched.entries.first().and_then(Option::as_deref));
        Ok(self.known().learn(began, since, &fetched.delta, stage))
    }

    /// Changes who serves, unless somebody else did since `view` (R13). What holds then.
    pub(super) fn flip(
        &self,
        fallback: &dyn Backend,
        view: &View,
        stage: Stage,
        more: &[Op<'_>],
    ) -> Result<(bool, View)> {
        let (cache, entry) = (names::mode(), stage.encode());
        let set = Op::Set {
            cache: &cache,
            key: names::MODE_KEY,
            entry: &entry,
            expires: None,
            guard: Some(Guard::Exchange(view.at)),
            lock: None,
        };
        let applied = fallback.apply(Some(view.at), &[&[set], more].concat())?;
        let own = applied.outcomes.first() == Some(&Outcome::Stored);
        Ok((own, self.read(fallback)?))
    }

    /// The primary has taken in the control log up to `absorbed`.
    pub(super) fn absorbed(&self, incarnation: u128, absorbed: Position) {
        let mut known = self.known();
        if known.at.is_some_and(|at| at.incarnation == absorbed.incarnation) {
            known.absorbed = Some((incarnation, absorbed));
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn view(&self) -> Option<View> {
        self.at.map(|at| self.view_at(at))
    }

    fn view_at(&self, at: Position) -> View {
        let Self { read, control, stage, absorbed, .. } = *self;
        View { at, stage, age: boottime().saturating_sub(self.seen), control, read, absorbed }
    }

    fn learn(&mut self, began: Duration, since: Option<Position>, delta: &Delta, stage: Stage) -> View {
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
                // Counted from after the reading: what it found may have been written while it was under way.
                (self.stage, self.seen) = (stage, boottime());
            }
            self.at = Some(at);
        }
        self.read = self.read.max(began);
        self.view_at(self.at.unwrap_or(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_can_be_read_back_and_rubbish_is_the_primary() {
        let tiers = [Mode::Primary, Mode::Fallback].map(|tier| [(tier, false), (tier, true)]);
        for &(tier, ready) in tiers.as_flattened() {
            let stage = Stage { tier, ready, epoch: 7, since: 8, entered: [9, 10] };
            assert_eq!(Stage::decode(Some(&stage.encode())), stage);
        }
        assert_eq!(Stage::decode(Some(b"")), Stage::default());
        assert_eq!(Stage::decode(None), Stage::default());
        assert!(!Stage::default().is_fallback());
    }

    #[test]
    fn the_control_log_is_read_more_often_while_nobody_serves() {
        let usually = Lease::new(Duration::from_secs(1));
        let reread = |tier, ready| Stage { tier, ready, ..Stage::default() }.reread(usually);
        assert_eq!(reread(Mode::Primary, false), usually);
        assert_eq!(reread(Mode::Fallback, true), usually);
        assert_eq!(reread(Mode::Fallback, false), ENTERING);
    }
}
