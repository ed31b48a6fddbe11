//! The names of Redis keys.
//!
//! All keys of a namespace begin with one hash tag, `{<namespace>:<lane>}`, so that a script may
//! touch them together. The namespace is escaped: no text can close the tag, or be a pattern, and
//! so reach another namespace.

use crate::contract::{CacheId, Token};
use std::fmt::Write as _;

/// The names of one namespace.
#[derive(Debug)]
pub(super) struct Keys {
    base: String,
    pub(super) meta: String,
    pub(super) log: String,
    pub(super) registry: String,
    pub(super) locks: String,
    /// What tells the time where scripts may not ask for it.
    pub(super) clock: String,
}

impl Keys {
    pub(super) fn new(namespace: &str) -> Self {
        let base = format!("{{{}:0}}", escape(namespace));
        Self {
            meta: format!("{base}m"),
            log: format!("{base}l"),
            registry: format!("{base}c"),
            locks: format!("{base}k"),
            clock: format!("{base}t"),
            base,
        }
    }

    /// The hash that holds the entries of a cache.
    pub(super) fn hash(&self, incarnation: u128, cache: &CacheId) -> String {
        self.of_cache(incarnation, "", cache)
    }

    /// The sorted set of the entries of a cache that expire.
    pub(super) fn expiry_index(&self, incarnation: u128, cache: &CacheId) -> String {
        self.of_cache(incarnation, "x", cache)
    }

    /// What the registry calls an unlogged cache, if a key is the hash of one.
    pub(super) fn unlogged_member<'a>(&self, key: &'a [u8]) -> Option<&'a [u8]> {
        key.strip_prefix(self.base.as_bytes()).filter(|member| member.starts_with(b"u:"))
    }

    /// A pattern for the hashes of all unlogged caches.
    pub(super) fn unlogged_pattern(&self) -> Vec<u8> {
        prefix_pattern(format!("{}u:", self.base).as_bytes())
    }

    /// The queue of a lock.
    pub(super) fn queue(&self, lock: &[u8]) -> Vec<u8> {
        [self.base.as_bytes(), b"q:", lock].concat()
    }

    /// The list that wakes who waits for a lock.
    pub(super) fn wake_list(&self, token: Token) -> String {
        format!("{}w:{token}", self.base)
    }

    fn of_cache(&self, incarnation: u128, what: &str, cache: &CacheId) -> String {
        let (base, name) = (&self.base, cache.name());
        if cache.logged() {
            format!("{base}{}{what}:{name}", incarnation_name(incarnation))
        } else {
            format!("{base}u{what}:{name}")
        }
    }
}

/// An incarnation as it stands in Redis.
pub(super) fn incarnation_name(incarnation: u128) -> String {
    format!("{incarnation:032x}")
}

/// The reverse of [`incarnation_name`].
pub(super) fn parse_incarnation(name: &[u8]) -> Option<u128> {
    let incarnation = u128::from_str_radix(std::str::from_utf8(name).ok()?, 16).ok()?;
    // Scripts compare names.
    (incarnation_name(incarnation).as_bytes() == name).then_some(incarnation)
}

/// Keeps letters, digits, `_`, `-` and `.`; all other bytes become `%xx`. Different texts stay
/// different.
fn escape(namespace: &str) -> String {
    let mut escaped = String::with_capacity(namespace.len());
    for byte in namespace.bytes() {
        if byte.is_ascii_alphanumeric() || b"_-.".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "%{byte:02x}");
        }
    }
    escaped
}

/// A pattern for `MATCH` that fits exactly what begins with `prefix`.
pub(super) fn prefix_pattern(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for &byte in prefix {
        if b"*?[]^-\\".contains(&byte) {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern.push(b'*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_cannot_reach_each_other() {
        let keys = |namespace| Keys::new(namespace).meta;
        assert_eq!(keys("moodle_4-5.x"), "{moodle_4-5.x:0}m");
        assert_eq!(keys("a:0}b{c*"), "{a%3a0%7db%7bc%2a:0}m");
        assert_ne!(keys("a"), keys("a%"));
        assert_ne!(keys("a%25"), keys("a%"));
        assert_eq!(keys(""), "{:0}m");
    }

    #[test]
    fn caches_of_all_sorts_have_names_of_their_own() {
        let keys = Keys::new("n");
        let logged = CacheId::new("x:c", true).unwrap();
        let unlogged = CacheId::new("x:c", false).unwrap();
        let names = [
            keys.hash(1, &logged),
            keys.hash(2, &logged),
            keys.expiry_index(1, &logged),
            keys.hash(1, &unlogged),
            keys.expiry_index(1, &unlogged),
            keys.expiry_index(1, &CacheId::new("c", true).unwrap()),
        ];
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name}");
        }
        assert_eq!(keys.hash(1, &unlogged), keys.hash(2, &unlogged));
    }

    #[test]
    fn an_incarnation_survives_its_name() {
        for incarnation in [0, 1, u128::MAX] {
            assert_eq!(parse_incarnation(incarnation_name(incarnation).as_bytes()), Some(incarnation));
        }
        assert_eq!(parse_incarnation(b"+0000000000000000000000000000001"), None);
        assert_eq!(parse_incarnation(b"0000000000000000000000000000000A"), None);
    }

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(prefix_pattern(b"a*[b]?\\"), b"a\\*\\[b\\]\\?\\\\*");
    }
}
