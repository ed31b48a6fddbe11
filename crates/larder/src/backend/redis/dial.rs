//! Connections to a given host: its addresses, one that answers, and TLS if that is wanted.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::failure::cannot_connect;
use super::names::{Host, Names};
use super::stream::Stream;
use super::tls::{Trust, bad_certificate};
use crate::clock::boot_nanos;
use crate::config::Access;
use crate::error::{Error, Result};

/// What is known of the ways to hosts.
#[derive(Debug, Default)]
pub(super) struct Dialer {
    names: Names,
    trust: Trust,
}

impl Dialer {
    /// Connects to a socket of this node, until `until` at the longest.
    pub(super) fn unix(path: &Path, until: u64) -> Result<Stream> {
        let begun = boot_nanos();
        connect_unix(path, until)
            .map(Stream::plain)
            .map_err(|error| failed(error, until.saturating_sub(begun)))
    }

    /// Connects to a host, until `until` at the longest; with TLS as `access` says, if there is
    /// one.
    pub(super) fn tcp(&self, (host, port): &Host, access: Option<&Access>, until: u64) -> Result<Stream> {
        let begun = boot_nanos();
        let failed = |error| failed(error, until.saturating_sub(begun));
        let Some(access) = access else {
            return self.connect_tcp(host, *port, until).map(Stream::plain).map_err(failed);
        };
        let config = self.trust.config(access)?;
        let socket = self.connect_tcp(host, *port, until).map_err(failed)?;
        let name = access.tls_server_name.as_ref().unwrap_or(host);
        Stream::secured(socket, config, name, until).map_err(|error| {
            let kind = error.kind();
            let reason = bad_certificate(&error)
                .inspect(|_| self.trust.forget())
                .unwrap_or_else(|| format!("TLS: {}", in_time(error, "no handshake in time")));
            failed(io::Error::new(kind, reason))
        })
    }

    fn connect_tcp(&self, host: &str, port: u16, until: u64) -> io::Result<Socket> {
        let addresses = self.names.look_up(host, port, until)?;
        let mut failed = ErrorKind::NotFound.into();
        for (address, rest) in addresses.iter().zip((1..=addresses.len()).rev()) {
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
            // One that does not answer must not take the time of the others.
            let patience = left(until)? / u32::try_from(rest).unwrap_or(u32::MAX);
            match connect(&socket, &(*address).into(), patience).and_then(|()| socket.set_tcp_nodelay(true)) {
                Ok(()) => return Ok(socket),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

/// What it means that there is no connection after so many nanoseconds.
fn failed(error: io::Error, patience: u64) -> Error {
    cannot_connect(&error, Duration::from_nanos(patience)).because_of(error)
}

fn connect_unix(path: &Path, until: u64) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    connect(&socket, &SockAddr::unix(path)?, left(until)?)?;
    Ok(socket)
}

fn connect(socket: &Socket, address: &SockAddr, patience: Duration) -> io::Result<()> {
    // Waits are counted in milliseconds.
    let patience = patience.max(Duration::from_millis(1));
    socket.connect_timeout(address, patience).map_err(|error| in_time(error, "no connection in time"))
}

fn left(until: u64) -> io::Result<Duration> {
    match until.saturating_sub(boot_nanos()) {
        0 => Err(io::Error::new(ErrorKind::TimedOut, "no connection in time")),
        left => Ok(Duration::from_nanos(left)),
    }
}

/// Says what it was that took too long.
fn in_time(error: io::Error, what: &'static str) -> io::Error {
    if error.kind() == ErrorKind::TimedOut { io::Error::new(ErrorKind::TimedOut, what) } else { error }
}
