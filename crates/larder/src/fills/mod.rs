//! Fill leases: after a cache was emptied, one process of a node computes a value, and the others
//! wait for it (R26).
//!
//! - [`rules`]: who computes and who waits, as functions without input or output.
//! - [`table`]: the leases, in a file that the processes of the node share.
//! - [`before`]: which keys had a value before their cache was emptied; only for these anybody
//!   waits.

pub(crate) mod before;
pub mod rules;
pub(crate) mod table;
