//! Facts for people, and for `larder doctor`.

use std::path::Path;

use super::fs::{self, Fault};
use super::log::Log;
use crate::contract::Facts;

/// Filesystems by the number that they have in `statfs`.
const FILESYSTEMS: [(u32, &str); 9] = [
    (0x6969, "nfs"),
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x0102_1994, "tmpfs"),
    (0x6573_5546, "fuse"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x794c_7630, "overlay"),
];

/// What there is to say of a namespace.
pub(super) fn facts(log: &mut Log, max_bytes: u64) -> Result<Facts, Fault> {
    drop(log.follow()?);
    let (found, filesystem) = log.site().status().map_err(fs::error)?;
    let (path, known) = (log.site().path(), log.known()?);
    let index = known.replica().index();
    let held: u64 = index.caches().map(|(_, keys)| keys.len() as u64).sum();
    let block = u64::try_from(filesystem.f_frsize).unwrap_or(0);
    let mut facts = Facts::default();
    facts.push("path", path.display().to_string());
    facts.push("filesystem", filesystem_name(filesystem.f_type));
    facts.push("mode", format!("{:04o}", found.st_mode & 0o7777));
    facts.push("owner", u64::from(found.st_uid));
    facts.push("incarnation", format!("{:032x}", known.incarnation()));
    facts.push("log_segment", known.segment().number);
    facts.push("log_bytes", known.bytes());
    facts.push("checkpoint_bytes", known.checkpoint_bytes());
    facts.push("entries", held);
    facts.push("files", index.files().count() as u64);
    facts.push("bytes", index.bytes());
    facts.push("max_bytes", max_bytes);
    facts.push("free_bytes", filesystem.f_bavail * block);
    if let Some((point, options)) = mount(path) {
        facts.push("mount_point", point);
        facts.push("mount_options", options);
    }
    Ok(facts)
}

fn filesystem_name(kind: i64) -> String {
    let known = FILESYSTEMS.iter().find(|(number, _)| i64::from(*number) == kind);
    known.map_or_else(|| format!("{kind:#x}"), |(_, name)| (*name).to_owned())
}

/// The mount that a path is on: where, and with which options of the mount and of the filesystem.
fn mount(path: &Path) -> Option<(String, String)> {
    let real = path.canonicalize().ok()?;
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mounts = table.lines().filter_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(4);
        let (point, options) = (unescape(front.next()?), front.next()?);
        let super_options = back.split(' ').nth(2)?;
        real.starts_with(&point).then(|| (point, format!("{options},{super_options}")))
    });
    // The last of those with the longest path is the one on top.
    mounts.max_by_key(|(point, _)| point.len())
}

/// The table writes spaces and the like as octal numbers.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}
