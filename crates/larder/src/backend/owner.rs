//! Whose directories may be used, and who may create one.
//!
//! Who may write to a directory can plant entries in it, and what this process creates it alone can
//! use. So a directory belongs to the user that runs the process; one that its group may write to
//! belongs to the group.

use rustix::process::{getegid, geteuid, getgroups};

/// The mode bits that let the group and everybody write.
const GROUP_WRITES: u32 = 0o020;
const ALL_WRITE: u32 = 0o002;

/// Why a directory of this owner, group and mode may not be used; `None` if it may. `grouped` = it
/// may be that of a group.
pub(super) fn refusal((owner, group, mode): (u32, u32, u32), grouped: bool) -> Option<String> {
    if mode & ALL_WRITE != 0 {
        return Some("is writable by everybody".to_owned());
    }
    let own = owner == geteuid().as_raw();
    if own || (grouped && mode & GROUP_WRITES != 0 && is_in(group)) {
        return None;
    }
    Some(format!("belongs to user {owner}; run as that user, which is the one that PHP runs as"))
}

/// Why nothing may be created in a directory of this owner; `None` if it may. Root could anywhere,
/// and would lock out whom the place belongs to.
pub(super) fn creation_refusal(owner: u32) -> Option<String> {
    (geteuid().is_root() && owner != 0).then(|| {
        format!("is not there, and root would make it for itself; run as user {owner}, to whom the directory above belongs")
    })
}

fn is_in(group: u32) -> bool {
    getegid().as_raw() == group
        || getgroups().is_ok_and(|groups| groups.iter().any(|one| one.as_raw() == group))
}
