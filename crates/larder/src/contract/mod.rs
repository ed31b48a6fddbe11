//! The contract between Larder and what keeps its entries.
//!
//! A backend holds *entries*, grouped in *caches*, and beside them one ordered, bounded *log of
//! changes*. A write changes the entries and appends one record to the log in a single atomic step.
//! Every answer brings the changes since the position the caller last saw, so a caller that keeps
//! decoded values in memory (the near cache) learns in the same round trip which of them are no
//! longer current.
//!
//! What every backend must do, checked by one conformance suite (`larder-testkit`); rule numbers
//! are those of `docs/protocol.md`:
//!
//! 1. **Position before data.** The log is read before the entries; an answer's entries are at
//!    least as new as its [`Delta::position`] (R3).
//! 2. **Exact gaps.** If the position `since` is none of this history, the answer says `reset` and
//!    lists no changes. It never guesses (R1, R2). If it is one, but its record is no longer in the
//!    log, or more than [`MAX_CHANGES`] changes followed it, the answer names each cache that
//!    changed since as [`Change::Unlisted`], and no other; it may name only some of them, and list
//!    the keys of the others (R29). Should it not be able to tell, it says `reset`.
//! 3. **One identity.** A backend serves only while it is sure that it lost nothing it
//!    acknowledged; when it is not sure (restart, failover, restored copy) it empties the logged
//!    caches under a new incarnation before it answers (R5).
//! 4. **Guards.** A [`Op::Set`] with a [`Guard`] takes effect only if its key and cache did not
//!    change since that position (R6); where that is as far back as in 2, only if nothing in its
//!    cache did. Otherwise it is
//!    [`Outcome::Dropped`] and nothing is written for it; but a fill that lost against a set of another value is
//!    [`Outcome::Cleared`]: the key is deleted, and that is logged.
//! 5. **No zombies.** When a write returned an error, it will not take effect after that return
//!    (R7). It may have taken effect before.
//! 6. **All or nothing.** The operations of one `apply` take effect together, in order, or not at
//!    all.
//! 7. **Unlogged caches** are outside of all this: no records, no incarnation. They survive a
//!    change of identity, and nobody may keep their entries in memory.

mod backend;
mod cache;
mod entries;
mod facts;
mod guard;
pub(crate) mod health;
mod locks;
mod log;

pub use backend::Backend;
pub use cache::CacheId;
pub(crate) use cache::DURABLE;
pub use entries::{Applied, CacheUsage, Fetched, Op, Outcome, Read, Settled};
pub use facts::{Fact, Facts};
pub use guard::{Guard, Ruling, Since};
pub(crate) use health::Health;
pub use health::Tier;
pub use locks::{
    Attempt, Claim, Handed, LockBackend, LockInfo, LockKind, LockProof, Renewal, Token, lock_name,
    named_lock_name, parse_lock_name,
};
pub use log::{Change, Delta, MAX_CHANGES, Position};
pub(crate) use log::{MAX_READ, listed};

pub use crate::clock::Millis;
pub use crate::error::Result;
