//! The node tier: a node cache in front of any backend.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod conformance;
mod faults;
mod placed;
mod warm;
