//! Entries: read from where the index says that they are, written before the record that makes them
//! count, given up and removed when they are too many.

mod read;
mod request;
mod upkeep;
mod write;

pub(super) use self::read::{fetch, keys, usage};
pub(super) use self::request::{Ops, Reads};
pub(super) use self::upkeep::Upkeep;
pub(super) use self::write::apply;
