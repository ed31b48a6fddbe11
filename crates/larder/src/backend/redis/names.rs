//! Looking up the addresses of a host, within a time.
//!
//! The system cannot be told how long a look-up may take, so a thread makes it. One that takes too
//! long is left to itself; what it finds is there for the next who asks.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::boot_nanos;
use crate::threads;

/// The most look-ups of a process at a time, for all servers together.
const MAX_LOOKUPS: u64 = 16;

/// A host and a port.
pub(super) type Host = (String, u16);

/// The most hosts that anything is known of.
const MAX_HOSTS: usize = 64;

/// What is known of the addresses of hosts.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<HashMap<String, Known>>);

#[derive(Debug, Default)]
struct Known {
    /// The addresses that were found last.
    good: Vec<SocketAddr>,
    /// A look-up that may still run, and the process that it runs in.
    running: Option<(u32, Arc<Lookup>)>,
}

/// One look-up.
#[derive(Debug, Default)]
struct Lookup {
    found: Mutex<Option<Result<Vec<SocketAddr>, String>>>,
    done: Condvar,
}

impl Names {
    /// The addresses of a host: as they are now, or as they were if that cannot be found out. With
    /// some that were good, half of the time until `until` is left for them.
    pub(super) fn look_up(&self, host: &str, port: u16, until: u64) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![(address, port).into()]);
        }
        let (lookup, good) = {
            let mut hosts = lock(&self.0);
            if hosts.len() >= MAX_HOSTS && !hosts.contains_key(host) {
                hosts.clear();
            }
            let known = hosts.entry(host.to_owned()).or_default();
            let lookup = known.running().map_or_else(|| begin(host, port), Ok);
            known.running = lookup.as_ref().ok().map(|lookup| (std::process::id(), Arc::clone(lookup)));
            (lookup, known.good.clone())
        };
        let left = until.saturating_sub(boot_nanos());
        let patience = Duration::from_nanos(if good.is_empty() { left } else { left / 2 });
        match lookup.and_then(|lookup| lookup.wait(patience)) {
            Ok(found) => {
                lock(&self.0).entry(host.to_owned()).or_default().good.clone_from(&found);
                Ok(found)
            }
            Err(error) if good.is_empty() => Err(io::Error::new(error.kind(), format!("{host}: {error}"))),
            Err(_) => Ok(good),
        }
    }
}

impl Known {
    /// The look-up that still runs. What one has found that is done is kept, but it may be old.
    fn running(&mut self) -> Option<Arc<Lookup>> {
        let (process, lookup) = self.running.take()?;
        // That of a parent process never ends here.
        if process != std::process::id() {
            return None;
        }
        match lock(&lookup.found).as_ref() {
            None => {}
            Some(found) => {
                if let Ok(found) = found {
                    self.good.clone_from(found);
                }
                return None;
            }
        }
        Some(lookup)
    }
}

impl Lookup {
    fn wait(&self, patience: Duration) -> io::Result<Vec<SocketAddr>> {
        let found = self.done.wait_timeout_while(lock(&self.found), patience, |found| found.is_none());
        match found.unwrap_or_else(PoisonError::into_inner).0.as_ref() {
            Some(Ok(found)) => Ok(found.clone()),
            Some(Err(error)) => Err(io::Error::new(ErrorKind::NotFound, error.clone())),
            None => Err(io::Error::new(ErrorKind::TimedOut, "the lookup of its addresses took too long")),
        }
    }
}

fn begin(host: &str, port: u16) -> io::Result<Arc<Lookup>> {
    let place = Place::take().ok_or_else(|| io::Error::other("too many lookups of addresses do not end"))?;
    let (lookup, host) = (Arc::new(Lookup::default()), host.to_owned());
    let result = Arc::clone(&lookup);
    threads::spawn("larder-names", move || {
        let found = match (host.as_str(), port).to_socket_addrs().map(Vec::from_iter) {
            Ok(found) if found.is_empty() => Err("the host has no address".to_owned()),
            found => found.map_err(|error| error.to_string()),
        };
        drop(place);
        *lock(&result.found) = Some(found);
        result.done.notify_all();
    })?;
    Ok(lookup)
}

/// One of the [`MAX_LOOKUPS`].
struct Place;

/// The process, and how many of them it has taken. Those of a parent process are not taken in its
/// child.
static PLACES: AtomicU64 = AtomicU64::new(0);

impl Place {
    fn take() -> Option<Self> {
        let taken = PLACES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |places| {
            let taken = if places >> 32 == here() { places & 0xffff_ffff } else { 0 };
            (taken < MAX_LOOKUPS).then_some((here() << 32) | (taken + 1))
        });
        taken.ok().map(|_| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Only a thread of the process that took it comes here.
        PLACES.fetch_sub(1, Ordering::Relaxed);
    }
}

fn here() -> u64 {
    u64::from(std::process::id())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
