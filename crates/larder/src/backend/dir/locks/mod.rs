//! Locks: what becomes of one, and how those who wait for it on the same node are woken.

mod draft;
mod wake;

pub(super) use self::draft::{Asking, Draft, Renewing, dead_locks};
pub(super) use self::wake::WakeSockets;
