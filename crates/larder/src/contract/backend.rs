//! What keeps entries.

use super::cache::CacheId;
use super::entries::{Applied, CacheUsage, Fetched, Op, Read, Settled};
use super::facts::Facts;
use super::health::Health;
use super::locks::LockBackend;
use super::log::Position;
use crate::clock::Millis;
use crate::error::Result;

/// Keeps entries and the log of their changes. See the [module](super) for the contract.
///
/// Calls block for a bounded time (the configured time-outs). All errors are of kind
/// [`Unavailable`](crate::ErrorKind::Unavailable), [`Refused`](crate::ErrorKind::Refused),
/// [`Foreign`](crate::ErrorKind::Foreign) or, for a set with a proof, [`LockLost`](crate::ErrorKind::LockLost).
pub trait Backend: Send + Sync {
    /// The changes since `since`, then the entries asked for. One round trip; after a gap, two more
    /// at the most.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses.
    fn fetch(&self, since: Option<Position>, reads: &[Read<'_>]) -> Result<Fetched>;

    /// Makes all changes of `ops` and logs them, atomically. One round trip.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses. The operations may have taken effect; they will
    /// not do so after the return.
    fn apply(&self, since: Option<Position>, ops: &[Op<'_>]) -> Result<Applied>;

    /// Sends a fill - a set in a logged cache with a [`Guard::Fill`](super::Guard::Fill) and no
    /// proof - without waiting for the answer (R31), if that can be done now; if not, nothing was
    /// done. Whoever is told that it was sent has to ask what became of it.
    ///
    /// It takes effect before whatever this handle is asked next, or not at all. The changes that
    /// later answers list leave out a fill that was stored. One that lost may have been dropped
    /// where [`apply`](Self::apply) would have left another value alone: then neither is left. No
    /// round trip.
    fn post(&self, since: Option<Position>, fill: &Op<'_>) -> bool {
        let _ = (since, fill);
        false
    }

    /// What became of the fills that were posted and whose answers have come; each is told once.
    /// With `at`, where the caller stands, also what happened since. No round trip, or one if the
    /// answers are waited for.
    fn settled(&self, at: Option<Position>, wait: bool) -> Vec<Settled> {
        let _ = (at, wait);
        Vec::new()
    }

    /// Entries that are known without a round trip to be at least as new as `at`, where the caller
    /// stands by its last answer; `None` where nothing is known, or there is no entry.
    fn peek(&self, at: Position, reads: &[Read<'_>]) -> Vec<Option<Vec<u8>>> {
        let _ = at;
        vec![None; reads.len()]
    }

    /// Calls `visit` with each key of `cache` that starts with `prefix`, in no particular order.
    /// Keys stored or removed meanwhile may be seen or not, all others are seen once or more. A
    /// round trip for each batch of some hundred keys.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses.
    fn list(&self, cache: &CacheId, prefix: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<()>;

    /// The caches that hold entries. Some round trips, more with more caches.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses.
    fn usage(&self) -> Result<Vec<CacheUsage>>;

    /// Empties everything, unlogged caches included, under a new incarnation. Some round trips,
    /// however much there is.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses.
    fn reset(&self) -> Result<()>;

    /// The locks kept beside the entries; `None` if this backend keeps none.
    fn locks(&self) -> Option<&dyn LockBackend> {
        None
    }

    /// Whether this backend copes with outages itself: it leaves alone for a moment what did not
    /// answer, so that its caller need not, and tells who serves in [`health`](Self::health) and
    /// [`events`](Self::events).
    fn copes_with_outages(&self) -> bool {
        false
    }

    /// How entries are served now. A round trip or two.
    fn health(&self) -> Health {
        self.reach().err().map_or_else(Health::default, |error| Health::away(error.to_string()))
    }

    /// Asks now, also what is left alone after a failure, for the error that it has. A round trip
    /// or two.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses.
    fn reach(&self) -> Result<()> {
        self.fetch(None, &[]).map(drop)
    }

    /// Takes what there is to log about who serves: one line for each change on this node, given to
    /// one of its processes. No round trip.
    fn events(&self) -> Vec<String> {
        Vec::new()
    }

    /// The time on the backend's clock, as far as known without asking it.
    fn now(&self) -> Millis;

    /// Round trips (Redis), transactions (local) or filesystem calls (dir) made by this handle so
    /// far.
    fn round_trips(&self) -> u64;

    /// Bytes sent to a server and received from it by this handle so far; none where there is no
    /// server.
    fn bytes(&self) -> (u64, u64) {
        (0, 0)
    }

    /// Facts about the backend, for people and for checks. Some round trips.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses.
    fn describe(&self) -> Result<Facts>;
}
