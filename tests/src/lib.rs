//! Cross-process tests; see `tests/`.

pub mod coherence;
pub mod locks;
pub mod random;
pub mod redis;
pub mod text;
pub mod tls;

pub mod crash;
