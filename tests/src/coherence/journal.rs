//! What a worker did, line by line, in a file that survives the worker.
//!
//! ```text
//! b <start> <write>…       a write begins: s:<cache>:<key>:<version>:<truth>:<fill>:<certain>
//!                          d:<cache>:<key>:<truth>   p:<cache>:<truth>,<truth>,…
//! e <end> <1 = acknowledged, 0 = not, 2 = sent>     the write that began last ended
//! a <time>                 all that was sent is acknowledged
//! r <start> <end> <sync> <read>…          reads: <cache>:<key>:<version, or - for a miss>
//! ```

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use super::Name;

/// One part of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// A value was stored.
    Set {
        /// The key.
        name: Name,
        /// The value: no other set has the same.
        version: u64,
        /// The truth when it was computed, or when the set began.
        truth: u64,
        /// Whether it follows a miss and was computed after that.
        fill: bool,
        /// Whether it overwrites for certain: a set that follows a miss may lose against a change
        /// and is acknowledged all the same.
        certain: bool,
    },
    /// A key was deleted, when the truth was so or newer.
    Delete {
        /// The key.
        name: Name,
        /// The truth.
        truth: u64,
    },
    /// A cache was purged, when the truths of its keys were so or newer.
    Purge {
        /// The cache.
        cache: usize,
        /// The truths in the order of the keys.
        truths: Vec<u64>,
    },
}

/// A line of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Begin { start: u64, writes: Vec<Write> },
    End { end: u64, outcome: Outcome },
    Settled { at: u64 },
    Reads { start: u64, end: u64, sync: u64, reads: Vec<(Name, Option<u64>)> },
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not acknowledged.
    Failed,
    /// It was acknowledged.
    Acknowledged,
    /// It was sent, and will be acknowledged later.
    Sent,
}

/// A journal that is being written.
pub struct Journal {
    file: File,
    pending: String,
}

/// Lines are kept so long until they are written, unless a write begins.
const PENDING: usize = 16 << 10;

impl Journal {
    /// Begins a journal.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create_new(path)?, pending: String::new() })
    }

    /// A write is about to begin. It stands in the file when this returns.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn begin(&mut self, start: u64, writes: &[Write]) -> io::Result<()> {
        let mut line = format!("b {start}");
        for write in writes {
            line += " ";
            line += &text(write);
        }
        self.line(&line);
        self.flush()
    }

    /// The write ended.
    pub fn end(&mut self, end: u64, outcome: Outcome) {
        let number = match outcome {
            Outcome::Failed => 0,
            Outcome::Acknowledged => 1,
            Outcome::Sent => 2,
        };
        self.line(&format!("e {end} {number}"));
    }

    /// All that was sent so far is acknowledged.
    pub fn settled(&mut self, at: u64) {
        self.line(&format!("a {at}"));
    }

    /// Values were read.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn reads(
        &mut self,
        (start, end): (u64, u64),
        sync: u64,
        reads: &[(Name, Option<u64>)],
    ) -> io::Result<()> {
        let mut line = format!("r {start} {end} {sync}");
        for (Name { cache, key }, version) in reads {
            let version = version.map_or_else(|| "-".to_owned(), |version| version.to_string());
            // Writing to a string cannot fail.
            let _ = write!(line, " {cache}:{key}:{version}");
        }
        self.line(&line);
        if self.pending.len() < PENDING { Ok(()) } else { self.flush() }
    }

    /// Writes what is pending.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(self.pending.as_bytes())?;
        self.pending.clear();
        Ok(())
    }

    fn line(&mut self, line: &str) {
        self.pending += line;
        self.pending += "\n";
    }
}

fn text(write: &Write) -> String {
    match write {
        Write::Set { name: Name { cache, key }, version, truth, fill, certain } => {
            format!("s:{cache}:{key}:{version}:{truth}:{}:{}", u8::from(*fill), u8::from(*certain))
        }
        Write::Delete { name: Name { cache, key }, truth } => format!("d:{cache}:{key}:{truth}"),
        Write::Purge { cache, truths } => {
            let truths: Vec<String> = truths.iter().map(u64::to_string).collect();
            format!("p:{cache}:{}", truths.join(","))
        }
    }
}

/// The lines of a journal; a last line that was cut short does not count. `None` if it is no
/// journal.
pub(super) fn read(journal: &str) -> Option<Vec<Line>> {
    let whole = journal.rfind('\n').map_or("", |end| journal.get(..end).unwrap_or_default());
    whole.lines().map(parse).collect()
}

fn parse(line: &str) -> Option<Line> {
    let mut words = line.split(' ');
    let kind = words.next()?;
    let mut number = || words.next()?.parse::<u64>().ok();
    Some(match kind {
        "b" => Line::Begin { start: number()?, writes: words.map(parse_write).collect::<Option<_>>()? },
        "e" => Line::End {
            end: number()?,
            outcome: match number()? {
                0 => Outcome::Failed,
                1 => Outcome::Acknowledged,
                _ => Outcome::Sent,
            },
        },
        "a" => Line::Settled { at: number()? },
        "r" => Line::Reads {
            start: number()?,
            end: number()?,
            sync: number()?,
            reads: words.map(parse_read).collect::<Option<_>>()?,
        },
        _ => return None,
    })
}

fn parse_read(word: &str) -> Option<(Name, Option<u64>)> {
    let (name, version) = word.rsplit_once(':')?;
    let (cache, key) = name.split_once(':')?;
    let name = Name { cache: cache.parse().ok()?, key: key.parse().ok()? };
    let version = if version == "-" { None } else { Some(version.parse().ok()?) };
    Some((name, version))
}

fn parse_write(word: &str) -> Option<Write> {
    let mut parts = word.split(':');
    let kind = parts.next()?;
    let cache = parts.next()?.parse().ok()?;
    if kind == "p" {
        let truths = parts.next()?.split(',').map(|truth| truth.parse().ok()).collect::<Option<_>>()?;
        return Some(Write::Purge { cache, truths });
    }
    let name = Name { cache, key: parts.next()?.parse().ok()? };
    let mut number = || parts.next()?.parse::<u64>().ok();
    Some(match kind {
        "s" => Write::Set {
            name,
            version: number()?,
            truth: number()?,
            fill: number()? == 1,
            certain: number()? == 1,
        },
        "d" => Write::Delete { name, truth: number()? },
        _ => return None,
    })
}
