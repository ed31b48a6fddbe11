//! What the thread of a handle works on: the log, and what is made of it for entries and locks.

use std::time::Duration;

use super::describe;
use super::entries::{self, Upkeep};
use super::fs::{Fault, Files, Permit, Site};
use super::locks::{Asking, Draft};
use super::log::Log;
use super::replica::{CarryOver, LockTable, Seat, locks_body, without_margin};
use super::settings::Settings;
use crate::clock::{Millis, boot_millis, wall_clock};
use crate::contract::{
    Applied, Attempt, CacheId, CacheUsage, Facts, Fetched, LockInfo, Op, Position, Read, Token,
};
use crate::lock::rules::{Holder, Row};

/// One process's access to a namespace, without any thread of its own.
pub(super) struct Client {
    log: Log,
    upkeep: Upkeep,
    /// The highest fencing number that was seen.
    fence: u64,
}

impl Client {
    /// `visits` = a directory that may not be used may be read.
    pub(super) fn new(settings: &Settings, files: Files, visits: bool) -> Self {
        let site = Site::new(files, &settings.path, &settings.namespace, visits);
        Self { log: Log::new(site, settings.wait), upkeep: Upkeep::new(settings.max_bytes), fence: 0 }
    }

    /// From now on what is written is for the request of this permit.
    pub(super) fn work_for(&mut self, permit: Permit) {
        self.log.work_for(permit);
    }

    pub(super) fn fetch(&mut self, since: Option<Position>, reads: &[Read<'_>]) -> Result<Fetched, Fault> {
        entries::fetch(&mut self.log, since, reads)
    }

    pub(super) fn apply(&mut self, since: Option<Position>, ops: &[Op<'_>]) -> Result<Applied, Fault> {
        let applied = entries::apply(&mut self.log, &mut self.upkeep, since, ops);
        self.note_fence();
        applied
    }

    pub(super) fn keys(&mut self, cache: &CacheId, prefix: &[u8]) -> Result<Vec<Box<[u8]>>, Fault> {
        entries::keys(&mut self.log, cache, prefix)
    }

    pub(super) fn usage(&mut self) -> Result<Vec<CacheUsage>, Fault> {
        entries::usage(&mut self.log)
    }

    pub(super) fn describe(&mut self) -> Result<Facts, Fault> {
        describe::facts(&mut self.log, self.upkeep.max_bytes())
    }

    /// Empties everything under a new incarnation.
    pub(super) fn reset(&mut self) -> Result<(), Fault> {
        let hold = self.log.lock()?;
        self.log.rotate(&hold, CarryOver::Nothing)
    }

    /// Asks for a lock. Who stands in line only looks, as long as there is nothing to be written.
    pub(super) fn acquire(&mut self, asking: &Asking) -> Result<Attempt, Fault> {
        let known = self.log.known().ok().and_then(|known| known.replica().locks().get(&asking.name));
        if known.is_some_and(|row| row.queue.iter().any(|waiter| waiter.who.token == asking.who.token)) {
            drop(self.log.follow()?);
            let mut draft = self.draft()?;
            let attempt = draft.acquire(asking);
            if draft.changes().is_empty() {
                return Ok(attempt);
            }
        }
        self.change_locks(|draft| draft.acquire(asking))
    }

    /// Makes a change of locks under the append lock, by one record.
    pub(super) fn change_locks<T>(&mut self, decide: impl FnOnce(&mut Draft) -> T) -> Result<T, Fault> {
        let hold = self.log.lock()?;
        let mut draft = self.draft()?;
        let answer = decide(&mut draft);
        if !draft.changes().is_empty() {
            self.log.commit(&hold, &locks_body(draft.changes()))?;
            self.upkeep.rotate_if_due(&mut self.log, &hold);
            drop(hold);
            draft.wake();
            self.upkeep.clean(&mut self.log);
        }
        Ok(answer)
    }

    pub(super) fn holder(&mut self, name: &[u8]) -> Result<Option<Token>, Fault> {
        let holder = self.locks()?.get(name).and_then(|row| row.holder.as_ref());
        Ok(holder.filter(|holder| holder.until > boot_millis()).map(|holder| holder.who.token))
    }

    pub(super) fn held(&mut self) -> Result<Vec<LockInfo>, Fault> {
        let locks = self.locks()?;
        let now = boot_millis();
        let held = |(name, row): (&[u8], &Row<Seat>)| {
            let holder = row.holder.as_ref().filter(|holder| holder.until > now)?;
            Some(info(name, row, holder, now))
        };
        Ok(locks.rows().filter_map(held).collect())
    }

    /// The locks now.
    fn locks(&mut self) -> Result<&LockTable, Fault> {
        drop(self.log.follow()?);
        Ok(self.log.known()?.replica().locks())
    }

    fn draft(&mut self) -> Result<Draft, Fault> {
        self.note_fence();
        let table = self.log.known()?.replica().locks().clone();
        Ok(Draft::new(table, self.fence, boot_millis()))
    }

    fn note_fence(&mut self) {
        if let Ok(known) = self.log.known() {
            self.fence = self.fence.max(known.replica().locks().fence);
        }
    }
}

fn info(name: &[u8], row: &Row<Seat>, holder: &Holder<Seat>, now: Millis) -> LockInfo {
    LockInfo {
        name: name.to_vec(),
        owner: holder.who.owner.to_vec(),
        fence: holder.fence,
        age: Duration::from_millis(wall_clock().saturating_sub(holder.who.process.at)),
        left: Duration::from_millis((holder.until - now).min(without_margin(holder.lease))),
        waiters: row.queue.len() as u64,
    }
}
