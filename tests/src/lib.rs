//! Cross-process tests; see `tests/`.

pub mod coherence;
pub mod locks;
pub mod redis;
pub mod tls;

pub mod crash;
