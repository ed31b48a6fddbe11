//! Reading entries, from where the index says that they are.

use std::collections::BTreeMap;

use rustix::io::Errno;

use crate::backend::dir::fs::{Fault, Hold, OpenFile};
use crate::backend::dir::log::{Chunk, Log};
use crate::backend::dir::replica::{FileNumber, KeyLocations, Location};
use crate::contract::{CacheId, CacheUsage, Delta, Fetched, Position, Read};

/// Entries that stand no further apart than this are read at once.
const GAP: u64 = 64 << 10;
/// The most that is read at once, but for one entry that is larger.
const SPAN: u64 = 4 << 20;

/// Entries in the order asked for, and whether each that the index knows was there.
type Found = (Vec<Option<Vec<u8>>>, bool);

/// One entry to read: which of those asked for, and where it is.
type WantedEntry = (usize, Location);

/// The changes since, then the entries. An entry whose file has vanished was replaced meanwhile:
/// all is looked up once more.
pub(crate) fn fetch(log: &mut Log, since: Option<Position>, reads: &[Read<'_>]) -> Result<Fetched, Fault> {
    let mut again = true;
    loop {
        let (hold, chunks) = match log.follow() {
            Err(Fault::NotSetUp) => return Ok(nothing(since, reads)),
            followed => followed?,
        };
        if reads.iter().any(|read| is_entry(read.cache)) {
            log.refuse_visitors()?;
        }
        let (entries, complete) = entries(log, &hold, &chunks, reads)?;
        if complete || !again {
            let delta = log.known()?.replica().history().delta(since);
            return Ok(Fetched { delta, entries });
        }
        again = false;
    }
}

/// The entry of a key as of the log that `hold` has read; empty bytes, which no entry is, if it
/// cannot be read.
pub(super) fn standing(log: &Log, hold: &Hold, read: Read<'_>) -> Result<Option<Vec<u8>>, Fault> {
    if log.known()?.replica().index().get(read.cache, read.key).is_none() {
        return Ok(None);
    }
    let (entries, _) = entries(log, hold, &[], &[read])?;
    Ok(Some(entries.into_iter().next().flatten().unwrap_or_default()))
}

/// The keys of a cache that start with `prefix`.
pub(crate) fn keys(log: &mut Log, cache: &CacheId, prefix: &[u8]) -> Result<Vec<Box<[u8]>>, Fault> {
    drop(log.follow()?);
    let keys = log.known()?.replica().index().keys(cache);
    let keys = keys.into_iter().flat_map(|keys| keys.keys());
    Ok(keys.filter(|key| key.starts_with(prefix)).cloned().collect())
}

/// The caches that hold entries.
pub(crate) fn usage(log: &mut Log) -> Result<Vec<CacheUsage>, Fault> {
    drop(log.follow()?);
    let caches = log.known()?.replica().index().caches().filter(|(_, keys)| !keys.is_empty());
    let usage = |(cache, keys): (&CacheId, &KeyLocations)| CacheUsage {
        cache: cache.clone(),
        entries: keys.len() as u64,
    };
    Ok(caches.map(usage).collect())
}

/// The entries, and whether each that the index knows was there.
fn entries(log: &Log, hold: &Hold, chunks: &[Chunk], reads: &[Read<'_>]) -> Result<Found, Fault> {
    let index = log.known()?.replica().index();
    let mut entries: Vec<Option<Vec<u8>>> = vec![None; reads.len()];
    let mut by_file: BTreeMap<FileNumber, Vec<WantedEntry>> = BTreeMap::new();
    for ((at, read), entry) in (0..).zip(reads).zip(&mut entries) {
        let Some(location) = index.get(read.cache, read.key) else { continue };
        *entry = chunks.iter().find_map(|chunk| cut(&chunk.bytes, chunk.start, chunk.file, location));
        if entry.is_none() {
            by_file.entry(location.file).or_default().push((at, *location));
        }
    }
    let mut complete = true;
    for (file, wanted) in by_file {
        let read = if file == index.segment() {
            read_from(hold.open(), wanted, &mut entries)
        } else {
            let Some(id) = index.file(file) else { continue };
            log.site().read(id).and_then(|open| read_from(&open, wanted, &mut entries))
        };
        complete &= match read.map_err(Fault::from) {
            Ok(complete) => complete,
            Err(Fault::Gone) => false,
            Err(fault) => return Err(fault),
        };
    }
    Ok((entries, complete))
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

/// The bytes of an entry, if they are among `bytes`, which stand at `start` of a file, and if they
/// are what was stored.
fn cut(bytes: &[u8], start: u64, file: FileNumber, location: &Location) -> Option<Vec<u8>> {
    if file != location.file {
        return None;
    }
    let from = usize::try_from(location.offset.checked_sub(start)?).ok()?;
    let entry = bytes.get(from..)?.get(..usize::try_from(location.length).ok()?)?;
    (crc32fast::hash(entry) == location.crc).then(|| entry.to_vec())
}

/// Reads entries of one file, neighbours at once. False if one is not what was stored.
fn read_from(
    open: &OpenFile,
    mut wanted: Vec<WantedEntry>,
    entries: &mut [Option<Vec<u8>>],
) -> Result<bool, Errno> {
    wanted.sort_by_key(|(_, location)| location.offset);
    let mut complete = true;
    let mut rest = wanted.as_slice();
    while let Some((_, first)) = rest.first() {
        let start = first.offset;
        let mut end = start + u64::from(first.length);
        let together = rest
            .iter()
            .take_while(|(_, location)| {
                let its_end = location.offset + u64::from(location.length);
                let near =
                    location.offset == start || (location.offset <= end + GAP && its_end - start <= SPAN);
                if near {
                    end = end.max(its_end);
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
        for (at, location) in batch {
            let entry = cut(&bytes, start, location.file, location);
            complete &= entry.is_some();
            if let Some(place) = entries.get_mut(*at) {
                *place = entry;
            }
        }
        rest = others;
    }
    Ok(complete)
}
