//! Looking over what is there, and emptying it.

use std::collections::HashSet;
use std::time::Duration;

use redis::{Value, cmd};

use super::backend::Redis;
use super::batch::Batch;
use super::failure::Failure;
use super::failure::NAME;
use super::identity::Certify;
use super::keys::prefix_pattern;
use super::pool::Slot;
use super::reply::{Replies, array, bytes, integer};
use super::resp::Most;
use crate::clock::{boottime, nanos};
use crate::contract::{CacheId, CacheUsage};
use crate::error::Error;

/// Entries that the server looks at in one step of a listing. It sends their values, too, so this
/// bounds an answer.
const STEP: u32 = 100;
/// The most values in an answer to that: a hash of few entries is sent whole, whatever the server
/// takes for few.
pub(super) const MAX_PAGE: usize = 1 << 20;
/// A listing goes on as long as each page of it comes within the read timeout, but no longer than
/// so many of them.
const LONGEST_LISTING: u32 = 120;
/// Nor does it go on when the names are so many bytes.
const MAX_NAMES: usize = 512 << 20;

impl Redis {
    pub(super) fn list_keys(
        &self,
        cache: &CacheId,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let mut slot = self.slot()?;
        // A kept connection may know an old incarnation, or may be dead: ask first.
        self.hello_anew(&mut slot)?;
        let Some(identity) = slot.identity_mut() else { return Ok(()) };
        let values_can_be_left_out = identity.abilities.expires_fields;
        let hash = self.keys.hash(identity.incarnation, cache);
        let pattern = prefix_pattern(prefix);
        let mut cursor = b"0".to_vec();
        let (last, mut room) = (self.end_of_listing(&slot), MAX_NAMES);
        loop {
            let mut command = cmd("HSCAN");
            command.arg(&hash).arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP);
            if values_can_be_left_out {
                command.arg("NOVALUES");
            }
            let mut batch = Batch::default();
            batch.expect(Most::of_entries(MAX_PAGE)).add(&command);
            let answer = slot.exchange(&batch, &self.trips)?.pop().unwrap_or(Value::Nil);
            let mut parts = Replies::new(array(answer, "HSCAN")?);
            cursor = bytes(parts.next(), "HSCAN")?;
            let stride = if values_can_be_left_out { 1 } else { 2 };
            for key in array(parts.next(), "HSCAN")?.into_iter().step_by(stride) {
                let key = bytes(key, "HSCAN")?;
                room = room.checked_sub(key.len()).ok_or_else(|| {
                    Failure::Refused(Error::foreign(
                        NAME,
                        "the names in the cache are more than can be listed",
                    ))
                })?;
                visit(&key);
            }
            if cursor == b"0" {
                return Ok(());
            }
            slot.go_on(self.settings.read_timeout, last);
        }
    }

    /// When a listing that begins on `slot` must end, in nanoseconds on the boot clock.
    pub(super) fn end_of_listing(&self, slot: &Slot) -> u64 {
        slot.until().saturating_add(nanos(self.settings.read_timeout * LONGEST_LISTING))
    }

    pub(super) fn count_entries(&self) -> Result<Vec<CacheUsage>, Failure> {
        let mut slot = self.slot()?;
        self.hello_anew(&mut slot)?;
        let Some(incarnation) = slot.identity_mut().map(|identity| identity.incarnation) else {
            return Ok(Vec::new());
        };
        let mut batch = Batch::default();
        batch
            .expect(Most::of_entries(MAX_PAGE))
            .add(cmd("HGETALL").arg(&self.keys.meta))
            .add(cmd("SMEMBERS").arg(&self.keys.registry));
        let mut replies = Replies::new(slot.exchange(&batch, &self.trips)?);
        let logged = array(replies.next(), "HGETALL")?.into_iter().step_by(2);
        let unlogged = array(replies.next(), "SMEMBERS")?;
        let mut caches = HashSet::new();
        for name in logged.chain(unlogged) {
            let name = bytes(name, "names of caches")?;
            // Others are no caches.
            caches.extend(std::str::from_utf8(&name).ok().and_then(|name| match name.split_once(':')? {
                (kind @ ("l" | "u"), name) => Some(CacheId::stored(name, kind == "l")),
                _ => None,
            }));
        }
        let caches = Vec::from_iter(caches);
        if caches.is_empty() {
            return Ok(Vec::new());
        }
        let mut batch = Batch::default();
        batch.expect(Most::of_entries(caches.len()));
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

    pub(super) fn empty_all(&self) -> Result<(), Failure> {
        let mut slot = self.slot()?;
        self.hello_anew(&mut slot)?;
        let result = self.certify(&mut slot, Certify::Everything);
        if let Err(Failure::Cut { .. }) = result {
            // No deadline that was sent is later.
            let longest = slot.budget(boottime(), self.settings.read_timeout);
            std::thread::sleep(longest + Duration::from_millis(2));
        }
        // The incarnation that the connection knows is gone.
        if let Some(link) = slot.link.as_mut() {
            link.identity = None;
        }
        result.map(drop)
    }
}
