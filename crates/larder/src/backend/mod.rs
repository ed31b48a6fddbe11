//! What keeps entries and locks: implementations of the [contract](crate::contract).

pub mod dir;
pub mod failover;
pub(crate) mod local;
mod owner;
pub mod redis;
pub mod tier;
