//! Waking who waits for a lock on the same node: a socket in Linux's abstract namespace for each, which costs no
//! filesystem call. It vanishes with its process, which tells the dead from the living.
//!
//! A bell says nothing but "look again": whoever rings it by chance or malice costs its owner one look.

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

/// The sleep of somebody who has no bell.
const BLIND_DOZE: Duration = Duration::from_millis(20);

/// The bells of those who wait through one handle.
#[derive(Default)]
pub(super) struct Bells {
    own: Mutex<HashMap<Token, Bell>>,
}

struct Bell {
    socket: Arc<UnixDatagram>,
    /// When its owner asked last.
    asked: Duration,
}

impl Bells {
    /// Makes sure that `token` can be woken. Gives where: this node, or 0 if there are no sockets to be had.
    pub(super) fn hang(&self, token: Token) -> u64 {
        let (mut own, asked) = (self.own(), boottime());
        if let Some(bell) = own.get_mut(&token) {
            bell.asked = asked;
            return here();
        }
        match address(token).and_then(|address| UnixDatagram::bind_addr(&address)) {
            Ok(socket) => {
                own.insert(token, Bell { socket: Arc::new(socket), asked });
                here()
            }
            Err(_) => 0,
        }
    }

    /// Takes the bell of `token` down.
    pub(super) fn take_down(&self, token: Token) {
        self.own().remove(&token);
    }

    /// Takes the bells down of those who have been silent for too long; whether any hang.
    pub(super) fn forget_the_silent(&self) -> bool {
        let (mut own, now) = (self.own(), boottime());
        own.retain(|_, bell| now.saturating_sub(bell.asked) < Duration::from_millis(SEEN));
        !own.is_empty()
    }

    /// Sleeps until the bell of `token` rings, for `at_most` at the longest.
    pub(super) fn doze(&self, token: Token, at_most: Duration) {
        let bell = self.own().get(&token).map(|bell| Arc::clone(&bell.socket));
        let Some(bell) = bell else { return thread::sleep(BLIND_DOZE.min(at_most)) };
        // A time-out of zero would be none. A signal ends the sleep early.
        if bell.set_read_timeout(Some(at_most.max(Duration::from_micros(1)))).is_ok() {
            let _ = bell.recv(&mut [0; 1]);
        }
    }

    fn own(&self) -> MutexGuard<'_, HashMap<Token, Bell>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rings the bell of `token`, if it hangs on this node.
pub(super) fn ring(token: Token) {
    // A bell that rang so often that no more can be queued will be heard as well.
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

/// This boot of this node, as far as its processes see each other's sockets: containers have their own.
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

    #[test]
    fn a_bell_wakes_and_vanishes_with_its_owner() {
        let (bells, token) = (Bells::default(), Token::from_number(super::super::random()));
        assert!(is_dead(here(), token));
        assert_eq!(bells.hang(token), here());
        assert!(!is_dead(here(), token));
        ring(token);
        bells.doze(token, Duration::from_mins(1));
        assert!(!is_dead(0, Token::from_number(1)) && !is_dead(here() ^ 1, Token::from_number(1)));
        bells.take_down(token);
        assert!(is_dead(here(), token));
        ring(token);
    }
}
