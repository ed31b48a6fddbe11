//! A slow network filesystem for tests: a directory, mounted as often as there are nodes.
//!
//! Each mount behaves as an NFS client: every request to the server takes a time, names and
//! attributes are believed for a while, what one mount writes another sees only when it opens the
//! file after the first has closed, synced or unlocked it. Locks are the server's and hold for all
//! mounts. Faults are switched on and off for each mount.
//!
//! Needs `/dev/fuse`; where it is missing tests use the plain directory, and say so.

mod client;
mod faults;
mod mount;
mod server;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fuser::{BackgroundSession, Config, MountOption};

pub use self::faults::Request;
use self::mount::{Mount, Shared};
use self::server::Server;

/// Requests that a mount works on at the same time.
const THREADS: usize = 16;

/// A directory that can be mounted.
pub struct SlowFs {
    server: Arc<Server>,
    mounts: AtomicU64,
}

/// How a mount behaves.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// What each request to the server takes.
    pub delay: Duration,
    /// How long names and attributes are believed without asking.
    pub attribute_cache: Duration,
}

impl Default for Behaviour {
    /// No delay, and caches that do not run out while a test runs: one that passes does not do so
    /// because they did.
    fn default() -> Self {
        Self { delay: Duration::ZERO, attribute_cache: Duration::from_secs(60) }
    }
}

/// A mount; unmounted when it is dropped.
pub struct Node {
    path: PathBuf,
    shared: Arc<Shared>,
    session: Option<BackgroundSession>,
}

/// Whether filesystems can be mounted here. Says so on standard error if not.
pub fn available() -> bool {
    let available =
        rustix::fs::access("/dev/fuse", rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK);
    if available.is_err() {
        eprintln!("without FUSE: there is no /dev/fuse that this user may use");
    }
    available.is_ok()
}

impl SlowFs {
    /// Exports `directory`.
    ///
    /// # Errors
    /// If it is not there.
    pub fn export(directory: &Path) -> io::Result<Self> {
        Ok(Self { server: Arc::new(Server::export(directory)?), mounts: AtomicU64::new(0) })
    }

    /// Mounts the directory at `path`, an empty directory.
    ///
    /// # Errors
    /// If FUSE refuses.
    pub fn mount(&self, path: &Path, behaviour: Behaviour) -> io::Result<Node> {
        self.mount_with(path, behaviour, MountOption::RW)
    }

    /// Mounts the directory so that nothing can be written through it.
    ///
    /// # Errors
    /// If FUSE refuses.
    pub fn mount_read_only(&self, path: &Path, behaviour: Behaviour) -> io::Result<Node> {
        self.mount_with(path, behaviour, MountOption::RO)
    }

    fn mount_with(&self, path: &Path, behaviour: Behaviour, access: MountOption) -> io::Result<Node> {
        let shared = Arc::new(Shared {
            server: Arc::clone(&self.server),
            caches: client::Caches::default(),
            faults: faults::Faults::default(),
            delay: behaviour.delay,
            attribute_cache: behaviour.attribute_cache,
            client: self.mounts.fetch_add(1, Ordering::Relaxed),
            requests: AtomicU64::new(0),
            handles: AtomicU64::new(1),
        });
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("slowfs".to_owned()), access];
        config.n_threads = Some(THREADS);
        config.clone_fd = true;
        let session = fuser::spawn_mount(Mount(Arc::clone(&shared)), path, &config)?;
        Ok(Node { path: path.to_owned(), shared, session: Some(session) })
    }
}

impl Node {
    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Requests sent to the server so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Makes all requests of a kind fail with an error number, until [`heal`](Self::heal).
    pub fn fail(&self, request: Request, errno: i32) {
        self.shared.faults.fail(request, errno);
    }

    /// Makes the server silent, until [`heal`](Self::heal).
    pub fn hang(&self) {
        self.shared.faults.hang();
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.shared.faults.heal();
    }

    /// Takes the mount away: what is below the mount point appears.
    ///
    /// # Errors
    /// If it cannot be unmounted.
    pub fn unmount(mut self) -> io::Result<()> {
        self.heal();
        self.session.take().map_or(Ok(()), BackgroundSession::umount_and_join)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A request that hangs would keep the mount busy.
        self.heal();
        if let Some(session) = self.session.take() {
            let _ = session.umount_and_join();
        }
    }
}
