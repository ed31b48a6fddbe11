//! Telling whether a process of this node is dead, without mistaking a later one with its number
//! for it.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// A process, by where its number counts, its number, and when it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProcessId {
    /// The namespace of process numbers: containers that share a directory have their own.
    pub(super) space: u64,
    pub(super) id: u32,
    /// In ticks since the boot.
    pub(super) started: u64,
}

impl ProcessId {
    /// This process. All zeros if the system does not say; such a process is never taken for dead.
    pub(super) fn this() -> Self {
        let id = std::process::id();
        Self { space: space(), id, started: stat(id).map_or(0, |stat| stat.started) }
    }

    /// Whether it is dead for sure. One that is alive, or of another namespace, is not.
    pub(super) fn is_dead(self) -> bool {
        if self.started == 0 || self.space == 0 || self.space != space() {
            return false;
        }
        match stat(self.id) {
            Some(stat) => stat.started != self.started || stat.ended,
            // Where other users' processes are hidden, our own are not; and the directory is of one
            // user.
            None => stat(std::process::id()).is_some(),
        }
    }
}

struct Stat {
    started: u64,
    /// Dead, but its parent did not ask for its end yet.
    ended: bool,
}

fn stat(id: u32) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name of the program stands in parentheses and may contain any characters.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X" | "x");
    Some(Stat { started: fields.nth(18)?.parse().ok()?, ended })
}

fn space() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |metadata| metadata.ino())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_living_and_the_dead() {
        assert!(!ProcessId::this().is_dead());
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let process =
            ProcessId { id: child.id(), started: stat(child.id()).unwrap().started, ..ProcessId::this() };
        assert!(!process.is_dead());
        assert!(ProcessId { started: process.started + 1, ..process }.is_dead(), "another with its number");
        assert!(!ProcessId { space: 1, ..process }.is_dead(), "another container's");
        child.kill().unwrap();
        while !stat(child.id()).unwrap().ended {
            std::thread::yield_now();
        }
        assert!(process.is_dead(), "before its parent asked");
        child.wait().unwrap();
        assert!(process.is_dead());
    }
}
