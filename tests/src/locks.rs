//! What a process of the lock checker writes down about its critical sections, and what must be
//! true of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// One critical section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Which lock.
    pub key: u64,
    /// Its fencing number.
    pub fence: u64,
    /// When it was granted, in nanoseconds of the boot clock.
    pub from: u64,
    /// When its holder last believed that it held the lock.
    pub until: u64,
    /// The number that was found there; 0 = none, or not looked.
    pub found: u64,
    /// The number that was stored and acknowledged, the fence or the next count; 0 = none, or
    /// unknown.
    pub stored: u64,
}

/// The bytes of a section in a log.
pub const SIZE: usize = 48;

impl Section {
    /// Appends it to a log: whole or not at all, if the process is killed.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn append(&self, log: &mut File) -> io::Result<()> {
        let numbers = [self.key, self.fence, self.from, self.until, self.found, self.stored];
        log.write_all(numbers.map(u64::to_le_bytes).as_flattened())
    }

    /// All sections in a log.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read_all(log: &Path) -> io::Result<Vec<Self>> {
        let bytes = std::fs::read(log)?;
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
        Ok(bytes
            .chunks_exact(SIZE)
            .map(|row| {
                let mut numbers = row.chunks_exact(8).map(number);
                let mut next = || numbers.next().unwrap_or(0);
                let [key, fence, from, until] = [next(), next(), next(), next()];
                Self { key, fence, from, until, found: next(), stored: next() }
            })
            .collect())
    }
}

/// Opens a log to append to.
///
/// # Errors
/// If it cannot be opened.
pub fn log(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Now, in nanoseconds of the boot clock, the same in all processes.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let time = Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0));
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What is wrong with the sections of one lock that was lost now and then, with all that the cache
/// held, and under which each holder stores its fence: nobody may find a number when a larger one
/// was stored before. That would be a write of a holder whose lock was granted to another since.
/// Fences grow, too.
pub fn late_writes(mut sections: Vec<Section>) -> Vec<String> {
    let mut wrong = Vec::new();
    sections.sort_by_key(|section| section.fence);
    let mut latest: Option<Section> = None;
    let mut before: Option<Section> = None;
    for section in sections {
        if let Some(before) = before.filter(|before| before.fence == section.fence) {
            wrong.push(format!("one number, two holders: {before:?} {section:?}"));
        }
        if let Some(latest) = latest.filter(|latest| section.found > 0 && section.found < latest.fence) {
            wrong.push(format!("a write after {latest:?}, found by {section:?}"));
        }
        before = Some(section);
        latest = if section.stored > 0 { before } else { latest };
    }
    wrong
}

/// What is wrong with the sections of one lock, in words; empty if nothing is.
///
/// 1. No fencing number was granted twice.
/// 2. The counts, each read and increased under the lock, are different, and grow with the fencing
///    numbers: no write under a lower number was accepted after one under a higher.
/// 3. No two holders believed to hold the lock at the same time.
pub fn violations(mut sections: Vec<Section>) -> Vec<String> {
    let mut wrong = Vec::new();
    sections.sort_by_key(|section| section.fence);
    for pair in sections.windows(2) {
        if let [a, b] = pair
            && a.fence == b.fence
        {
            wrong.push(format!("one number, two holders: {a:?} {b:?}"));
        }
    }
    let mut stored: Vec<_> = sections.iter().filter(|section| section.stored > 0).collect();
    stored.sort_by_key(|section| section.stored);
    for pair in stored.windows(2) {
        if let [a, b] = pair {
            if a.stored == b.stored {
                wrong.push(format!("a lost update: {a:?} {b:?}"));
            } else if a.fence > b.fence {
                wrong.push(format!("a lower number after a higher one: {a:?} {b:?}"));
            }
        }
    }
    // One that was stopped before it looked at the clock may never have believed at all.
    sections.retain(|section| section.from <= section.until);
    sections.sort_by_key(|section| section.from);
    let mut latest: Option<Section> = None;
    for section in sections {
        if let Some(before) = latest
            && before.until > section.from
        {
            wrong.push(format!("two holders at once: {before:?} {section:?}"));
        }
        if latest.is_none_or(|before| before.until < section.until) {
            latest = Some(section);
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_violation_is_seen() {
        let section = |fence, from, until, stored| Section { key: 0, fence, from, until, found: 0, stored };
        let found = |a, b| violations(vec![a, b]).join(" ");

        assert_eq!(found(section(1, 1, 2, 1), section(2, 3, 4, 2)), "");
        assert!(found(section(1, 1, 2, 1), section(1, 3, 4, 2)).contains("two holders:"));
        assert!(found(section(1, 1, 2, 7), section(2, 3, 4, 7)).contains("lost update"));
        assert!(found(section(2, 1, 2, 1), section(1, 3, 4, 2)).contains("a lower number"));
        assert!(found(section(1, 1, 3, 1), section(2, 2, 4, 2)).contains("at once"));
        assert_eq!(found(section(1, 2, 0, 1), section(2, 1, 4, 2)), "");
    }

    #[test]
    fn a_late_write_is_seen() {
        let section = |fence, found, stored| Section { key: 0, fence, from: 0, until: 0, found, stored };
        let [one, two] = [section(1, 0, 1), section(2, 1, 2)];
        assert!(late_writes(vec![one, two, section(3, 2, 3), section(4, 0, 4)]).is_empty());
        assert!(late_writes(vec![one, two, section(3, 1, 3)]).concat().contains("a write after"));
        assert!(late_writes(vec![one, section(2, 1, 0), section(3, 1, 3)]).is_empty());
        assert!(late_writes(vec![one, one]).concat().contains("two holders"));
    }
}
