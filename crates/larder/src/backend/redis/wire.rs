//! The bytes of a connection: a socket of our own, or one that speaks TLS through `redis`.

use std::io::{self, ErrorKind, Read};
use std::net::ToSocketAddrs;
use std::path::Path;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, IntoConnectionInfo, Parser, RedisConnectionInfo, RedisResult, Value};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::{Domain, SockAddr, Socket, Type};

use super::NAME;
use super::settings::Settings;
use crate::clock::boottime;
use crate::config::RedisAddress;
use crate::error::{Error, Result};

/// How long an answer is polled for before the process sleeps for it.
const POLL: Duration = Duration::from_micros(150);
/// Where the last answer took longer than this, the next one is not polled for.
const QUICK: Duration = Duration::from_micros(300);

/// Sends commands and reads answers, both within the read timeout.
pub(super) enum Wire {
    Plain(Plain),
    Tls(Box<redis::Connection>),
}

impl Wire {
    pub(super) fn connect(settings: &Settings) -> Result<Self> {
        let timeout = at_least_a_little(settings.connect_timeout);
        let wire = match &settings.address {
            RedisAddress::Unix(path) => {
                Self::Plain(Plain::new(connect_unix(path, timeout).map_err(unreachable)?))
            }
            RedisAddress::Tcp { host, port, tls: false } => {
                Self::Plain(Plain::new(connect_tcp(host, *port, timeout).map_err(unreachable)?))
            }
            RedisAddress::Tcp { host, port, tls: true } => {
                Self::Tls(Box::new(connect_tls(host, *port, timeout, settings.ca_file.as_deref())?))
            }
        };
        let timeout = Some(at_least_a_little(settings.read_timeout));
        match &wire {
            Self::Plain(plain) => {
                plain.socket.set_read_timeout(timeout).map_err(unreachable)?;
                plain.socket.set_write_timeout(timeout).map_err(unreachable)?;
            }
            Self::Tls(connection) => {
                connection.set_read_timeout(timeout).map_err(unreachable)?;
                connection.set_write_timeout(timeout).map_err(unreachable)?;
            }
        }
        Ok(wire)
    }

    /// Sends packed commands and reads as many answers.
    pub(super) fn exchange(&mut self, commands: &[u8], count: usize) -> RedisResult<Vec<Value>> {
        match self {
            Self::Plain(plain) => plain.exchange(commands, count),
            Self::Tls(connection) => {
                connection.send_packed_command(commands)?;
                (0..count).map(|_| connection.recv_response()).collect()
            }
        }
    }
}

/// A socket without TLS.
///
/// A server on the same machine answers within the time that it takes to put a process to sleep and wake it up again. So
/// where the last answer came quickly, the next is polled for at first, giving way to any process that wants the
/// processor.
pub(super) struct Plain {
    socket: Socket,
    parser: Parser,
    quick: bool,
}

impl Plain {
    fn new(socket: Socket) -> Self {
        Self { socket, parser: Parser::new(), quick: false }
    }

    fn exchange(&mut self, commands: &[u8], count: usize) -> RedisResult<Vec<Value>> {
        send_all(&self.socket, commands)?;
        let sent = boottime();
        let mut answers = Vec::with_capacity(count);
        let mut incoming = Incoming { socket: &self.socket, poll_until: self.quick.then_some(sent + POLL) };
        for _ in 0..count {
            answers.push(self.parser.parse_value(&mut incoming)?);
        }
        self.quick = boottime().saturating_sub(sent) < QUICK;
        Ok(answers)
    }
}

/// A server that closed the connection is an error, not a signal that would end the process.
fn send_all(socket: &Socket, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match send(socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What arrives at a socket.
struct Incoming<'a> {
    socket: &'a Socket,
    poll_until: Option<Duration>,
}

impl Read for Incoming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(until) = self.poll_until {
            match recv(self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((_, length)) => return Ok(length),
                Err(Errno::AGAIN) if boottime() < until => std::thread::yield_now(),
                Err(_) => self.poll_until = None,
            }
        }
        let mut socket = self.socket;
        socket.read(buffer)
    }
}

fn connect_unix(path: &Path, timeout: Duration) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.connect_timeout(&SockAddr::unix(path)?, timeout)?;
    Ok(socket)
}

fn connect_tcp(host: &str, port: u16, timeout: Duration) -> io::Result<Socket> {
    let mut failed = io::Error::new(ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        match socket.connect_timeout(&address.into(), timeout).and_then(|()| socket.set_tcp_nodelay(true)) {
            Ok(()) => return Ok(socket),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn connect_tls(
    host: &str,
    port: u16,
    timeout: Duration,
    ca_file: Option<&Path>,
) -> Result<redis::Connection> {
    let address = ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure: false, tls_params: None };
    let settings = RedisConnectionInfo::default().set_skip_set_lib_name();
    let info = address
        .into_connection_info()
        .map_err(unreachable)?
        .set_tcp_settings(TcpSettings::default().set_nodelay(true))
        .set_redis_settings(settings);
    let root_cert = match ca_file {
        None => None,
        Some(path) => Some(
            std::fs::read(path)
                .map_err(|error| Error::refused(NAME, format!("ca_file {}: {error}", path.display())))?,
        ),
    };
    Client::build_with_tls(info, redis::TlsCertificates { client_tls: None, root_cert })
        .map_err(|error| Error::refused(NAME, error))?
        .get_connection_with_timeout(timeout)
        .map_err(unreachable)
}

fn unreachable(error: impl std::fmt::Display) -> Error {
    Error::unavailable(NAME, format!("cannot connect: {error}"))
}

/// The operating system takes a time-out of zero for none.
fn at_least_a_little(timeout: Duration) -> Duration {
    timeout.max(Duration::from_millis(1))
}
