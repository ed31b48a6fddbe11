//! The keys of records, kept once a process.
//!
//! The same few column names occur in every payload. They are made engine strings that live as long
//! as the process, so that arrays share them without counting references. The table is bounded, and
//! a key gets in only when it is met a second time, so that keys which are data do not fill it.

use std::cell::RefCell;
use std::mem::ManuallyDrop;

use super::alive::Text;
use super::memory::{endless_string, hash};

/// The longest key that is kept.
const LONGEST: usize = 64;
/// The most keys that are kept: with their text below 1 MB.
const MOST: usize = 8192;
const SLOTS: usize = MOST * 2;
const ONCE: usize = 4096;

struct Keys {
    /// Open addressing.
    slots: Vec<Option<Text>>,
    /// Tags of keys met once.
    once: Vec<u32>,
    len: usize,
    bytes: usize,
}

thread_local! {
    // Not dropped at exit: PHP may still hold the strings.
    static KEYS: RefCell<ManuallyDrop<Keys>> =
        const { RefCell::new(ManuallyDrop::new(Keys { slots: Vec::new(), once: Vec::new(), len: 0, bytes: 0 })) };
}

/// The process's string for a key, if it has or now makes one.
pub(crate) fn find(key: &[u8]) -> Option<Text> {
    if key.len() < 2 || key.len() > LONGEST {
        return None;
    }
    KEYS.with_borrow_mut(|keys| keys.find(key))
}

/// Bytes that the keys hold.
#[cfg(feature = "probe")]
pub(crate) fn bytes() -> usize {
    KEYS.with_borrow(|keys| keys.bytes)
}

impl Keys {
    #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
    fn find(&mut self, key: &[u8]) -> Option<Text> {
        if self.slots.is_empty() {
            self.slots = vec![None; SLOTS];
            self.once = vec![0; ONCE];
            self.bytes = SLOTS * size_of::<Option<Text>>() + ONCE * size_of::<u32>();
        }
        let hash = hash(key);
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut at = (mixed >> 40) as usize % SLOTS;
        while let Some(text) = *self.slots.get(at)? {
            if text.known_hash() == hash && text.bytes() == key {
                return Some(text);
            }
            at = (at + 1) % SLOTS;
        }
        let tag = mixed as u32;
        let once = self.once.get_mut((mixed >> 32) as usize % ONCE)?;
        if std::mem::replace(once, tag) != tag || self.len == MOST {
            return None;
        }
        let (text, bytes) = endless_string(key, hash);
        self.bytes += bytes;
        self.len += 1;
        *self.slots.get_mut(at)? = Some(text);
        Some(text)
    }
}
