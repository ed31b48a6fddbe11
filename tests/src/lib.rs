//! Cross-process tests; see `tests/`.

pub mod redis;
