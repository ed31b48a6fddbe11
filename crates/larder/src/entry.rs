//! The bytes that a backend keeps for a key: a header, then a payload.
//!
//! ```text
//! version  1 byte   1
//! flags    1 byte   1 = expires, 2 = sealed, 4 = compressed, 8 = of a code epoch
//! check    4 bytes  CRC-32 of all other bytes (not sealed), or
//!          16 bytes keyed BLAKE3 over namespace, cache, key and all other bytes of the entry (sealed)
//! expiry   8 bytes  if flag 1: milliseconds since 1970 on the backend's clock
//! epoch    4 bytes  if flag 8: BLAKE3 of the name of the code epoch that the value was computed in
//! payload           MessagePack (`docs/format.md`); if flag 4 an LZ4 block behind its length (4 bytes)
//! ```
//!
//! Numbers are little endian. Whatever does not fit this is a miss.

use std::borrow::Cow;

use crate::clock::Millis;
use crate::config::Config;
use crate::contract::{CacheId, Guard, Position};

const VERSION: u8 = 1 + cfg!(feature = "next-entry-version") as u8;
const EXPIRES: u8 = 1;
const SEALED: u8 = 2;
const COMPRESSED: u8 = 4;
const EPOCH: u8 = 8;
const KNOWN_FLAGS: u8 = EXPIRES | SEALED | COMPRESSED | EPOCH;

const CRC_BYTES: usize = 4;
const SEAL_BYTES: usize = 16;
/// No entry of ours grows to more than this, so no forged length makes a reader allocate more.
const MAX_PAYLOAD: usize = 1 << 30;
/// LZ4 cannot shrink data further than by this factor.
const LZ4_MAX_RATIO: usize = 255;

/// Writes and reads entries as one configuration wants them.
pub(crate) struct EntryCodec {
    compress_from: Option<usize>,
    seal: Option<blake3::Hasher>,
    epoch: Option<[u8; 4]>,
}

/// What an entry held.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened<'a> {
    pub(crate) payload: Cow<'a, [u8]>,
    pub(crate) expires: Option<Millis>,
}

impl EntryCodec {
    pub(crate) fn new(config: &Config) -> Self {
        let seal = config.seal_key().map(|secret| {
            let key = blake3::derive_key("larder entry seal v1", secret.reveal().as_bytes());
            let mut hasher = blake3::Hasher::new_keyed(&key);
            absorb(&mut hasher, config.namespace().as_bytes());
            hasher
        });
        let epoch = config.code_epoch().map(|name| {
            let mut epoch = [0; 4];
            blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut epoch);
            epoch
        });
        Self { compress_from: config.compress_from(), seal, epoch }
    }

    /// The entry for `payload`.
    pub(crate) fn encode(
        &self,
        cache: &CacheId,
        key: &[u8],
        payload: &[u8],
        expires: Option<Millis>,
    ) -> Vec<u8> {
        let compressed = match self.compress_from {
            Some(from) if payload.len() >= from => Some(lz4_flex::block::compress_prepend_size(payload)),
            _ => None,
        };
        // Decompressing costs time at each read: it has to save an eighth at least.
        let compressed = compressed.filter(|bytes| bytes.len() < payload.len() - payload.len() / 8);
        let mut flags = 0;
        let mut body = Vec::with_capacity(12 + compressed.as_deref().unwrap_or(payload).len());
        if let Some(expires) = expires {
            flags |= EXPIRES;
            body.extend_from_slice(&expires.to_le_bytes());
        }
        // What must not get lost, and what is Larder's own, is for all versions of the code.
        if let Some(epoch) = self.epoch.filter(|_| !cache.is_durable() && !cache.is_reserved()) {
            flags |= EPOCH;
            body.extend_from_slice(&epoch);
        }
        if compressed.is_some() {
            flags |= COMPRESSED;
        }
        body.extend_from_slice(compressed.as_deref().unwrap_or(payload));

        let mut entry = Vec::with_capacity(2 + SEAL_BYTES + body.len());
        if let Some(seal) = &self.seal {
            flags |= SEALED;
            entry.extend_from_slice(&[VERSION, flags]);
            entry.extend_from_slice(&sealed(seal, cache, key, flags, &body));
        } else {
            entry.extend_from_slice(&[VERSION, flags]);
            entry.extend_from_slice(&checksum(flags, &body).to_le_bytes());
        }
        entry.extend_from_slice(&body);
        entry
    }

    /// The guard of a fill with an entry that was encoded so.
    pub(crate) fn fill_guard(&self, missed: Position, entry: &[u8], expires: Option<Millis>) -> Guard {
        let check = if self.seal.is_some() { SEAL_BYTES } else { CRC_BYTES };
        let header = 2 + check + expires.map_or(0, |expires| expires.to_le_bytes().len());
        Guard::Fill { missed, value: entry.len().saturating_sub(header) }
    }

    /// Reads an entry; `None` if it is of another version, broken, of another code epoch, or not sealed with our key, or if its
    /// payload has more than `most` bytes once it is decompressed.
    pub(crate) fn decode<'a>(
        &self,
        cache: &CacheId,
        key: &[u8],
        entry: &'a [u8],
        most: usize,
    ) -> Option<Opened<'a>> {
        let (&[version, flags], rest) = entry.split_first_chunk::<2>()?;
        if version != VERSION || flags & !KNOWN_FLAGS != 0 || (flags & SEALED != 0) != self.seal.is_some() {
            return None;
        }
        let mut body = if let Some(seal) = &self.seal {
            let (check, body) = rest.split_first_chunk::<SEAL_BYTES>()?;
            // Compared as a hash, in constant time: a guess must not learn how far it was right.
            constant_time_eq(check, &sealed(seal, cache, key, flags, body)).then_some(body)?
        } else {
            let (check, body) = rest.split_first_chunk::<CRC_BYTES>()?;
            (u32::from_le_bytes(*check) == checksum(flags, body)).then_some(body)?
        };
        let mut expires = None;
        if flags & EXPIRES != 0 {
            let (bytes, rest) = body.split_first_chunk::<8>()?;
            expires = Some(Millis::from_le_bytes(*bytes));
            body = rest;
        }
        if flags & EPOCH != 0 {
            let (epoch, rest) = body.split_first_chunk::<4>()?;
            if self.epoch.is_some_and(|own| own != *epoch) {
                return None;
            }
            body = rest;
        }
        let payload = if flags & COMPRESSED == 0 {
            Cow::Borrowed(body)
        } else {
            let (length, block) = body.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            if length > MAX_PAYLOAD.min(most) || length / LZ4_MAX_RATIO > block.len() {
                return None;
            }
            Cow::Owned(lz4_flex::block::decompress(block, length).ok()?)
        };
        Some(Opened { payload, expires })
    }
}

/// Whether an entry that could not be read says that it was computed in a code epoch, so that it may be one of another. Its seal
/// and checksum are not looked at.
pub(crate) fn has_epoch(entry: &[u8]) -> bool {
    matches!(entry, [VERSION, flags, ..] if flags & EPOCH != 0)
}

fn checksum(flags: u8, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[VERSION, flags]);
    hasher.update(body);
    hasher.finalize()
}

/// Hashes a part with its length, so that no two lists of parts look alike.
fn absorb(hasher: &mut blake3::Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_le_bytes());
    hasher.update(part);
}

fn sealed(seal: &blake3::Hasher, cache: &CacheId, key: &[u8], flags: u8, body: &[u8]) -> [u8; SEAL_BYTES] {
    let mut hasher = seal.clone();
    absorb(&mut hasher, cache.name().as_bytes());
    absorb(&mut hasher, key);
    absorb(&mut hasher, &[VERSION, flags, u8::from(cache.logged())]);
    absorb(&mut hasher, body);
    let mut bytes = [0; SEAL_BYTES];
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

fn constant_time_eq(a: &[u8; SEAL_BYTES], b: &[u8; SEAL_BYTES]) -> bool {
    u128::from_le_bytes(*a) ^ u128::from_le_bytes(*b) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codec(options: &[(&str, &str)]) -> EntryCodec {
        let server = [("server", "local:/x")];
        EntryCodec::new(&Config::from_options(server.iter().chain(options).copied()).unwrap())
    }

    fn cache(name: &str) -> CacheId {
        CacheId::new(name, true).unwrap()
    }

    const SEAL: (&str, &str) = ("seal_key", "0123456789abcdef");

    #[test]
    fn what_goes_in_comes_out() {
        for options in [&[][..], &[SEAL], &[("compress_from", "64")], &[SEAL, ("compress_from", "64")]] {
            let codec = codec(options);
            for payload in [&b""[..], b"x", &[7; 5000], &(0..=255).cycle().take(100_000).collect::<Vec<u8>>()]
            {
                for expires in [None, Some(0), Some(u64::MAX)] {
                    let entry = codec.encode(&cache("c"), b"k", payload, expires);
                    let opened = codec.decode(&cache("c"), b"k", &entry, usize::MAX).unwrap();
                    assert_eq!((opened.payload.as_ref(), opened.expires), (payload, expires));
                }
            }
        }
    }

    #[test]
    fn compression_is_used_where_it_pays() {
        let codec = codec(&[("compress_from", "1K")]);
        assert!(codec.encode(&cache("c"), b"k", &[7; 5000], None).len() < 200);
        let noise = blake3::Hasher::new().finalize_xof().fill_vec(5000);
        assert_eq!(codec.encode(&cache("c"), b"k", &noise, None).len(), 5006);
    }

    trait FillVec {
        fn fill_vec(&mut self, length: usize) -> Vec<u8>;
    }
    impl FillVec for blake3::OutputReader {
        fn fill_vec(&mut self, length: usize) -> Vec<u8> {
            let mut bytes = vec![0; length];
            self.fill(&mut bytes);
            bytes
        }
    }

    #[test]
    fn every_truncation_and_flipped_bit_is_a_miss() {
        for options in [&[][..], &[SEAL], &[("compress_from", "16")]] {
            let codec = codec(options);
            let entry = codec.encode(&cache("c"), b"k", &[9; 100], Some(5));
            for length in 0..entry.len() {
                assert_eq!(codec.decode(&cache("c"), b"k", &entry[..length], usize::MAX), None, "{length}");
            }
            for bit in 0..entry.len() * 8 {
                let mut broken = entry.clone();
                broken[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(codec.decode(&cache("c"), b"k", &broken, usize::MAX), None, "{bit}");
            }
        }
    }

    #[test]
    fn a_forged_length_does_not_allocate() {
        let codec = codec(&[]);
        let mut body = u32::MAX.to_le_bytes().to_vec();
        body.extend_from_slice(&[0; 100]);
        let mut entry = vec![VERSION, COMPRESSED];
        entry.extend_from_slice(&checksum(COMPRESSED, &body).to_le_bytes());
        entry.extend_from_slice(&body);
        assert_eq!(codec.decode(&cache("c"), b"k", &entry, usize::MAX), None);
    }

    #[test]
    fn an_entry_of_another_code_epoch_is_a_miss() {
        let (old, new) = (codec(&[("code_epoch", "4.5")]), codec(&[("code_epoch", "5.0")]));
        let tool = codec(&[]);
        let (cache, durable) = (cache("c"), CacheId::new("~d", false).unwrap());
        let encode = |codec: &EntryCodec, cache: &CacheId| codec.encode(cache, b"k", b"v", Some(7));
        let reads = |codec: &EntryCodec, cache: &CacheId, entry: &[u8]| {
            codec.decode(cache, b"k", entry, usize::MAX).is_some()
        };
        let entry = encode(&old, &cache);
        assert!(reads(&old, &cache, &entry) && reads(&tool, &cache, &entry));
        assert!(!reads(&new, &cache, &entry));
        assert!(reads(&new, &cache, &encode(&tool, &cache)), "of no epoch: for all");
        assert!(reads(&new, &durable, &encode(&old, &durable)), "what must not get lost");
    }

    #[test]
    fn a_seal_binds_key_cache_namespace_and_secret() {
        let sealing = codec(&[SEAL]);
        let entry = sealing.encode(&cache("c"), b"k", b"v", None);
        assert!(sealing.decode(&cache("c"), b"k", &entry, usize::MAX).is_some());
        assert_eq!(sealing.decode(&cache("c"), b"other", &entry, usize::MAX), None);
        assert_eq!(sealing.decode(&cache("other"), b"k", &entry, usize::MAX), None);
        assert_eq!(sealing.decode(&CacheId::new("c", false).unwrap(), b"k", &entry, usize::MAX), None);
        assert_eq!(codec(&[SEAL, ("namespace", "n")]).decode(&cache("c"), b"k", &entry, usize::MAX), None);
        assert_eq!(
            codec(&[("seal_key", "0123456789abcdeg")]).decode(&cache("c"), b"k", &entry, usize::MAX),
            None
        );
        assert_eq!(codec(&[]).decode(&cache("c"), b"k", &entry, usize::MAX), None);
        let unsealed = codec(&[]).encode(&cache("c"), b"k", b"v", None);
        assert_eq!(sealing.decode(&cache("c"), b"k", &unsealed, usize::MAX), None);
    }
}
