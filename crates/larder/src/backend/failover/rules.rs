//! The decisions of failover, without input or output: rules R8 to R13 of `docs/protocol.md`.
//!
//! The backend acts on them, and the model that is checked exhaustively (`tests/model`) calls the
//! same functions. Positions of the control log are any type whose order is that of the log.

use std::time::Duration;

/// Who serves the fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The primary.
    #[default]
    Primary,
    /// The fallback, whose change log is the control log.
    Fallback,
}

/// What a record of the control log means to failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// A key or a cache was invalidated, past the primary or in the fallback.
    Invalidated,
    /// An entry was stored in the fallback.
    Stored,
    /// From here on the fallback serves.
    Entered,
    /// From here on the primary serves.
    Returned,
}

/// What follows from the control log up to the place where a node has read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Control<P> {
    mode: Mode,
    needed: Option<P>,
    entered: Option<P>,
}

impl<P> Default for Control<P> {
    fn default() -> Self {
        Self { mode: Mode::Primary, needed: None, entered: None }
    }
}

/// Whether an answer of the primary counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It does.
    Counts,
    /// Not before the control log was read again (R8).
    LeaseOver,
    /// The fallback serves.
    Elsewhere,
    /// Not before the primary has taken in the invalidations that it missed (R10).
    Behind,
}

impl<P: Copy + Ord> Control<P> {
    /// Goes on by one record, which stands at `at`.
    pub fn learn(&mut self, at: P, record: Record) {
        match record {
            Record::Invalidated | Record::Stored => self.needed = Some(at),
            Record::Entered => {
                self.mode = Mode::Fallback;
                self.needed = Some(at);
                self.entered = Some(at);
            }
            Record::Returned => self.mode = Mode::Primary,
        }
    }

    /// Who serves.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// How far the primary must have taken in the control log before it serves this node; `None` =
    /// it needs nothing.
    pub fn needed(&self) -> Option<P> {
        self.needed
    }

    /// Where the fallback was entered last. It serves, and acknowledges, only when every node has
    /// read so far or has no lease any more (R9).
    pub fn entered(&self) -> Option<P> {
        self.entered
    }

    /// Whether an answer of the primary counts: what it read may be served, what it wrote may be
    /// acknowledged. `leased` says whether the [`lease`](Lease::covers) covers the moment,
    /// `absorbed` how far the primary has taken in the control log.
    pub fn judge(&self, leased: bool, absorbed: Option<P>) -> Verdict {
        if self.mode == Mode::Fallback {
            Verdict::Elsewhere
        } else if !leased {
            Verdict::LeaseOver
        } else if absorbed < self.needed {
            Verdict::Behind
        } else {
            Verdict::Counts
        }
    }

    /// Whether the fleet may go back to the primary, by one who has read the control log to its
    /// tail, and appends nothing but behind that tail (R13).
    pub fn may_return(&self, absorbed: Option<P>) -> bool {
        self.mode == Mode::Fallback && absorbed >= self.needed
    }
}

/// How long a node may trust what it last read in the control log (R8). All times are of the node's
/// boot clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease(Duration);

impl Lease {
    /// A lease of so long. With zero, the control log must be read at each use.
    pub const fn new(length: Duration) -> Self {
        Self(length)
    }

    /// Whether a reading of the control log that began at `read` covers `moment`: when a request is
    /// sent, for what it reads; when its answer has come, for what it writes.
    pub fn covers(self, read: Duration, moment: Duration) -> bool {
        moment <= read.saturating_add(self.0)
    }

    /// How long after a record was appended no node acts on a state of the control log without it,
    /// on any node's clock: the lease and a tenth (R9).
    pub fn drained_after(self) -> Duration {
        self.0 + self.0 / 10
    }
}

/// What a node said of the primary, in the fallback, not long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It answers.
    Reached,
    /// It does not.
    Lost,
}

/// Whether most nodes have lost the primary, so that the fallback is to be entered (R13). The node
/// that asks is among the reports. A minority runs without a cache.
pub fn may_enter(reports: impl IntoIterator<Item = Report>) -> bool {
    let (mut lost, mut all) = (0_usize, 0_usize);
    for report in reports {
        all += 1;
        lost += usize::from(report == Report::Lost);
    }
    lost * 2 > all
}

/// How long the fallback serves at the least: no time the first time, 5 s once it was entered twice
/// within a minute (R13). `entered` are the last two times, the newest first.
pub fn dwell(entered: [Option<Duration>; 2]) -> Duration {
    match entered {
        [Some(last), Some(before)] if last.saturating_sub(before) < Duration::from_secs(60) => {
            Duration::from_secs(5)
        }
        _ => Duration::ZERO,
    }
}

/// How long the fallback has served, on a clock that may have been set back since: then as long as
/// this process has `known`.
pub fn served(entered: Duration, now: Duration, known: Duration) -> Duration {
    now.checked_sub(entered).unwrap_or(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(records: &[Record]) -> Control<usize> {
        let mut control = Control::default();
        records.iter().enumerate().for_each(|(at, record)| control.learn(at + 1, *record));
        control
    }

    #[test]
    fn the_last_flip_says_who_serves() {
        use Record::{Entered, Invalidated, Returned};
        assert_eq!(control(&[]).mode(), Mode::Primary);
        assert_eq!(control(&[Entered, Invalidated]).mode(), Mode::Fallback);
        assert_eq!(control(&[Entered, Returned, Invalidated]).mode(), Mode::Primary);
    }

    #[test]
    fn the_primary_must_know_every_record_but_the_return() {
        use Record::{Entered, Invalidated, Returned, Stored};
        assert_eq!(control(&[]).needed(), None);
        assert_eq!(control(&[Invalidated, Returned]).needed(), Some(1));
        assert_eq!(control(&[Entered, Stored, Returned]).needed(), Some(2));
        assert_eq!(control(&[Entered, Returned, Entered]).needed(), Some(3));
    }

    #[test]
    fn an_answer_counts_under_a_lease_from_a_primary_that_serves_and_missed_nothing() {
        use Record::{Entered, Invalidated, Returned};
        assert_eq!(control(&[]).judge(true, None), Verdict::Counts);
        assert_eq!(control(&[]).judge(false, None), Verdict::LeaseOver);
        assert_eq!(control(&[Entered]).judge(true, Some(1)), Verdict::Elsewhere);
        let back = control(&[Entered, Invalidated, Returned]);
        assert_eq!(back.judge(true, Some(1)), Verdict::Behind);
        assert_eq!(back.judge(true, Some(2)), Verdict::Counts);
    }

    #[test]
    fn the_fleet_returns_once_all_was_absorbed() {
        use Record::{Entered, Invalidated};
        assert!(!control(&[Entered, Invalidated]).may_return(Some(1)));
        assert!(control(&[Entered, Invalidated]).may_return(Some(2)));
        assert!(!control(&[Invalidated]).may_return(Some(1)), "it never left");
    }

    #[test]
    fn a_lease_counts_from_the_beginning_of_the_reading() {
        let at = Duration::from_millis;
        let lease = Lease::new(at(2000));
        assert!(lease.covers(at(500), at(2500)));
        assert!(!lease.covers(at(500), at(2501)));
        assert_eq!(lease.drained_after(), at(2200));
        assert!(Lease::new(at(0)).covers(at(500), at(500)), "read at or after the moment");
        assert!(!Lease::new(at(0)).covers(at(500), at(501)));
    }

    #[test]
    fn most_nodes_must_have_lost_the_primary() {
        use Report::{Lost, Reached};
        assert!(may_enter([Lost]));
        assert!(!may_enter([Lost, Reached]));
        assert!(may_enter([Lost, Lost, Reached]));
        assert!(!may_enter([]));
    }

    #[test]
    fn one_who_flaps_stays_longer() {
        let at = |seconds| Some(Duration::from_secs(seconds));
        assert!(dwell([at(100), None]).is_zero());
        assert!(dwell([at(100), at(40)]).is_zero());
        assert_eq!(dwell([at(99), at(40)]), Duration::from_secs(5));
        let [hour, minute] = [3600, 60].map(Duration::from_secs);
        assert_eq!(served(minute, hour, minute), Duration::from_secs(3540));
        assert_eq!(served(hour, minute, Duration::from_secs(7)), Duration::from_secs(7), "set back");
    }
}
