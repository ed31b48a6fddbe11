//! What the cached values are computed from: one counter for each key, shared by all processes
//! without a lock.
//!
//! The counter is the length of a file. To change the truth is to append a byte, to read it is to
//! look at the length: both are atomic, and the number never goes back.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::Name;

/// The counters in a directory.
pub struct Truth {
    files: Vec<(Name, File)>,
}

impl Truth {
    /// Opens the counters; those that are not there begin at zero.
    ///
    /// # Errors
    /// If the directory cannot be written.
    pub fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let open = |name: Name| {
            let path = directory.join(format!("{}.{}", name.cache, name.key));
            Ok((name, File::options().append(true).create(true).open(path)?))
        };
        Ok(Self { files: Name::all().map(open).collect::<io::Result<_>>()? })
    }

    /// The truth now.
    ///
    /// # Errors
    /// If the file cannot be looked at.
    pub fn read(&self, name: Name) -> io::Result<u64> {
        Ok(self.file(name)?.metadata()?.len())
    }

    /// Changes it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn change(&self, name: Name) -> io::Result<()> {
        self.file(name)?.write_all(b".")
    }

    fn file(&self, name: Name) -> io::Result<&File> {
        let found = self.files.iter().find(|(known, _)| *known == name);
        found.map(|(_, file)| file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
