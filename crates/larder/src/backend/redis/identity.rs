//! Which server this is, and whether what it holds was written under that identity (R5).

use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{Value, cmd};

use super::backend::Redis;
use super::batch::Batch;
use super::connection::{Abilities, Identity};
use super::failure::{Elsewhere, Failure, NAME};
use super::keys::{Keys, incarnation_name, parse_incarnation};
use super::log;
use super::pool::{Slot, sweep};
use super::reply::{Replies, array, bytes, integer, optional_bytes, text, time};
use super::resp::Most;
use crate::clock::{boottime, millis};
use crate::error::{Blame, Error, Trouble};
use crate::random::random;

/// The most keys in an answer to a `SCAN` that looks at about a thousand.
const MAX_FOUND: usize = 1 << 16;

/// How often a new connection is made because another server is responsible: one that knows which,
/// that one, and one that took over from it meanwhile.
const HOPS: usize = 3;

/// Why to begin a new incarnation.
#[derive(Clone, Copy)]
pub(super) enum Certify {
    /// Only if what is there is not whole, or not the server's own.
    IfNeedBe,
    /// To empty all caches, unlogged ones too.
    Everything,
    /// The log of this incarnation has records that Larder did not write.
    Unreadable(u128),
}

/// What `INFO server` and `INFO replication` say.
struct Server {
    cert: Vec<u8>,
    primary: bool,
}

impl Server {
    fn ask(batch: &mut Batch) {
        batch.add(cmd("INFO").arg("server")).add(cmd("INFO").arg("replication"));
    }

    fn read(replies: &mut Replies) -> Result<Self, Failure> {
        let server = text(replies.next(), "INFO server")?;
        let replication = text(replies.next(), "INFO replication")?;
        let run = info_field(&server, "run_id").ok_or_else(nobody)?;
        let history = info_field(&replication, "master_replid").ok_or_else(nobody)?;
        Ok(Self { cert: format!("{run}/{history}").into_bytes(), primary: is_primary(&replication) })
    }
}

/// Whether that is what `INFO replication` says.
pub(super) fn is_primary(replication: &str) -> bool {
    info_field(replication, "role") == Some("master")
}

/// A server may lose what it acknowledged when another takes over from it. If nobody can tell the
/// two apart, nobody can tell what is old.
fn nobody() -> Failure {
    let reason = "INFO lacks run_id or master_replid: nobody could tell when the server lost invalidations, \
                  as after a failover, so Larder does not use it";
    Failure::Refused(Error::refused(NAME, reason).about(Trouble::State).blaming(Blame::Server))
}

/// Asks a server that has just told who it is what it does for this account. Nothing is changed:
/// the field does not exist.
fn ask_abilities(batch: &mut Batch, keys: &Keys) {
    batch
        .add(&cmd("ROLE"))
        .add(cmd("HPEXPIREAT").arg(&keys.meta).arg(i64::MAX >> 20).arg("FIELDS").arg(1).arg("none"))
        .add(cmd("EVAL").arg(ASK_BACK).arg(1).arg(&keys.meta));
}

/// A script that asks for what scripts of Larder ask for.
const ASK_BACK: &str = "redis.call('TIME') redis.call('INFO', 'server') return 1";

/// Takes the answers to [`ask_abilities`] out.
fn read_abilities(answers: &mut Vec<Value>, at: usize) -> Abilities {
    let mut able = answers.drain(at..(at + 3).min(answers.len()));
    let mut next = || able.next().is_some_and(|answer| !matches!(answer, Value::ServerError(_)));
    Abilities { tells_role: next(), expires_fields: next(), answers_scripts: next() }
}

/// The value of a line `name:value` of an answer to `INFO`.
pub(super) fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// The part of a batch that tells whether the server is still the one that a connection knows.
///
/// Between two checks the log tells as much: whoever certifies a server begins a new log, in which
/// no position of the old one is found, and scripts compare the incarnation themselves.
pub(super) struct Check {
    /// When it was sent; `None` = nothing was asked.
    sent: Option<Duration>,
}

impl Check {
    /// Asks for certificate, identity and time of the server, with the commands to follow, if that
    /// is due or `wanted`.
    pub(super) fn ask(redis: &Redis, slot: &mut Slot, batch: &mut Batch, wanted: bool) -> Self {
        if !wanted && slot.identity_mut().is_some_and(|identity| !identity.due()) {
            return Self { sent: None };
        }
        sweep();
        batch.add(cmd("HMGET").arg(&redis.keys.meta).arg("inc").arg("cert"));
        Server::ask(batch);
        batch.add(&cmd("TIME"));
        Self { sent: Some(boottime()) }
    }

    /// Whether the batch asks for nothing but what follows.
    pub(super) fn asks_nothing(&self) -> bool {
        self.sent.is_none()
    }

    /// Whether all is as it was. If not, the whole answer is void and [`Redis::hello`] is due (R2).
    pub(super) fn passed(
        &self,
        redis: &Redis,
        replies: &mut Replies,
        slot: &mut Slot,
    ) -> Result<bool, Failure> {
        let Some(sent) = self.sent else { return Ok(true) };
        let (incarnation, cert) = certificate(replies.next())?;
        let server = Server::read(replies)?;
        redis.clock.learn(time(replies.next())?);
        let Some(identity) = slot.identity_mut() else { return Ok(false) };
        if server.cert != identity.cert || !server.primary {
            return Ok(false);
        }
        identity.checked = Some(sent);
        Ok(incarnation == Some(identity.incarnation) && cert.as_ref() == Some(&identity.cert))
    }
}

/// Takes the answer to `HMGET meta inc cert` apart. What is no incarnation is none.
fn certificate(answer: Value) -> Result<(Option<u128>, Option<Vec<u8>>), Failure> {
    let mut fields = Replies::new(array(answer, "HMGET")?);
    let incarnation = optional_bytes(fields.next(), "HMGET")?.and_then(|name| parse_incarnation(&name));
    Ok((incarnation, optional_bytes(fields.next(), "HMGET")?))
}

impl Redis {
    /// Makes sure that there is a connection to a certified server.
    pub(super) fn prepare(&self, slot: &mut Slot) -> Result<(), Failure> {
        if slot.identity_mut().is_some() { Ok(()) } else { self.hello(slot) }
    }

    /// Asks the server who it is, and certifies it if it holds something of another identity. One
    /// round trip, two if it had to be certified.
    pub(super) fn hello(&self, slot: &mut Slot) -> Result<(), Failure> {
        self.hello_and(slot, &Batch::default()).map(drop)
    }

    /// [`hello`](Self::hello) with more commands in the first round trip. Answers to these, which count only if the connection knows no other
    /// incarnation after this than before.
    pub(super) fn hello_and(&self, slot: &mut Slot, more: &Batch) -> Result<Replies, Failure> {
        let mut refused = false;
        for _ in 0..HOPS {
            match self.hello_once(slot, more) {
                Err(Failure::Elsewhere { error, .. })
                    if error.trouble() != Trouble::Credentials || !std::mem::replace(&mut refused, true) => {}
                result => return result,
            }
        }
        self.hello_once(slot, more)
    }

    fn hello_once(&self, slot: &mut Slot, more: &Batch) -> Result<Replies, Failure> {
        let mut batch = Batch::default();
        let setup =
            slot.open(&self.settings, &self.door, self.settings.read_timeout, &self.settled, &mut batch)?;
        let sent = boottime();
        Server::ask(&mut batch);
        batch
            .add(cmd("HMGET").arg(&self.keys.meta).arg("inc").arg("cert"))
            .add(&log::length(&self.keys.log))
            // Gone if the registry was.
            .add(cmd("SISMEMBER").arg(&self.keys.registry).arg(""))
            .add(&cmd("TIME"));
        let asked = batch.commands;
        ask_abilities(&mut batch, &self.keys);
        batch.append(more);
        let mut answers = slot.exchange_all(&batch, &self.trips)?;
        let abilities = read_abilities(&mut answers, asked);
        let mut replies = Replies::new(slot.no_refusal(answers)?);
        for _ in 0..setup {
            replies.next();
        }
        let server = Server::read(&mut replies)?;
        if !server.primary {
            return Err(replica(slot));
        }
        let (incarnation, cert) = certificate(replies.next())?;
        let logged = integer(&replies.next(), "XLEN")? > 0;
        let listed = integer(&replies.next(), "SISMEMBER")? == 1;
        self.clock.learn(time(replies.next())?);
        let certified = cert.as_ref() == Some(&server.cert) && logged && listed;
        let incarnation = match incarnation {
            Some(incarnation) if certified => incarnation,
            _ => {
                let by = (!abilities.answers_scripts).then_some(&*server.cert);
                self.certify_as(slot, Certify::IfNeedBe, by)?
            }
        };
        if let Some(link) = slot.link.as_mut() {
            let cert = server.cert;
            link.identify(Identity { incarnation, cert, abilities, checked: Some(sent) });
            self.admitted.store(true, Ordering::Relaxed);
        }
        Ok(replies)
    }

    /// Empties the logged caches under a new incarnation if `why` calls for it, or if they are not
    /// whole and this server's own. Answers the incarnation that holds now.
    pub(super) fn certify(&self, slot: &mut Slot, why: Certify) -> Result<u128, Failure> {
        let by = slot
            .identity_mut()
            .and_then(|identity| (!identity.abilities.answers_scripts).then(|| identity.cert.clone()));
        self.certify_as(slot, why, by.as_deref())
    }

    /// [`certify`](Self::certify), `by` what the server is if scripts may not ask it.
    fn certify_as(&self, slot: &mut Slot, why: Certify, by: Option<&[u8]>) -> Result<u128, Failure> {
        let unreadable = match why {
            Certify::Unreadable(incarnation) => incarnation_name(incarnation),
            Certify::IfNeedBe | Certify::Everything => String::new(),
        };
        let mut listed = false;
        for _ in 0..3 {
            let budget = slot.budget(boottime(), self.settings.read_timeout);
            let deadline = self.clock.now().saturating_add(millis(budget));
            let keys = [&self.keys.meta, &self.keys.log, &self.keys.registry, &self.keys.locks];
            let keys = keys.into_iter().chain(by.map(|_| &self.keys.clock));
            let mut command = cmd("EVAL");
            command
                .arg(SCRIPT)
                .arg(keys.clone().count())
                .arg(keys.collect::<Vec<_>>())
                .arg(incarnation_name(u128::from_be_bytes(random().map_err(Failure::Unsent)?)))
                .arg(&random::<16>().map_err(Failure::Unsent)?)
                .arg(deadline)
                .arg(u8::from(matches!(why, Certify::Everything)))
                .arg(&unreadable)
                .arg(by.unwrap_or_default())
                .arg(u8::from(listed));
            let mut batch = Batch::default();
            batch.add(&command);
            if by.is_some() {
                Server::ask(&mut batch);
            }
            let mut replies = Replies::new(slot.exchange(&batch, &self.trips)?);
            let mut parts = Replies::new(array(replies.next(), "certify")?);
            if let Some(by) = by {
                let server = Server::read(&mut replies)?;
                if server.cert != by || !server.primary {
                    return Err(replica(slot));
                }
            }
            let verdict = bytes(parts.next(), "certify")?;
            self.clock.learn(integer(&parts.next(), "certify")?);
            match verdict.as_slice() {
                b"OK" => {
                    let name = bytes(parts.next(), "certify")?;
                    let unlinked = self.unlink(slot, array(parts.next(), "certify")?);
                    if matches!(why, Certify::Everything) {
                        unlinked?;
                    }
                    return parse_incarnation(&name).ok_or_else(|| Failure::garbled("certify"));
                }
                b"LATE" => {}
                b"LOST" => {
                    self.list_unlogged(slot)?;
                    listed = true;
                }
                b"TYPE" => return Err(Failure::another_type(&bytes(parts.next(), "certify")?)),
                _ => return Err(replica(slot)),
            }
        }
        Err(Failure::in_vain("the server's clock runs away", self.settings.read_timeout))
    }

    /// Unlinks keys. A round trip for each thousand of them.
    fn unlink(&self, slot: &mut Slot, keys: Vec<Value>) -> Result<(), Failure> {
        let mut names = Vec::with_capacity(keys.len());
        for key in keys {
            names.push(bytes(key, "certify")?);
        }
        for names in names.chunks(1000) {
            slot.exchange(Batch::default().add(cmd("UNLINK").arg(names)), &self.trips)?;
        }
        Ok(())
    }

    /// Finds the unlogged caches again that the registry has lost. A round trip for each thousand
    /// keys of the server.
    fn list_unlogged(&self, slot: &mut Slot) -> Result<(), Failure> {
        let (mut cursor, pattern) = (b"0".to_vec(), self.keys.unlogged_pattern());
        let last = self.end_of_listing(slot);
        loop {
            let mut batch = Batch::default();
            batch
                .expect(Most::of_entries(MAX_FOUND))
                .add(cmd("SCAN").arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1000));
            let answer = slot.exchange(&batch, &self.trips)?.pop().unwrap_or(Value::Nil);
            let mut parts = Replies::new(array(answer, "SCAN")?);
            cursor = bytes(parts.next(), "SCAN")?;
            let mut listing = cmd("SADD");
            listing.arg(&self.keys.registry);
            let mut found = false;
            for key in array(parts.next(), "SCAN")? {
                if let Some(member) = self.keys.unlogged_member(&bytes(key, "SCAN")?) {
                    listing.arg(member);
                    found = true;
                }
            }
            if found {
                slot.exchange(Batch::default().add(&listing), &self.trips)?;
            }
            if cursor == b"0" {
                return Ok(());
            }
            slot.go_on(self.settings.read_timeout, last);
        }
    }
}

const SCRIPT: &str = concat!(
    include_str!("identity.lua"),
    include_str!("time.lua"),
    include_str!("log.lua"),
    include_str!("certify.lua")
);

/// The server is a replica: it would refuse writes, and what it shows may be old.
pub(super) fn replica(slot: &mut Slot) -> Failure {
    let refused = Failure::Refused(Error::refused(NAME, "READONLY the server is a replica"));
    slot.give_up(refused, Elsewhere::Perhaps, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_info_are_found_by_their_whole_name() {
        let info = "# Replication\r\nrole:master\r\nmaster_replid2:b\r\nmaster_replid:a\r\n";
        assert_eq!(info_field(info, "master_replid"), Some("a"));
        assert_eq!(info_field(info, "replid"), None);
    }
}
