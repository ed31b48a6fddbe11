//! Going over to the other tier (R11, R13).

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::control::{Stage, View};
use super::rules::{self, Mode, Report};
use super::{Failover, names};
use crate::clock::wall_clock;
use crate::contract::Op;
use crate::error::{Error, ErrorKind, Result};
use crate::random::random;

impl Failover {
    /// What holds now. While the fallback serves, whoever asks looks after the primary once a second, one process of the
    /// node at a time.
    pub(super) fn look_after(&self, moment: Duration) -> Result<View> {
        let view = self.view(moment)?;
        if view.stage.tier == Mode::Primary || !self.tend(&view) {
            return Ok(view);
        }
        self.view_anew()
    }

    pub(super) fn view_anew(&self) -> Result<View> {
        let view = self.control.read(&*self.fallback)?;
        self.announce(&view);
        Ok(view)
    }

    /// The primary did not do its part in what was asked of it while `stage` held. Whether another tier serves now, or may:
    /// ask again who does.
    pub(super) fn lost(&self, error: &Error, stage: Stage) -> bool {
        if matches!(error.kind(), ErrorKind::LockLost | ErrorKind::Value | ErrorKind::Config) {
            return false;
        }
        // Others may fare better.
        if !error.blame().is_server() {
            return false;
        }
        // Without the control log nobody can be told, and nothing else serves.
        self.enter(stage, error).is_ok() && self.control.last().is_some_and(|view| view.stage != stage)
    }

    /// Enters the fallback if the primary was lost while `of` held, which has not changed, and this node may decide that.
    fn enter(&self, of: Stage, error: &Error) -> Result<()> {
        let view = self.view_anew()?;
        // The primary that came back meanwhile answers for itself, not for what was sent before.
        if view.stage != of || !self.may_enter()? {
            return Ok(());
        }
        let now = wall_clock();
        let stage = Stage {
            tier: Mode::Fallback,
            ready: false,
            epoch: new_epoch()?,
            since: now,
            entered: [now, view.stage.entered[0]],
        };
        let (_, now) = self.control.flip(&*self.fallback, &view, stage, &[])?;
        // The primary is left alone for a moment whatever it said.
        if !self.breaker.is_open() {
            self.breaker.open(error);
        }
        self.announce(&now);
        Ok(())
    }

    fn may_enter(&self) -> Result<bool> {
        if !self.shared {
            return Ok(!self.is_one_of_several()?);
        }
        self.tell(Report::Lost)?;
        Ok(rules::may_enter(self.beats.reports(self)?))
    }

    /// Looks after a fallback that serves, or is about to. Whether who serves may have changed.
    fn tend(&self, view: &View) -> bool {
        if !view.stage.ready && view.age >= self.control.lease().drained_after() {
            return self.make_ready(view).is_ok();
        }
        let dwell = rules::dwell(view.stage.entered.map(|at| (at > 0).then(|| Duration::from_millis(at))));
        let [entered, now] = [view.stage.entered[0], wall_clock()].map(Duration::from_millis);
        if rules::served(entered, now, view.age) < dwell {
            return false;
        }
        let went = self.at_primary(|| self.leave());
        if let Err(error) = &went
            && error.kind() != ErrorKind::Unavailable
        {
            self.breaker.open(error);
        }
        went.unwrap_or(false)
    }

    /// Goes back to the primary, if it has taken in all that it missed. Whether it is back.
    fn leave(&self) -> Result<bool> {
        // What is written there under a lock from now on is refused, and what was is absorbed.
        self.locks_move_to(Mode::Primary)?;
        let absorbed = self.absorb()?;
        if self.shared {
            self.tell(Report::Reached)?;
            if rules::may_enter(self.beats.reports(self)?) {
                // Most nodes do not reach it yet.
                return Err(Error::unavailable(super::NAME, "most nodes do not reach it"));
            }
        }
        let mut view = self.view_anew()?;
        if !view.may_return(absorbed) {
            // Something was stored meanwhile. What comes after this is told by the first who asks.
            self.absorb()?;
            view = self.view_anew()?;
        }
        if view.stage.tier == Mode::Primary {
            return Ok(true);
        }
        // Others must not find it left alone when they see that it serves: they would go back to the fallback.
        self.breaker.close();
        let stage = Stage { tier: Mode::Primary, ready: false, since: wall_clock(), ..view.stage };
        let flipped = self.control.flip(&*self.fallback, &view, stage, &[]);
        let (_, now) = flipped.inspect_err(|error| self.breaker.open(error))?;
        self.announce(&now);
        self.make_ready(&now)?;
        self.absorb()?;
        Ok(true)
    }

    /// Makes the locks of the tier that took over forget what they knew, when neither tier grants any: the fallback serves from
    /// then on, the primary grants locks.
    pub(super) fn make_ready(&self, view: &View) -> Result<()> {
        self.locks_move_to(view.stage.tier)?;
        let stage = Stage { ready: true, ..view.stage };
        self.control.flip(&*self.fallback, view, stage, &[]).map(drop)
    }

    /// Empties the fallback while it serves, by beginning a new epoch, and tells the primary to be emptied.
    pub(super) fn reset_fallback(&self, view: &View) -> Result<()> {
        let (everything, stage) = (names::everything(), Stage { epoch: new_epoch()?, ..view.stage });
        let all = [Op::Purge { cache: &everything }];
        let (own, now) = self.control.flip(&*self.fallback, view, stage, &all)?;
        if own && now.stage == stage && stage.ready {
            return Ok(());
        }
        Err(super::over())
    }

    pub(super) fn count_trip(&self) {
        self.trips.fetch_add(1, Ordering::Relaxed);
    }
}

/// An epoch that the fallback has not had.
fn new_epoch() -> Result<u64> {
    Ok(u64::from_le_bytes(random()?))
}
