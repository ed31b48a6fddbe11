//! A primary backend and a fallback that serves while the primary is away.

pub mod rules;
