//! A server with a fallback: what pages see while it is away, and that nothing old is seen after.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod barred;
mod conformance;
mod descriptors;
mod disk;
mod ends;
mod faults;
mod fleet;
mod peer;
mod rules;
mod support;
