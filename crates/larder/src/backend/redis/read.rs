//! Reading: the log first, then the entries, in one round trip.

use std::collections::HashMap;

use redis::cmd;

use super::backend::Redis;
use super::batch::Batch;
use super::failure::Failure;
use super::identity::{Certify, Check, is_primary, replica};
use super::pool::Slot;
use super::reply::{Replies, array, bytes, optional_bytes, text};
use super::resp::Most;
use super::survey::MAX_PAGE;
use super::{last_changes, log};
use crate::contract::{CacheId, Change, Delta, Fetched, Position, Read};

impl Redis {
    pub(super) fn read_entries(
        &self,
        since: Option<Position>,
        reads: &[Read<'_>],
    ) -> Result<Fetched, Failure> {
        self.on_connection(|slot| self.fetch_on(slot, since, reads))
    }

    /// Runs something that may be run twice. A kept connection may have died since its last use;
    /// only its next use can tell.
    pub(super) fn on_connection<T>(
        &self,
        run: impl Fn(&mut Slot) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        twice_if_kept(&mut *self.slot()?, run)
    }

    /// Makes sure that the connection lives and the server is certified now. One round trip, more
    /// if not.
    pub(super) fn hello_anew(&self, slot: &mut Slot) -> Result<(), Failure> {
        twice_if_kept(slot, |slot| self.hello(slot))
    }

    pub(super) fn fetch_on(
        &self,
        slot: &mut Slot,
        since: Option<Position>,
        reads: &[Read<'_>],
    ) -> Result<Fetched, Failure> {
        self.prepare(slot)?;
        if let Some(fetched) = self.fetch_once(slot, since, reads)? {
            return Ok(fetched);
        }
        // A gap, or another history: nothing of that answer counts (R2).
        match since {
            Some(since) => {
                if let Some(fetched) = self.catch_up(slot, since, reads)? {
                    return Ok(fetched);
                }
            }
            None => self.hello(slot)?,
        }
        self.fetch_once(slot, None, reads)?.ok_or_else(|| {
            Failure::in_vain("the server was emptied again and again", self.settings.read_timeout)
        })
    }

    /// `None`: the answer is void.
    fn fetch_once(
        &self,
        slot: &mut Slot,
        since: Option<Position>,
        reads: &[Read<'_>],
    ) -> Result<Option<Fetched>, Failure> {
        let Some((incarnation, tells_role)) =
            slot.identity_mut().map(|identity| (identity.incarnation, identity.abilities.tells_role))
        else {
            return Ok(None);
        };
        let since = since.filter(|since| since.incarnation == incarnation);
        let mut batch = Batch::default();
        batch.add_words(if tells_role { &[b"ROLE"] } else { &[b"INFO", b"replication"] });
        let check = Check::ask(self, slot, &mut batch, since.is_none());
        // The log before the data: entries are at least as new as the position (R3).
        log::ask(&mut batch, &self.keys.log, since);
        let groups = self.ask_entries(&mut batch, incarnation, reads);
        if !reads.is_empty() {
            batch.expect(Most::of_entries(reads.len()));
        }

        let only_sync = since.filter(|_| reads.is_empty() && check.asks_nothing());
        let answers = match only_sync {
            None => slot.exchange(&batch, &self.trips)?,
            Some(since) => match slot.exchange_sync(&batch, since, &self.trips)? {
                Some(answers) => answers,
                None => return Ok(Some(Fetched { delta: Delta::nothing_since(since), entries: Vec::new() })),
            },
        };
        let mut replies = Replies::new(answers);
        let primary = if tells_role {
            bytes(Replies::new(array(replies.next(), "ROLE")?).next(), "ROLE")? == b"master"
        } else {
            is_primary(&text(replies.next(), "INFO replication")?)
        };
        if !primary {
            return Err(replica(slot));
        }
        if !check.passed(self, &mut replies, slot)? {
            return Ok(None);
        }
        let delta = log::read(replies.next())?.and_then(|records| match since {
            Some(since) => Ok(log::tail(records, since, None, |nonce| slot.has_stored(nonce))?
                .map(|tail| Delta { reset: false, changes: tail.changes, position: tail.position })),
            None => Ok(log::newest(&records, incarnation).map(|position| Delta {
                reset: true,
                changes: Vec::new(),
                position,
            })),
        });
        slot.passed_stored();
        let Ok(delta) = delta else {
            self.certify(slot, Certify::Unreadable(incarnation))?;
            return Ok(None);
        };
        let Some(delta) = delta else { return Ok(None) };
        if let Some(since) = only_sync.filter(|since| delta == Delta::nothing_since(*since)) {
            slot.was_quiet(since);
        }
        Ok(Some(Fetched { delta, entries: read_entries(&mut replies, groups, reads.len())? }))
    }

    /// What a caller is told whose position is too far back for the log to list what followed: the
    /// caches that changed since, and the entries (R29). `None` if its position is none of this
    /// history, or nobody can tell; the connection knows the server then. One round trip, two if
    /// the server had to be certified.
    fn catch_up(
        &self,
        slot: &mut Slot,
        since: Position,
        reads: &[Read<'_>],
    ) -> Result<Option<Fetched>, Failure> {
        let mut batch = Batch::default();
        last_changes::ask(&mut batch, &self.keys, since);
        let groups = self.ask_entries(&mut batch, since.incarnation, reads);
        batch.expect(Most::of_entries(MAX_PAGE + reads.len()));
        let mut replies = self.hello_and(slot, &batch)?;
        if slot.identity_mut().map(|identity| identity.incarnation) != Some(since.incarnation) {
            return Ok(None);
        }
        let Some((changes, position)) = last_changes::read(&mut replies, since)? else { return Ok(None) };
        slot.passed_stored();
        let entries = read_entries(&mut replies, groups, reads.len())?;
        Ok(Some(Fetched { delta: Delta { reset: false, changes, position }, entries }))
    }

    /// What [`catch_up`](Self::catch_up) tells after a write, whose record is not the end of what
    /// is told.
    pub(super) fn changes_since(
        &self,
        slot: &mut Slot,
        since: Position,
    ) -> Result<Option<Vec<Change>>, Failure> {
        Ok(self.catch_up(slot, since, &[])?.map(|fetched| fetched.delta.changes))
    }

    /// One `HMGET` for each cache; answers which reads each of them is for.
    fn ask_entries(&self, batch: &mut Batch, incarnation: u128, reads: &[Read<'_>]) -> Vec<Vec<usize>> {
        let mut groups: Vec<(&CacheId, Vec<usize>)> = Vec::new();
        let mut known: HashMap<&CacheId, usize> = HashMap::new();
        for (place, read) in reads.iter().enumerate() {
            let group = *known.entry(read.cache).or_insert_with(|| {
                groups.push((read.cache, Vec::new()));
                groups.len() - 1
            });
            if let Some((_, places)) = groups.get_mut(group) {
                places.push(place);
            }
        }
        for (cache, places) in &groups {
            let mut command = cmd("HMGET");
            command.arg(self.keys.hash(incarnation, cache));
            for read in places.iter().filter_map(|&place| reads.get(place)) {
                command.arg(read.key);
            }
            batch.add(&command);
        }
        groups.into_iter().map(|(_, places)| places).collect()
    }
}

/// Takes in the answers to [`Redis::ask_entries`].
fn read_entries(
    replies: &mut Replies,
    groups: Vec<Vec<usize>>,
    reads: usize,
) -> Result<Vec<Option<Vec<u8>>>, Failure> {
    let mut entries = vec![None; reads];
    for places in groups {
        let values = array(replies.next(), "HMGET")?;
        if values.len() != places.len() {
            return Err(Failure::garbled("HMGET"));
        }
        for (place, value) in places.into_iter().zip(values) {
            if let Some(entry) = entries.get_mut(place) {
                *entry = optional_bytes(value, "HMGET")?;
            }
        }
    }
    Ok(entries)
}

fn twice_if_kept<T>(slot: &mut Slot, run: impl Fn(&mut Slot) -> Result<T, Failure>) -> Result<T, Failure> {
    let kept = slot.link.is_some();
    let first = run(slot);
    let result = match slot.drop_if_cut(first) {
        Err(Failure::Cut { silent: false, .. } | Failure::Elsewhere { .. }) if kept => run(slot),
        result => result,
    };
    slot.drop_if_cut(result)
}
