//! The last change of each cache, which the meta key notes in the step that writes the log (R29).
//!
//! `log.lua` says which fields there are. They are believed for a position of the same incarnation
//! on a certified server if the notes are whole since then, and go as far as the log does.

use std::collections::HashMap;

use redis::{Value, cmd};

use super::batch::Batch;
use super::failure::Failure;
use super::keys::{Keys, parse_incarnation};
use super::log::{self, Record};
use super::reply::{Replies, array, bytes};
use crate::contract::{Change, MAX_CHANGES, Position};

/// The fields of the notes' end, and their lengths: incarnation, nonce, and the id since which they
/// are whole.
const END: &[u8] = b"h";
const INCARNATION: usize = 32;
const NONCE: usize = 16;
const FLOOR: usize = 41;

/// Asks for what tells which caches changed since a position that the log does not list. The log
/// before the notes: these go as far as what was read of the log, or further.
pub(super) fn ask(batch: &mut Batch, keys: &Keys, since: Position) {
    let at = log::id_name(since.id);
    batch
        .add(cmd("XRANGE").arg(&keys.log).arg("-").arg("+").arg("COUNT").arg(1))
        .add(cmd("XRANGE").arg(&keys.log).arg(&at).arg(&at))
        .add(cmd("XREVRANGE").arg(&keys.log).arg("+").arg("-").arg("COUNT").arg(1))
        .add(cmd("HGETALL").arg(&keys.meta));
}

/// The caches that changed since, and up to where; `None` if that cannot be told for sure, or they
/// are too many.
pub(super) fn read(
    replies: &mut Replies,
    since: Position,
) -> Result<Option<(Vec<Change>, Position)>, Failure> {
    let mut record =
        || log::read(replies.next()).map(|records| records.map(|records| records.into_iter().next()));
    let (oldest, anchor, newest) = (record()?, record()?, record()?);
    let notes = fields(replies.next())?;
    let (Ok(Some(oldest)), Ok(anchor), Ok(Some(newest))) = (oldest, anchor, newest) else { return Ok(None) };
    let Some((end, floor)) = notes.get(END).and_then(|end| parse_end(end)) else { return Ok(None) };
    let is_known = match &anchor {
        Some(anchor) => anchor.is_at(since),
        // Only what was trimmed may be missing.
        None => since.id < oldest.id(),
    };
    let is_whole = end.incarnation == since.incarnation
        && (floor..=end.id).contains(&since.id)
        && is_noted(&newest, end);
    if !is_known || !is_whole {
        return Ok(None);
    }
    let mut changes = Vec::new();
    for (field, last) in &notes {
        let Some(cache) = field.strip_prefix(b"l:") else { continue };
        // What is no id is later than all.
        if log::parse_id(last).is_ok_and(|last| last <= since.id) {
            continue;
        }
        let Ok(cache) = std::str::from_utf8(cache) else { return Ok(None) };
        changes.push(Change::Unlisted { cache: cache.into() });
    }
    Ok((changes.len() <= MAX_CHANGES).then_some((changes, end)))
}

/// Whether the notes go as far as a record of the log.
fn is_noted(record: &Record, end: Position) -> bool {
    record.is_at(end) || record.id() < end.id
}

/// Where the notes end, and since which record they are whole.
fn parse_end(end: &[u8]) -> Option<(Position, u128)> {
    let (incarnation, rest) = end.split_at_checked(INCARNATION)?;
    let (nonce, rest) = rest.split_at_checked(NONCE)?;
    let (floor, id) = rest.split_at_checked(FLOOR)?;
    let nonce = u128::from_be_bytes(nonce.try_into().ok()?);
    let position =
        Position { incarnation: parse_incarnation(incarnation)?, id: log::parse_id(id).ok()?, nonce };
    Some((position, log::parse_id(floor).ok()?))
}

fn fields(answer: Value) -> Result<HashMap<Vec<u8>, Vec<u8>>, Failure> {
    let mut replies = array(answer, "HGETALL")?.into_iter();
    let mut fields = HashMap::new();
    while let (Some(field), Some(value)) = (replies.next(), replies.next()) {
        fields.insert(bytes(field, "HGETALL")?, bytes(value, "HGETALL")?);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INC: &str = "0000000000000000000000000000002a";

    fn bulk(text: impl AsRef<[u8]>) -> Value {
        Value::BulkString(text.as_ref().to_vec())
    }

    fn records(list: &[(u64, u8)]) -> Value {
        let record = |(id, nonce): &(u64, u8)| {
            let fields = [bulk("n"), bulk([*nonce; 16]), bulk("c"), bulk("1"), bulk("v"), bulk("")];
            Value::Array(vec![bulk(format!("{id}-0")), Value::Array(fields.into())])
        };
        Value::Array(list.iter().map(record).collect())
    }

    fn end(inc: &str, nonce: u8, floor: u64, id: u64) -> Vec<u8> {
        [inc.as_bytes(), &[nonce; 16], format!("{floor:020}-{:020}{id}-0", 0).as_bytes()].concat()
    }

    fn notes(end: &[u8], caches: &[(&str, &str)]) -> Value {
        let mut fields = vec![bulk("inc"), bulk(INC), bulk("h"), bulk(end)];
        for (cache, last) in caches {
            fields.extend([bulk(format!("l:{cache}")), bulk(last)]);
        }
        Value::Array(fields)
    }

    fn at(id: u64, nonce: u8) -> Position {
        Position { incarnation: 42, id: u128::from(id) << 64, nonce: u128::from_be_bytes([nonce; 16]) }
    }

    /// The log goes from 10 to 90 and has a record at 50, the notes are whole since 5.
    fn told(since: Position, anchor: &[(u64, u8)], newest: (u64, u8), end: &[u8]) -> Option<Vec<String>> {
        let notes = notes(end, &[("before", "7-0"), ("at", "50-0"), ("after", "51-0"), ("strange", "x")]);
        let answers = vec![records(&[(10, 1)]), records(anchor), records(&[newest]), notes];
        let (changes, position) = read(&mut Replies::new(answers), since).unwrap()?;
        assert_eq!(position, at(90, 9));
        let mut names: Vec<String> = changes.iter().map(|change| change.cache().to_owned()).collect();
        names.sort();
        Some(names)
    }

    #[test]
    fn the_caches_that_changed_after_a_position_are_named() {
        let whole = end(INC, 9, 5, 90);
        let of = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(told(at(50, 5), &[(50, 5)], (90, 9), &whole), of(&["after", "strange"]));
        assert_eq!(told(at(6, 3), &[], (90, 9), &whole), of(&["after", "at", "before", "strange"]));
        assert_eq!(told(at(8, 3), &[], (90, 9), &whole), of(&["after", "at", "strange"]));
        // Something was written between the two.
        assert_eq!(told(at(8, 3), &[], (89, 8), &whole), of(&["after", "at", "strange"]));
    }

    #[test]
    fn what_cannot_be_told_for_sure_is_not_told() {
        let whole = end(INC, 9, 5, 90);
        for (what, since, anchor, newest, end) in [
            ("another nonce", at(50, 6), &[(50, 5)][..], (90, 9), &whole),
            ("a record that should be in the log", at(50, 5), &[], (90, 9), &whole),
            ("before the notes begin", at(4, 4), &[], (90, 9), &whole),
            ("after they end", at(91, 9), &[(91, 9)], (91, 9), &whole),
            ("the log goes on", at(8, 3), &[], (91, 9), &whole),
            ("the log ends otherwise", at(8, 3), &[], (90, 8), &whole),
            ("notes of another incarnation", at(8, 3), &[], (90, 9), &end(&INC.replace('2', "3"), 9, 5, 90)),
            ("no notes", at(8, 3), &[], (90, 9), &b"garbage".to_vec()),
        ] {
            assert_eq!(told(since, anchor, newest, end), None, "{what}");
        }
    }
}
