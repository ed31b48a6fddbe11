//! The `local:` backend.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod conformance;
mod crash;
mod directory;
mod files;
mod fork;
mod full;
mod place;
