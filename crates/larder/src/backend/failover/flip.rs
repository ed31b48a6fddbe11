//! Going over to the other tier (R11, R13).

use std::time::Duration;

use super::backend::Failover;
use super::control::{Stage, View};
use super::failure::{NAME, over};
use super::rules::{self, Mode};
use crate::clock::wall_clock;
use crate::error::{Error, ErrorKind, Result};
use crate::random::random;

impl Failover {
    /// What holds now. While the fallback serves, whoever asks looks after the primary once a
    /// second, one process of the node at a time.
    pub(super) fn look_after(&self, moment: Duration) -> Result<View> {
        let view = self.view(moment)?;
        if view.stage.tier == Mode::Primary || !self.tend(&view) {
            return Ok(view);
        }
        self.view_anew()
    }

    /// The primary did not do its part in what was asked of it while `stage` held. Whether another
    /// tier serves now, or may: ask again who does.
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

    /// Enters the fallback if the primary was lost while `of` held, which has not changed, and this
    /// node may decide that.
    fn enter(&self, of: Stage, error: &Error) -> Result<()> {
        let view = self.view_anew()?;
        // The primary that came back meanwhile answers for itself, not for what was sent before.
        if view.stage != of || !self.control.may_enter(self.primary.node())? {
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
        let now = self.control.flip(&view, stage)?;
        // The primary is left alone for a moment whatever it said.
        if !self.primary.is_left_alone() {
            self.primary.leave_alone(error);
        }
        self.events.announce(&now, &self.primary);
        Ok(())
    }

    /// Looks after a fallback that serves, or is about to. Whether who serves may have changed.
    fn tend(&self, view: &View) -> bool {
        if !view.stage.ready && self.control.is_drained(view) {
            return self.make_ready(view).is_ok();
        }
        let dwell = rules::dwell(view.stage.entered.map(|at| (at > 0).then(|| Duration::from_millis(at))));
        let [entered, now] = [view.stage.entered[0], wall_clock()].map(Duration::from_millis);
        if rules::served(entered, now, view.age) < dwell {
            return false;
        }
        let went = self.primary.call(|_| self.leave());
        if let Err(error) = &went
            && error.kind() != ErrorKind::Unavailable
        {
            self.primary.leave_alone(error);
        }
        went.unwrap_or(false)
    }

    /// Goes back to the primary, if it has taken in all that it missed. Whether it is back.
    fn leave(&self) -> Result<bool> {
        // What is written there under a lock from now on is refused, and what was is absorbed.
        self.locks_move_to(Mode::Primary)?;
        let absorbed = self.primary.absorb(&self.control)?;
        if !self.control.may_leave(self.primary.node())? {
            return Err(Error::unavailable(NAME, "most nodes do not reach it"));
        }
        let mut view = self.view_anew()?;
        if !view.may_return(absorbed) {
            // Something was stored meanwhile. What comes after this is told by the first who asks.
            self.primary.absorb(&self.control)?;
            view = self.view_anew()?;
        }
        if view.stage.tier == Mode::Primary {
            return Ok(true);
        }
        // Others must not find it left alone when they see that it serves: they would go back to
        // the fallback.
        self.primary.is_back();
        let stage = Stage { tier: Mode::Primary, ready: false, since: wall_clock(), ..view.stage };
        let flipped = self.control.flip(&view, stage);
        let now = flipped.inspect_err(|error| self.primary.leave_alone(error))?;
        self.events.announce(&now, &self.primary);
        self.make_ready(&now)?;
        self.primary.absorb(&self.control)?;
        Ok(true)
    }

    /// Makes the locks of the tier that took over forget what they knew, when neither tier grants
    /// any: the fallback serves from then on, the primary grants locks.
    pub(super) fn make_ready(&self, view: &View) -> Result<()> {
        self.locks_move_to(view.stage.tier)?;
        let stage = Stage { ready: true, ..view.stage };
        self.control.flip(view, stage).map(drop)
    }

    /// Empties the fallback while it serves, by beginning a new epoch, and tells the primary to be
    /// emptied.
    pub(super) fn reset_fallback(&self, view: &View) -> Result<()> {
        let stage = Stage { epoch: new_epoch()?, ..view.stage };
        if self.control.forget_everything(view, stage)? { Ok(()) } else { Err(over()) }
    }
}

/// An epoch that the fallback has not had.
fn new_epoch() -> Result<u64> {
    Ok(u64::from_le_bytes(random()?))
}
