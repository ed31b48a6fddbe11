//! What can be wrong with a directory.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use larder::contract::Facts;

use super::checks::Check;

/// The rights of a mode that only the owner should have; nodes that share a directory may do so by
/// a group.
fn foreign(scheme: &str) -> u32 {
    if scheme == "dir" { 0o007 } else { 0o077 }
}

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
    if !found.is_dir() {
        return vec![Check::problem("directory", "is not a directory", "name a directory of Larder's own")];
    }
    let this = rustix::process::geteuid().as_raw();
    let grouped = scheme == "dir" && found.mode() & 0o020 != 0;
    if found.uid() != this && !grouped {
        return vec![Check::problem(
            "directory",
            format!("belongs to user {}, and this is user {this}", found.uid()),
            format!(
                "run as the user that PHP runs as, and only as that: sudo -u '#{}' larder …",
                found.uid()
            ),
        )];
    }
    let mode = found.mode() & 0o777;
    let user = format!("user {}, mode {mode:03o}", found.uid());
    let mut checks = vec![if mode & foreign(scheme) == 0 {
        Check::ok("directory", user)
    } else {
        Check::warning(
            "directory",
            format!("{user}: other users may read what sites cache"),
            format!("chmod {} {}", if grouped { "o=" } else { "700" }, path.display()),
        )
    }];
    if scheme == "local"
        && let Ok(disk) = rustix::fs::statvfs(path)
    {
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
                "free some space or give a smaller bound, as in local:/path?size=256M",
            )
        });
    }
    checks
}

/// Reports what the backend of a `local:` directory says.
pub(super) fn local() -> Vec<Check> {
    vec![
        Check::ok("version", format!("LMDB, larder {}", env!("CARGO_PKG_VERSION"))),
        Check::ok("nodes", "one: this directory serves the processes of this machine, not a fleet"),
    ]
}

/// Options of a mount that break a promise, each with why.
const HARMFUL: [(&str, &str); 6] = [
    ("nocto", "an open does not ask the server whether a file changed: old values are served"),
    ("nolock", "locks are the node's own, so that nodes write over each other"),
    ("local_lock=", "locks are the node's own, so that nodes write over each other"),
    ("soft", "a write that was reported as failed may take effect later"),
    ("vers=3", "locks of a node that died are not freed"),
    ("ro", "nothing can be written"),
];
/// Options that only cost requests.
const SLOW: [&str; 2] = ["noac", "actimeo=0"];
/// Filesystems of one machine.
const OF_ONE_NODE: [&str; 5] = ["ext4", "xfs", "btrfs", "tmpfs", "overlay"];
/// How far the clock of the file server may differ: attributes may be as old as an NFS client
/// believes them.
const CLOCKS_DIFFER: Duration = Duration::from_secs(120);

/// Reports what the backend of a shared directory says.
pub(super) fn shared(facts: &Facts) -> Vec<Check> {
    let filesystem = facts.text("filesystem").unwrap_or("unknown");
    let mut checks =
        vec![Check::ok("version", format!("shared directory, larder {}", env!("CARGO_PKG_VERSION")))];
    checks.extend(mount(filesystem, facts.text("mount_options").unwrap_or_default()));
    checks.push(if OF_ONE_NODE.contains(&filesystem) {
        Check::note(
            "nodes",
            format!("{filesystem} is a filesystem of this machine: other nodes do not see it"),
            "for several web nodes give a directory on NFS; for one, local:/path is faster",
        )
    } else {
        Check::ok("nodes", format!("{filesystem}: every node that mounts it"))
    });
    let number = |name| facts.number(name).unwrap_or(0);
    let (free, held, most) = (number("free_bytes"), number("bytes"), number("max_bytes"));
    let found = format!("{} MB free, Larder holds {} of at most {} MB", free >> 20, held >> 20, most >> 20);
    checks.push(if free.saturating_add(held) >= most {
        Check::ok("disk", found)
    } else {
        Check::warning("disk", found, "free some space or give a smaller bound, as in dir:/path?size=256M")
    });
    checks
}

/// Judges the options of a mount.
fn mount(filesystem: &str, options: &str) -> Vec<Check> {
    let has = |wanted: &str| {
        options.split(',').any(|option| match wanted.strip_suffix('=') {
            Some(_) => option.strip_prefix(wanted).is_some_and(|value| value != "none"),
            None => option == wanted,
        })
    };
    let harmful = HARMFUL.iter().filter(|(option, _)| has(option));
    let mut checks: Vec<_> = harmful
        .map(|(option, why)| {
            Check::problem(
                "mount",
                format!("{filesystem} is mounted with {option}: {why}"),
                "see docs/dir.md, Mount options",
            )
        })
        .collect();
    if let Some(option) = SLOW.into_iter().find(|option| has(option)) {
        let found = format!("{filesystem} is mounted with {option}, which costs requests and brings nothing");
        checks.push(Check::warning("mount", found, format!("mount without {option}")));
    }
    if checks.is_empty() {
        checks.push(Check::ok("mount", format!("{filesystem}, no option that breaks a promise")));
    }
    checks
}

/// Compares this node's clock with the file server's, which dates what was just written. Clocks
/// decide about expiry only.
pub(super) fn clock(namespace: &Path) -> Check {
    let entries = std::fs::read_dir(namespace).into_iter().flatten();
    let newest = entries.filter_map(|entry| entry.ok()?.metadata().ok()?.modified().ok()).max();
    let now = SystemTime::now();
    let apart = newest.map(|newest| now.duration_since(newest).unwrap_or_else(|ahead| ahead.duration()));
    match apart {
        Some(apart) if apart > CLOCKS_DIFFER => Check::warning(
            "clock",
            format!(
                "this node and the file server differ by {} s: entries expire so much early or late",
                apart.as_secs()
            ),
            "let both set their clocks by NTP",
        ),
        _ => Check::ok("clock", "as the file server's"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::checks::Level;
    use super::*;

    fn level(options: &str) -> Level {
        mount("nfs", options).first().unwrap().level
    }

    #[test]
    fn mount_options_are_judged() {
        let good = "rw,relatime,vers=4.1,rsize=1048576,hard,noresvport,proto=tcp,local_lock=none";
        assert_eq!(level(good), Level::Ok);
        for bad in ["nocto", "nolock", "local_lock=all", "local_lock=posix", "soft", "ro", "vers=3"] {
            assert_eq!(level(&format!("{good},{bad}")), Level::Problem, "{bad}");
        }
        for slow in ["noac", "actimeo=0"] {
            assert_eq!(level(&format!("{good},{slow}")), Level::Warning, "{slow}");
        }
        assert_eq!(mount("nfs", "soft,nolock,noac").len(), 3);
    }

    #[test]
    fn room_and_nodes_are_judged() {
        let facts = |filesystem: &str, free: u64| {
            let mut facts = Facts::default();
            facts.push("filesystem", filesystem);
            for (name, number) in [("free_bytes", free), ("bytes", 100), ("max_bytes", 1000)] {
                facts.push(name, number);
            }
            facts
        };
        let levels = |facts: &Facts| shared(facts).iter().map(|check| check.level).collect::<Vec<_>>();
        assert_eq!(levels(&facts("nfs", 900)), [Level::Ok; 4]);
        assert_eq!(levels(&facts("ext4", 899)), [Level::Ok, Level::Ok, Level::Note, Level::Warning]);
    }

    #[test]
    fn a_clock_that_differs_is_named() {
        let directory = tempfile::TempDir::new().unwrap();
        let file = std::fs::File::create(directory.path().join("root")).unwrap();
        assert_eq!(clock(directory.path()).level, Level::Ok);
        for off in
            [SystemTime::now() - Duration::from_secs(600), SystemTime::now() + Duration::from_secs(600)]
        {
            file.set_modified(off).unwrap();
            assert_eq!(clock(directory.path()).level, Level::Warning);
        }
    }
}
