//! Where each entry is: kept in memory by every process, the same in all of them at the same place of the log.

use std::collections::{BTreeMap, HashMap};

use super::history::Logged;
use super::names::FileId;
use super::record::{Change as LogChange, Place};
use crate::clock::Millis;
use crate::contract::{CacheId, Change};

/// A file in the tables of this process.
pub(super) type FileNumber = u32;

/// Where the bytes of an entry are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) file: FileNumber,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) crc: u32,
    pub(super) expires: Option<Millis>,
}

/// A file with entries in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) id: FileId,
    pub(super) bytes: u64,
    /// How many entries are in it that count.
    pub(super) live: u64,
}

pub(super) type Keys = HashMap<Box<[u8]>, Slot>;

/// The index.
#[derive(Default)]
pub(super) struct Index {
    caches: HashMap<CacheId, Keys>,
    files: BTreeMap<FileNumber, Holder>,
    next: FileNumber,
    /// Files that may have become empty in this change.
    emptied: Vec<FileNumber>,
}

impl Index {
    pub(super) fn get(&self, cache: &CacheId, key: &[u8]) -> Option<&Slot> {
        self.caches.get(cache)?.get(key)
    }

    pub(super) fn keys(&self, cache: &CacheId) -> Option<&Keys> {
        self.caches.get(cache)
    }

    pub(super) fn caches(&self) -> impl Iterator<Item = (&CacheId, &Keys)> {
        self.caches.iter()
    }

    pub(super) fn file(&self, file: FileNumber) -> Option<FileId> {
        self.files.get(&file).map(|holder| holder.id)
    }

    /// The files with entries in them.
    pub(super) fn files(&self) -> impl Iterator<Item = (FileNumber, &Holder)> {
        self.files.iter().map(|(number, holder)| (*number, holder)).filter(|(_, holder)| holder.live > 0)
    }

    /// Bytes of the files with entries in them.
    pub(super) fn bytes(&self) -> u64 {
        self.files().map(|(_, holder)| holder.bytes).sum()
    }

    /// A number for a file.
    pub(super) fn add_file(&mut self, id: FileId, bytes: u64) -> FileNumber {
        let number = self.next;
        self.next += 1;
        self.files.insert(number, Holder { id, bytes, live: 0 });
        number
    }

    pub(super) fn set_bytes(&mut self, file: FileNumber, bytes: u64) {
        if let Some(holder) = self.files.get_mut(&file) {
            holder.bytes = bytes;
        }
    }

    /// Forgets a file that nothing is in.
    pub(super) fn drop_if_empty(&mut self, file: FileNumber) {
        if self.files.get(&file).is_some_and(|holder| holder.live == 0) {
            self.files.remove(&file);
        }
    }

    pub(super) fn insert(&mut self, cache: &CacheId, key: &[u8], slot: Slot) {
        if let Some(holder) = self.files.get_mut(&slot.file) {
            holder.live += 1;
        }
        let keys = match self.caches.get_mut(cache) {
            Some(keys) => keys,
            None => self.caches.entry(cache.clone()).or_default(),
        };
        let old = keys.insert(key.into(), slot);
        if let Some(old) = old {
            self.release(old.file);
        }
    }

    pub(super) fn remove(&mut self, cache: &CacheId, key: &[u8]) {
        if let Some(old) = self.caches.get_mut(cache).and_then(|keys| keys.remove(key)) {
            self.release(old.file);
        }
    }

    pub(super) fn purge(&mut self, cache: &CacheId) {
        for slot in self.caches.remove(cache).unwrap_or_default().into_values() {
            self.release(slot.file);
        }
    }

    /// Forgets all logged caches.
    pub(super) fn purge_logged(&mut self) {
        let logged: Vec<CacheId> = self.caches.keys().filter(|cache| cache.logged()).cloned().collect();
        for cache in &logged {
            self.purge(cache);
        }
    }

    fn release(&mut self, file: FileNumber) {
        if let Some(holder) = self.files.get_mut(&file) {
            holder.live = holder.live.saturating_sub(1);
            if holder.live == 0 {
                self.emptied.push(file);
            }
        }
    }

    /// Forgets the files that became empty, but for the segment that is written to.
    fn forget_emptied(&mut self, log: FileNumber) {
        for file in std::mem::take(&mut self.emptied) {
            if file != log {
                self.drop_if_empty(file);
            }
        }
    }

    /// Gives up the entries in files below a number, and those that expired before a time.
    pub(super) fn trim(&mut self, log: FileNumber, below: u64, expired: Millis) {
        let Self { caches, files, .. } = self;
        let gone = |slot: &Slot| {
            slot.expires.is_some_and(|expires| expires < expired)
                || files.get(&slot.file).is_none_or(|holder| holder.id.number < below)
        };
        let mut released = Vec::new();
        for keys in caches.values_mut() {
            keys.retain(|_, slot| {
                let gone = gone(slot);
                if gone {
                    released.push(slot.file);
                }
                !gone
            });
        }
        for file in released {
            self.release(file);
        }
        self.forget_emptied(log);
    }

    /// Whether an entry expired before a time.
    pub(super) fn has_expired(&self, before: Millis) -> bool {
        let mut slots = self.caches.values().flat_map(HashMap::values);
        slots.any(|slot| slot.expires.is_some_and(|expires| expires < before))
    }

    /// Takes in the changes of one record, whose body stands in file `log` at `body`. Gives what the logged caches'
    /// readers have to know.
    pub(super) fn apply(
        &mut self,
        log: FileNumber,
        body: u64,
        caches: &[(&str, bool)],
        pack: Option<(FileId, u64)>,
        changes: &[(usize, LogChange<'_>)],
    ) -> Vec<Logged> {
        let caches: Vec<CacheId> =
            caches.iter().map(|(name, logged)| CacheId::stored(name, *logged)).collect();
        let pack = pack.map(|(file, bytes)| self.add_file(file, bytes));
        let mut listed = Vec::new();
        for (cache, change) in changes {
            let Some(cache) = caches.get(*cache) else { continue };
            let stored = matches!(change, LogChange::Set { .. });
            let told = match *change {
                LogChange::Set { key, place, length, crc, expires } => {
                    let (file, offset) = match place {
                        Place::Here(offset) => (log, body + offset),
                        Place::Pack(offset) => (pack.unwrap_or(log), offset),
                    };
                    self.insert(cache, key, Slot { file, offset, length, crc, expires });
                    Change::Key { cache: cache.name().into(), key: key.into() }
                }
                LogChange::Delete { key } => {
                    self.remove(cache, key);
                    Change::Key { cache: cache.name().into(), key: key.into() }
                }
                LogChange::Purge => {
                    self.purge(cache);
                    Change::Cache { cache: cache.name().into() }
                }
            };
            if cache.logged() {
                listed.push(Logged { change: told, stored });
            }
        }
        self.forget_emptied(log);
        listed
    }
}
