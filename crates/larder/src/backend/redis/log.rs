//! The log of changes: a stream, one record for each write.
//!
//! A record has the fields `n` (its nonce), `c` (how many changes it makes), `v` (their names, each
//! after its length in four bytes: `cache NUL key`, or `cache` for a purge) and `t` (a letter for
//! each: `s` stored, `d` deleted, `p` purged; records of older versions have none, and only scripts
//! read it). A record too large to list says more than [`MAX_CHANGES`] in `c` and nothing in `v`.

use redis::{Cmd, Value, cmd};

use super::batch::Batch;
use super::failure::Failure;
use super::reply::{Replies, array, bytes, integer};
use crate::contract::{Change, MAX_CHANGES, Position};

/// The records that show a gap or prove that there is none: the anchor, the longest list, the
/// caller's own record and one too many.
const RECORDS: usize = MAX_CHANGES + 3;

/// One record.
#[derive(Debug)]
pub(super) struct Record {
    id: u128,
    nonce: u128,
    changes: u64,
    names: Vec<u8>,
}

impl Record {
    pub(super) fn is_at(&self, position: Position) -> bool {
        self.id == position.id && self.nonce == position.nonce
    }

    pub(super) fn id(&self) -> u128 {
        self.id
    }

    /// Whether no record is missing between this one and the one with an id. Scripts number records
    /// without gaps; one of an older version begins at 0 with each millisecond.
    fn follows(&self, id: u128) -> bool {
        self.id == id.wrapping_add(1) || self.id & u128::from(u64::MAX) == 0
    }
}

/// A record that Larder did not write: what it hides, nobody knows.
#[derive(Debug)]
pub(super) struct Unreadable;

impl From<Failure> for Unreadable {
    fn from(_: Failure) -> Self {
        Self
    }
}

/// What followed a position.
pub(super) struct Tail {
    pub(super) changes: Vec<Change>,
    pub(super) position: Position,
}

/// Asks for what followed `since`, or for the newest record. From the end: most often `since` is
/// the newest one, and the server looks for the first of a range in a list of a hundred.
pub(super) fn ask(batch: &mut Batch, log: &str, since: Option<Position>) {
    let (end, count) = match since {
        // Inclusive: the record at the position proves that this is still the history that it
        // belongs to (R1).
        Some(since) => (id_name(since.id), RECORDS),
        None => ("-".to_owned(), 1),
    };
    let count = itoa::Buffer::new().format(count).to_owned();
    batch.add_words(&[b"XREVRANGE", log.as_bytes(), b"+", end.as_bytes(), b"COUNT", count.as_bytes()]);
}

/// Takes the answer apart: the records, oldest first.
pub(super) fn read(answer: Value) -> Result<Result<Vec<Record>, Unreadable>, Failure> {
    Ok(array(answer, "XREVRANGE")?.into_iter().rev().map(|value| Ok(record(value)?)).collect())
}

/// The changes from `since` up to but without the record with the nonce `own`, and without those of
/// `known` records; `None` is a gap.
pub(super) fn tail(
    records: Vec<Record>,
    since: Position,
    own: Option<u128>,
    known: impl Fn(u128) -> bool,
) -> Result<Option<Tail>, Unreadable> {
    let mut records = records.into_iter();
    let anchored = records.next().is_some_and(|first| first.is_at(since));
    if !anchored {
        return Ok(None);
    }
    let (mut changes, mut position, mut count) = (Vec::new(), since, 0_u64);
    for record in records {
        if !record.follows(position.id) {
            return Ok(None);
        }
        position = Position { id: record.id, nonce: record.nonce, ..position };
        if own == Some(record.nonce) {
            return Ok(Some(Tail { changes, position }));
        }
        if known(record.nonce) {
            continue;
        }
        count = count.saturating_add(record.changes);
        if count > MAX_CHANGES as u64 {
            return Ok(None);
        }
        unpack(&record.names, &mut changes).ok_or(Unreadable)?;
    }
    // The own record must be there; that it is not is a break in the history too.
    Ok(own.is_none().then_some(Tail { changes, position }))
}

/// Has those of some records change nothing.
pub(super) fn forget_changes(records: &mut [Record], of: impl Fn(u128) -> bool) {
    for record in records.iter_mut().filter(|record| of(record.nonce)) {
        record.changes = 0;
        record.names.clear();
    }
}

/// What [`tail`] gives, where `at` is anywhere among the records.
pub(super) fn tail_from(mut records: Vec<Record>, at: Position, own: u128) -> Option<Tail> {
    let anchor = records.iter().position(|record| record.is_at(at))?;
    records.drain(..anchor);
    tail(records, at, Some(own), |_| false).ok()?
}

/// The position of the newest record.
pub(super) fn newest(records: &[Record], incarnation: u128) -> Option<Position> {
    records.first().map(|record| Position { incarnation, id: record.id, nonce: record.nonce })
}

pub(super) fn id_name(id: u128) -> String {
    // Not formatted as 128 bits, which takes ten times as long.
    let half = |half: u128| u64::try_from(half).unwrap_or(u64::MAX);
    format!("{}-{}", half(id >> 64), half(id & u128::from(u64::MAX)))
}

/// The name of a change of a key, as it stands in a record.
pub(super) fn packed_name(cache: &str, key: &[u8]) -> Vec<u8> {
    let length = u32::try_from(cache.len() + 1 + key.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), cache.as_bytes(), b"\0", key].concat()
}

/// The name filled up with zeros, so that names compare as ids do.
pub(super) fn padded_name(id: u128) -> String {
    format!("{:020}-{:020}", id >> 64, id & u128::from(u64::MAX))
}

pub(super) fn parse_id(name: &[u8]) -> Result<u128, Failure> {
    let parse = || {
        let (time, sequence) = std::str::from_utf8(name).ok()?.split_once('-')?;
        Some(u128::from(time.parse::<u64>().ok()?) << 64 | u128::from(sequence.parse::<u64>().ok()?))
    };
    parse().ok_or_else(|| Failure::garbled("XREVRANGE"))
}

fn record(value: Value) -> Result<Record, Failure> {
    let mut parts = Replies::new(array(value, "XREVRANGE")?);
    let id = parse_id(&bytes(parts.next(), "XREVRANGE")?)?;
    let mut fields = Replies::new(array(parts.next(), "XREVRANGE")?);
    fields.next();
    let nonce = bytes(fields.next(), "XREVRANGE")?;
    let nonce = u128::from_be_bytes(nonce.try_into().map_err(|_| Failure::garbled("XREVRANGE"))?);
    fields.next();
    let changes = integer(&fields.next(), "XREVRANGE")?;
    fields.next();
    Ok(Record { id, nonce, changes, names: bytes(fields.next(), "XREVRANGE")? })
}

fn unpack(mut names: &[u8], changes: &mut Vec<Change>) -> Option<()> {
    while !names.is_empty() {
        let (name, rest) = split_name(names)?;
        names = rest;
        let mut parts = name.splitn(2, |&byte| byte == 0);
        let cache = std::str::from_utf8(parts.next().unwrap_or_default()).ok()?.into();
        changes.push(match parts.next() {
            Some(key) => Change::Key { cache, key: key.into() },
            None => Change::Cache { cache },
        });
    }
    Some(())
}

fn split_name(names: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = names.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// Asks for the length of the log.
pub(super) fn length(log: &str) -> Cmd {
    let mut command = cmd("XLEN");
    command.arg(log);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(id: u128, nonce: u128) -> Position {
        Position { incarnation: 7, id, nonce }
    }

    fn records(list: &[(u128, u128, u64)]) -> Vec<Record> {
        let names = |changes: u64| {
            (0..changes.min(1000))
                .flat_map(|n| [&[0, 0, 0, 4][..], b"c\0k", &[b'0' + (n % 10) as u8]].concat())
        };
        list.iter()
            .map(|&(id, nonce, changes)| Record { id, nonce, changes, names: names(changes).collect() })
            .collect()
    }

    #[test]
    fn the_anchor_must_have_the_id_and_the_nonce() {
        let list = [(5, 50, 0), (6, 60, 1)];
        assert_eq!(tail(records(&list), at(5, 50), None, |_| false).unwrap().unwrap().position, at(6, 60));
        assert!(tail(records(&list), at(5, 51), None, |_| false).unwrap().is_none());
        assert!(tail(records(&list), at(4, 50), None, |_| false).unwrap().is_none());
        assert!(tail(Vec::new(), at(5, 50), None, |_| false).unwrap().is_none());
    }

    #[test]
    fn a_thousand_changes_are_listed_and_one_more_is_a_gap() {
        let count = |changes| {
            tail(records(&[(5, 50, 0), (6, 60, changes)]), at(5, 50), None, |_| false)
                .unwrap()
                .map(|tail| tail.changes.len())
        };
        assert_eq!((count(1000), count(1001)), (Some(1000), None));
    }

    #[test]
    fn the_own_record_ends_the_tail() {
        let list = [(5, 50, 0), (6, 60, 1), (7, 70, 2), (8, 80, 1)];
        let found = tail(records(&list), at(5, 50), Some(70), |_| false).unwrap().unwrap();
        assert_eq!((found.changes.len(), found.position), (1, at(7, 70)));
        assert!(tail(records(&list), at(5, 50), Some(90), |_| false).unwrap().is_none());
    }

    /// The log was put back: records that the reader never saw are gone, and it went on.
    #[test]
    fn a_record_that_is_missing_is_a_gap() {
        let (newest, next, older_version) = ((5 << 64) + 7, (5 << 64) + 8, 6 << 64);
        let found = |id| tail(records(&[(newest, 50, 0), (id, 60, 1)]), at(newest, 50), None, |_| false);
        assert!(found(next).unwrap().is_some() && found(older_version).unwrap().is_some());
        assert!(found(next + 1).unwrap().is_none() && found(older_version + 1).unwrap().is_none());
    }

    #[test]
    fn known_records_change_nothing_and_count_for_nothing() {
        let list = [(5, 50, 0), (6, 60, 1000), (7, 70, 2), (8, 80, 1)];
        let found = tail(records(&list), at(5, 50), None, |nonce| nonce == 60).unwrap().unwrap();
        assert_eq!((found.changes.len(), found.position), (3, at(8, 80)));
        let found = tail_from(records(&list), at(6, 60), 80).unwrap();
        assert_eq!((found.changes.len(), found.position), (2, at(8, 80)));
        assert!(tail_from(records(&list), at(6, 61), 80).is_none());
    }

    #[test]
    fn ids_survive_their_names() {
        for id in [0, 1, u128::from(u64::MAX), 1 << 64, u128::MAX] {
            assert_eq!(parse_id(id_name(id).as_bytes()).unwrap(), id);
        }
        assert!(parse_id(b"5").is_err());
    }

    #[test]
    fn broken_names_are_refused() {
        for names in [&[0, 0, 0][..], &[0, 0, 0, 9, b'c'], &[0, 0, 0, 1, 0xff]] {
            assert!(unpack(names, &mut Vec::new()).is_none());
        }
    }
}
