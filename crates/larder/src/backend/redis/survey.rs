//! Looking over what is there, and emptying it.

use std::time::Duration;

use redis::{Value, cmd};

use super::Redis;
use super::failure::Failure;
use super::identity::Certify;
use super::keys::prefix_pattern;
use super::link::Batch;
use super::reply::{Replies, array, bytes, integer};
use crate::backend::{CacheId, CacheUsage};
use crate::clock::boottime;

/// Entries that the server looks at in one step of a listing. It sends their values, too, so this bounds an answer.
const STEP: u32 = 100;

impl Redis {
    pub(super) fn list_with(
        &self,
        cache: &CacheId,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let mut slot = self.pool.slot()?;
        // A kept connection may know an old incarnation, or may be dead: ask first.
        self.hello_anew(&mut slot)?;
        let Some(identity) = slot.identity_mut() else { return Ok(()) };
        let values_can_be_left_out = identity.expires_fields;
        let hash = self.keys.hash(identity.incarnation, cache);
        let pattern = prefix_pattern(prefix);
        let mut cursor = b"0".to_vec();
        loop {
            let mut command = cmd("HSCAN");
            command.arg(&hash).arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP);
            if values_can_be_left_out {
                command.arg("NOVALUES");
            }
            let answer =
                slot.exchange(Batch::default().add(&command), &self.trips)?.pop().unwrap_or(Value::Nil);
            let mut parts = Replies::new(array(answer, "HSCAN")?);
            cursor = bytes(parts.next(), "HSCAN")?;
            let stride = if values_can_be_left_out { 1 } else { 2 };
            for key in array(parts.next(), "HSCAN")?.into_iter().step_by(stride) {
                visit(&bytes(key, "HSCAN")?);
            }
            if cursor == b"0" {
                return Ok(());
            }
        }
    }

    pub(super) fn usage_with(&self) -> Result<Vec<CacheUsage>, Failure> {
        let mut slot = self.pool.slot()?;
        self.hello_anew(&mut slot)?;
        let Some(incarnation) = slot.identity_mut().map(|identity| identity.incarnation) else {
            return Ok(Vec::new());
        };
        let command = cmd("SMEMBERS").arg(&self.keys.registry).to_owned();
        let members = slot.exchange(Batch::default().add(&command), &self.trips)?.pop().unwrap_or(Value::Nil);
        let mut caches = Vec::new();
        for member in array(members, "SMEMBERS")? {
            let member = bytes(member, "SMEMBERS")?;
            // Others are not Larder's.
            caches.extend(std::str::from_utf8(&member).ok().and_then(
                |member| match member.split_once(':')? {
                    (kind @ ("l" | "u"), name) => Some(CacheId::stored(name, kind == "l")),
                    _ => None,
                },
            ));
        }
        if caches.is_empty() {
            return Ok(Vec::new());
        }
        let mut batch = Batch::default();
        for cache in &caches {
            batch.add(cmd("HLEN").arg(self.keys.hash(incarnation, cache)));
        }
        let lengths = slot.exchange(&batch, &self.trips)?;
        let mut usage = Vec::new();
        for (cache, length) in caches.into_iter().zip(&lengths) {
            let entries = integer(length, "HLEN")?;
            // A purged or evicted cache stays in the registry.
            if entries > 0 {
                usage.push(CacheUsage { cache, entries });
            }
        }
        Ok(usage)
    }

    pub(super) fn reset_with(&self) -> Result<(), Failure> {
        let mut slot = self.pool.slot()?;
        self.hello_anew(&mut slot)?;
        let sent = boottime();
        let result = self.certify(&mut slot, Certify::Everything);
        if let Err(Failure::Cut { .. }) = result {
            let over = sent + self.settings.read_timeout + Duration::from_millis(2);
            std::thread::sleep(over.saturating_sub(boottime()));
        }
        // The incarnation that the connection knows is gone.
        if let Some(link) = slot.link.as_mut() {
            link.identity = None;
        }
        result.map(drop)
    }
}
