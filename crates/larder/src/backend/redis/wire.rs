//! One request and its answers on a connection.

use std::io;
use std::time::Duration;

use redis::{RedisResult, Value};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::resp::{self, Arrived, Most};
use super::stream::{Due, Stream, Wait};
use crate::clock::{boot_nanos, nanos};

/// How long an answer is polled for before the process sleeps for it, in nanoseconds.
const POLL: u64 = 150_000;
/// Where the last answer took longer than this, the next one is not polled for.
const QUICK: u64 = 300_000;
/// Room that is kept for the next answer.
const KEPT: usize = 64 << 10;

/// Sends commands and reads answers.
///
/// A server on the same machine answers within the time that it takes to put a process to sleep and
/// wake it up again. So where the last answer came quickly, the next is polled for at first.
pub(super) struct Wire {
    stream: Stream,
    /// How long one exchange may take, in nanoseconds.
    patience: u64,
    /// When the last request was sent, in nanoseconds on the boot clock.
    sent: u64,
    /// Whether the last answer came quickly.
    quick: bool,
    answers: Vec<u8>,
    /// What has come of answers that nobody waits for.
    early: Vec<u8>,
}

impl Wire {
    /// Each exchange ends within `patience`.
    pub(super) fn new(stream: Stream, patience: Duration) -> io::Result<Self> {
        // The operating system takes a time-out of zero for none.
        stream.socket().set_read_timeout(Some(patience.max(Duration::from_millis(1))))?;
        Ok(Self {
            stream,
            patience: nanos(patience),
            sent: 0,
            quick: false,
            answers: Vec::new(),
            early: Vec::new(),
        })
    }

    /// Sends packed commands and reads as many answers, until `until` at the longest; `None` if
    /// they are `expected`, byte for byte.
    pub(super) fn exchange(
        &mut self,
        commands: &[u8],
        (count, most): (usize, Most),
        until: u64,
        expected: Option<&[u8]>,
    ) -> RedisResult<Option<Vec<Value>>> {
        let due = self.send(commands, until)?;
        let sent = boot_nanos();
        self.sent = sent;
        let mut wait = due.answer(sent);
        if self.quick {
            wait.poll_until(sent + POLL);
        }
        let mut bytes = std::mem::take(&mut self.answers);
        bytes.clear();
        bytes.append(&mut self.early);
        let mut arrived = Arrived::nothing_of(count, most);
        while expected != Some(&bytes) && !arrived.all(&bytes)? {
            self.stream.receive(&mut bytes, &mut wait)?;
        }
        self.quick = boot_nanos().saturating_sub(sent) < QUICK;
        let values = if expected == Some(&bytes) { None } else { Some(resp::answers(&bytes, count)?) };
        if bytes.len() <= KEPT {
            bytes.shrink_to(KEPT);
            self.answers = bytes;
        }
        Ok(values)
    }

    /// Sends packed commands, whose answers come before those of the next exchange.
    pub(super) fn send(&mut self, commands: &[u8], until: u64) -> RedisResult<Due> {
        let mut due = Due::new(until, self.patience);
        self.stream.send(commands, &mut due)?;
        Ok(due)
    }

    /// The answers that have come, in whole groups of so many each; waits for none.
    pub(super) fn come(&mut self, groups: impl Iterator<Item = usize>) -> RedisResult<Vec<Value>> {
        match self.stream.receive(&mut self.early, &mut Wait::until(0)) {
            Err(error) if error.kind() != io::ErrorKind::TimedOut => return Err(error.into()),
            _ => {}
        }
        let mut values = Vec::new();
        for group in groups {
            let Some(end) = Arrived::nothing_of(group, Most::SMALL).end(&self.early)? else { break };
            values.extend(resp::answers(&self.early, group)?);
            self.early.drain(..end);
        }
        Ok(values)
    }

    /// The bytes that were sent and received since this was last asked.
    pub(super) fn take_moved(&mut self) -> (u64, u64) {
        self.stream.take_moved()
    }

    /// When the last request was sent, in nanoseconds on the boot clock; zero if none was.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether the other side has closed it, or sent what nobody asked for.
    pub(super) fn is_closed(&self) -> bool {
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        recv(self.stream.socket(), &mut [0_u8; 1], flags).map_or_else(|error| error != Errno::AGAIN, |_| true)
    }

    /// The bytes of the last answers, if they were not many.
    pub(super) fn answers(&self) -> &[u8] {
        &self.answers
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::thread;

    use socket2::{Domain, Socket, Type};

    use super::*;

    fn wire(socket: Socket, patience: Duration) -> Wire {
        Wire::new(Stream::plain(socket), patience).unwrap()
    }

    /// What is made of an answer that comes in these pieces.
    fn answered(pieces: &[&[u8]], count: usize, expected: Option<&[u8]>) -> RedisResult<Option<Vec<Value>>> {
        let (client, mut server) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        let mut wire = wire(client, Duration::from_secs(10));
        thread::scope(|scope| {
            scope.spawn(move || {
                server.read_exact(&mut [0; 4]).unwrap();
                for piece in pieces {
                    server.write_all(piece).unwrap();
                    thread::sleep(Duration::from_millis(1));
                }
            });
            wire.exchange(b"ask\n", (count, Most::SMALL), u64::MAX, expected)
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

    /// Neither a server that does not read nor one that says nothing holds anybody beyond the
    /// deadline.
    #[test]
    fn a_request_that_is_not_taken_ends_in_time() {
        let (client, _server) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        let mut wire = wire(client, Duration::from_secs(60));
        let until = boot_nanos() + 20_000_000;
        for request in [vec![0; 8 << 20], vec![0; 4]] {
            let error = wire.exchange(&request, (1, Most::SMALL), until, None).unwrap_err();
            assert!(error.is_timeout() && boot_nanos() >= until, "{error}");
        }
    }
}
