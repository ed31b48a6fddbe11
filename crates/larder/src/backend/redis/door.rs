//! Making connections: the host's addresses, one that answers, and TLS if that is wanted. All of it within the connect timeout.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::failure::cannot_connect;
use super::names::Names;
use super::settings::Settings;
use super::stream::Stream;
use super::tls::{Trust, bad_certificate};
use crate::clock::{boot_nanos, nanos};
use crate::config::RedisAddress;
use crate::error::Result;

/// What is known of the way to one server.
#[derive(Debug, Default)]
pub(super) struct Door {
    names: Names,
    trust: Trust,
}

impl Door {
    /// Connects, until `until` at the longest.
    pub(super) fn connect(&self, settings: &Settings, until: u64) -> Result<Stream> {
        let now = boot_nanos();
        let until = until.min(now.saturating_add(nanos(settings.connect_timeout)));
        let patience = Duration::from_nanos(until.saturating_sub(now));
        let failed = |error: io::Error| cannot_connect(&error, patience).because_of(error);
        match &settings.address {
            RedisAddress::Unix(path) => connect_unix(path, until).map(Stream::plain).map_err(failed),
            RedisAddress::Tcp { host, port, tls: false } => {
                self.connect_tcp(host, *port, until).map(Stream::plain).map_err(failed)
            }
            RedisAddress::Tcp { host, port, tls: true } => {
                let config = self.trust.config(settings.ca_file.as_deref())?;
                let socket = self.connect_tcp(host, *port, until).map_err(failed)?;
                Stream::secured(socket, config, host, until).map_err(|error| {
                    let kind = error.kind();
                    let reason = bad_certificate(&error)
                        .inspect(|_| self.trust.forget())
                        .unwrap_or_else(|| format!("TLS: {}", in_time(error, "no handshake in time")));
                    failed(io::Error::new(kind, reason))
                })
            }
        }
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
