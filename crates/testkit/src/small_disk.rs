//! A disk that is soon full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A filesystem of 3 MB, as long as this lives.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Makes a directory and mounts the filesystem there; `None`, and a line that says so, where
    /// that takes rights that we do not have.
    ///
    /// # Panics
    /// If the directory cannot be made.
    pub fn mount(at: &Path) -> Option<Self> {
        fs::create_dir(at).unwrap_or_else(|error| unreachable!("make a mount point: {error}"));
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=3m,mode=0700", "none"]).arg(at).stderr(Stdio::null());
        let mounted = mount.status().is_ok_and(|status| status.success());
        if !mounted {
            crate::skipped("a filesystem cannot be mounted here, so none is full");
        }
        mounted.then(|| Self(at.to_owned()))
    }

    /// Leaves no room on it.
    ///
    /// # Panics
    /// If there is room for more than it has.
    pub fn fill(&self) {
        let filling = fs::write(self.0.join("filling"), vec![0; 4 << 20]);
        assert!(filling.is_err(), "it should be full now");
    }

    /// Makes room again.
    ///
    /// # Panics
    /// If it was not filled.
    pub fn clear(&self) {
        let cleared = fs::remove_file(self.0.join("filling"));
        cleared.unwrap_or_else(|error| unreachable!("make room: {error}"));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: files may still be open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
