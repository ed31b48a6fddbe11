//! The primary of a service, as most of its sentinels name it.
//!
//! A sentinel that was cut off, or has just been started, may name a server that is the primary no
//! longer. So they are asked one after the other until most of them name the same; if these do not
//! answer, the newest configuration counts.
//!
//! An old primary goes on for some seconds before it is told that it was replaced, and so would a
//! connection to it. Those that were asked say when they change their mind: two majorities have a
//! sentinel in common, so nobody is led to the new primary before word was sent to everybody who is
//! connected to the old one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use redis::{Value, cmd};

use super::way::Way;
use crate::backend::redis::batch::Batch;
use crate::backend::redis::failure::{NAME, no_sentinel, sentinel_refused};
use crate::backend::redis::names::Host;
use crate::backend::redis::reply::{array, bytes};
use crate::backend::redis::wire::Wire;
use crate::clock::boot_nanos;
use crate::config::Access;
use crate::error::{Error, Result};

/// What is known of the sentinels.
#[derive(Debug)]
pub(in crate::backend::redis) struct Sentinels {
    /// Which of them is asked first: one that answered; at first not the same for all processes.
    first: AtomicUsize,
    /// The primary that they named last.
    last: Mutex<Option<Host>>,
}

impl Default for Sentinels {
    fn default() -> Self {
        Self { first: AtomicUsize::new(std::process::id() as usize), last: Mutex::default() }
    }
}

/// Connections to sentinels that said where the primary is. Anything that comes on one of them, or
/// its end, means that it may be another one now.
#[derive(Default)]
pub(in crate::backend::redis) struct Watch(Vec<Wire>);

impl Watch {
    /// Whether the primary may have been replaced. No round trip.
    pub(in crate::backend::redis) fn has_news(&self) -> bool {
        self.0.iter().any(Wire::is_closed)
    }
}

/// What a sentinel publishes when it has made a replica the primary, and when it knows of a new
/// primary.
const NEWS: [&str; 2] = ["+promoted-slave", "+switch-master"];

/// What a sentinel says.
struct Vote {
    primary: Host,
    /// The number of its configuration: each failover has a greater one.
    epoch: u64,
    wire: Wire,
}

impl Sentinels {
    /// Where the primary of `service` is, and word when that changes. One connection and one round
    /// trip for each sentinel that is asked: for more than half of them.
    pub(in crate::backend::redis) fn find(
        &self,
        sentinels: &[Host],
        service: &str,
        access: &Access,
        way: Way<'_>,
    ) -> Result<(Host, Watch)> {
        let first = self.first.load(Ordering::Relaxed);
        let (mut votes, mut most, mut failed) = (Vec::<Vote>::new(), None, None);
        let turn = sentinels.iter().cycle().skip(first % sentinels.len().max(1)).take(sentinels.len());
        // The way to the primary takes a share of the time, too.
        for ((at, sentinel), others) in turn.enumerate().zip((1..=sentinels.len()).rev()) {
            let vote = match ask(sentinel, service, access, way.shared_with(others)) {
                Ok(vote) => vote,
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            };
            if votes.is_empty() {
                self.first.store(first.wrapping_add(at), Ordering::Relaxed);
            }
            votes.push(vote);
            let same = |one: &&Vote| votes.iter().filter(|vote| vote.primary == one.primary).count();
            most =
                votes.iter().find(|vote| same(vote) * 2 > sentinels.len()).map(|vote| vote.primary.clone());
            if most.is_some() {
                break;
            }
        }
        let newest = || votes.iter().max_by_key(|vote| vote.epoch).map(|vote| vote.primary.clone());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Without sentinels nobody replaces the primary.
        let primary = most.or_else(newest).or_else(|| last.clone()).ok_or_else(|| no_sentinel(failed))?;
        *last = Some(primary.clone());
        Ok((primary, Watch(votes.into_iter().map(|vote| vote.wire).collect())))
    }
}

fn ask(sentinel: &Host, service: &str, access: &Access, way: Way<'_>) -> Result<Vote> {
    let name = format!("sentinel {}:{}", sentinel.0, sentinel.1);
    let unusable = |error: &dyn std::fmt::Display| Error::unavailable(NAME, format!("{name}: {error}"));
    let patience = std::time::Duration::from_nanos(way.until.saturating_sub(boot_nanos()));
    let mut wire = Wire::new(way.connect(sentinel)?, patience).map_err(|error| unusable(&error))?;
    let mut batch = Batch::default();
    if let Some(password) = &access.sentinel_password {
        let mut auth = cmd("AUTH");
        if let Some(username) = &access.sentinel_username {
            auth.arg(username);
        }
        batch.add(auth.arg(password.reveal()));
    }
    // While a failover is under way, the first names the new primary earlier, and only the second
    // tells the configuration's age.
    batch
        .add(cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(service))
        .add(cmd("SENTINEL").arg("MASTER").arg(service));
    let before = batch.commands - 2;
    for news in NEWS {
        batch.add(cmd("SUBSCRIBE").arg(news));
    }
    let answers = wire
        .exchange(&batch.bytes, (batch.commands, batch.most), way.until, None)
        .map_err(|error| unusable(&error))?
        .unwrap_or_default();
    if let Some(Value::ServerError(refusal)) =
        answers.iter().find(|answer| matches!(answer, Value::ServerError(_)))
    {
        let words = format!("{name}: {} {}", refusal.code(), refusal.details().unwrap_or_default());
        return Err(sentinel_refused(refusal.code(), &words));
    }
    let mut answers = answers.into_iter().skip(before);
    let (address, facts) = (answers.next().unwrap_or(Value::Nil), answers.next().unwrap_or(Value::Nil));
    let (primary, epoch) =
        read(address, facts).ok_or_else(|| unusable(&format!("it knows no service '{service}'")))?;
    Ok(Vote { primary, epoch, wire })
}

fn read(address: Value, facts: Value) -> Option<(Host, u64)> {
    let text = |value| String::from_utf8(bytes(value, "SENTINEL").ok()?).ok();
    let mut address = array(address, "SENTINEL").ok()?.into_iter();
    let primary = (text(address.next()?)?, text(address.next()?)?.parse().ok()?);
    let mut facts = array(facts, "SENTINEL").ok()?.into_iter();
    while let (Some(name), Some(value)) = (facts.next(), facts.next()) {
        if text(name)? == "config-epoch" {
            return Some((primary, text(value)?.parse().ok()?));
        }
    }
    None
}
