//! Holds what was read against what was acknowledged.

use std::collections::HashMap;

use super::Name;
use super::journal::{Line, Outcome, Write, read};

/// What a run did, so that nobody takes an idle one for a proof.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Calls that ended well; one for many keys counts once.
    pub operations: u64,
    /// Writes that were not acknowledged.
    pub failed: u64,
    /// Keys read.
    pub reads: u64,
    /// Values found by them.
    pub hits: u64,
    /// Values found that another process had written.
    pub hits_of_others: u64,
    /// Values found that had been filled in after a miss.
    pub fills_read: u64,
}

impl std::ops::AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.operations += other.operations;
        self.failed += other.failed;
        self.reads += other.reads;
        self.hits += other.hits;
        self.hits_of_others += other.hits_of_others;
        self.fills_read += other.fills_read;
    }
}

/// Who wrote a value, when, and from which truth if it was filled in.
struct Origin {
    process: usize,
    name: Name,
    start: u64,
    end: u64,
    filled_from: Option<u64>,
}

/// Writes of one key that certainly took effect, for questions of the kind "of those that were
/// acknowledged before".
#[derive(Default)]
struct Invalidations {
    /// When acknowledged, and of this and all before: the latest start, the newest truth known at
    /// the start.
    list: Vec<(u64, u64, u64)>,
}

impl Invalidations {
    fn add(&mut self, acknowledged: u64, start: u64, truth: u64) {
        self.list.push((acknowledged, start, truth));
    }

    fn prepare(&mut self) {
        self.list.sort_unstable();
        let (mut latest, mut newest) = (0, 0);
        for (_, start, truth) in &mut self.list {
            latest = latest.max(*start);
            newest = newest.max(*truth);
            (*start, *truth) = (latest, newest);
        }
    }

    /// The latest start and the newest truth of those acknowledged before `time`.
    fn before(&self, time: u64) -> (u64, u64) {
        let count = self.list.partition_point(|(acknowledged, ..)| *acknowledged < time);
        count
            .checked_sub(1)
            .and_then(|last| self.list.get(last))
            .map_or((0, 0), |&(_, start, truth)| (start, truth))
    }
}

/// A journal with the time after which no write of its process could take effect.
pub type Told<'a> = (usize, &'a str, u64);

/// Checks the journals of a run: for each the number of its process, its text, and the time after
/// which nothing that it had begun could take effect any more. The numbers of processes tell whose
/// writes are a reader's own. Until `lossless` the backend lost no entry, so that a miss has to be
/// explained.
///
/// # Errors
/// The first ten reads that broke the promise, in words.
pub fn check(journals: &[Told<'_>], lossless: u64) -> Result<Summary, String> {
    let mut history = History { lossless, ..History::default() };
    let mut reads = Vec::new();
    for &(process, text, over) in journals {
        let lines = read(text).ok_or("a journal cannot be read")?;
        history.learn(process, lines, over, &mut reads);
    }
    let lists = history.all.values_mut().chain(history.own.values_mut()).chain(history.stored.values_mut());
    lists.for_each(Invalidations::prepare);
    let mut wrong = Vec::new();
    for read in &reads {
        if let Err(why) = history.judge(read) {
            wrong.push(why);
        }
    }
    if wrong.is_empty() {
        return Ok(history.summary);
    }
    let count = wrong.len();
    wrong.truncate(10);
    Err(format!("{count} reads of {} broke the promise:\n{}", history.summary.reads, wrong.join("\n")))
}

struct ReadBack {
    process: usize,
    name: Name,
    version: Option<u64>,
    start: u64,
    end: u64,
    sync: u64,
}

#[derive(Default)]
struct History {
    origins: HashMap<u64, Origin>,
    all: HashMap<Name, Invalidations>,
    own: HashMap<(usize, Name), Invalidations>,
    /// The acknowledged sets among `all`.
    stored: HashMap<Name, Invalidations>,
    /// When deletes and purges, also those that failed, began and ended.
    removed: HashMap<Name, Vec<(u64, u64)>>,
    lossless: u64,
    summary: Summary,
}

impl History {
    fn learn(&mut self, process: usize, mut lines: Vec<Line>, over: u64, reads: &mut Vec<ReadBack>) {
        // What was sent ended when it was acknowledged.
        let mut settled = None;
        for line in lines.iter_mut().rev() {
            match line {
                Line::Settled { at } => settled = Some(*at),
                Line::End { end, outcome: outcome @ Outcome::Sent } => {
                    *end = settled.unwrap_or(over);
                    *outcome = settled.map_or(Outcome::Failed, |_| Outcome::Acknowledged);
                }
                _ => {}
            }
        }
        let mut lines = lines.into_iter().peekable();
        while let Some(line) = lines.next() {
            match line {
                Line::Begin { start, writes } => {
                    let ended = lines.next_if(|next| matches!(next, Line::End { .. }));
                    let (end, acknowledged) = match ended {
                        Some(Line::End { end, outcome }) => (end, outcome == Outcome::Acknowledged),
                        _ => (over, false),
                    };
                    self.summary.operations += u64::from(acknowledged);
                    self.summary.failed += u64::from(!acknowledged);
                    for write in writes {
                        self.learn_write(process, &write, (start, end), acknowledged);
                    }
                }
                Line::End { .. } | Line::Settled { .. } => {}
                Line::Reads { start, end, sync, reads: found } => {
                    self.summary.operations += 1;
                    self.summary.reads += found.len() as u64;
                    reads.extend(found.into_iter().map(|(name, version)| ReadBack {
                        process,
                        name,
                        version,
                        start,
                        end,
                        sync,
                    }));
                }
            }
        }
    }

    fn learn_write(&mut self, process: usize, write: &Write, (start, end): (u64, u64), acknowledged: bool) {
        if let Write::Set { name, version, truth, fill, .. } = *write {
            let filled_from = fill.then_some(truth);
            self.origins.insert(version, Origin { process, name, start, end, filled_from });
        }
        let mut remove = |name| self.removed.entry(name).or_default().push((start, end));
        match write {
            Write::Set { certain: true, .. } => {}
            // It may have lost against another set.
            Write::Set { name, .. } | Write::Delete { name, .. } => remove(*name),
            Write::Purge { cache, .. } => Name::all_of(*cache).for_each(remove),
        }
        if !acknowledged {
            return;
        }
        let mut add = |name, truth| {
            self.all.entry(name).or_default().add(end, start, truth);
            self.own.entry((process, name)).or_default().add(end, start, truth);
        };
        match write {
            // If it was dropped, what stood there before was gone by then; but that was not told to
            // those who compute.
            Write::Set { name, certain: false, .. } => add(*name, 0),
            Write::Set { name, truth, .. } => {
                add(*name, *truth);
                self.stored.entry(*name).or_default().add(end, start, *truth);
            }
            Write::Delete { name, truth } => add(*name, *truth),
            Write::Purge { cache, truths } => {
                Name::all_of(*cache).zip(truths).for_each(|(name, truth)| add(name, *truth));
            }
        }
    }

    fn judge(&mut self, read: &ReadBack) -> Result<(), String> {
        let ReadBack { process, name, version, start, end, sync } = *read;
        let Some(version) = version else { return self.judge_miss(read) };
        let place =
            || format!("process {process} read {name:?} version {version:#x} at {start} (sync {sync})");
        let Some(origin) = self.origins.get(&version).filter(|origin| origin.name == name) else {
            return Err(format!("{}: nobody wrote it there", place()));
        };
        if origin.start > end {
            return Err(format!("{}: it was written later, at {}", place(), origin.start));
        }
        self.summary.hits += 1;
        self.summary.hits_of_others += u64::from(origin.process != process);
        self.summary.fills_read += u64::from(origin.filled_from.is_some());
        let known = [
            ("before its sync point", self.all.get(&name), sync),
            ("by itself before", self.own.get(&(process, name)), start),
        ];
        for (when, invalidations, time) in known {
            let (latest, newest) = invalidations.map_or((0, 0), |list| list.before(time));
            if latest > origin.end {
                let ended = origin.end;
                return Err(format!(
                    "{}: its write ended at {ended}, and another that began at {latest} was acknowledged {when}",
                    place()
                ));
            }
            if origin.filled_from.is_some_and(|truth| truth < newest) {
                return Err(format!(
                    "{}: it was computed from truth {:?}, and an invalidation for {newest} was acknowledged {when}",
                    place(),
                    origin.filled_from
                ));
            }
        }
        Ok(())
    }

    fn judge_miss(&self, read: &ReadBack) -> Result<(), String> {
        let ReadBack { process, name, start, end, sync, .. } = *read;
        let (stored, _) = self.stored.get(&name).map_or((0, 0), |list| list.before(sync));
        let removed = self.removed.get(&name).map_or(&[][..], Vec::as_slice);
        let explained = |&(began, ended): &(u64, u64)| ended >= stored && began <= end;
        if stored == 0 || end >= self.lossless || removed.iter().any(explained) {
            return Ok(());
        }
        Err(format!(
            "process {process} missed {name:?} at {start} (sync {sync}): a set that began at {stored} was acknowledged \
             before its sync point, and nothing removed it"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What process 1 and process 2 did, one line each; both are over at 1000.
    fn verdict(first: &[&str], second: &[&str]) -> Result<u64, String> {
        let text = |lines: &[&str]| lines.join("\n") + "\n";
        let (first, second) = (text(first), text(second));
        check(&[(1, &first, 1000), (2, &second, 1000)], 500).map(|summary| summary.hits)
    }

    /// Version 7 of key 0:0 is set from 10 to 20.
    const SET: [&str; 2] = ["b 10 s:0:0:7:0:0:1", "e 20 1"];

    #[test]
    fn what_was_overwritten_before_the_sync_point_is_wrong() {
        for overwrites in ["s:0:0:8:0:0:1", "d:0:0:0", "p:0:0,0,0"] {
            let begin = format!("b 30 {overwrites}");
            let first = [SET[0], SET[1], &begin, "e 40 1"];
            assert!(verdict(&first, &["r 50 60 41 0:0:7"]).is_err(), "{overwrites}");
            assert_eq!(verdict(&first, &["r 50 60 40 0:0:7"]), Ok(1), "not acknowledged before");
        }
    }

    #[test]
    fn a_miss_is_wrong_where_a_set_was_acknowledged_and_nothing_can_have_removed_it() {
        assert!(verdict(&SET, &["r 50 60 21 0:0:-"]).is_err());
        assert_eq!(verdict(&SET, &["r 50 60 20 0:0:-"]), Ok(0), "not acknowledged before");
        assert_eq!(verdict(&SET, &["r 450 500 21 0:0:-"]), Ok(0), "it may have been lost");
        assert_eq!(
            verdict(&["b 10 s:0:0:7:0:0:0", "e 20 1"], &["r 50 60 21 0:0:-"]),
            Ok(0),
            "perhaps dropped"
        );
        for removes in ["d:0:0:0", "p:0:0,0,0"] {
            for (start, end, right) in
                [(1, 9, false), (1, 10, true), (30, 40, true), (60, 70, true), (61, 70, false)]
            {
                let remove = format!("b {start} {removes}");
                let end = format!("e {end} 0");
                let second = [remove.as_str(), &end, "r 50 60 45 0:0:-"];
                assert_eq!(verdict(&SET, &second).is_ok(), right, "{remove} {end}");
            }
        }
    }

    #[test]
    fn writes_at_the_same_time_may_have_happened_in_either_order() {
        assert_eq!(verdict(&SET, &["b 20 s:0:0:8:0:0:1", "e 40 1", "r 50 60 50 0:0:7"]), Ok(1));
        assert!(verdict(&SET, &["b 21 s:0:0:8:0:0:1", "e 40 1", "r 50 60 50 0:0:7"]).is_err());
    }

    #[test]
    fn other_keys_and_caches_are_not_touched() {
        let second = ["b 30 s:0:1:8:0:0:1 d:1:0:0 p:2:0,0", "e 40 1", "r 50 60 50 0:0:7"];
        assert_eq!(verdict(&SET, &second), Ok(1));
    }

    #[test]
    fn own_writes_are_seen_without_a_sync_point() {
        let writes = ["b 30 d:0:0:0", "e 40 1", "r 50 60 5 0:0:7"];
        assert!(verdict(&SET, &writes).is_err());
        assert_eq!(verdict(&[SET[0], SET[1], writes[0], writes[1]], &writes[2..]), Ok(1), "another's");
    }

    #[test]
    fn a_write_that_failed_overwrites_nothing_for_certain_and_ends_with_its_call() {
        assert_eq!(verdict(&SET, &["b 30 d:0:0:0", "e 40 0", "r 50 60 50 0:0:7"]), Ok(1));
        let failed = [SET[0], "e 20 0"];
        assert!(verdict(&failed, &["b 30 d:0:0:0", "e 40 1", "r 50 60 50 0:0:7"]).is_err(), "a zombie");
    }

    #[test]
    fn a_write_of_a_process_that_was_killed_ends_when_it_is_over() {
        assert_eq!(verdict(&SET[..1], &["b 30 d:0:0:0", "e 40 1", "r 50 60 50 0:0:7"]), Ok(1));
        assert!(verdict(&SET[..1], &["b 1030 d:0:0:0", "e 1040 1", "r 1050 1060 1050 0:0:7"]).is_err());
    }

    #[test]
    fn a_fill_from_an_old_truth_is_wrong_once_a_newer_one_was_announced() {
        let fill = ["b 30 s:0:0:7:4:1:0", "e 90 1"];
        for (truth, right) in [(4, true), (5, false)] {
            let delete = format!("b 35 d:0:0:{truth}");
            let second = [&delete, "e 40 1", "r 100 110 100 0:0:7"];
            assert_eq!(verdict(&fill, &second).is_ok(), right, "{truth}");
        }
    }

    #[test]
    fn a_fill_that_lost_leaves_nothing_of_before() {
        assert!(verdict(&SET, &["b 30 s:0:0:8:0:0:0", "e 40 1", "r 50 60 50 0:0:7"]).is_err());
        assert_eq!(verdict(&SET, &["b 30 s:0:0:8:0:0:0", "e 40 1", "r 50 60 50 0:0:-"]), Ok(0));
        let fill = ["b 30 s:0:0:7:4:1:0", "e 90 1"];
        let second = ["b 35 s:0:0:8:5:0:0", "e 40 1", "r 100 110 100 0:0:7"];
        assert_eq!(
            verdict(&fill, &second),
            Ok(1),
            "computed before, and stored after a fill that lost against a delete"
        );
    }

    #[test]
    fn a_value_that_nobody_wrote_there_or_not_yet_is_wrong() {
        for read in ["r 50 60 50 0:0:8", "r 50 60 50 0:1:7", "r 5 9 5 0:0:7"] {
            assert!(verdict(&SET, &[read]).is_err(), "{read}");
        }
    }
}
