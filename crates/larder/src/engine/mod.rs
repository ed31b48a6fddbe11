//! For bindings to other languages: reads and writes through the near cache, with values of the
//! binding's own kind.
//!
//! [`Engine`] is what [`Store`](crate::Store) and the PHP extension share. A binding says how a payload becomes a value
//! ([`Decode`]), has one [`Memories`] for all engines of its process, and tells when a request
//! begins and ends. [`payload`] has the pieces of the format for bindings with a codec of their
//! own.
mod audit;
mod calls;
mod fills;
mod get_or_wait;
mod handle;
mod hot_set;
mod lenders;
mod locks;
mod lost_fills;
mod memory;
mod own;
mod peek;
mod posts;
mod reads;
mod refused;
mod statistics;
mod turns;
mod warm;
mod writes;

pub use self::calls::Engine;
pub use self::handle::{Decode, Handle, Item, MAX_KEY};
pub use self::locks::{key_lock, named_lock};
pub use self::memory::Memories;
pub use crate::config::{RedisAddress, Secret, Server};
pub use crate::lock::{Forgotten, NamedLocks};
pub use crate::open::open as open_backend;

/// What administrators look at: records of who did what, and what the fleet did.
pub mod observe {
    pub use crate::engine::audit::AuditRecord;
    pub use crate::statistics::{CacheCounts, NodeStatistics, Sample, StoreCounts};
}

/// The encoding of values (`docs/format.md`), for bindings with values or a codec of their own.
pub mod payload {
    pub use crate::payload::{
        Broken, EXT_OBJECT, EXT_PHP, EXT_SHAPE, EXT_STRING, Key, MAX_DEPTH, MAX_SHAPE_KEYS, MIN_SHAPE_KEYS,
        PayloadError, Reader, Token, Value, from_payload, is_shape_len, is_shared_len, numeric_key,
        to_payload, to_php_serialized, write,
    };
}
