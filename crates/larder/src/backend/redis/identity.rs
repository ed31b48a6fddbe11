//! Which server this is, and whether what it holds was written under that identity (R5).

use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{Value, cmd};

use super::backend::Redis;
use super::batch::Batch;
use super::connection::Identity;
use super::failure::Failure;
use super::failure::NAME;
use super::keys::{incarnation_name, parse_incarnation};
use super::log;
use super::pool::{Slot, sweep};
use super::reply::{Replies, array, bytes, integer, optional_bytes, text, time};
use crate::clock::{boottime, millis};
use crate::error::Error;
use crate::random::random;

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
    expires_fields: bool,
}

impl Server {
    fn ask(batch: &mut Batch) {
        batch.add(cmd("INFO").arg("server")).add(cmd("INFO").arg("replication"));
    }

    fn read(replies: &mut Replies) -> Result<Self, Failure> {
        let server = text(replies.next(), "INFO server")?;
        let replication = text(replies.next(), "INFO replication")?;
        let run = info_field(&server, "run_id").ok_or_else(|| Failure::garbled("INFO server"))?;
        let history =
            info_field(&replication, "master_replid").ok_or_else(|| Failure::garbled("INFO replication"))?;
        Ok(Self {
            cert: format!("{run}/{history}").into_bytes(),
            primary: info_field(&replication, "role") == Some("master"),
            expires_fields: info_field(&server, "redis_version")
                .is_some_and(|version| at_least(version, 7, 4)),
        })
    }
}

/// The value of a line `name:value` of an answer to `INFO`.
pub(super) fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

fn at_least(version: &str, major: u32, minor: u32) -> bool {
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (major, minor)
}

/// The part of a batch that tells whether the server is still the one that a connection knows.
///
/// Between two checks the log tells as much: whoever certifies a server begins a new log, in which no position of
/// the old one is found, and scripts compare the incarnation themselves.
pub(super) struct Check {
    /// When it was sent; `None` = nothing was asked.
    sent: Option<Duration>,
}

impl Check {
    /// Asks for certificate, identity and time of the server, with the commands to follow, if that is due or `wanted`.
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

    /// Asks the server who it is, and certifies it if it holds something of another identity. One round trip, two
    /// if it had to be certified.
    pub(super) fn hello(&self, slot: &mut Slot) -> Result<(), Failure> {
        self.hello_and(slot, &Batch::default()).map(drop)
    }

    /// [`hello`](Self::hello) with more commands in the first round trip. Answers to these, which count only if the connection knows no other
    /// incarnation after this than before.
    pub(super) fn hello_and(&self, slot: &mut Slot, more: &Batch) -> Result<Replies, Failure> {
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
            .add(&cmd("TIME"))
            .append(more);
        let mut replies = Replies::new(slot.exchange(&batch, &self.trips)?);
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
            _ => self.certify(slot, Certify::IfNeedBe)?,
        };
        if let Some(link) = slot.link.as_mut() {
            let Server { cert, expires_fields, .. } = server;
            link.identify(Identity { incarnation, cert, expires_fields, checked: Some(sent) });
            self.admitted.store(true, Ordering::Relaxed);
        }
        Ok(replies)
    }

    /// Empties the logged caches under a new incarnation if `why` calls for it, or if they are not whole and this server's
    /// own. Answers the incarnation that holds now.
    pub(super) fn certify(&self, slot: &mut Slot, why: Certify) -> Result<u128, Failure> {
        let unreadable = match why {
            Certify::Unreadable(incarnation) => incarnation_name(incarnation),
            Certify::IfNeedBe | Certify::Everything => String::new(),
        };
        for _ in 0..2 {
            let budget = slot.budget(boottime(), self.settings.read_timeout);
            let deadline = self.clock.now().saturating_add(millis(budget));
            let mut command = cmd("EVAL");
            command
                .arg(concat!(include_str!("log.lua"), include_str!("certify.lua")))
                .arg(3)
                .arg(&self.keys.meta)
                .arg(&self.keys.log)
                .arg(&self.keys.registry)
                .arg(incarnation_name(u128::from_be_bytes(random().map_err(Failure::Unsent)?)))
                .arg(&random::<16>().map_err(Failure::Unsent)?)
                .arg(deadline)
                .arg(u8::from(matches!(why, Certify::Everything)))
                .arg(&unreadable);
            let answer =
                slot.exchange(Batch::default().add(&command), &self.trips)?.pop().unwrap_or(Value::Nil);
            let mut parts = Replies::new(array(answer, "certify")?);
            let verdict = bytes(parts.next(), "certify")?;
            self.clock.learn(integer(&parts.next(), "certify")?);
            match verdict.as_slice() {
                b"OK" => {
                    let name = bytes(parts.next(), "certify")?;
                    return parse_incarnation(&name).ok_or_else(|| Failure::garbled("certify"));
                }
                b"LATE" => {}
                b"TYPE" => return Err(Failure::another_type(&bytes(parts.next(), "certify")?)),
                _ => return Err(replica(slot)),
            }
        }
        Err(Failure::in_vain("the server's clock runs away", self.settings.read_timeout))
    }
}

/// The server is a replica: it would refuse writes, and what it shows may be old.
pub(super) fn replica(slot: &mut Slot) -> Failure {
    slot.link = None;
    Failure::Refused(Error::refused(NAME, "READONLY the server is a replica"))
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

    #[test]
    fn versions_compare_as_numbers() {
        assert!(at_least("7.4.0", 7, 4) && at_least("8.0.1", 7, 4) && at_least("7.10.0", 7, 4));
        assert!(!at_least("7.2.11", 7, 4) && !at_least("", 7, 4));
    }
}
