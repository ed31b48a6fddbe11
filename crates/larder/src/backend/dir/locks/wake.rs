//! Waking who waits for a lock on the same node: a socket in Linux's abstract namespace for each,
//! which costs no filesystem call. It vanishes with its process, which tells the dead from the
//! living.
//!
//! Any user can send to such a socket. So a message says nothing but "look again", and costs the
//! waiter one look.

use std::collections::HashMap;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use crate::clock::boottime;
use crate::contract::Token;
use crate::lock::rules::SEEN;

/// How long somebody without a socket sleeps.
const WITHOUT_SOCKET: Duration = Duration::from_millis(20);

/// The sockets of those who wait through one handle.
#[derive(Default)]
pub(crate) struct WakeSockets {
    own: Mutex<HashMap<Token, WakeSocket>>,
}

struct WakeSocket {
    socket: Arc<UnixDatagram>,
    /// When the waiter asked last.
    asked: Duration,
}

impl WakeSockets {
    /// Makes sure that `token` can be woken. Gives where: this node, or 0 if there are no sockets
    /// to be had.
    pub(crate) fn open(&self, token: Token) -> u64 {
        let (mut own, asked) = (self.own(), boottime());
        if let Some(waiting) = own.get_mut(&token) {
            waiting.asked = asked;
            return here();
        }
        match address(token).and_then(|address| UnixDatagram::bind_addr(&address)) {
            Ok(socket) => {
                own.insert(token, WakeSocket { socket: Arc::new(socket), asked });
                here()
            }
            Err(_) => 0,
        }
    }

    /// Closes the socket of `token`.
    pub(crate) fn close(&self, token: Token) {
        self.own().remove(&token);
    }

    /// Closes the sockets of those who have been silent for too long; whether any is left.
    pub(crate) fn close_the_silent(&self) -> bool {
        let (mut own, now) = (self.own(), boottime());
        own.retain(|_, waiting| now.saturating_sub(waiting.asked) < Duration::from_millis(SEEN));
        !own.is_empty()
    }

    /// Sleeps until `token` is notified, for `at_most` at the longest.
    pub(crate) fn park(&self, token: Token, at_most: Duration) {
        let socket = self.own().get(&token).map(|waiting| Arc::clone(&waiting.socket));
        let Some(socket) = socket else { return thread::sleep(WITHOUT_SOCKET.min(at_most)) };
        // A time-out of zero would be none. A signal ends the sleep early.
        if socket.set_read_timeout(Some(at_most.max(Duration::from_micros(1)))).is_ok() {
            let _ = socket.recv(&mut [0; 1]);
        }
    }

    fn own(&self) -> MutexGuard<'_, HashMap<Token, WakeSocket>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes `token`, if it waits on this node.
pub(crate) fn notify(token: Token) {
    // A queue that is full wakes as well.
    let _ = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to_addr(b"!", &address(token)?)
    });
}

/// Whether who waited at `node` is dead for sure.
pub(super) fn is_dead(node: u64, token: Token) -> bool {
    let knock = || UnixDatagram::unbound()?.connect_addr(&address(token)?);
    node != 0
        && node == here()
        && knock().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// A token would let its reader give the lock back, and names of sockets are no secret.
fn address(token: Token) -> io::Result<SocketAddr> {
    let hash = blake3::hash(&token.number().to_le_bytes()).to_hex();
    SocketAddr::from_abstract_name(format!("larder/{hash}"))
}

/// This boot of this node, as far as its processes see each other's sockets: containers have their
/// own.
pub(super) fn here() -> u64 {
    static HERE: OnceLock<u64> = OnceLock::new();
    *HERE.get_or_init(|| {
        let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let network = std::fs::read_link("/proc/self/ns/net").unwrap_or_default();
        if boot.is_empty() || network.as_os_str().is_empty() {
            return 0;
        }
        let hash = blake3::hash(&[&boot, network.as_os_str().as_encoded_bytes()].concat());
        hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::random;

    #[test]
    fn a_socket_wakes_and_vanishes_with_its_owner() {
        let (sockets, token) =
            (WakeSockets::default(), Token::from_number(u128::from_le_bytes(random().unwrap())));
        assert!(is_dead(here(), token));
        assert_eq!(sockets.open(token), here());
        assert!(!is_dead(here(), token));
        notify(token);
        sockets.park(token, Duration::from_secs(60));
        assert!(!is_dead(0, Token::from_number(1)) && !is_dead(here() ^ 1, Token::from_number(1)));
        sockets.close(token);
        assert!(is_dead(here(), token));
        notify(token);
    }
}
