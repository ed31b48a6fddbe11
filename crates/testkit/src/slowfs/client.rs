//! What one mount remembers of files: the page cache and the attributes of an NFS client.
//!
//! - *Close-to-open*: `open` asks for the change attribute; if it is another than the one
//!   remembered, all pages are dropped. Between that and the next open (or lock) pages are served
//!   from memory, however old.
//! - Reads end at the length that was learned last.
//! - Writes stay here until `fsync`, `close`, or the release of a lock; other mounts do not see
//!   them before.
//! - Taking a lock drops pages and asks for the attributes anew.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fuser::Errno;

use super::server::{Attributes, Id, Server};

const PAGE: u64 = 4096;
const PAGE_BYTES: usize = 4096;

/// The caches of one mount.
#[derive(Default)]
pub(super) struct Caches {
    files: Mutex<HashMap<Id, Cache>>,
    /// Held while writes are sent: a `fsync` waits for what another call is sending.
    sending: Mutex<()>,
}

#[derive(Default)]
struct Cache {
    version: Option<(u64, i64, u64)>,
    size: u64,
    /// Counts how often pages were dropped.
    epoch: u64,
    pages: HashMap<u64, Vec<u8>>,
    dirty: Vec<(u64, Vec<u8>)>,
    /// The handle that wrote what is dirty. Only through it is it sent, so that only it is told of
    /// an error.
    writer: u64,
}

impl Caches {
    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Cache>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `open` does with what the server says.
    pub(super) fn opened(&self, attributes: &Attributes) {
        let mut caches = self.lock();
        let cache = caches.entry(attributes.id).or_default();
        if cache.version != Some(attributes.version) {
            cache.renew(attributes);
        }
    }

    /// What a lock does.
    pub(super) fn locked(&self, attributes: &Attributes) {
        self.lock().entry(attributes.id).or_default().renew(attributes);
    }

    /// Reads. Calls `ask` before the server has to be asked.
    pub(super) fn read(
        &self,
        server: &Server,
        id: Id,
        offset: u64,
        length: u64,
        ask: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<Vec<u8>, Errno> {
        let (end, mut pages, dirty, epoch) = {
            let mut caches = self.lock();
            let cache = caches.entry(id).or_default();
            let end = cache.size.min(offset + length);
            let range = if offset < end { offset / PAGE..end.div_ceil(PAGE) } else { 0..0 };
            let pages: Vec<_> = range.map(|at| (at, cache.pages.get(&at).cloned())).collect();
            (end, pages, cache.dirty.clone(), cache.epoch)
        };
        let first = offset / PAGE;
        if pages.iter().any(|(_, page)| page.is_none()) {
            ask()?;
            let bytes = server.read(id, first * PAGE, pages.len() * PAGE_BYTES)?;
            let mut fresh = bytes.chunks(PAGE_BYTES).map(<[u8]>::to_vec);
            let mut caches = self.lock();
            let cache = caches.entry(id).or_default();
            for (at, page) in &mut pages {
                let fresh = fresh.next().unwrap_or_default();
                // A page that was dropped while it was on its way is not kept.
                if page.is_none() && cache.epoch == epoch {
                    cache.pages.insert(*at, fresh.clone());
                }
                page.get_or_insert(fresh);
            }
        }
        let mut bytes = Vec::new();
        for mut page in pages.into_iter().filter_map(|(_, page)| page) {
            page.resize(PAGE_BYTES, 0);
            bytes.append(&mut page);
        }
        let base = first * PAGE;
        for (at, written) in &dirty {
            for (byte, place) in written.iter().zip(*at..) {
                let place = place.checked_sub(base).and_then(|place| usize::try_from(place).ok());
                if let Some(slot) = place.and_then(|place| bytes.get_mut(place)) {
                    *slot = *byte;
                }
            }
        }
        let from = usize::try_from(offset - base).unwrap_or(0);
        let upto = usize::try_from(end.saturating_sub(base)).unwrap_or(0);
        Ok(bytes.get(from..upto).unwrap_or_default().to_vec())
    }

    pub(super) fn write(&self, id: Id, handle: u64, offset: u64, bytes: &[u8]) {
        let mut caches = self.lock();
        let cache = caches.entry(id).or_default();
        cache.size = cache.size.max(offset + bytes.len() as u64);
        cache.writer = handle;
        cache.dirty.push((offset, bytes.to_vec()));
    }

    /// Whether writes of a handle wait to be sent.
    pub(super) fn waits(&self, id: Id, handle: u64) -> bool {
        let _sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        self.lock().get(&id).is_some_and(|cache| !cache.dirty.is_empty() && cache.writer == handle)
    }

    /// Sends what waits. With `fault`, it is lost and the error is told, as an NFS client does.
    pub(super) fn flush(&self, server: &Server, id: Id, fault: Option<Errno>) -> Result<(), Errno> {
        let _sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        // What is on its way stays visible here.
        let dirty = match self.lock().get(&id) {
            Some(cache) if !cache.dirty.is_empty() => cache.dirty.clone(),
            _ => return Ok(()),
        };
        let sent = match fault {
            Some(errno) => Err(errno),
            None => dirty.iter().try_for_each(|(offset, bytes)| server.write(id, *offset, bytes)),
        };
        let attributes = server.attributes(id);
        let mut caches = self.lock();
        let cache = caches.entry(id).or_default();
        cache.dirty.drain(..dirty.len().min(cache.dirty.len()));
        match attributes {
            Ok(attributes) => cache.renew(&attributes),
            Err(_) => *cache = Cache { epoch: cache.epoch + 1, ..Cache::default() },
        }
        sent
    }
}

impl Cache {
    fn renew(&mut self, attributes: &Attributes) {
        // Answers may overtake each other; a client tells older attributes by the change attribute.
        if self.version.is_some_and(|(count, ..)| attributes.version.0 < count) {
            return;
        }
        self.version = Some(attributes.version);
        self.size = attributes.metadata.len();
        for (offset, bytes) in &self.dirty {
            self.size = self.size.max(offset + bytes.len() as u64);
        }
        self.pages.clear();
        self.epoch += 1;
    }
}
