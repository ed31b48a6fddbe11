//! The bytes that a backend keeps for a key: a header, then a payload.
//!
//! ```text
//! version  1 byte   1
//! flags    1 byte   1 = expires, 2 = sealed, 4 = compressed, 8 = of a code epoch
//! check    4 bytes  CRC-32 of all other bytes (not sealed), or
//!          16 bytes keyed BLAKE3 over namespace, cache, key, incarnation and all other bytes of the entry (sealed)
//! expiry   8 bytes  if flag 1: milliseconds since 1970 on the backend's clock
//! epoch    4 bytes  if flag 8: BLAKE3 of the name of the code epoch that the value was computed in
//! payload           MessagePack (`docs/format.md`); if flag 4 an LZ4 block behind its length (4 bytes)
//! ```
//!
//! Numbers are little endian. Whatever does not fit this is a miss. The incarnation is that of the
//! backend's log, so that nobody can put an entry back that was emptied with another one; an
//! unlogged cache outlives incarnations, and 0 stands for them.

use std::borrow::Cow;

use crate::clock::Millis;
use crate::config::{Config, Secret};
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
    /// What sealed entries before that.
    previous_seal: Option<blake3::Hasher>,
    epoch: Option<[u8; 4]>,
}

/// Where an entry stands.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) cache: &'a CacheId,
    pub(crate) key: &'a [u8],
    /// The incarnation of the backend's log.
    pub(crate) incarnation: u128,
}

/// Why an entry is a miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Its value was computed in another code epoch.
    OtherEpoch,
    /// It is broken, of another version, or not sealed with our key for where it stands.
    Broken,
}

/// What an entry held.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened<'a> {
    pub(crate) payload: Cow<'a, [u8]>,
    pub(crate) expires: Option<Millis>,
}

impl EntryCodec {
    pub(crate) fn new(config: &Config) -> Self {
        let seal = |secret: &Secret| {
            let key = blake3::derive_key("larder entry seal v2", secret.reveal().as_bytes());
            let mut hasher = blake3::Hasher::new_keyed(&key);
            absorb(&mut hasher, config.namespace().as_bytes());
            hasher
        };
        let epoch = config.code_epoch().map(|name| {
            let mut epoch = [0; 4];
            blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut epoch);
            epoch
        });
        Self {
            compress_from: config.compress_from(),
            seal: config.seal_key().map(seal),
            previous_seal: config.seal_key_previous().map(seal),
            epoch,
        }
    }

    /// Whether what it writes depends on the incarnation.
    pub(crate) fn seals(&self) -> bool {
        self.seal.is_some()
    }

    /// The entry for `payload`.
    pub(crate) fn encode(&self, site: Site<'_>, payload: &[u8], expires: Option<Millis>) -> Vec<u8> {
        let cache = site.cache;
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
            entry.extend_from_slice(&sealed(seal, site, flags, &body));
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

    /// Reads an entry. One whose payload has more than `most` bytes once it is decompressed is
    /// broken.
    pub(crate) fn decode<'a>(
        &self,
        site: Site<'_>,
        entry: &'a [u8],
        most: usize,
    ) -> Result<Opened<'a>, Unreadable> {
        let (flags, body) = self.checked(site, entry).ok_or(Unreadable::Broken)?;
        let (expires, body) = expiry(flags, body).ok_or(Unreadable::Broken)?;
        let mut body = body;
        if flags & EPOCH != 0 {
            let (epoch, rest) = body.split_first_chunk::<4>().ok_or(Unreadable::Broken)?;
            if self.epoch.is_some_and(|own| own != *epoch) {
                return Err(Unreadable::OtherEpoch);
            }
            body = rest;
        }
        let payload = payload(flags, body, most).ok_or(Unreadable::Broken)?;
        Ok(Opened { payload, expires })
    }

    /// The flags of an entry, and what follows its check, if that is right.
    fn checked<'a>(&self, site: Site<'_>, entry: &'a [u8]) -> Option<(u8, &'a [u8])> {
        let (&[version, flags], rest) = entry.split_first_chunk::<2>()?;
        if version != VERSION || flags & !KNOWN_FLAGS != 0 || (flags & SEALED != 0) != self.seal.is_some() {
            return None;
        }
        if self.seal.is_none() {
            let (check, body) = rest.split_first_chunk::<CRC_BYTES>()?;
            return (u32::from_le_bytes(*check) == checksum(flags, body)).then_some((flags, body));
        }
        let (check, body) = rest.split_first_chunk::<SEAL_BYTES>()?;
        // Compared as a hash, in constant time: a guess must not learn how far it was right.
        let mut seals = self.seal.iter().chain(&self.previous_seal);
        let right = seals.any(|seal| constant_time_eq(check, &sealed(seal, site, flags, body)));
        right.then_some((flags, body))
    }
}

/// When an entry expires, and what follows that.
fn expiry(flags: u8, body: &[u8]) -> Option<(Option<Millis>, &[u8])> {
    if flags & EXPIRES == 0 {
        return Some((None, body));
    }
    let (bytes, rest) = body.split_first_chunk::<8>()?;
    Some((Some(Millis::from_le_bytes(*bytes)), rest))
}

fn payload(flags: u8, body: &[u8], most: usize) -> Option<Cow<'_, [u8]>> {
    if flags & COMPRESSED == 0 {
        return Some(Cow::Borrowed(body));
    }
    let (length, block) = body.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if length > MAX_PAYLOAD.min(most) || length / LZ4_MAX_RATIO > block.len() {
        return None;
    }
    lz4_flex::block::decompress(block, length).ok().map(Cow::Owned)
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

fn sealed(seal: &blake3::Hasher, site: Site<'_>, flags: u8, body: &[u8]) -> [u8; SEAL_BYTES] {
    let logged = site.cache.logged();
    let mut hasher = seal.clone();
    absorb(&mut hasher, site.cache.name().as_bytes());
    absorb(&mut hasher, site.key);
    absorb(&mut hasher, &[VERSION, flags, u8::from(logged)]);
    absorb(&mut hasher, &if logged { site.incarnation } else { 0 }.to_le_bytes());
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

    fn at<'a>(cache: &'a CacheId, key: &'a [u8]) -> Site<'a> {
        Site { cache, key, incarnation: 7 }
    }

    const BROKEN: Result<Opened<'static>, Unreadable> = Err(Unreadable::Broken);

    const SEAL: (&str, &str) = ("seal_key", "0123456789abcdef");

    #[test]
    fn what_goes_in_comes_out() {
        for options in [&[][..], &[SEAL], &[("compress_from", "64")], &[SEAL, ("compress_from", "64")]] {
            let codec = codec(options);
            for payload in [&b""[..], b"x", &[7; 5000], &(0..=255).cycle().take(100_000).collect::<Vec<u8>>()]
            {
                for expires in [None, Some(0), Some(u64::MAX)] {
                    let entry = codec.encode(at(&cache("c"), b"k"), payload, expires);
                    let opened = codec.decode(at(&cache("c"), b"k"), &entry, usize::MAX).unwrap();
                    assert_eq!((opened.payload.as_ref(), opened.expires), (payload, expires));
                }
            }
        }
    }

    #[test]
    fn compression_is_used_where_it_pays() {
        let codec = codec(&[("compress_from", "1K")]);
        assert!(codec.encode(at(&cache("c"), b"k"), &[7; 5000], None).len() < 200);
        let noise = blake3::Hasher::new().finalize_xof().fill_vec(5000);
        assert_eq!(codec.encode(at(&cache("c"), b"k"), &noise, None).len(), 5006);
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
            let entry = codec.encode(at(&cache("c"), b"k"), &[9; 100], Some(5));
            for length in 0..entry.len() {
                assert_eq!(
                    codec.decode(at(&cache("c"), b"k"), &entry[..length], usize::MAX),
                    BROKEN,
                    "{length}"
                );
            }
            for bit in 0..entry.len() * 8 {
                let mut broken = entry.clone();
                broken[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(codec.decode(at(&cache("c"), b"k"), &broken, usize::MAX), BROKEN, "{bit}");
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
        assert_eq!(codec.decode(at(&cache("c"), b"k"), &entry, usize::MAX), BROKEN);
    }

    #[test]
    fn an_entry_of_another_code_epoch_is_a_miss() {
        let (old, new) = (codec(&[("code_epoch", "4.5")]), codec(&[("code_epoch", "5.0")]));
        let tool = codec(&[]);
        let (cache, durable) = (cache("c"), CacheId::new("~d", false).unwrap());
        let encode = |codec: &EntryCodec, cache: &CacheId| codec.encode(at(cache, b"k"), b"v", Some(7));
        let reads = |codec: &EntryCodec, cache: &CacheId, entry: &[u8]| {
            codec.decode(at(cache, b"k"), entry, usize::MAX).is_ok()
        };
        let entry = encode(&old, &cache);
        assert!(reads(&old, &cache, &entry) && reads(&tool, &cache, &entry));
        let other = new.decode(at(&cache, b"k"), &entry, usize::MAX);
        assert_eq!(other, Err(Unreadable::OtherEpoch));
        assert_eq!(new.decode(at(&cache, b"k"), &entry[..18], usize::MAX), BROKEN, "no excuse");
        assert!(reads(&new, &cache, &encode(&tool, &cache)), "of no epoch: for all");
        assert!(reads(&new, &durable, &encode(&old, &durable)), "what must not get lost");
    }

    #[test]
    fn a_seal_binds_where_an_entry_stands_and_the_secret() {
        let (sealing, c) = (codec(&[SEAL]), cache("c"));
        let entry = sealing.encode(at(&c, b"k"), b"v", None);
        let read = |codec: &EntryCodec, site| codec.decode(site, &entry, usize::MAX);
        assert!(read(&sealing, at(&c, b"k")).is_ok());
        let (other, unlogged) = (cache("other"), CacheId::new("c", false).unwrap());
        for site in
            [at(&c, b"other"), at(&other, b"k"), at(&unlogged, b"k"), Site { incarnation: 8, ..at(&c, b"k") }]
        {
            assert_eq!(read(&sealing, site), BROKEN);
        }
        for options in [&[SEAL, ("namespace", "n")][..], &[("seal_key", "0123456789abcdeg")], &[]] {
            assert_eq!(read(&codec(options), at(&c, b"k")), BROKEN);
        }
        let unsealed = codec(&[]).encode(at(&c, b"k"), b"v", None);
        assert_eq!(sealing.decode(at(&c, b"k"), &unsealed, usize::MAX), BROKEN);
        // What outlives incarnations.
        let entry = sealing.encode(at(&unlogged, b"k"), b"v", None);
        let later = Site { incarnation: 8, ..at(&unlogged, b"k") };
        assert!(sealing.decode(later, &entry, usize::MAX).is_ok());
    }

    #[test]
    fn what_the_previous_secret_sealed_is_read_and_no_more_written() {
        let (old, c) = (codec(&[SEAL]), cache("c"));
        let new = codec(&[("seal_key", "a new secret of mine"), ("seal_key_previous", SEAL.1)]);
        let reads = |codec: &EntryCodec, entry: &[u8]| codec.decode(at(&c, b"k"), entry, usize::MAX).is_ok();
        assert!(reads(&new, &old.encode(at(&c, b"k"), b"v", None)));
        let entry = new.encode(at(&c, b"k"), b"v", None);
        assert!(reads(&new, &entry) && !reads(&old, &entry));
    }
}
