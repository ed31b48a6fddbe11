//! Reading entries, from where the index says that they are.

use std::collections::BTreeMap;

use super::failure::Fault;
use super::files::{Files, Opened};
use super::follow::{Access, Node};
use super::hold::Hold;
use super::index::{FileNumber, Slot};
use super::log::Chunk;
use crate::contract::{CacheId, CacheUsage, Delta, Fetched, Position, Read};

/// Entries that stand no further apart than this are read at once,
const GAP: u64 = 64 << 10;
/// as long as that makes no more than this.
const SPAN: u64 = 4 << 20;

/// Entries in the order asked for, and whether each that the index knows was there.
type Found = (Vec<Option<Vec<u8>>>, bool);

/// One entry to read: which of those asked for, and where it is.
type Wanted = (usize, Slot);

impl Node {
    /// The changes since, then the entries. An entry whose file has vanished was replaced meanwhile: all is looked up
    /// once more.
    pub(super) fn fetch(
        &mut self,
        files: &Files,
        since: Option<Position>,
        reads: &[Read<'_>],
    ) -> Result<Fetched, Fault> {
        let mut again = true;
        loop {
            let mut chunks = Vec::new();
            let hold = match self.hold(files, Access::Read, &mut chunks) {
                Err(Fault::NotSetUp) => return Ok(nothing(since, reads)),
                hold => hold?,
            };
            if reads.iter().any(|read| is_entry(read.cache)) {
                self.site.refuse_visitors()?;
            }
            let (entries, complete) = self.entries(files, &hold, &chunks, reads)?;
            if complete || !again {
                let delta = self.known()?.history.delta(since);
                return Ok(Fetched { delta, entries });
            }
            again = false;
        }
    }

    /// The entries, and whether each that the index knows was there.
    fn entries(
        &mut self,
        files: &Files,
        hold: &Hold<'_>,
        chunks: &[Chunk],
        reads: &[Read<'_>],
    ) -> Result<Found, Fault> {
        let site = self.site.path.clone();
        let log = self.known()?;
        let mut entries: Vec<Option<Vec<u8>>> = vec![None; reads.len()];
        let mut by_file: BTreeMap<FileNumber, Vec<Wanted>> = BTreeMap::new();
        for ((at, read), entry) in (0..).zip(reads).zip(&mut entries) {
            let Some(slot) = log.index.get(read.cache, read.key) else { continue };
            *entry = chunks.iter().find_map(|chunk| cut(&chunk.bytes, chunk.start, chunk.file, slot));
            if entry.is_none() {
                by_file.entry(slot.file).or_default().push((at, *slot));
            }
        }
        let mut complete = true;
        for (file, wanted) in by_file {
            let read = if file == log.number {
                read_from(hold.open(), wanted, &mut entries)
            } else {
                let Some(id) = log.index.file(file) else { continue };
                files.read(&id.path(&site)).and_then(|open| read_from(&open, wanted, &mut entries))
            };
            complete &= match read.map_err(Fault::from) {
                Ok(complete) => complete,
                Err(Fault::Gone) => false,
                Err(fault) => return Err(fault),
            };
        }
        Ok((entries, complete))
    }

    /// The entry of a key as of the log that `hold` has read; empty bytes, which no entry is, if it cannot be read.
    pub(super) fn standing(
        &mut self,
        files: &Files,
        hold: &Hold<'_>,
        read: Read<'_>,
    ) -> Result<Option<Vec<u8>>, Fault> {
        if self.known()?.index.get(read.cache, read.key).is_none() {
            return Ok(None);
        }
        let (entries, _) = self.entries(files, hold, &[], &[read])?;
        Ok(Some(entries.into_iter().next().flatten().unwrap_or_default()))
    }

    /// The keys of a cache that start with `prefix`.
    pub(super) fn keys(
        &mut self,
        files: &Files,
        cache: &CacheId,
        prefix: &[u8],
    ) -> Result<Vec<Box<[u8]>>, Fault> {
        drop(self.hold(files, Access::Read, &mut Vec::new())?);
        let keys = self.known()?.index.keys(cache);
        let keys = keys.into_iter().flat_map(|keys| keys.keys());
        Ok(keys.filter(|key| key.starts_with(prefix)).cloned().collect())
    }

    pub(super) fn usage(&mut self, files: &Files) -> Result<Vec<CacheUsage>, Fault> {
        drop(self.hold(files, Access::Read, &mut Vec::new())?);
        let caches = self.known()?.index.caches().filter(|(_, keys)| !keys.is_empty());
        let usage = |(cache, keys): (&CacheId, &super::index::Keys)| CacheUsage {
            cache: cache.clone(),
            entries: keys.len() as u64,
        };
        Ok(caches.map(usage).collect())
    }
}

/// Whether a cache holds what an application stored, not what Larder notes of who serves.
fn is_entry(cache: &CacheId) -> bool {
    !cache.is_reserved() || CacheId::original(cache.name()).is_some()
}

/// The answer where there is no log: a history of its own, without any change.
fn nothing(since: Option<Position>, reads: &[Read<'_>]) -> Fetched {
    let position = Position { incarnation: 0, id: 0, nonce: 0 };
    let delta = Delta { reset: since != Some(position), changes: Vec::new(), position };
    Fetched { delta, entries: vec![None; reads.len()] }
}

/// The bytes of an entry, if they are among `bytes`, which stand at `start` of a file, and if they are what was
/// stored.
fn cut(bytes: &[u8], start: u64, file: FileNumber, slot: &Slot) -> Option<Vec<u8>> {
    if file != slot.file {
        return None;
    }
    let from = usize::try_from(slot.offset.checked_sub(start)?).ok()?;
    let entry = bytes.get(from..)?.get(..usize::try_from(slot.length).ok()?)?;
    (crc32fast::hash(entry) == slot.crc).then(|| entry.to_vec())
}

/// Reads entries of one file, neighbours at once. False if one is not what was stored.
fn read_from(
    open: &Opened<'_>,
    mut wanted: Vec<Wanted>,
    entries: &mut [Option<Vec<u8>>],
) -> Result<bool, rustix::io::Errno> {
    wanted.sort_by_key(|(_, slot)| slot.offset);
    let mut complete = true;
    let mut rest = wanted.as_slice();
    while let Some((_, first)) = rest.first() {
        let start = first.offset;
        let mut end = start + u64::from(first.length);
        let together = rest
            .iter()
            .take_while(|(_, slot)| {
                let slot_end = slot.offset + u64::from(slot.length);
                let near = slot.offset == start || (slot.offset <= end + GAP && slot_end - start <= SPAN);
                if near {
                    end = end.max(slot_end);
                }
                near
            })
            .count();
        let (batch, others) = rest.split_at(together);
        let mut bytes = Vec::new();
        let length = usize::try_from(end - start).unwrap_or(usize::MAX);
        if length > 0 {
            open.read_more(&mut bytes, start, length)?;
        }
        for (at, slot) in batch {
            let entry = cut(&bytes, start, slot.file, slot);
            complete &= entry.is_some();
            if let Some(place) = entries.get_mut(*at) {
                *place = entry;
            }
        }
        rest = others;
    }
    Ok(complete)
}
