//! A primary backend, and a fallback that serves while the primary is away.
//!
//! Neither knows of the other; the fallback's own change log is the *control log* of rules R8 to
//! R16 (`docs/protocol.md`, `docs/failover.md`):
//!
//! - It says who serves, in one entry that is changed by compare-and-set.
//! - It holds every invalidation that the primary may have missed; the primary serves only after it
//!   has been told all of them.
//! - Going over to the other tier is for callers another history of changes: a gap, at which they
//!   forget what they have in memory.
//!
//! While all is well a call costs the primary's round trip and nothing else, apart from reading the
//! control log: at each call where that is a file of this node, once a second where it is shared.
//!
//! There are three rooms: `primary` asks the server and tells it what it missed, `fallback` serves
//! while that is away and notes what the server may miss, `control` reads and writes who serves.
//! `rules` decides, without input or output. `backend`, `flip`, `locks` and `health` join them.

mod absorbed;
mod backend;
mod control;
mod events;
mod failure;
mod fallback;
mod flip;
mod health;
mod locks;
mod names;
mod primary;
mod removals;
pub mod rules;

pub use backend::{Failover, Settings};
