//! The `local:` backend.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod conformance;
mod crash;
mod directory;
mod fork;
mod full;
mod place;
