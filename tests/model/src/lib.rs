//! The protocol of failover as a model that is checked exhaustively; `docs/failover.md` says what
//! it means.

#![expect(clippy::indexing_slicing, reason = "processes are numbered, and the numbers are the model's own")]

mod action;
mod canonical;
mod check;
mod fills;
pub mod locks;
mod reader;
mod scenario;
mod state;
mod tiers;
mod world;
mod writer;

pub use check::{Found, check};
pub use fills::{FillRule, check_fills};
pub use scenario::{Bounds, Rule, SCENARIOS};
