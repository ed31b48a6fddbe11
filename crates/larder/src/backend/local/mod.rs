//! The `local:` backend: an embedded LMDB file in a directory of this node's own disk.
//!
//! Any number of processes use the directory at once. A `fetch` is one read transaction, so that
//! changes and entries are of one snapshot; an `apply` is one write transaction.
//!
//! # What survives
//!
//! A process may be killed at any time: what was acknowledged is there, what was not is there whole
//! or not at all, and the locks of the dead are freed by the kernel. The file is never synced to
//! disk, for speed. So it does not outlive the boot: the first to open it after a restart of the
//! machine finds the mark of another boot, removes it and begins with an empty one. The same
//! happens to a copy that somebody put in its place or wrote over it, to a file that was cut short
//! or that LMDB finds damaged, and where the mark or LMDB's table of readers was removed. Each call
//! sees first whether the files are still there and as long as they were.
//!
//! # Size
//!
//! The file never grows beyond the size given. When entries take 70 % of it, the oldest (by the
//! time of writing) are evicted. A write that brings more than a quarter of the size is refused;
//! what it would have replaced is removed.
//!
//! # Limits
//!
//! - A process that was stopped by a signal while it writes holds up writers; they give up after 5
//!   s as "unavailable". Readers go on. One stopped in the middle of a read keeps the pages it sees
//!   from being reused; if the file fills up meanwhile, it is replaced by an empty one.
//! - LMDB takes a slot for each reader under a short lock of its own, without a time-out: a process
//!   stopped just there, for some hundred nanoseconds of each read, holds up readers that need a
//!   new slot.
//! - All handles of a process on one directory share the size that the first gave. A file that is
//!   larger than the size given later is not shrunk.
//! - A file that is cut short in the very moment in which it is read ends the process (`SIGBUS`).
//!   An older copy that was written over the file while no process had it open is only known for
//!   one by `larder.lock`, which must not be older, too.
//! - Containers may share a directory. Where two processes have the same number, one of them reads
//!   in a writer's turn.
//! - Programs with several threads must not fork while another thread is in a call, if the child
//!   uses the store.

mod backend;
mod bounds;
pub(super) mod changes;
mod directory;
pub(super) mod environment;
pub(super) mod fault;
mod handle;
pub(super) mod last_changes;
mod lock_row;
mod locks;
mod process;
pub(super) mod read;
pub(super) mod room;
pub(super) mod rows;
pub(super) mod tables;
mod wake;
pub(super) mod write;
mod write_lock;

pub(crate) use self::backend::{Local, Settings};
pub(super) use self::handle::Handle;
