//! A server as services run it: a real one behind a door that refuses what they refuse.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::RedisServer;

/// What a service refuses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refuses {
    /// These commands.
    pub commands: &'static [&'static str],
    /// These within scripts, as the server's ACL names them.
    pub in_scripts: &'static [&'static str],
    /// Within scripts each key that was not declared.
    pub undeclared_keys: bool,
    /// To say who the server is: lines of `INFO` that begin so are left out.
    pub facts: &'static [&'static str],
}

/// A service on the loopback interface. Gone when dropped.
#[derive(Debug)]
pub struct Managed {
    server: Arc<RedisServer>,
    port: u16,
    closed: Arc<AtomicBool>,
}

impl Managed {
    /// Starts one.
    ///
    /// # Panics
    /// If that fails.
    pub fn start(refuses: Refuses) -> Self {
        let server = Arc::new(RedisServer::start());
        let listener =
            TcpListener::bind(("127.0.0.1", 0)).unwrap_or_else(|error| unreachable!("listen: {error}"));
        let port = listener.local_addr().map_or(0, |address| address.port());
        let closed = Arc::new(AtomicBool::new(false));
        let (upstream, ends, users) = (server.port(), Arc::clone(&closed), AtomicU64::new(0));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let user = format!("script{}", users.fetch_add(1, Ordering::SeqCst));
                thread::spawn(move || {
                    // A connection that ends is closed.
                    let _ = Door::open(&client, upstream, refuses, user).and_then(Door::serve);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { server, port, closed }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The server behind it.
    pub fn server(&self) -> &RedisServer {
        &self.server
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// One client's connection, and two to the server: scripts run as a user of their own.
struct Door {
    client: Peer,
    plain: Peer,
    scripts: Peer,
    user: String,
    refuses: Refuses,
    /// The keys that the user of the scripts may name.
    keys: Vec<Vec<u8>>,
}

impl Door {
    fn open(client: &TcpStream, upstream: u16, refuses: Refuses, user: String) -> std::io::Result<Self> {
        client.set_nodelay(true)?;
        let to_server = || {
            let stream = TcpStream::connect(("127.0.0.1", upstream))?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(Peer::new(stream))
        };
        let (client, mut plain, mut scripts) = (Peer::new(client.try_clone()?), to_server()?, to_server()?);
        let withheld: Vec<String> = refuses.in_scripts.iter().map(|command| format!("-{command}")).collect();
        let mut rules = vec!["ACL", "SETUSER", &user, "on", ">pw", "~*", "+@all"];
        rules.extend(withheld.iter().map(String::as_str));
        plain.ask(&request(rules.iter().map(|word| word.as_bytes())))?;
        scripts.ask(&request([&b"AUTH"[..], user.as_bytes(), b"pw"]))?;
        Ok(Self { client, plain, scripts, user, refuses, keys: Vec::new() })
    }

    fn serve(mut self) -> std::io::Result<()> {
        loop {
            let command = self.client.next()?;
            let words = words(&command);
            let name = words.first().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
            let answer = if self.refuses.commands.iter().any(|refused| refused.as_bytes() == name) {
                b"-ERR unknown command\r\n".to_vec()
            } else if name.starts_with(b"eval") {
                self.declare(&words)?;
                self.scripts.ask(&command)?
            } else {
                let answer = self.plain.ask(&command)?;
                if name == b"info" { self.hide(&answer) } else { answer }
            };
            self.client.stream.write_all(&answer)?;
        }
    }

    /// Lets scripts name the keys of this one, and no others.
    fn declare(&mut self, words: &[&[u8]]) -> std::io::Result<()> {
        let count = words.get(2).and_then(|count| std::str::from_utf8(count).ok()?.parse().ok()).unwrap_or(0);
        let keys: Vec<Vec<u8>> = words.iter().skip(3).take(count).map(|key| pattern(key)).collect();
        if self.refuses.undeclared_keys && keys != self.keys {
            let rules = [&b"ACL"[..], b"SETUSER", self.user.as_bytes(), b"resetkeys"];
            let rules = request(rules.into_iter().chain(keys.iter().map(Vec::as_slice)));
            self.plain.ask(&rules)?;
            self.keys = keys;
        }
        Ok(())
    }

    /// An answer to `INFO` without the lines that are hidden.
    fn hide(&self, answer: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(words(answer).first().copied().unwrap_or_default()).into_owned();
        let shown = |line: &&str| !self.refuses.facts.iter().any(|fact| line.starts_with(fact));
        let text: String = text.split_inclusive('\n').filter(shown).collect();
        format!("${}\r\n{text}\r\n", text.len()).into_bytes()
    }
}

/// A key as a pattern of the ACL, which has no spaces.
fn pattern(key: &[u8]) -> Vec<u8> {
    let byte = |&byte: &u8| match byte {
        b'*' | b'?' | b'[' | b']' | b'\\' => vec![b'\\', byte],
        byte if byte <= b' ' => vec![b'?'],
        byte => vec![byte],
    };
    [&b"~"[..], &key.iter().flat_map(byte).collect::<Vec<u8>>()].concat()
}

/// One end, and what came from it that was not looked at yet.
struct Peer {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Peer {
    fn new(stream: TcpStream) -> Self {
        Self { stream, bytes: Vec::new() }
    }

    fn ask(&mut self, command: &[u8]) -> std::io::Result<Vec<u8>> {
        self.stream.write_all(command)?;
        self.next()
    }

    /// The next value, which is a command or an answer.
    fn next(&mut self) -> std::io::Result<Vec<u8>> {
        let mut room = vec![0; 64 << 10];
        loop {
            if let Some(length) = value(&self.bytes) {
                let rest = self.bytes.split_off(length);
                return Ok(std::mem::replace(&mut self.bytes, rest));
            }
            match self.stream.read(&mut room)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                length => self.bytes.extend_from_slice(room.get(..length).unwrap_or_default()),
            }
        }
    }
}

fn request<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let words: Vec<_> = words.into_iter().collect();
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The first line of some bytes, its kind apart, and where it ends.
fn line(bytes: &[u8]) -> Option<(u8, &str, usize)> {
    let end = bytes.windows(2).position(|end| end == b"\r\n")?;
    let (kind, text) = bytes.get(..end)?.split_first()?;
    Some((*kind, std::str::from_utf8(text).unwrap_or_default(), end + 2))
}

/// How long the first value is, if it is whole.
fn value(bytes: &[u8]) -> Option<usize> {
    let (kind, text, begin) = line(bytes)?;
    match (kind, text.parse::<usize>().ok()) {
        (b'$', Some(length)) => Some(begin + length + 2).filter(|end| *end <= bytes.len()),
        (b'*', Some(count)) => {
            let next = |at: usize, _| Some(at + value(bytes.get(at..)?)?);
            (0..count).try_fold(begin, next)
        }
        _ => Some(begin),
    }
}

/// The strings of a command, or an answer that is one.
fn words(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut words = Vec::new();
    while let Some((kind, text, begin)) = line(bytes) {
        let length = if kind == b'$' { text.parse().unwrap_or(0) } else { 0 };
        if kind == b'$' {
            words.extend(bytes.get(begin..begin + length));
        }
        let end = if kind == b'$' { begin + length + 2 } else { begin };
        bytes = bytes.get(end..).unwrap_or_default();
    }
    words
}
