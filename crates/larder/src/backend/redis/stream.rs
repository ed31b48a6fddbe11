//! A socket, perhaps with TLS on it. Nothing here waits beyond a deadline.

use std::io;
use std::sync::Arc;
use std::thread;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustls::ClientConfig;
use socket2::Socket;

use super::tls::Tls;
use crate::clock::boot_nanos;

/// Room for what comes at once.
const SMALLEST_READ: usize = 4 << 10;
const LARGEST_READ: usize = 1 << 20;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The bytes to a server and from it.
pub(super) struct Stream {
    socket: Socket,
    tls: Option<Box<Tls>>,
    /// Bytes that were sent and received, before and after TLS.
    moved: (u64, u64),
}

/// How long a request may take to be sent. The clock is read only if it cannot be sent at once.
pub(super) struct Due {
    /// Not beyond this, in nanoseconds on the boot clock.
    until: u64,
    /// Nor longer than this.
    patience: u64,
    /// What follows from both, if it was needed.
    deadline: Option<u64>,
}

impl Due {
    pub(super) fn new(until: u64, patience: u64) -> Self {
        Self { until, patience, deadline: None }
    }

    /// When it must be sent.
    fn deadline(&mut self) -> u64 {
        let Self { until, patience, .. } = *self;
        *self.deadline.get_or_insert_with(|| until.min(boot_nanos().saturating_add(patience)))
    }

    /// How the answer to a request is waited for that is sent by now.
    pub(super) fn answer(&self, sent: u64) -> Wait {
        let own = sent.saturating_add(self.patience);
        Wait { deadline: own.min(self.until), poll_until: 0, sleep: own <= self.until, begun: false }
    }
}

/// How an answer is waited for. Times are in nanoseconds on the boot clock.
pub(super) struct Wait {
    deadline: u64,
    /// Until when it is polled for.
    poll_until: u64,
    /// The socket's own time-out ends the first sleep soon enough.
    sleep: bool,
    /// Something came.
    begun: bool,
}

impl Wait {
    /// For something that must be there by then.
    pub(super) fn until(deadline: u64) -> Self {
        Self { deadline, poll_until: 0, sleep: false, begun: false }
    }

    /// Polls until then, giving way to any process that wants the processor, before it sleeps.
    pub(super) fn poll_until(&mut self, time: u64) {
        self.poll_until = time;
    }

    /// Adds to `bytes` what comes next.
    fn receive(&mut self, socket: &Socket, bytes: &mut Vec<u8>, room: usize) -> io::Result<()> {
        bytes.reserve(room);
        // A server that sends without end, or byte by byte.
        if self.begun && boot_nanos() >= self.deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.begun = true;
        while self.poll_until != 0 {
            match recv(socket, spare_capacity(bytes), RecvFlags::DONTWAIT) {
                Ok((_, received)) => return something(received),
                Err(Errno::AGAIN) if boot_nanos() < self.poll_until => thread::yield_now(),
                Err(_) => self.poll_until = 0,
            }
        }
        if std::mem::take(&mut self.sleep) {
            match recv(socket, spare_capacity(bytes), RecvFlags::empty()) {
                Ok((_, received)) => return something(received),
                // A signal, which must neither end the wait nor prolong it.
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        loop {
            match recv(socket, spare_capacity(bytes), RecvFlags::DONTWAIT) {
                Ok((_, received)) => return something(received),
                Err(Errno::AGAIN | Errno::INTR) => ready(socket, PollFlags::IN, self.deadline)?,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Stream {
    /// One without TLS.
    pub(super) fn plain(socket: Socket) -> Self {
        Self { socket, tls: None, moved: (0, 0) }
    }

    /// Makes sure that the server is `host`, and speaks TLS with it from now on.
    pub(super) fn secured(
        socket: Socket,
        config: Arc<ClientConfig>,
        host: &str,
        until: u64,
    ) -> io::Result<Self> {
        let mut tls = Box::new(Tls::new(config, host)?);
        let (mut due, mut wait) = (Due::new(until, u64::MAX), Wait::until(until));
        loop {
            send_all(&socket, tls.outgoing()?, &mut due)?;
            if !tls.is_handshaking() {
                return Ok(Self { socket, tls: Some(tls), moved: (0, 0) });
            }
            wait.receive(&socket, tls.incoming(), SMALLEST_READ)?;
            if let Err(error) = tls.open(&mut Vec::new()) {
                // The server is told why, if that can be done at once.
                if let Ok(alert) = tls.outgoing() {
                    let _ = send_all(&socket, alert, &mut Due::new(0, 0));
                }
                return Err(error);
            }
        }
    }

    /// The socket, for its options.
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The bytes that were sent and received since this was last asked.
    pub(super) fn take_moved(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.moved)
    }

    /// Sends all of `bytes`.
    pub(super) fn send(&mut self, mut bytes: &[u8], due: &mut Due) -> io::Result<()> {
        self.moved.0 += bytes.len() as u64;
        let Some(tls) = &mut self.tls else { return send_all(&self.socket, bytes, due) };
        while !bytes.is_empty() {
            let sealed = tls.seal(bytes)?;
            bytes = bytes.get(sealed..).unwrap_or_default();
            send_all(&self.socket, tls.outgoing()?, due)?;
        }
        Ok(())
    }

    /// Waits for more and adds it to `bytes`; with TLS it may be nothing yet.
    pub(super) fn receive(&mut self, bytes: &mut Vec<u8>, wait: &mut Wait) -> io::Result<()> {
        let before = bytes.len();
        let received = self.receive_into(bytes, wait);
        self.moved.1 += (bytes.len() - before) as u64;
        received
    }

    fn receive_into(&mut self, bytes: &mut Vec<u8>, wait: &mut Wait) -> io::Result<()> {
        // Twice as much as has come, for it will not be the last; never more than was received.
        let room = bytes.len().clamp(SMALLEST_READ, LARGEST_READ);
        let Some(tls) = &mut self.tls else { return wait.receive(&self.socket, bytes, room) };
        wait.receive(&self.socket, tls.incoming(), room)?;
        tls.open(bytes)?;
        send_all(&self.socket, tls.outgoing()?, &mut Due::new(wait.deadline, u64::MAX))
    }
}

/// The server ends a connection by sending nothing.
fn something(received: usize) -> io::Result<()> {
    if received == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// A server that closed the connection is an error, not a signal that would end the process.
fn send_all(socket: &Socket, mut bytes: &[u8], due: &mut Due) -> io::Result<()> {
    while !bytes.is_empty() {
        match send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(Errno::AGAIN | Errno::INTR) => ready(socket, PollFlags::OUT, due.deadline())?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits until the socket may be ready.
fn ready(socket: &Socket, what: PollFlags, deadline: u64) -> io::Result<()> {
    let left = deadline.saturating_sub(boot_nanos());
    if left == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let left = Timespec { tv_sec: whole(left / NANOS_PER_SECOND), tv_nsec: whole(left % NANOS_PER_SECOND) };
    match poll(&mut [PollFd::new(socket, what)], Some(&left)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
