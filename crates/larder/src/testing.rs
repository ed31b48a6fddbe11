//! What this project's own tests look at, and nothing else may use: single backends, and rules that
//! decide without input or output. It may change at any time.

pub use crate::backend::{dir, failover, redis, tier};
pub use crate::fills::rules as fill_rules;
pub use crate::lock::rules as lock_rules;
