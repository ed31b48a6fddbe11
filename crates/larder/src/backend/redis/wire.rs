//! The bytes of a connection: a socket of our own, or one that speaks TLS through `redis`.

use std::io::{self, ErrorKind};
use std::net::ToSocketAddrs;
use std::path::Path;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisResult, Value};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::{Domain, SockAddr, Socket, Type};

use super::failure::{cannot_connect, no_authorities};
use super::resp::{self, Arrived};
use super::settings::Settings;
use crate::clock::boottime;
use crate::config::RedisAddress;
use crate::error::Result;

/// How long an answer is polled for before the process sleeps for it.
const POLL: Duration = Duration::from_micros(150);
/// Where the last answer took longer than this, the next one is not polled for.
const QUICK: Duration = Duration::from_micros(300);
/// Room for what comes at once.
const SMALLEST_READ: usize = 4 << 10;
const LARGEST_READ: usize = 1 << 20;
/// Room that is kept for the next answer.
const KEPT: usize = 64 << 10;

/// Sends commands and reads answers, both within the read timeout.
pub(super) enum Wire {
    Plain(Plain),
    Tls(Box<redis::Connection>),
}

impl Wire {
    pub(super) fn connect(settings: &Settings) -> Result<Self> {
        let connect = at_least_a_little(settings.connect_timeout);
        let read = at_least_a_little(settings.read_timeout);
        let socket = match &settings.address {
            RedisAddress::Unix(path) => connect_unix(path, connect),
            RedisAddress::Tcp { host, port, tls: false } => connect_tcp(host, *port, connect),
            RedisAddress::Tcp { host, port, tls: true } => {
                let connection = connect_tls(host, *port, connect, settings.ca_file.as_deref())?;
                let timed = connection
                    .set_read_timeout(Some(read))
                    .and_then(|()| connection.set_write_timeout(Some(read)));
                timed.map_err(|error| cannot_connect(&as_io(&error), connect))?;
                return Ok(Self::Tls(Box::new(connection)));
            }
        };
        let plain = socket.and_then(|socket| Plain::new(socket, read)).map(Self::Plain);
        plain.map_err(|error| cannot_connect(&error, connect))
    }

    /// Sends packed commands and reads as many answers; `None` if they are `expected`, byte for byte.
    pub(super) fn exchange(
        &mut self,
        commands: &[u8],
        count: usize,
        expected: Option<&[u8]>,
    ) -> RedisResult<Option<Vec<Value>>> {
        match self {
            Self::Plain(plain) => plain.exchange(commands, count, expected),
            Self::Tls(connection) => {
                connection.send_packed_command(commands)?;
                (0..count).map(|_| connection.recv_response()).collect::<RedisResult<_>>().map(Some)
            }
        }
    }

    /// Whether the other side has closed it, or sent what nobody asked for. What TLS brought cannot be told.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Plain(plain) => {
                let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
                recv(&plain.socket, &mut [0_u8; 1], flags)
                    .map_or_else(|error| error != Errno::AGAIN, |_| true)
            }
            Self::Tls(_) => false,
        }
    }

    /// The bytes of the last answers; none where `redis` has read them.
    pub(super) fn answers(&self) -> &[u8] {
        match self {
            Self::Plain(plain) => &plain.answers,
            Self::Tls(_) => &[],
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
    /// How long the socket waits.
    timeout: Duration,
    /// Whether the last answer came quickly.
    quick: bool,
    /// Until when the answer is polled for.
    poll_until: Option<Duration>,
    answers: Vec<u8>,
}

impl Plain {
    fn new(socket: Socket, timeout: Duration) -> io::Result<Self> {
        socket.set_read_timeout(Some(timeout))?;
        socket.set_write_timeout(Some(timeout))?;
        Ok(Self { socket, timeout, quick: false, poll_until: None, answers: Vec::new() })
    }

    fn exchange(
        &mut self,
        commands: &[u8],
        count: usize,
        expected: Option<&[u8]>,
    ) -> RedisResult<Option<Vec<Value>>> {
        send_all(&self.socket, commands)?;
        let sent = boottime();
        self.poll_until = self.quick.then_some(sent + POLL);
        let mut bytes = std::mem::take(&mut self.answers);
        bytes.clear();
        bytes.shrink_to(KEPT);
        let mut arrived = Arrived::nothing_of(count);
        while expected != Some(&bytes) && !arrived.all(&bytes)? {
            self.receive(&mut bytes)?;
        }
        self.quick = boottime().saturating_sub(sent) < QUICK;
        self.answers = bytes;
        if expected == Some(&self.answers) { Ok(None) } else { resp::answers(&self.answers, count).map(Some) }
    }

    /// Waits for more and adds it to `bytes`.
    fn receive(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        // Twice as much as has come, for it will not be the last.
        bytes.reserve(bytes.len().clamp(SMALLEST_READ, LARGEST_READ));
        while let Some(until) = self.poll_until {
            match recv(&self.socket, spare_capacity(bytes), RecvFlags::DONTWAIT) {
                Ok((_, received)) => return something(received),
                Err(Errno::AGAIN) if boottime() < until => std::thread::yield_now(),
                Err(_) => self.poll_until = None,
            }
        }
        let give_up = boottime() + self.timeout;
        loop {
            match recv(&self.socket, spare_capacity(bytes), RecvFlags::empty()) {
                Ok((_, received)) => return something(received),
                // A signal, which must neither end the wait nor prolong it again and again.
                Err(Errno::INTR) if boottime() < give_up => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The server ends a connection by sending nothing.
fn something(received: usize) -> io::Result<()> {
    if received == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
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
    let failed = |error: redis::RedisError| cannot_connect(&as_io(&error), timeout);
    let info = address
        .into_connection_info()
        .map_err(failed)?
        .set_tcp_settings(TcpSettings::default().set_nodelay(true))
        .set_redis_settings(settings);
    let root_cert = match ca_file {
        None => None,
        Some(path) => Some(
            std::fs::read(path)
                .map_err(|error| no_authorities(format!("ca_file {}: {error}", path.display())))?,
        ),
    };
    Client::build_with_tls(info, redis::TlsCertificates { client_tls: None, root_cert })
        .map_err(no_authorities)?
        .get_connection_with_timeout(timeout)
        .map_err(failed)
}

fn as_io(error: &redis::RedisError) -> io::Error {
    let kind = if error.is_timeout() { ErrorKind::TimedOut } else { ErrorKind::Other };
    io::Error::new(kind, error.to_string())
}

/// The operating system takes a time-out of zero for none.
fn at_least_a_little(timeout: Duration) -> Duration {
    timeout.max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// What is made of an answer that comes in these pieces.
    fn answered(pieces: &[&[u8]], count: usize, expected: Option<&[u8]>) -> RedisResult<Option<Vec<Value>>> {
        let (client, mut server) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        let mut plain = Plain::new(client, Duration::from_secs(10)).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                server.read_exact(&mut [0; 4]).unwrap();
                for piece in pieces {
                    server.write_all(piece).unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            plain.exchange(b"ask\n", count, expected)
        })
    }

    #[test]
    fn only_the_same_bytes_are_the_expected_answer() {
        let before: &[u8] = b"+OK\r\n:17\r\n";
        let all = |number| Some(vec![Value::Okay, Value::Int(number)]);
        assert_eq!(answered(&[before], 2, Some(before)).unwrap(), None);
        assert_eq!(answered(&[b"+O", b"K\r\n:1", b"7\r\n"], 2, Some(before)).unwrap(), None);
        assert_eq!(answered(&[b"+OK\r\n:18\r\n"], 2, Some(before)).unwrap(), all(18));
        assert_eq!(answered(&[b"+OK\r\n:1", b"\r\n"], 2, Some(before)).unwrap(), all(1));
        assert_eq!(answered(&[before, b"7\r\n"], 2, None).unwrap(), all(17));
        assert!(answered(&[b"+OK\r\n:17\r\n+"], 2, Some(before)).is_err(), "more than was asked for");
    }
}
