//! Where each entry is: kept in memory by every process, the same in all of them at the same place
//! of the log.

use std::collections::{BTreeMap, HashMap};

use super::history::Logged;
use super::record::{EntryPlace, RecordChange};
use crate::backend::dir::fs::FileId;
use crate::clock::Millis;
use crate::contract::{CacheId, Change};

/// A file in the tables of this process, from 1 on.
pub(crate) type FileNumber = u32;

/// Where the bytes of an entry are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) file: FileNumber,
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) crc: u32,
    pub(crate) expires: Option<Millis>,
}

/// A file with entries in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DataFile {
    pub(crate) id: FileId,
    pub(crate) bytes: u64,
    /// How many entries are in it that count.
    live: u64,
}

pub(crate) type KeyLocations = HashMap<Box<[u8]>, Location>;

/// The index.
#[derive(Default)]
pub(crate) struct Index {
    caches: HashMap<CacheId, KeyLocations>,
    files: BTreeMap<FileNumber, DataFile>,
    /// The number given last.
    newest: FileNumber,
    /// The segment that is appended to, as far as known. 0 = none yet.
    segment: FileNumber,
    /// Files and bytes of the packs that records of this segment brought.
    packs: (u64, u64),
    /// Files that may have become empty in this change.
    emptied: Vec<FileNumber>,
}

impl Index {
    pub(crate) fn get(&self, cache: &CacheId, key: &[u8]) -> Option<&Location> {
        self.caches.get(cache)?.get(key)
    }

    pub(crate) fn keys(&self, cache: &CacheId) -> Option<&KeyLocations> {
        self.caches.get(cache)
    }

    pub(crate) fn caches(&self) -> impl Iterator<Item = (&CacheId, &KeyLocations)> {
        self.caches.iter()
    }

    pub(crate) fn file(&self, file: FileNumber) -> Option<FileId> {
        self.files.get(&file).map(|file| file.id)
    }

    /// The files with entries in them.
    pub(crate) fn files(&self) -> impl Iterator<Item = (FileNumber, &DataFile)> {
        self.files.iter().map(|(number, file)| (*number, file)).filter(|(_, file)| file.live > 0)
    }

    /// Bytes of the files with entries in them.
    pub(crate) fn bytes(&self) -> u64 {
        self.files().map(|(_, file)| file.bytes).sum()
    }

    /// The segment that is appended to.
    pub(crate) fn segment(&self) -> FileNumber {
        self.segment
    }

    /// Files and bytes of the packs that records of this segment brought.
    pub(crate) fn packs(&self) -> (u64, u64) {
        self.packs
    }

    /// Whether an entry expired before a time.
    pub(crate) fn has_expired(&self, before: Millis) -> bool {
        let mut locations = self.caches.values().flat_map(HashMap::values);
        locations.any(|location| location.expires.is_some_and(|expires| expires < before))
    }

    /// From now on records are appended to this segment.
    pub(super) fn begin_segment(&mut self, id: FileId, bytes: u64) {
        self.drop_if_empty(self.segment);
        self.segment = self.add_file(id, bytes);
        self.packs = (0, 0);
    }

    /// The segment has so many bytes by now.
    pub(super) fn grow_segment(&mut self, bytes: u64) {
        if let Some(file) = self.files.get_mut(&self.segment) {
            file.bytes = bytes;
        }
    }

    /// A number for a file.
    pub(super) fn add_file(&mut self, id: FileId, bytes: u64) -> FileNumber {
        self.newest += 1;
        self.files.insert(self.newest, DataFile { id, bytes, live: 0 });
        self.newest
    }

    pub(super) fn insert(&mut self, cache: &CacheId, key: &[u8], location: Location) {
        if let Some(file) = self.files.get_mut(&location.file) {
            file.live += 1;
        }
        let keys = match self.caches.get_mut(cache) {
            Some(keys) => keys,
            None => self.caches.entry(cache.clone()).or_default(),
        };
        let old = keys.insert(key.into(), location);
        if let Some(old) = old {
            self.release(old.file);
        }
    }

    /// Forgets all logged caches.
    pub(super) fn purge_logged(&mut self) {
        let logged: Vec<CacheId> = self.caches.keys().filter(|cache| cache.logged()).cloned().collect();
        for cache in &logged {
            self.purge(cache);
        }
    }

    /// Gives up the entries in files below a number, and those that expired before a time.
    pub(super) fn trim(&mut self, below: u64, expired: Millis) {
        let Self { caches, files, .. } = self;
        let gone = |location: &Location| {
            location.expires.is_some_and(|expires| expires < expired)
                || files.get(&location.file).is_none_or(|file| file.id.number < below)
        };
        let mut released = Vec::new();
        for keys in caches.values_mut() {
            keys.retain(|_, location| {
                let gone = gone(location);
                if gone {
                    released.push(location.file);
                }
                !gone
            });
        }
        for file in released {
            self.release(file);
        }
        self.forget_emptied();
    }

    /// Takes in the changes of one record, whose body stands in the segment at `body`. Gives what
    /// the logged caches' readers have to know.
    pub(super) fn apply(
        &mut self,
        body: u64,
        caches: &[(&str, bool)],
        pack: Option<(FileId, u64)>,
        changes: &[(usize, RecordChange<'_>)],
    ) -> Vec<Logged> {
        let caches: Vec<CacheId> =
            caches.iter().map(|(name, logged)| CacheId::stored(name, *logged)).collect();
        let pack = pack.map(|(file, bytes)| {
            self.packs.0 += 1;
            self.packs.1 += bytes;
            self.add_file(file, bytes)
        });
        let mut listed = Vec::new();
        for (cache, change) in changes {
            let Some(cache) = caches.get(*cache) else { continue };
            let stored = matches!(change, RecordChange::Set { .. });
            let change = match *change {
                RecordChange::Set { key, place, length, crc, expires } => {
                    let (file, offset) = match place {
                        EntryPlace::Here(offset) => (self.segment, body + offset),
                        EntryPlace::Pack(offset) => (pack.unwrap_or(self.segment), offset),
                    };
                    self.insert(cache, key, Location { file, offset, length, crc, expires });
                    Change::Key { cache: cache.name().into(), key: key.into() }
                }
                RecordChange::Delete { key } => {
                    self.remove(cache, key);
                    Change::Key { cache: cache.name().into(), key: key.into() }
                }
                RecordChange::Purge => {
                    self.purge(cache);
                    Change::Cache { cache: cache.name().into() }
                }
            };
            if cache.logged() {
                listed.push(Logged { change, stored });
            }
        }
        self.forget_emptied();
        listed
    }

    fn remove(&mut self, cache: &CacheId, key: &[u8]) {
        if let Some(old) = self.caches.get_mut(cache).and_then(|keys| keys.remove(key)) {
            self.release(old.file);
        }
    }

    fn purge(&mut self, cache: &CacheId) {
        for location in self.caches.remove(cache).unwrap_or_default().into_values() {
            self.release(location.file);
        }
    }

    fn release(&mut self, file: FileNumber) {
        if let Some(found) = self.files.get_mut(&file) {
            found.live = found.live.saturating_sub(1);
            if found.live == 0 {
                self.emptied.push(file);
            }
        }
    }

    /// Forgets the files that became empty, but for the segment that is written to.
    fn forget_emptied(&mut self) {
        for file in std::mem::take(&mut self.emptied) {
            if file != self.segment {
                self.drop_if_empty(file);
            }
        }
    }

    /// Forgets a file that nothing is in.
    fn drop_if_empty(&mut self, file: FileNumber) {
        if self.files.get(&file).is_some_and(|file| file.live == 0) {
            self.files.remove(&file);
        }
    }
}
