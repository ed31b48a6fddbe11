//! Locks: one holder at the backend, found out by whoever lost one, handed over without polling.
//!
//! A lock belongs to a *token*, a random number drawn for each attempt to get it, so that owners
//! with the same name are told apart. It is held for a *lease*, which a thread of its own renews
//! while the process lives. Each grant has a *fencing number* larger than all before; a write that
//! shows token and number is refused once the lock has gone to another (R22 to R25 of
//! `docs/protocol.md`).
//!
//! There are two [kinds](crate::contract::LockKind): *cache locks*, which guard entries of their
//! cache and are always to be had at once, and *named locks*, which guard something outside of
//! Larder and have a grace after a loss.

mod guard;
mod held;
mod holder;
mod named;
mod renewal;
pub mod rules;

pub use guard::LockGuard;
pub(crate) use holder::{Lender, Waiting};
pub use named::{Forgotten, NamedLocks};
