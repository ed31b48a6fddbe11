//! The files of a namespace: every call that this backend makes of a filesystem, and the thread
//! that makes them.
//!
//! Nothing here knows what is in the files.

mod failure;
mod files;
mod hold;
mod names;
mod site;
mod worker;

pub(super) use self::failure::{Fault, NAME, error, foreign};
pub use self::files::Observer;
pub(super) use self::files::{Files, OpenFile};
pub(super) use self::hold::{Deadline, Hold};
pub(super) use self::names::{FileId, FileKind};
pub(super) use self::site::Site;
pub(super) use self::worker::{Permit, Worker};
