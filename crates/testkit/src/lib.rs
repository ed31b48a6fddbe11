//! What Larder's tests are made of: backends with faults, real servers, one conformance suite.

mod memory;

pub use memory::Memory;
