//! Cross-process tests; see `tests/`.
