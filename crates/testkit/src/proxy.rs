//! A TCP proxy on the loopback interface that does to a connection what networks do.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What happens to answers on their way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// They pass.
    Pass,
    /// They are kept back until this changes.
    Stall,
    /// The first half of the next one passes, then the connection is cut.
    Half,
    /// The connection is cut instead of the next one.
    Cut,
    /// Nonsense comes instead.
    Garbage,
    /// To each command comes this instead, such as an error.
    Always(&'static str),
    /// They pass byte by byte, one each so often.
    Drip(Duration),
    /// The first half of the next one passes, and no more until this changes.
    HalfStall,
    /// This comes instead, again and again without end.
    Flood(&'static str),
}

/// A proxy for one server. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: u16,
    mode: Mutex<Mode>,
    changed: Condvar,
    streams: Mutex<Vec<TcpStream>>,
    sent: AtomicU64,
    received: AtomicU64,
    held: AtomicU64,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Mode {
    answers: Answers,
    requests_stall: bool,
    delay: Duration,
    split: Split,
}

/// Holding back the last command of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Split {
    Off,
    Armed,
    Held,
}

impl Proxy {
    /// A proxy for a port of the loopback interface; everything passes.
    ///
    /// # Panics
    /// If no port is free.
    pub fn new(upstream: u16) -> Self {
        let listener =
            TcpListener::bind(("127.0.0.1", 0)).unwrap_or_else(|error| unreachable!("listen: {error}"));
        let port = listener.local_addr().map_or(0, |address| address.port());
        let mode =
            Mode { answers: Answers::Pass, requests_stall: false, delay: Duration::ZERO, split: Split::Off };
        let shared = Arc::new(Shared {
            upstream,
            mode: Mutex::new(mode),
            changed: Condvar::new(),
            streams: Mutex::default(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            held: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.closed.load(Ordering::SeqCst) {
                    return;
                }
                accepting.serve(&client);
            }
        });
        Self { port, shared }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What happens to answers from now on.
    pub fn answers(&self, answers: Answers) {
        self.shared.mode().answers = answers;
        self.shared.changed.notify_all();
    }

    /// Keeps requests back, or lets them go.
    pub fn stall_requests(&self, stall: bool) {
        self.shared.mode().requests_stall = stall;
        self.shared.changed.notify_all();
    }

    /// Passes the next request but for its last command, and keeps that back until
    /// [`release`](Self::release).
    pub fn hold_last_command(&self) {
        self.shared.mode().split = Split::Armed;
    }

    /// Waits until a last command is held back.
    pub fn await_held(&self) {
        let waiting = |mode: &mut Mode| mode.split != Split::Held;
        drop(self.shared.changed.wait_while(self.shared.mode(), waiting));
    }

    /// Lets the last command go.
    pub fn release(&self) {
        self.shared.mode().split = Split::Off;
        self.shared.changed.notify_all();
    }

    /// Delays each answer by so much.
    pub fn delay(&self, delay: Duration) {
        self.shared.mode().delay = delay;
    }

    /// Cuts all connections; new ones pass.
    pub fn cut(&self) {
        for stream in self.shared.streams().drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Bytes passed to the server.
    pub fn bytes_sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// Requests that were kept back, at least for a while.
    pub fn requests_held(&self) -> u64 {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// Bytes passed back.
    pub fn bytes_received(&self) -> u64 {
        self.shared.received.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.changed.notify_all();
        self.cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn mode(&self) -> MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(self: &Arc<Self>, client: &TcpStream) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.upstream)) else { return };
        for stream in [client, &server] {
            let _ = stream.set_nodelay(true);
            self.streams().extend(stream.try_clone());
        }
        for (from, to, answers) in [(client, &server, false), (&server, client, true)] {
            let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return };
            let shared = Arc::clone(self);
            thread::spawn(move || {
                shared.pump(&from, &to, answers);
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    }

    /// Copies one direction until either end closes or the mode cuts it.
    fn pump(&self, mut from: &TcpStream, mut to: &TcpStream, answers: bool) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let bytes = buffer.get(..length).unwrap_or_default();
            let (count, delay) =
                if answers { (&self.received, self.mode().delay) } else { (&self.sent, Duration::ZERO) };
            thread::sleep(delay);
            let mode = self.wait(answers);
            let (bytes, last) = match mode {
                _ if !answers => (bytes, false),
                Answers::Drip(_) | Answers::HalfStall | Answers::Flood(_) => {
                    (self.worry(mode, bytes, to), false)
                }
                Answers::Pass | Answers::Stall => (bytes, false),
                Answers::Half => (bytes.get(..length / 2).unwrap_or_default(), true),
                Answers::Cut => (&b""[..], true),
                Answers::Always(answer) => {
                    // More answers than any request has commands.
                    if to.write_all(answer.repeat(2000).as_bytes()).is_err() {
                        return;
                    }
                    (&b""[..], true)
                }
                Answers::Garbage => (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], false),
            };
            let bytes = if answers { bytes } else { self.split(bytes, to) };
            // Before whoever gets them can ask.
            count.fetch_add(bytes.len() as u64, Ordering::SeqCst);
            if to.write_all(bytes).is_err() {
                return;
            }
            if last {
                return;
            }
        }
    }

    /// Does to an answer what takes time, until the mode changes; answers what is left to pass.
    fn worry<'a>(&self, mode: Answers, bytes: &'a [u8], mut to: &TcpStream) -> &'a [u8] {
        let lasts = || self.mode().answers == mode && !self.closed.load(Ordering::SeqCst);
        let (half, rest) = bytes.split_at(bytes.len() / 2);
        match mode {
            Answers::Drip(pause) => {
                for (at, byte) in bytes.iter().enumerate() {
                    if !lasts() || to.write_all(&[*byte]).is_err() {
                        return bytes.get(at..).unwrap_or_default();
                    }
                    thread::sleep(pause);
                }
                &[]
            }
            Answers::HalfStall if to.write_all(half).is_ok() => {
                let stays = |now: &mut Mode| now.answers == mode && !self.closed.load(Ordering::SeqCst);
                drop(self.changed.wait_while(self.mode(), stays));
                rest
            }
            Answers::Flood(text) => {
                let flood = text.repeat((64 << 10) / text.len().max(1));
                while lasts() && to.write_all(flood.as_bytes()).is_ok() {
                    // So that those who are flooded are seen, not the processor.
                    thread::sleep(Duration::from_millis(1));
                }
                &[]
            }
            _ => bytes,
        }
    }

    /// If that is wanted, passes all of a request but its last command and waits; answers what is
    /// left to pass.
    fn split<'a>(&self, request: &'a [u8], mut to: &TcpStream) -> &'a [u8] {
        let mut mode = self.mode();
        let last = request.windows(3).rposition(|bytes| bytes == b"\r\n*").map(|at| at + 2);
        let Some((before, last)) = last.and_then(|at| request.split_at_checked(at)) else { return request };
        if mode.split != Split::Armed || to.write_all(before).is_err() {
            return request;
        }
        mode.split = Split::Held;
        self.changed.notify_all();
        let held = |mode: &mut Mode| mode.split == Split::Held && !self.closed.load(Ordering::SeqCst);
        drop(self.changed.wait_while(mode, held));
        last
    }

    /// Waits while this direction is stalled.
    fn wait(&self, answers: bool) -> Answers {
        let stalled = |mode: &mut Mode| {
            let stalls = if answers { mode.answers == Answers::Stall } else { mode.requests_stall };
            stalls && !self.closed.load(Ordering::SeqCst)
        };
        let mut mode = self.mode();
        if !answers && stalled(&mut mode) {
            self.held.fetch_add(1, Ordering::SeqCst);
        }
        self.changed.wait_while(mode, stalled).unwrap_or_else(PoisonError::into_inner).answers
    }
}
