//! The engine's data as this extension builds and reads it: strings, arrays, and the functions of PHP's own serializer.
//!
//! Everything here is raw. The layouts come from the headers of the PHP the crate is built for.

pub(crate) mod apart;
pub(crate) mod ffi;
pub(crate) mod guard;
pub(crate) mod limit;
pub(crate) mod memory;
pub(crate) mod method;
pub(crate) mod quiet;
pub(crate) mod table;

pub(crate) use ffi::{HashTable, ZStr, Zv};
