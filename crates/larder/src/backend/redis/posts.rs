//! Fills whose answers are not waited for (R31): they are taken in when they come, before those of
//! whatever is asked next.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use redis::Value;

use super::log::{self, Record};
use super::reply::{Replies, array, bytes};
use crate::contract::{CacheId, Delta, Outcome, Position, Settled};

/// The most fills without an answer: after so many a server is waited for.
const MAX_UNANSWERED: usize = 64;
/// The most bytes of fills without an answer: after so many a server is waited for.
const MAX_BYTES: usize = 1 << 20;
/// Every so many fills the log is asked for, too: the further on a guard stands, the less the
/// server has to look at.
const PER_TAIL: usize = 16;

/// A fill that was sent.
pub(super) struct Post {
    pub(super) cache: CacheId,
    pub(super) key: Box<[u8]>,
    /// Bytes of its entry.
    pub(super) bytes: usize,
    /// Whether the log was asked for after it.
    pub(super) tail: bool,
    /// The history that it belongs to, and the nonce of its record, whose id is not known yet.
    pub(super) at: Position,
}

/// What came of a [`Post`].
#[derive(Debug)]
pub(super) struct Answered {
    cache: CacheId,
    key: Box<[u8]>,
    outcome: Option<Outcome>,
    /// The log up to its record, if that was asked for, and where its record stands.
    tail: Option<(Vec<Record>, Position)>,
}

/// What has been answered, or never will be, on all connections of a handle.
pub(super) type Settlements = Arc<Mutex<Vec<Answered>>>;

/// The fills that were sent on one connection. Those that have no answer when it ends are lost.
pub(super) struct Posts {
    unanswered: Vec<Post>,
    bytes: usize,
    /// How many were sent since the log was asked for.
    since_tail: usize,
    /// The nonces of stored ones that no answer has gone past.
    stored: HashSet<u128>,
    /// The caches that were written to on this connection, in the server's present history.
    written: HashSet<CacheId>,
    settled: Settlements,
}

impl Posts {
    pub(super) fn new(settled: Settlements) -> Self {
        Self {
            unanswered: Vec::new(),
            bytes: 0,
            since_tail: 0,
            stored: HashSet::new(),
            written: HashSet::new(),
            settled,
        }
    }

    /// How many answers are due to each.
    pub(super) fn due(&self) -> impl Iterator<Item = usize> {
        self.unanswered.iter().map(|post| 1 + usize::from(post.tail))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// Whether the log is to be asked for after the next one.
    pub(super) fn wants_tail(&self) -> bool {
        self.since_tail + 1 >= PER_TAIL
    }

    /// Whether so many bytes may be sent without waiting.
    pub(super) fn has_room_for(&self, bytes: usize) -> bool {
        self.unanswered.len() < MAX_UNANSWERED && self.bytes + bytes <= MAX_BYTES
    }

    pub(super) fn sent(&mut self, post: Post) {
        self.bytes += post.bytes;
        self.since_tail = if post.tail { 0 } else { self.since_tail + 1 };
        self.unanswered.push(post);
    }

    /// Whether this is the first write to a cache.
    pub(super) fn writes_first(&mut self, cache: &CacheId) -> bool {
        !self.written.contains(cache) && self.written.insert(cache.clone())
    }

    pub(super) fn forget_caches(&mut self) {
        self.written.clear();
    }

    /// Whether a record is of a fill that was stored.
    pub(super) fn has_stored(&self, nonce: u128) -> bool {
        !self.stored.is_empty() && self.stored.contains(&nonce)
    }

    /// An answer was taken in that goes past all that was stored.
    pub(super) fn passed(&mut self) {
        self.stored.clear();
    }

    /// Takes in the answers to the first ones. Whether all went well.
    pub(super) fn answer(&mut self, answers: Vec<Value>) -> bool {
        let whole = |left: &mut usize, due: usize| {
            *left = left.checked_sub(due)?;
            Some(())
        };
        let count = self.due().scan(answers.len(), whole).count();
        let mut replies = Replies::new(answers);
        let mut well = true;
        let mut answered = Vec::with_capacity(count);
        for post in self.unanswered.drain(..count) {
            self.bytes -= post.bytes;
            let answer = read(replies.next());
            let log = post.tail.then(|| log::read(replies.next()).ok()?.ok()).flatten();
            match answer {
                Some((Outcome::Stored, _)) => {
                    self.stored.insert(post.at.nonce);
                }
                Some(_) => {}
                None => {
                    well = false;
                    self.written.clear();
                }
            }
            let tail = log.zip(answer.and_then(|(_, id)| id)).map(|(mut records, id)| {
                log::forget_changes(&mut records, |nonce| self.stored.contains(&nonce));
                (records, Position { id, ..post.at })
            });
            let outcome = answer.map(|(outcome, _)| outcome);
            answered.push(Answered { cache: post.cache, key: post.key, outcome, tail });
        }
        self.tell(answered);
        well
    }

    fn tell(&self, answered: Vec<Answered>) {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).extend(answered);
    }
}

impl Drop for Posts {
    fn drop(&mut self) {
        if !self.unanswered.is_empty() {
            let lost = std::mem::take(&mut self.unanswered).into_iter();
            let lost = lost.map(|Post { cache, key, .. }| Answered { cache, key, outcome: None, tail: None });
            self.tell(lost.collect());
        }
    }
}

/// What became of a fill, and the id of its record; `None` if it was not done, or nobody knows.
fn read(answer: Value) -> Option<(Outcome, Option<u128>)> {
    let mut parts = Replies::new(array(answer, "fill").ok()?);
    if bytes(parts.next(), "fill").ok()? != b"OK" {
        return None;
    }
    parts.next();
    let id = bytes(parts.next(), "fill").ok()?;
    let outcome = match bytes(parts.next(), "fill").ok()?.as_slice() {
        b"s" => Outcome::Stored,
        b"x" => Outcome::Dropped,
        b"c" => Outcome::Cleared,
        _ => return None,
    };
    Some((outcome, log::parse_id(&id).ok()))
}

impl Answered {
    /// What the caller is told, who stands at `at`. Its own record is none of the changes.
    pub(super) fn told(self, at: Option<Position>) -> Settled {
        let delta = at.zip(self.tail).and_then(|(at, (records, own))| {
            let tail = log::tail_from(records, at, own.nonce)?;
            Some(Delta { reset: false, changes: tail.changes, position: own })
        });
        Settled { cache: self.cache, key: self.key, outcome: self.outcome, delta }
    }
}
