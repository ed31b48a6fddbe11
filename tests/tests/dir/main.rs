//! The shared directory beyond the conformance suite: what calls cost, what a crash leaves, what
//! faults and hostile directories do.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod cost;
mod crash;
mod damage;
mod disk;
mod faults;
mod hostile;
mod owner;
mod restore;
mod support;
mod writers;
