//! The log of changes: positions in it, and what happened since one.

/// The most changes that an answer lists; when more happened, it names the caches that changed.
pub const MAX_CHANGES: usize = 1000;

/// A place in one history of a log. Within one incarnation the `id` only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which history: random, drawn anew whenever the backend was emptied.
    pub incarnation: u128,
    /// Where in the history; larger is later.
    pub id: u128,
    /// The random mark of the record there, so that another history's record with the same id is not taken for
    /// it (R1).
    pub nonce: u128,
}

/// One change that happened to a logged cache.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// The entry was stored or removed.
    Key {
        /// Name of the cache.
        cache: Box<str>,
        /// The key.
        key: Box<[u8]>,
    },
    /// The cache was emptied.
    Cache {
        /// Name of the cache.
        cache: Box<str>,
    },
    /// Keys of the cache were stored or removed, or all of it was; which ones is not known (R29).
    Unlisted {
        /// Name of the cache.
        cache: Box<str>,
    },
}

impl Change {
    /// The name of the cache.
    pub fn cache(&self) -> &str {
        let (Self::Key { cache, .. } | Self::Cache { cache } | Self::Unlisted { cache }) = self;
        cache
    }

    /// Whether a key of a cache may have another entry since, or none.
    pub fn touches(&self, cache: &str, key: &[u8]) -> bool {
        let of_key = match self {
            Self::Key { key: changed, .. } => **changed == *key,
            Self::Cache { .. } | Self::Unlisted { .. } => true,
        };
        of_key && self.cache() == cache
    }
}

/// What happened since the position that the caller gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// What the caller knew is void: its position is none of this history, or it gave none.
    pub reset: bool,
    /// The changes, oldest first; empty with `reset`. May contain the caller's own earlier writes and what it was told
    /// before, never the writes of the `apply` that this answers.
    pub changes: Vec<Change>,
    /// The position after those changes and, in an answer to `apply`, after its own record.
    pub position: Position,
}

impl Delta {
    /// Nothing happened.
    pub(crate) fn nothing_since(position: Position) -> Self {
        Self { reset: false, changes: Vec::new(), position }
    }
}
