//! What can be wrong with a directory.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::checks::{Check, Facts};

/// How many of the lowest bits of a mode are the rights of others than the owner.
const GROUP_AND_OTHERS: u32 = 6;

/// Looks at the directory before it is opened.
pub(super) fn before(path: &Path, max_bytes: u64, scheme: &str) -> Vec<Check> {
    let Ok(found) = std::fs::metadata(path) else {
        return vec![Check::problem(
            "directory",
            "does not exist",
            format!(
                "check the path; to start here: install -d -m 700 -o USER {}, with the user that PHP runs as",
                path.display()
            ),
        )];
    };
    let mode = found.mode() & 0o777;
    let user = format!("user {}, mode {mode:03o}", found.uid());
    let mut checks = vec![if mode.trailing_zeros() >= GROUP_AND_OTHERS {
        Check::ok("directory", user)
    } else {
        Check::warning(
            "directory",
            format!("{user}: other users may read what sites cache"),
            format!("chmod 700 {}", path.display()),
        )
    }];
    if let Ok(disk) = rustix::fs::statvfs(path) {
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let held: u64 = std::fs::read_dir(path)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.metadata().ok())
            .map(|file| file.blocks() * 512)
            .sum();
        let found =
            format!("{} MB free, Larder holds {} of at most {} MB", free >> 20, held >> 20, max_bytes >> 20);
        checks.push(if free.saturating_add(held) >= max_bytes {
            Check::ok("disk", found)
        } else {
            Check::warning(
                "disk",
                found,
                format!("free some space or give a smaller bound, as in {scheme}:/path?size=256M"),
            )
        });
    }
    checks
}

/// Reports what the backend of a `local:` directory says.
pub(super) fn local(facts: &Facts) -> Vec<Check> {
    let version =
        format!("{}, larder {}", facts.get("backend").unwrap_or("local"), env!("CARGO_PKG_VERSION"));
    vec![
        Check::ok("version", version),
        Check::ok("nodes", "one: this directory serves the processes of this machine, not a fleet"),
    ]
}

/// Reports what the backend of a shared directory says.
pub(super) fn shared(facts: &Facts) -> Vec<Check> {
    let filesystem = facts.get("filesystem").unwrap_or("unknown");
    let options = facts.get("mount_options").unwrap_or_default();
    let own_locks = options.split(',').any(|option| {
        option == "nolock" || (option.starts_with("local_lock=") && option != "local_lock=none")
    });
    vec![
        Check::ok("version", format!("shared directory, larder {}", env!("CARGO_PKG_VERSION"))),
        if own_locks {
            Check::problem(
                "locks",
                format!("{filesystem} is mounted with {options}: other nodes do not see this node's locks"),
                "mount without nolock and local_lock",
            )
        } else {
            Check::ok("locks", format!("{filesystem}, no mount option that keeps locks from other nodes"))
        },
    ]
}
