//! Following the log, which every call does first, and writing to it.

use std::time::Duration;

use super::tail::{Chunk, Commit, LogTail};
use super::{root, setup};
use crate::backend::dir::fs::{Deadline, Fault, FileId, Hold, NAME, Permit, Site};
use crate::backend::dir::replica::CarryOver;
use crate::error::Error;

/// How often a call looks again after files vanished or the log went on elsewhere.
const ATTEMPTS: usize = 8;

/// The log of a namespace, as one handle follows it.
pub(crate) struct Log {
    site: Site,
    /// The longest wait for another writer.
    wait: Duration,
    tail: Option<LogTail>,
    /// The incarnation and the place in its log that this handle has seen.
    seen: Option<(u128, u128)>,
    /// The incarnation whose history is not what this handle has seen, or that is a copy.
    lost: Option<u128>,
    /// Whether this handle ended a segment, and the root names the next.
    rotated: bool,
    /// Of the request that is worked on.
    permit: Permit,
}

/// What a segment is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// To read, without a lock.
    Read,
    /// To append, under its lock.
    Append,
}

impl Log {
    pub(crate) fn new(site: Site, wait: Duration) -> Self {
        Self { site, wait, tail: None, seen: None, lost: None, rotated: false, permit: Permit::default() }
    }

    /// From now on what is written is for the request of this permit.
    pub(crate) fn work_for(&mut self, permit: Permit) {
        self.permit = permit;
    }

    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// Fails for who may only read the directory, and looks again before the next use.
    pub(crate) fn refuse_visitors(&mut self) -> Result<(), Fault> {
        self.site.refuse_visitors()
    }

    /// Takes in what is new. Three calls when nothing happened, with the one that closes the
    /// segment. Gives the open segment and what was read on the way.
    pub(crate) fn follow(&mut self) -> Result<(Hold, Vec<Chunk>), Fault> {
        let mut chunks = Vec::new();
        let hold = self.hold(Access::Read, &mut chunks)?;
        Ok((hold, chunks))
    }

    /// Takes in what is new under the lock of the segment that the log ends in: nobody else writes
    /// until it is dropped.
    pub(crate) fn lock(&mut self) -> Result<Hold, Fault> {
        self.hold(Access::Append, &mut Vec::new())
    }

    /// Whether anything was read yet; if not, [`known`](Self::known) fails.
    pub(crate) fn is_known(&self) -> bool {
        self.tail.is_some()
    }

    /// The log as it was read last, which is known after [`follow`](Self::follow) and
    /// [`lock`](Self::lock).
    pub(crate) fn known(&self) -> Result<&LogTail, Fault> {
        self.tail.as_ref().ok_or_else(unknown)
    }

    /// Appends one record under the lock, syncs it and takes it in.
    pub(crate) fn commit(&mut self, hold: &Hold, body: &[u8]) -> Result<(), Commit> {
        self.permit.begin()?;
        self.tail.as_mut().ok_or_else(unknown)?.append(hold.open(), body)
    }

    /// Ends the segment that is held under its lock.
    pub(crate) fn rotate(&mut self, hold: &Hold, keep: CarryOver) -> Result<(), Fault> {
        self.rotate_within(hold, keep, self.deadline())
    }

    /// Whether this handle ended a segment since this was last asked, and the root names the next,
    /// so that nobody needs older ones to find it.
    pub(crate) fn take_rotated(&mut self) -> bool {
        std::mem::take(&mut self.rotated)
    }

    fn rotate_within(&mut self, hold: &Hold, keep: CarryOver, deadline: Deadline) -> Result<(), Fault> {
        let prepared = self.tail.as_mut().ok_or_else(unknown)?.prepare_next(&self.site, keep);
        let sealed = prepared.and_then(|(seal, body)| {
            self.commit(hold, &body)?;
            Ok(seal)
        });
        if keep != CarryOver::Everything {
            // The index was taken apart.
            self.tail = None;
        }
        let seal = sealed?;
        if let Some(tail) = &mut self.tail {
            tail.go_on(seal);
        }
        // The seal leads on from the root as it is, so this may fail.
        self.rotated |= setup::advance_root(&self.site, seal.successor, deadline).is_ok();
        Ok(())
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.wait)
    }

    fn hold(&mut self, mut access: Access, chunks: &mut Vec<Chunk>) -> Result<Hold, Fault> {
        let mut deadline = self.deadline();
        let mut fault = Fault::Gone;
        for _ in 0..ATTEMPTS {
            match self.try_hold(access, deadline, chunks) {
                Ok(Some(hold)) => return Ok(hold),
                Ok(None) => {}
                Err(fault @ (Fault::Error(_) | Fault::NotSetUp)) => return Err(fault),
                Err(Fault::Busy) if access == Access::Append && self.went_on(deadline, chunks) => {
                    deadline = self.deadline();
                    fault = Fault::Busy;
                }
                Err(Fault::Busy) => return Err(Fault::Busy),
                Err(Fault::Damaged) if access == Access::Read => {
                    // A record may just be written; under the lock none is.
                    access = Access::Append;
                }
                Err(Fault::Damaged) => {
                    if let Some(tail) = &self.tail {
                        setup::replace(&self.site, tail.segment(), deadline).or_else(unless_gone)?;
                    }
                    self.forget();
                    fault = Fault::Damaged;
                }
                Err(Fault::Gone) => {
                    if let Some(tail) = &self.tail
                        && self.site.lacks(tail.segment())
                    {
                        setup::replace(&self.site, tail.segment(), deadline).or_else(unless_gone)?;
                    }
                    self.forget();
                    fault = Fault::Gone;
                }
                Err(Fault::Lost) if access == Access::Read && self.tail.is_some() => {
                    // Under the lock nothing is cached and nobody writes: what is missing there is
                    // missing.
                    access = Access::Append;
                }
                Err(Fault::Lost) => {
                    if let Some(tail) = &self.tail {
                        self.lost = Some(tail.incarnation());
                    }
                    self.forget();
                    fault = Fault::Lost;
                }
            }
        }
        Err(fault)
    }

    /// Forgets the log, but not what was seen of it.
    fn forget(&mut self) {
        if let Some(tail) = self.tail.take() {
            self.seen = Some((tail.incarnation(), tail.id()));
        }
        self.site.distrust();
    }

    /// One attempt; `None` if the log has to be looked for again.
    fn try_hold(
        &mut self,
        access: Access,
        deadline: Deadline,
        chunks: &mut Vec<Chunk>,
    ) -> Result<Option<Hold>, Fault> {
        if self.tail.is_none() {
            self.tail = self.start(deadline)?;
        }
        if access == Access::Append {
            self.site.refuse_visitors()?;
        }
        let Some(tail) = &mut self.tail else { return Ok(None) };
        let segment = tail.segment();
        let hold = match access {
            Access::Read => Hold::unlocked(self.site.read(segment)?),
            Access::Append => Hold::lock(self.site.write(segment)?, deadline)?,
        };
        if let Some(seal) = tail.read_tail(hold.open(), chunks)? {
            if seal.incarnation == tail.incarnation() {
                tail.go_on(seal);
            } else {
                // It was emptied: what stays stands in the successor's checkpoint. The root may
                // never name that: whoever emptied it may have died.
                (self.tail, self.seen) = (None, None);
                self.tail = match self.load(seal.successor) {
                    Err(fault @ (Fault::Lost | Fault::Gone))
                        if matches!(fault, Fault::Lost) || self.site.lacks(seal.successor) =>
                    {
                        setup::replace(&self.site, seal.successor, deadline).or_else(unless_gone)?;
                        None
                    }
                    loaded => Some(loaded?),
                };
            }
            return Ok(None);
        }
        if let Some((incarnation, id)) = self.seen.take()
            && incarnation == tail.incarnation()
            && id > tail.id()
        {
            self.lost = Some(incarnation);
        }
        if self.lost.take() == Some(tail.incarnation()) {
            // Acknowledged changes may be missing here (R14).
            let hold = match access {
                Access::Append => hold,
                Access::Read => {
                    drop(hold);
                    Hold::lock(self.site.write(segment)?, deadline)?
                }
            };
            let lost = tail.incarnation();
            if tail.read_tail(hold.open(), chunks)?.is_none() {
                self.rotate_within(&hold, CarryOver::Unlogged, deadline)?;
            } else {
                self.lost = Some(lost);
                self.tail = None;
            }
            return Ok(None);
        }
        Ok(Some(hold))
    }

    /// Whether others wrote since this handle last looked: then the lock changes hands, and it is
    /// worth waiting for.
    fn went_on(&mut self, deadline: Deadline, chunks: &mut Vec<Chunk>) -> bool {
        let Some(before) = self.tail.as_ref().map(LogTail::id) else { return false };
        match self.try_hold(Access::Read, deadline, chunks) {
            Ok(Some(_)) => self.tail.as_ref().is_none_or(|tail| tail.id() != before),
            // The log went on elsewhere, or the next attempt meets the same fault.
            Ok(None) | Err(_) => true,
        }
    }

    /// Finds the log from the root on; sets the namespace up if it is not.
    fn start(&mut self, deadline: Deadline) -> Result<Option<LogTail>, Fault> {
        self.site.prepare()?;
        let Some(segment) = root::read(&self.site)? else {
            if self.site.is_visited() {
                self.site.refuse_the_bare()?;
                self.site.distrust();
                return Err(Fault::NotSetUp);
            }
            // What was set up counts only if it is found by its name: the directory may have been
            // removed meanwhile.
            setup::set_up(&self.site, deadline)?;
            return Ok(None);
        };
        match self.load(segment) {
            Ok(tail) => Ok(Some(tail)),
            Err(Fault::Gone) => {
                // Either the log went on meanwhile, or somebody removed what the root names, or the
                // handle was stale.
                let lacks = self.site.lacks(segment);
                if root::read(&self.site)? == Some(segment) {
                    if !lacks {
                        return Err(Fault::Gone);
                    }
                    setup::replace(&self.site, segment, deadline)?;
                }
                Ok(None)
            }
            Err(Fault::Lost) => {
                setup::replace(&self.site, segment, deadline)?;
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Reads the log from the beginning of a segment on.
    fn load(&mut self, segment: FileId) -> Result<LogTail, Fault> {
        let (tail, original) = LogTail::load(&self.site, segment)?;
        if !original {
            self.lost = Some(tail.incarnation());
        }
        Ok(tail)
    }
}

fn unknown() -> Fault {
    Error::unavailable(NAME, "the log is not known").into()
}

/// What vanished is found to be gone by the next attempt.
fn unless_gone(fault: Fault) -> Result<(), Fault> {
    if matches!(fault, Fault::Gone) { Ok(()) } else { Err(fault) }
}
