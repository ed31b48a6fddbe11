//! Entries in the tables: put, read, removed.
//!
//! A row of `entries` is a header (age, expiry, length of the key if that was hashed, length of the
//! entry), the hashed key, and the entry. A large entry lies in pieces in `parts` instead: LMDB
//! keeps a row in consecutive pages, and long runs of free pages become rare as the file fills.

use heed::{AnyTls, RoTxn, RwTxn};

use super::fault::Fault;
use super::tables::{Counters, Tables};
use crate::bytes::Reader;
use crate::clock::Millis;

/// LMDB's keys end at 511 bytes.
const LONGEST_KEY: usize = 480;
const HEADER: usize = 28;
const PAGE: u64 = 4096;
/// A piece fills eight pages, whose first has a header of 16 bytes.
const PART: usize = 8 * 4096 - 16;
/// The longest entry that lies beside its header.
const INLINE: usize = PART - HEADER;
/// No expiry.
const NEVER: u64 = u64::MAX;

/// The key of an entry in its table: the cache, then the key or its hash.
pub(crate) fn entry_key(cache: u64, key: &[u8]) -> Vec<u8> {
    let cache = cache.to_be_bytes();
    if key.len() <= LONGEST_KEY {
        [&cache[..], &[0], key].concat()
    } else {
        [&cache[..], &[1], blake3::hash(key).as_bytes()].concat()
    }
}

/// The header of a row.
struct RowHeader<'a> {
    age: u64,
    expires: Millis,
    hashed: &'a [u8],
    len: u64,
    inline: &'a [u8],
}

impl<'a> RowHeader<'a> {
    fn parse(row: &'a [u8]) -> Result<Self, Fault> {
        let mut row = Reader::new(row);
        let (age, expires, hashed, len) = (row.u64()?, row.u64()?, row.u32()?, row.u64()?);
        let hashed = row.take(hashed as usize)?;
        Ok(Self { age, expires, hashed, len, inline: row.rest() })
    }

    fn in_parts(&self) -> bool {
        self.len > INLINE as u64
    }
}

/// What an entry takes in the file, roughly: pages are never quite full, small rows share them.
pub(crate) fn footprint(key: usize, entry: usize) -> u64 {
    let (key, entry) = (key as u64, entry as u64);
    let index = (key.min(LONGEST_KEY as u64) + 60) * 3;
    let row = key + entry + HEADER as u64;
    if row < PAGE / 2 { index + row * 3 / 2 } else { index + row.div_ceil(PAGE) * PAGE + entry / 200 }
}

/// The bytes of an entry, `None` if there is none or it expired.
pub(super) fn get(
    tables: &Tables,
    txn: &RoTxn<'_, AnyTls>,
    cache: u64,
    key: &[u8],
    now: Millis,
) -> Result<Option<Vec<u8>>, Fault> {
    let Some(row) = tables.entries.get(txn, &entry_key(cache, key))? else { return Ok(None) };
    let header = RowHeader::parse(row)?;
    if header.expires <= now || (key.len() > LONGEST_KEY && header.hashed != key) {
        return Ok(None);
    }
    if !header.in_parts() {
        return Ok(Some(header.inline.to_vec()));
    }
    let mut entry = Vec::with_capacity(usize::try_from(header.len).unwrap_or(0));
    for part in tables.parts.prefix_iter(txn, &header.age.to_be_bytes())? {
        entry.extend_from_slice(part?.1);
    }
    let whole = entry.len() as u64 == header.len;
    if whole { Ok(Some(entry)) } else { Err(super::fault::damaged("a part is missing")) }
}

/// Stores an entry in place of the one before.
pub(crate) fn put(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    counters: &mut Counters,
    (cache, key): (u64, &[u8]),
    (entry, expires): (&[u8], Option<Millis>),
) -> Result<(), Fault> {
    let row_key = entry_key(cache, key);
    remove(tables, txn, counters, &row_key)?;
    let age = counters.next_age;
    counters.next_age += 1;
    counters.live += footprint(key.len(), entry.len());
    let expires = expires.unwrap_or(NEVER);
    let hashed = if key.len() > LONGEST_KEY { key } else { b"" };
    let inline = if entry.len() > INLINE { b"" } else { entry };
    let hashed_len = u32::try_from(hashed.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut row = Vec::with_capacity(HEADER + hashed.len() + inline.len());
    row.extend_from_slice(&age.to_le_bytes());
    row.extend_from_slice(&expires.to_le_bytes());
    row.extend_from_slice(&hashed_len);
    row.extend_from_slice(&(entry.len() as u64).to_le_bytes());
    row.extend_from_slice(hashed);
    row.extend_from_slice(inline);
    tables.entries.put(txn, &row_key, &row)?;
    tables.ages.put(txn, &age.to_be_bytes(), &row_key)?;
    if expires != NEVER {
        tables.expiries.put(txn, &expiry_key(expires, age), &row_key)?;
    }
    if inline.len() < entry.len() {
        for (index, part) in (0_u32..).zip(entry.chunks(PART)) {
            tables.parts.put(txn, &part_key(age, index), part)?;
        }
    }
    Ok(())
}

/// Removes an entry by its key in the table; says whether there was one.
pub(crate) fn remove(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    counters: &mut Counters,
    row_key: &[u8],
) -> Result<bool, Fault> {
    let Some(row) = tables.entries.get(txn, row_key)? else { return Ok(false) };
    let header = RowHeader::parse(row)?;
    let key_len =
        if header.hashed.is_empty() { row_key.len().saturating_sub(9) } else { header.hashed.len() };
    let len = usize::try_from(header.len).unwrap_or(usize::MAX);
    let (age, expires, in_parts) = (header.age, header.expires, header.in_parts());
    tables.entries.delete(txn, row_key)?;
    tables.ages.delete(txn, &age.to_be_bytes())?;
    if expires != NEVER {
        tables.expiries.delete(txn, &expiry_key(expires, age))?;
    }
    if in_parts {
        let (from, to) = (part_key(age, 0), part_key(age, u32::MAX));
        let range: (std::ops::Bound<&[u8]>, std::ops::Bound<&[u8]>) =
            (std::ops::Bound::Included(&from), std::ops::Bound::Included(&to));
        tables.parts.delete_range(txn, &range)?;
    }
    counters.live = counters.live.saturating_sub(footprint(key_len, len));
    Ok(true)
}

/// The key that a row of `entries` was stored under, and whether it is still good.
pub(super) fn original<'a>(row_key: &'a [u8], row: &'a [u8], now: Millis) -> Result<(&'a [u8], bool), Fault> {
    let header = RowHeader::parse(row)?;
    let (hash, short) = row_key.get(8..).and_then(<[u8]>::split_first).unwrap_or((&0, b""));
    Ok((if *hash == 1 { header.hashed } else { short }, header.expires > now))
}

fn expiry_key(expires: Millis, age: u64) -> [u8; 16] {
    ((u128::from(expires) << 64) | u128::from(age)).to_be_bytes()
}

fn part_key(age: u64, index: u32) -> [u8; 12] {
    let mut key = [0; 12];
    let bytes = age.to_be_bytes().into_iter().chain(index.to_be_bytes());
    for (to, from) in key.iter_mut().zip(bytes) {
        *to = from;
    }
    key
}
