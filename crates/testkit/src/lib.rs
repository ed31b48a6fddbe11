//! What Larder's tests are made of: backends with faults, real servers, one conformance suite.

pub mod conformance;
mod memory;

pub use memory::Memory;
