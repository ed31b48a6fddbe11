//! Facts for people.

use redis::{Value, cmd};

use super::backend::Redis;
use super::batch::Batch;
use super::failure::Failure;
use super::identity::info_field;
use super::log;
use super::pool::Slot;
use super::reply::Replies;
use crate::contract::{Fact, Facts};

/// Lines of `INFO` worth showing, under the names that they have there.
const FACTS: [&str; 18] = [
    "redis_version",
    "run_id",
    "uptime_in_seconds",
    "role",
    "master_replid",
    "connected_slaves",
    "connected_clients",
    "maxclients",
    "used_memory",
    "maxmemory",
    "maxmemory_policy",
    "evicted_keys",
    "loading",
    "rdb_last_save_time",
    "rdb_last_bgsave_status",
    "aof_enabled",
    "aof_last_write_status",
    "cluster_enabled",
];

/// Settings worth showing that `INFO` does not tell.
const SETTINGS: [&str; 3] = ["save", "min-replicas-to-write", "min-replicas-max-lag"];

impl Redis {
    /// Whatever the server is willing to tell; what it refuses is left out.
    pub(super) fn facts(&self) -> Result<Facts, Failure> {
        self.on_connection(|slot| self.describe_on(slot))
    }

    fn describe_on(&self, slot: &mut Slot) -> Result<Facts, Failure> {
        self.prepare(slot)?;
        let mut batch = Batch::default();
        batch
            .add(&cmd("INFO"))
            .add(cmd("HMGET").arg(&self.keys.meta).arg("inc").arg("born"))
            .add(&log::length(&self.keys.log));
        for setting in SETTINGS {
            batch.add(cmd("CONFIG").arg("GET").arg(setting));
        }
        let mut replies = Replies::new(slot.exchange_all(&batch, &self.trips)?);
        let mut facts = Facts::default();
        if let Some((host, port)) = slot.link.as_ref().and_then(|link| link.host.as_ref()) {
            facts.push("node", format!("{host}:{port}"));
        }
        let info = text(&replies.next()).unwrap_or_default();
        for name in FACTS {
            if let Some(value) = info_field(&info, name) {
                facts.push(name, Fact::parse(value));
            }
        }
        if let Some(abilities) = slot.identity_mut().map(|identity| identity.abilities) {
            let refused = [
                ("TIME and INFO in scripts", abilities.answers_scripts),
                ("ROLE", abilities.tells_role),
                ("HPEXPIREAT", abilities.expires_fields),
            ];
            let refused: Vec<_> = refused.iter().filter(|(_, given)| !given).map(|(what, _)| *what).collect();
            facts.push(
                "refused_commands",
                if refused.is_empty() { "none".to_owned() } else { refused.join(", ") },
            );
        }
        if let Value::Array(meta) = replies.next() {
            for (name, value) in ["incarnation", "born_ms"].into_iter().zip(&meta) {
                if let Some(value) = text(value) {
                    facts.push(name, Fact::parse(&value));
                }
            }
        }
        if let Value::Int(length) = replies.next() {
            facts.push("log_records", u64::try_from(length).unwrap_or(0));
        }
        for setting in SETTINGS {
            if let Value::Array(pair) = replies.next()
                && let Some(value) = pair.get(1).and_then(text)
            {
                facts.push(setting, if value.is_empty() { "none".into() } else { Fact::parse(&value) });
            }
        }
        Ok(facts)
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    }
}
