//! Locks: those of the tier that serves.
//!
//! Neither tier knows the other's locks. So whoever goes over makes the new tier forget its own
//! when the old one grants none any more, and before the new one grants any; the grace of named
//! locks begins then. Their holders get them back by renewing, and keep their fencing numbers (R23,
//! R25).

use std::thread;
use std::time::Duration;

use super::backend::Failover;
use super::control::{Stage, View};
use super::failure::{ATTEMPTS, NAME, entering, over};
use super::rules::Mode;
use crate::clock::boottime;
use crate::contract::{Attempt, Claim, Handed, LockBackend, LockInfo, Renewal, Token};
use crate::error::{Error, Result};

/// Fencing numbers are microseconds of a server's clock; what was granted last before a flip was so
/// much earlier.
const FENCE_MARGIN: u64 = 1_000;

impl Failover {
    /// Makes the locks of a tier ready to take over.
    pub(super) fn locks_move_to(&self, tier: Mode) -> Result<()> {
        let now = self.primary.backend().now().max(self.fallback.backend().now());
        let fence = now.saturating_add(FENCE_MARGIN).saturating_mul(1_000);
        match self.locks_of(tier) {
            Some(locks) => locks.distrust(fence),
            None => Ok(()),
        }
    }

    fn locks_of(&self, tier: Mode) -> Option<&dyn LockBackend> {
        match tier {
            Mode::Primary => self.primary.backend().locks(),
            Mode::Fallback => self.fallback.backend().locks(),
        }
    }

    /// Asks the locks of the tier that serves. An answer counts if that tier still serves after it.
    fn with_locks<T>(&self, ask: impl Fn(&dyn LockBackend) -> Result<T>) -> Result<T> {
        for _ in 0..ATTEMPTS {
            let view = match self.look_after(boottime()) {
                Err(error) if self.is_barred(&error) => {
                    let Some(locks) = self.locks_of(Mode::Primary) else { return Err(error) };
                    return self.without_fallback(&error, |_| ask(locks));
                }
                view => view?,
            };
            if !view.stage.ready {
                if view.stage.tier == Mode::Fallback {
                    return Err(entering());
                }
                // Whoever went over did not come so far yet.
                self.finish_return(view.stage)?;
                continue;
            }
            let locks = self.locks_of(view.stage.tier);
            let locks = locks.ok_or_else(|| Error::refused(NAME, "the fallback has no locks"))?;
            let answer = match view.stage.tier {
                Mode::Primary => self.primary.call(|_| ask(locks)),
                Mode::Fallback => ask(locks),
            };
            match answer {
                Ok(answer) if self.same(&view)? => return Ok(answer),
                Err(error) if view.stage.tier == Mode::Fallback || !self.lost(&error, view.stage) => {
                    return Err(error);
                }
                Ok(_) | Err(_) => {}
            }
        }
        Err(over())
    }

    /// Lets the primary grant locks, if `stage` still holds.
    fn finish_return(&self, stage: Stage) -> Result<()> {
        let view = self.view_anew()?;
        if view.stage == stage { self.primary.call(|_| self.make_ready(&view)) } else { Ok(()) }
    }

    /// Whether the tier that answered serves still. The fallback may have been left since its log
    /// was read.
    fn same(&self, view: &View) -> Result<bool> {
        let now = match view.stage.tier {
            Mode::Primary => self.view(boottime())?,
            Mode::Fallback => self.view_anew()?,
        };
        Ok(now.stage == view.stage)
    }
}

impl LockBackend for Failover {
    fn acquire(&self, claim: &Claim<'_>) -> Result<Attempt> {
        self.with_locks(|locks| locks.acquire(claim))
    }

    /// Who sleeps while the other tier takes over asks again: what the first one gave may not
    /// count.
    fn park(&self, token: Token, at_most: Duration) -> Option<Handed> {
        let Some(before) = self.control.last() else {
            // The fallback cannot be used.
            return self.locks_of(Mode::Primary)?.park(token, at_most);
        };
        let Some(locks) = self.locks_of(before.stage.tier) else {
            thread::sleep(at_most);
            return None;
        };
        let handed = locks.park(token, at_most)?;
        self.same(&before).unwrap_or(false).then_some(handed)
    }

    fn release(&self, name: &[u8], token: Token) -> Result<bool> {
        self.with_locks(|locks| locks.release(name, token))
    }

    fn renew(&self, locks: &[Renewal<'_>], lease: Duration) -> Result<Vec<bool>> {
        self.with_locks(|of| of.renew(locks, lease))
    }

    fn holder(&self, name: &[u8]) -> Result<Option<Token>> {
        self.with_locks(|locks| locks.holder(name))
    }

    fn list(&self) -> Result<Vec<LockInfo>> {
        self.with_locks(|locks| locks.list())
    }

    fn break_lock(&self, name: &[u8]) -> Result<bool> {
        self.with_locks(|locks| locks.break_lock(name))
    }

    fn distrust(&self, fence: u64) -> Result<()> {
        self.with_locks(|locks| locks.distrust(fence))
    }

    fn another(&self) -> Box<dyn LockBackend> {
        Box::new(self.another_handle())
    }
}
