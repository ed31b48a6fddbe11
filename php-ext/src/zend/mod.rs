//! The engine's data as this extension builds and reads it: strings, arrays, objects, and the
//! functions of PHP's own serializer.
//!
//! The layouts come from the headers of the PHP the crate is built for. Nothing here knows of
//! payloads or of the near cache.

pub(crate) mod alive;
pub(crate) mod apart;
pub(crate) mod ffi;
pub(crate) mod guard;
pub(crate) mod keys;
pub(crate) mod limit;
pub(crate) mod memory;
pub(crate) mod method;
pub(crate) mod object;
pub(crate) mod quiet;
pub(crate) mod shared;
pub(crate) mod table;
