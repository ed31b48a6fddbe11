//! Following the log: what every call does first.

use super::bounded::Permit;
use super::failure::{Fault, NAME};
use super::files::Files;
use super::hold::{Deadline, Hold};
use super::log::{Chunk, Log};
use super::names::FileId;
use super::rotate::Keep;
use super::site::Site;
use super::{Settings, root};
use crate::error::Error;

/// How often a call looks again after files vanished or the log went on elsewhere.
const ATTEMPTS: usize = 8;

/// What a handle knows of its namespace.
pub(super) struct Node {
    pub(super) site: Site,
    pub(super) max_bytes: u64,
    pub(super) wait: std::time::Duration,
    pub(super) log: Option<Log>,
    /// The incarnation and the place in its log that this handle has seen.
    seen: Option<(u128, u128)>,
    /// The incarnation whose history is not what this handle has seen, or that is a copy.
    lost: Option<u128>,
    pub(super) cleaning: super::clean::Cleaning,
    /// The highest fencing number that this handle has seen.
    pub(super) fence: u64,
    /// Of the request that is worked on.
    pub(super) permit: Permit,
}

/// What a file of the log is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// To read, without a lock.
    Read,
    /// To append, under its lock.
    Append,
}

impl Node {
    pub(super) fn new(settings: &Settings, visits: bool) -> Self {
        Self {
            site: Site::new(&settings.path, &settings.namespace, visits),
            max_bytes: settings.max_bytes,
            wait: settings.wait,
            log: None,
            seen: None,
            lost: None,
            cleaning: super::clean::Cleaning::default(),
            fence: 0,
            permit: Permit::default(),
        }
    }

    pub(super) fn deadline(&self) -> Deadline {
        Deadline::after(self.wait)
    }

    /// Opens the segment that the log ends in, and takes in what is new. Three calls when nothing happened, with
    /// the one that closes it. What was read goes to `chunks`.
    pub(super) fn hold<'f>(
        &mut self,
        files: &'f Files,
        mut access: Access,
        chunks: &mut Vec<Chunk>,
    ) -> Result<Hold<'f>, Fault> {
        let mut deadline = self.deadline();
        let mut fault = Fault::Gone;
        for _ in 0..ATTEMPTS {
            match self.try_hold(files, access, deadline, chunks) {
                Ok(Some(hold)) => return Ok(hold),
                Ok(None) => {}
                Err(fault @ (Fault::Error(_) | Fault::NotSetUp)) => return Err(fault),
                Err(Fault::Busy) if access == Access::Append && self.went_on(files, deadline, chunks) => {
                    deadline = self.deadline();
                    fault = Fault::Busy;
                }
                Err(Fault::Busy) => return Err(Fault::Busy),
                Err(Fault::Damaged) if access == Access::Read => {
                    // A record may just be written; under the lock none is.
                    access = Access::Append;
                }
                Err(Fault::Damaged) => {
                    if let Some(log) = &self.log {
                        self.site.replace(files, log.segment, deadline).or_else(unless_gone)?;
                    }
                    self.forget();
                    fault = Fault::Damaged;
                }
                Err(Fault::Gone) => {
                    if let Some(log) = &self.log
                        && self.site.lacks(files, log.segment)
                    {
                        self.site.replace(files, log.segment, deadline).or_else(unless_gone)?;
                    }
                    self.forget();
                    fault = Fault::Gone;
                }
                Err(Fault::Lost) if access == Access::Read && self.log.is_some() => {
                    // Under the lock nothing is cached and nobody writes: what is missing there is missing.
                    access = Access::Append;
                }
                Err(Fault::Lost) => {
                    if let Some(log) = &self.log {
                        self.lost = Some(log.incarnation);
                    }
                    self.forget();
                    fault = Fault::Lost;
                }
            }
        }
        Err(fault)
    }

    /// Forgets the log, but not what was seen of it.
    pub(super) fn forget(&mut self) {
        if let Some(log) = self.log.take() {
            self.seen = Some((log.incarnation, log.id()));
        }
        self.site.distrust();
    }

    fn try_hold<'f>(
        &mut self,
        files: &'f Files,
        access: Access,
        deadline: Deadline,
        chunks: &mut Vec<Chunk>,
    ) -> Result<Option<Hold<'f>>, Fault> {
        if self.log.is_none() {
            self.log = self.start(files, deadline)?;
        }
        if access == Access::Append {
            self.site.refuse_visitors()?;
        }
        let Some(log) = &mut self.log else { return Ok(None) };
        let path = log.segment.path(&self.site.path);
        let hold = match access {
            Access::Read => Hold::unlocked(files.read(&path)?),
            Access::Append => Hold::lock(files.write(&path)?, deadline)?,
        };
        if let Some(seal) = log.read_tail(hold.open(), chunks)? {
            if seal.incarnation == log.incarnation {
                log.go_on(seal);
            } else {
                // It was emptied: what stays stands in the successor's checkpoint. The root may never name that: whoever
                // emptied it may have died.
                (self.log, self.seen) = (None, None);
                self.log = match self.load(files, seal.successor) {
                    Err(fault @ (Fault::Lost | Fault::Gone))
                        if matches!(fault, Fault::Lost) || self.site.lacks(files, seal.successor) =>
                    {
                        self.site.replace(files, seal.successor, deadline).or_else(unless_gone)?;
                        None
                    }
                    loaded => Some(loaded?),
                };
            }
            return Ok(None);
        }
        if let Some((incarnation, id)) = self.seen.take()
            && incarnation == log.incarnation
            && id > log.id()
        {
            self.lost = Some(incarnation);
        }
        if self.lost.take() == Some(log.incarnation) {
            // Acknowledged changes may be missing here (R14).
            let hold = match access {
                Access::Append => hold,
                Access::Read => {
                    drop(hold);
                    Hold::lock(files.write(&path)?, deadline)?
                }
            };
            let lost = log.incarnation;
            if log.read_tail(hold.open(), chunks)?.is_none() {
                self.rotate(files, &hold, Keep::Unlogged, deadline)?;
            } else {
                self.lost = Some(lost);
                self.log = None;
            }
            return Ok(None);
        }
        Ok(Some(hold))
    }

    /// Whether others wrote since this handle last looked: then the lock changes hands, and it is worth waiting for.
    fn went_on(&mut self, files: &Files, deadline: Deadline, chunks: &mut Vec<Chunk>) -> bool {
        let Some(before) = self.log.as_ref().map(Log::id) else { return false };
        match self.try_hold(files, Access::Read, deadline, chunks) {
            Ok(Some(_)) => self.log.as_ref().is_none_or(|log| log.id() != before),
            // The log went on elsewhere, or the next attempt meets the same fault.
            Ok(None) | Err(_) => true,
        }
    }

    /// Finds the log from the root on; sets the namespace up if it is not.
    fn start(&mut self, files: &Files, deadline: Deadline) -> Result<Option<Log>, Fault> {
        self.site.prepare(files)?;
        let Some(segment) = root::read(files, &self.site.path)? else {
            if self.site.is_visited() {
                self.site.refuse_the_bare()?;
                self.site.distrust();
                return Err(Fault::NotSetUp);
            }
            // What was set up counts only if it is found by its name: the directory may have been removed meanwhile.
            self.site.set_up(files, deadline)?;
            return Ok(None);
        };
        match self.load(files, segment) {
            Ok(log) => Ok(Some(log)),
            Err(Fault::Gone) => {
                // Either the log went on meanwhile, or somebody removed what the root names, or the handle was stale.
                let lacks = self.site.lacks(files, segment);
                if root::read(files, &self.site.path)? == Some(segment) {
                    if !lacks {
                        return Err(Fault::Gone);
                    }
                    self.site.replace(files, segment, deadline)?;
                }
                Ok(None)
            }
            Err(Fault::Lost) => {
                self.site.replace(files, segment, deadline)?;
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Reads the log from the beginning of a segment on.
    fn load(&mut self, files: &Files, segment: FileId) -> Result<Log, Fault> {
        let (log, original) = Log::load(files, &self.site.path, segment)?;
        if !original {
            self.lost = Some(log.incarnation);
        }
        Ok(log)
    }

    /// The log, which is known after [`hold`](Self::hold).
    pub(super) fn known(&mut self) -> Result<&mut Log, Fault> {
        self.log.as_mut().ok_or_else(|| Error::unavailable(NAME, "the log is not known").into())
    }
}

/// What vanished is found to be gone by the next attempt.
fn unless_gone(fault: Fault) -> Result<(), Fault> {
    if matches!(fault, Fault::Gone) { Ok(()) } else { Err(fault) }
}
