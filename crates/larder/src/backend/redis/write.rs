//! Writing: one script makes the changes and their record, or refuses before it touches anything.

use std::collections::HashMap;
use std::time::Duration;

use redis::Cmd;

use super::backend::Redis;
use super::batch::Batch;
use super::failure::Failure;
use super::identity::{Certify, Check};
use super::keys::incarnation_name;
use super::log;
use super::pool::Slot;
use super::posts::Post;
use super::reply::{Replies, array, bytes, integer};
use crate::clock::{Millis, boottime, millis};
use crate::contract::{Applied, CacheId, Delta, Guard, Op, Outcome, Position};
use crate::error::Error;
use crate::random::random;

/// How often a refused batch is sent again.
const ATTEMPTS: usize = 4;
/// Beyond the deadline, for clocks that count in milliseconds.
const MARGIN: Duration = Duration::from_millis(2);

/// The longest string that a server takes, in bytes, unless its `proto-max-bulk-len` was changed.
/// It ends the connection at a longer one.
const LARGEST_STRING: usize = 512 << 20;

fn bytes_of(op: &Op<'_>) -> usize {
    match op {
        Op::Set { entry, .. } => entry.len(),
        Op::Delete { .. } | Op::Purge { .. } => 0,
    }
}

/// What the script said.
enum Verdict {
    Done(Applied),
    /// The connection's idea of the server is out of date; nothing counts of what was done.
    Identity,
    /// The server's clock was past the deadline.
    Late,
    /// The server's clock is not there yet.
    Wait(Millis),
}

impl Redis {
    /// A batch of deletes and purges with an unknown outcome is sent once more, after the first can
    /// take effect no longer, if that leaves time for it. One with a set is not: if it had taken
    /// effect, and another write after it, the second would bring the older entry back.
    pub(super) fn write_ops(&self, since: Option<Position>, ops: &[Op<'_>]) -> Result<Applied, Failure> {
        if ops.is_empty() {
            let delta = self.read_entries(since, &[])?.delta;
            return Ok(Applied { delta, outcomes: Vec::new() });
        }
        if let Some(bytes) = ops.iter().map(bytes_of).find(|bytes| *bytes > LARGEST_STRING) {
            return Err(Failure::too_large(format!(
                "an entry has {} MB, and a server takes {} MB at the most",
                bytes >> 20,
                LARGEST_STRING >> 20
            )));
        }
        let mut slot = self.slot()?;
        let mut again = ops.iter().all(|op| !matches!(op, Op::Set { .. }));
        let (mut not_before, mut late) = (0, false);
        let mut script = self.apply_script.cached();
        slot.drop_if_closed();
        if slot.long_unused() {
            // A write cannot be sent twice, so that a connection closed meanwhile would cost it.
            self.hello_anew(&mut slot)?;
        }
        for _ in 0..ATTEMPTS {
            self.prepare(&mut slot)?;
            let sent = boottime();
            let budget = slot.budget(sent, self.settings.read_timeout);
            let deadline = self.clock.now().saturating_add(millis(budget));
            let limits = Limits { deadline, not_before };
            let result = self.apply_once(&mut slot, &script, &limits, since, ops);
            if !matches!(result, Ok(Verdict::Done(_))) {
                slot.forget_writes();
            }
            match slot.drop_if_cut(result) {
                Ok(Verdict::Done(applied)) => return Ok(applied),
                Ok(Verdict::Identity) => self.hello(&mut slot)?,
                // The server's clock may have been set; but what took too long to send would do so
                // again.
                Ok(Verdict::Late) if late => {
                    let reason = "the read timeout is too short for the request to arrive";
                    return Err(Failure::in_vain(reason, budget));
                }
                Ok(Verdict::Late) => late = true,
                Ok(Verdict::Wait(now)) => {
                    let wait = Duration::from_millis(not_before.saturating_sub(now));
                    std::thread::sleep(wait.min(budget) + MARGIN);
                }
                Err(Failure::NoScript) => script = self.apply_script.whole(),
                // The next connection leads to another server.
                Err(Failure::Elsewhere { .. }) => {}
                Err(Failure::Cut { error, silent }) => {
                    // It may be executed as long as the deadline allows (R7).
                    let over = sent + budget + MARGIN;
                    std::thread::sleep(over.saturating_sub(boottime()));
                    let no_time = slot.budget(boottime(), self.settings.read_timeout).is_zero();
                    if !again || no_time || (silent && !self.settings.repeats) {
                        return Err(Failure::Cut { error, silent });
                    }
                    again = false;
                    not_before = deadline.saturating_add(1);
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::in_vain("the server's clock or identity keeps changing", self.settings.read_timeout))
    }

    /// See [`Backend::post`](crate::backend::Backend::post). What needs more than one request - a
    /// new connection, a check of the server that is due, a first write - is left to `write_ops`.
    pub(super) fn send_fill(&self, since: Option<Position>, fill: &Op<'_>) -> bool {
        let Op::Set { cache, key, entry, expires, guard: Some(Guard::Fill { missed, value }), .. } = *fill
        else {
            return false;
        };
        let Ok(mut slot) = self.slot() else { return false };
        let Some((incarnation, abilities)) = slot
            .may_post(entry.len())
            .filter(|identity| !identity.due() && identity.incarnation == missed.incarnation)
            .map(|identity| (identity.incarnation, identity.abilities))
        else {
            return false;
        };
        let Ok(nonce) = random().map(u128::from_be_bytes) else { return false };
        let mut command =
            if slot.knows_fills() { self.fill_script.cached() } else { self.fill_script.whole() };
        command
            .arg(4 + usize::from(!abilities.answers_scripts))
            .arg(&self.keys.meta)
            .arg(&self.keys.log)
            .arg(self.keys.hash(incarnation, cache))
            .arg(self.keys.expiry_index(incarnation, cache));
        if !abilities.answers_scripts {
            command.arg(&self.keys.clock);
        }
        command
            .arg(incarnation_name(incarnation))
            .arg(&nonce.to_be_bytes())
            .arg(letters([abilities.expires_fields, slot.writes_first(cache)]))
            .arg(cache.name())
            .arg(key)
            .arg(entry);
        match expires {
            Some(expires) => command.arg(expires),
            None => command.arg(""),
        };
        command
            .arg(log::padded_name(missed.id))
            .arg(&missed.nonce.to_be_bytes())
            .arg(value)
            .arg(log::packed_name(cache.name(), key));
        let mut batch = Batch::default();
        batch.add(&command);
        let tail = slot.wants_tail();
        if tail {
            log::ask(&mut batch, &self.keys.log, since.filter(|since| since.incarnation == incarnation));
        }
        let at = Position { incarnation, id: 0, nonce };
        slot.post(&batch, Post { at, cache: cache.clone(), key: key.into(), bytes: entry.len(), tail })
    }

    fn apply_once(
        &self,
        slot: &mut Slot,
        script: &Cmd,
        limits: &Limits,
        since: Option<Position>,
        ops: &[Op<'_>],
    ) -> Result<Verdict, Failure> {
        let Some((incarnation, abilities)) =
            slot.identity_mut().map(|identity| (identity.incarnation, identity.abilities))
        else {
            return Ok(Verdict::Identity);
        };
        let since = since.filter(|since| since.incarnation == incarnation);
        let nonce = u128::from_be_bytes(random().map_err(Failure::Unsent)?);
        let mut batch = Batch::default();
        let check = Check::ask(self, slot, &mut batch, false);
        let (caches, places) = caches(ops);
        let firsts = caches.iter().map(|cache| slot.writes_first(cache));
        let sets = ops.iter().any(|op| matches!(op, Op::Set { .. }));
        let flags = letters([abilities.expires_fields, sets].into_iter().chain(firsts));
        let locks = ops.iter().any(|op| matches!(op, Op::Set { lock: Some(_), .. }));
        let head =
            Head { incarnation, nonce, flags, caches: &caches, locks, blind: !abilities.answers_scripts };
        let before = batch.commands;
        batch.add(&self.command(script, &head, limits, ops.iter().zip(places)));
        // After the script, so that this batch's own record is in it; what follows that is left to
        // the next request.
        log::ask(&mut batch, &self.keys.log, since);

        let answers = slot.exchange(&batch, &self.trips).map_err(|failure| match failure {
            // The server has executed the script, and is responsible no longer.
            Failure::Elsewhere { error, done } if done > before => Failure::Cut { error, silent: false },
            failure => failure,
        });
        let mut replies = Replies::new(answers?);
        let same = check.passed(self, &mut replies, slot)?;
        let mut parts = Replies::new(array(replies.next(), "apply")?);
        let verdict = bytes(parts.next(), "apply")?;
        let now = integer(&parts.next(), "apply")?;
        self.clock.learn(now);
        match verdict.as_slice() {
            b"OK" if !same => return Ok(Verdict::Identity),
            b"OK" => {}
            b"INC" => return Ok(Verdict::Identity),
            b"LATE" => return Ok(Verdict::Late),
            b"WAIT" => return Ok(Verdict::Wait(now)),
            b"LOCK" => return Err(Failure::Refused(Error::lock_lost())),
            b"TYPE" => return Err(Failure::another_type(&bytes(parts.next(), "apply")?)),
            b"LOG" => {
                self.certify(slot, Certify::Unreadable(incarnation))?;
                return Ok(Verdict::Identity);
            }
            _ => return Err(Failure::garbled("apply")),
        }
        let id = bytes(parts.next(), "apply")?;
        let own =
            if id.is_empty() { None } else { Some(Position { incarnation, id: log::parse_id(&id)?, nonce }) };
        let outcomes = outcomes(&bytes(parts.next(), "apply")?, ops)?;
        if let Some(link) = slot.link.as_mut() {
            link.wrote();
        }
        let tail = log::read(replies.next())?.and_then(|records| {
            let newest = own.or_else(|| log::newest(&records, incarnation));
            let own = own.map(|own| own.nonce);
            let tail = |since| log::tail(records, since, own, |nonce| slot.has_stored(nonce));
            Ok((since.map(tail).transpose()?.flatten(), newest))
        });
        slot.passed_stored();
        let tail = if let Ok(tail) = tail {
            tail
        } else {
            self.certify(slot, Certify::Unreadable(incarnation))?;
            (None, None)
        };
        let delta = match tail {
            (Some(tail), _) => Delta { reset: false, changes: tail.changes, position: tail.position },
            (None, Some(position)) if since.is_none() || own.is_some() => {
                // What follows the own record belongs to the next request, but may be told now
                // (R4). The write is done, whatever comes of this.
                let changes = since.and_then(|since| self.changes_since(slot, since).ok().flatten());
                Delta { reset: changes.is_none(), changes: changes.unwrap_or_default(), position }
            }
            // A gap, and nothing was logged that could be the new position.
            (None, _) => self.fetch_on(slot, since, &[])?.delta,
        };
        Ok(Verdict::Done(Applied { delta, outcomes }))
    }

    fn command<'a>(
        &self,
        script: &Cmd,
        head: &Head<'_>,
        limits: &Limits,
        ops: impl Iterator<Item = (&'a Op<'a>, usize)>,
    ) -> Cmd {
        let Head { incarnation, nonce, ref flags, caches, locks, blind } = *head;
        let mut command = script.clone();
        let keys = 3 + 2 * caches.len() + usize::from(locks) + usize::from(blind);
        command.arg(keys).arg(&self.keys.meta).arg(&self.keys.log).arg(&self.keys.registry);
        for cache in caches {
            command.arg(self.keys.hash(incarnation, cache)).arg(self.keys.expiry_index(incarnation, cache));
        }
        for (key, given) in [(&self.keys.locks, locks), (&self.keys.clock, blind)] {
            if given {
                command.arg(key);
            }
        }
        command
            .arg(incarnation_name(incarnation))
            .arg(limits.deadline)
            .arg(limits.not_before)
            .arg(&nonce.to_be_bytes())
            .arg(flags);
        for (op, place) in ops {
            match *op {
                Op::Set { key, entry, expires, guard, lock, .. } => {
                    let more = [(expires.is_some(), 'e'), (guard.is_some(), 'g'), (lock.is_some(), 'l')];
                    let more = more.iter().filter(|(given, _)| *given).map(|(_, letter)| letter);
                    command.arg(std::iter::once(&'s').chain(more).collect::<String>());
                    command.arg(place).arg(key).arg(entry);
                    if let Some(expires) = expires {
                        command.arg(expires);
                    }
                    if let Some(guard) = guard {
                        let at = guard.position();
                        // A guard of another history asks for the id that no record has.
                        let id = if at.incarnation == incarnation { at.id } else { 0 };
                        command.arg(log::padded_name(id)).arg(&at.nonce.to_be_bytes());
                        match guard {
                            Guard::Fill { value, .. } => command.arg(value),
                            Guard::Exchange(_) => command.arg(""),
                        };
                    }
                    if let Some(proof) = lock {
                        command.arg(proof.token.to_string()).arg(proof.fence);
                    }
                }
                Op::Delete { key, .. } => {
                    command.arg("d").arg(place).arg(key);
                }
                Op::Purge { .. } => {
                    command.arg("p").arg(place);
                }
            }
        }
        command
    }
}

/// What a batch has in common.
struct Head<'a> {
    incarnation: u128,
    nonce: u128,
    flags: String,
    caches: &'a [&'a CacheId],
    /// Whether an operation has a proof.
    locks: bool,
    /// Whether scripts may not ask for the time.
    blind: bool,
}

/// Answers to several questions as scripts take them.
fn letters(answers: impl IntoIterator<Item = bool>) -> String {
    answers.into_iter().map(|yes| if yes { '1' } else { '0' }).collect()
}

/// When, on the server's clock, a batch may be executed.
struct Limits {
    deadline: Millis,
    not_before: Millis,
}

/// The caches of a batch, and for each operation where its cache's hash stands among the script's
/// keys.
fn caches<'a>(ops: &[Op<'a>]) -> (Vec<&'a CacheId>, Vec<usize>) {
    let mut caches = Vec::new();
    let mut known: HashMap<&CacheId, usize> = HashMap::new();
    let places = ops
        .iter()
        .map(|op| {
            let cache = op.cache();
            *known.entry(cache).or_insert_with(|| {
                caches.push(cache);
                2 + 2 * caches.len()
            })
        })
        .collect();
    (caches, places)
}

fn outcomes(letters: &[u8], ops: &[Op<'_>]) -> Result<Vec<Outcome>, Failure> {
    if letters.len() != ops.len() {
        return Err(Failure::garbled("apply"));
    }
    letters
        .iter()
        .map(|letter| match letter {
            b's' => Ok(Outcome::Stored),
            b'x' => Ok(Outcome::Dropped),
            b'c' => Ok(Outcome::Cleared),
            b'0' => Ok(Outcome::Deleted { existed: false }),
            b'1' => Ok(Outcome::Deleted { existed: true }),
            b'p' => Ok(Outcome::Purged),
            _ => Err(Failure::garbled("apply")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::contract::MAX_CHANGES;

    #[test]
    fn scripts_have_the_number_of_changes_that_are_listed() {
        let script = include_str!("log.lua");
        assert!(script.contains(&format!("CACHE_TTL = {MAX_CHANGES}, ")));
    }
}
