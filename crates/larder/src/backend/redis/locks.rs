//! Locks: a hash of rows and a queue for each lock that somebody waits for, all changed by one
//! script (R22 to R25).
//!
//! Who waits is woken by a push to a list of its own, and blocks on that list on a connection that
//! serves nothing else. The push says what was granted, so that who gets it can begin at once. The
//! row says whose the lock is, so that a push to a dead connection loses nothing.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use redis::{Value, cmd};

use super::backend::Redis;
use super::batch::Batch;
use super::failure::Failure;
use super::identity::Check;
use super::pool::Slot;
use super::reply::{Replies, array, bytes, integer, time};
use super::resp::Most;
use super::survey::MAX_PAGE;
use crate::clock::{boottime, millis, nanos};
use crate::contract::{Attempt, Claim, Handed, LockBackend, LockInfo, Renewal, Token};
use crate::error::Result;

/// The longest that a connection waits to be woken: the server forgets who waits on a connection
/// that it does not see die.
const LONGEST_DOZE: Duration = Duration::from_secs(1);

/// How often a request is sent again because the server had to be certified, or its clock was
/// ahead.
const ATTEMPTS: usize = 4;
/// The sleep of somebody who cannot be woken.
const BLIND_DOZE: Duration = Duration::from_millis(50);
/// Rows that the server looks at in one step of a listing.
const STEP: u32 = 100;

impl LockBackend for Redis {
    fn acquire(&self, claim: &Claim<'_>) -> Result<Attempt> {
        let lease = number(millis(claim.lease));
        let queue: &[u8] = if claim.queue { b"1" } else { b"0" };
        let token = claim.token.to_string();
        let words = [b"acquire", claim.name, token.as_bytes(), claim.owner, &lease, queue];
        let answers = self.ask_script(claim.name, Some(&self.keys.wake_list(claim.token)), &words);
        let mut answers = answers.map_err(|failure| self.blamed(failure, []))?;
        let fence = answers.next();
        let left = Duration::from_millis(integer(&answers.next(), "acquire")?);
        Ok(match &fence {
            Value::BulkString(word) if word.is_empty() => Attempt::Wait { at_most: left },
            Value::BulkString(word) if word == b"grace" => Attempt::Grace { left },
            fence => Attempt::Mine { fence: integer(fence, "acquire")? },
        })
    }

    fn park(&self, token: Token, at_most: Duration) -> Option<Handed> {
        let woken = self.wake_pool.slot().and_then(|mut slot| self.park_on(&mut slot, token, at_most));
        woken.unwrap_or_else(|_| {
            thread::sleep(BLIND_DOZE.min(at_most));
            None
        })
    }

    fn release(&self, name: &[u8], token: Token) -> Result<bool> {
        let lease = number(millis(self.settings.lock_lease));
        let mut answers = self.ask(name, &[b"release", name, token.to_string().as_bytes(), &lease])?;
        Ok(integer(&answers.next(), "release")? == 1)
    }

    fn renew(&self, locks: &[Renewal<'_>], lease: Duration) -> Result<Vec<bool>> {
        let lease = number(millis(lease));
        // The request may be on its way, or sent again, until the belief is over: that counts when
        // it is executed.
        let (here, there) = (boottime(), self.clock.now());
        let until = |lock: &Renewal<'_>| match lock.believed_until.saturating_sub(here) {
            Duration::ZERO => 0,
            left => there.saturating_add(millis(left)),
        };
        let shown = |lock: &Renewal<'_>| {
            (lock.proof.token.to_string(), number(lock.proof.fence), number(until(lock)))
        };
        let proofs: Vec<_> = locks.iter().map(shown).collect();
        let mut words: Vec<&[u8]> = vec![b"renew", &lease];
        for (lock, (token, fence, until)) in locks.iter().zip(&proofs) {
            words.extend([lock.name, token.as_bytes(), lock.owner, fence, until]);
        }
        let mut answers = self.ask(b"", &words)?;
        let letters = bytes(answers.next(), "renew")?;
        if letters.len() == locks.len() {
            Ok(letters.into_iter().map(|letter| letter == b'1').collect())
        } else {
            Err(Failure::garbled("renew").into())
        }
    }

    fn holder(&self, name: &[u8]) -> Result<Option<Token>> {
        let token = bytes(self.ask(name, &[b"holder", name])?.next(), "holder")?;
        if token.is_empty() {
            return Ok(None);
        }
        let token = std::str::from_utf8(&token).ok().and_then(|token| u128::from_str_radix(token, 16).ok());
        Ok(Some(Token::from_number(token.ok_or_else(|| Failure::garbled("holder"))?)))
    }

    fn list(&self) -> Result<Vec<LockInfo>> {
        self.on_connection(|slot| self.list_locks(slot)).map_err(|failure| self.blamed(failure, []))
    }

    fn break_lock(&self, name: &[u8]) -> Result<bool> {
        let lease = number(millis(self.settings.lock_lease));
        Ok(integer(&self.ask(name, &[b"break", name, b"", &lease])?.next(), "break")? == 1)
    }

    fn distrust(&self, fence: u64) -> Result<()> {
        self.ask(b"", &[b"distrust", &number(fence)]).map(drop)
    }

    fn another(&self) -> Box<dyn LockBackend> {
        Box::new(Self::through(Arc::clone(&self.door), self.settings.clone()))
    }
}

impl Redis {
    /// Runs the script on the lock `name`; its answers but for the first two. Sent again when the
    /// connection breaks: each of its commands may run twice.
    fn ask(&self, name: &[u8], words: &[&[u8]]) -> Result<Replies> {
        self.ask_script(name, None, words).map_err(|failure| self.blamed(failure, []))
    }

    fn ask_script(&self, name: &[u8], wake_list: Option<&str>, words: &[&[u8]]) -> Result<Replies, Failure> {
        let queue = self.keys.queue(name);
        let mut script = self.lock_script.cached();
        let mut slot = self.slot()?;
        let mut cut = false;
        for _ in 0..ATTEMPTS {
            self.prepare(&mut slot)?;
            let budget = slot.budget(boottime(), self.settings.read_timeout);
            let deadline = self.clock.now().saturating_add(millis(budget));
            let blind = slot.identity_mut().is_some_and(|identity| !identity.abilities.answers_scripts);
            let mut command = script.clone();
            let keys = 3 + usize::from(wake_list.is_some()) + usize::from(blind);
            command.arg(keys).arg(&self.keys.meta).arg(&self.keys.locks).arg(&queue).arg(wake_list);
            if blind {
                command.arg(&self.keys.clock);
            }
            for (at, word) in words.iter().enumerate() {
                command.arg(word);
                if at == 0 {
                    command.arg(deadline);
                }
            }
            let mut batch = Batch::default();
            batch.add(&command);
            // A script that may not ask the server who it is has its answer judged by what the
            // server says next.
            let check = blind.then(|| Check::ask(self, &mut slot, &mut batch, true));
            let mut replies = match slot.exchange(&batch, &self.trips) {
                Ok(answers) => Replies::new(answers),
                Err(Failure::NoScript) => {
                    script = self.lock_script.whole();
                    continue;
                }
                Err(Failure::Cut { silent: false, .. } | Failure::Elsewhere { .. }) if !cut => {
                    cut = true;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let mut parts = Replies::new(array(replies.next(), "locks")?);
            if let Some(check) = check
                && !check.passed(self, &mut replies, &mut slot)?
            {
                self.hello(&mut slot)?;
                continue;
            }
            let verdict = bytes(parts.next(), "locks")?;
            self.clock.learn(integer(&parts.next(), "locks")?);
            match verdict.as_slice() {
                b"OK" => return Ok(parts),
                b"CERT" => self.hello(&mut slot)?,
                b"LATE" => {}
                b"TYPE" => return Err(Failure::another_type(&bytes(parts.next(), "locks")?)),
                _ => return Err(Failure::garbled("locks")),
            }
        }
        Err(Failure::in_vain("the server's clock or identity keeps changing", self.settings.read_timeout))
    }

    fn park_on(&self, slot: &mut Slot, token: Token, at_most: Duration) -> Result<Option<Handed>, Failure> {
        let at_most = at_most.min(LONGEST_DOZE).max(Duration::from_millis(1));
        slot.begin(boottime(), self.whole.saturating_add(nanos(at_most)));
        let mut batch = Batch::default();
        // The time-out of other connections is for an answer that comes at once.
        let patience = self.settings.read_timeout + LONGEST_DOZE;
        let setup = slot.open(&self.settings, &self.door, patience, &self.settled, &mut batch)?;
        let seconds = at_most.as_secs_f64();
        batch.add(cmd("BLPOP").arg(self.keys.wake_list(token)).arg(format!("{seconds:.3}")));
        let answer = slot.exchange(&batch, &self.trips)?.into_iter().nth(setup).unwrap_or(Value::Nil);
        if matches!(answer, Value::Nil) {
            return Ok(None);
        }
        let push = array(answer, "BLPOP")?.pop().unwrap_or(Value::Nil);
        parse_push(&bytes(push, "BLPOP")?).map(Some).ok_or_else(|| Failure::garbled("BLPOP"))
    }

    fn list_locks(&self, slot: &mut Slot) -> Result<Vec<LockInfo>, Failure> {
        self.hello_anew(slot)?;
        let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut cursor = b"0".to_vec();
        let last = self.end_of_listing(slot);
        loop {
            let mut batch = Batch::default();
            batch
                .expect(Most::of_entries(MAX_PAGE))
                .add(cmd("HSCAN").arg(&self.keys.locks).arg(&cursor).arg("COUNT").arg(STEP));
            let answer = slot.exchange(&batch, &self.trips)?.pop().unwrap_or(Value::Nil);
            let mut parts = Replies::new(array(answer, "HSCAN")?);
            cursor = bytes(parts.next(), "HSCAN")?;
            let mut rows = array(parts.next(), "HSCAN")?.into_iter();
            while let (Some(name), Some(row)) = (rows.next(), rows.next()) {
                let name = bytes(name, "HSCAN")?;
                if !name.is_empty() && !found.iter().any(|(known, _)| *known == name) {
                    found.push((name, bytes(row, "HSCAN")?));
                }
            }
            if cursor == b"0" {
                break;
            }
            slot.go_on(self.settings.read_timeout, last);
        }
        let mut batch = Batch::default();
        batch.expect(Most::of_entries(found.len())).add(&cmd("TIME"));
        for (name, _) in &found {
            batch.add(cmd("HLEN").arg(self.keys.queue(name)));
        }
        let mut replies = Replies::new(slot.exchange(&batch, &self.trips)?);
        let now = time(replies.next())?;
        let mut locks = Vec::new();
        for (name, row) in found {
            // The last number is in the queue, too.
            let waiters = integer(&replies.next(), "HLEN")?.saturating_sub(1);
            locks.extend(parse_row(name, &row, now, waiters).filter(|lock| !lock.left.is_zero()));
        }
        Ok(locks)
    }
}

fn parse_row(name: Vec<u8>, row: &[u8], now: u64, waiters: u64) -> Option<LockInfo> {
    let mut parts = row.splitn(6, |byte| *byte == b' ').skip(1);
    let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse::<u64>().ok();
    let (fence, until, since, lease) = (number()?, number()?, number()?, number()?);
    Some(LockInfo {
        name,
        owner: parts.next()?.to_vec(),
        fence,
        age: Duration::from_millis(now.saturating_sub(since)),
        left: Duration::from_millis(until.saturating_sub(now).min(lease)),
        waiters,
    })
}

/// `<fence> <lease ms>`
fn parse_push(push: &[u8]) -> Option<Handed> {
    let (fence, lease) = std::str::from_utf8(push).ok()?.split_once(' ')?;
    Some(Handed { fence: fence.parse().ok()?, lease: Duration::from_millis(lease.parse().ok()?) })
}

fn number(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use crate::lock::rules::{CLAIM, SEEN};

    #[test]
    fn the_script_has_the_times_of_the_rules() {
        let script = include_str!("locks.lua");
        assert!(script.contains(&format!("local SEEN, CLAIM, RUBBISH = {SEEN}, {CLAIM}, ")));
    }
}
