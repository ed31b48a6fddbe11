//! What can go wrong with a request, and what it says about the request and the connection.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use redis::{RedisError, ServerError};
use rustix::io::Errno;

use super::names::Host;
use crate::error::{Blame, Error, ErrorKind, Trouble};

/// The name of this backend in errors.
pub(super) const NAME: &str = "redis";

/// Of a larger request or answer, in bytes, a connection may be too slow; that says nothing about
/// the server.
const LARGE: usize = 64 << 10;

/// How a request was under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// Nothing was answered on this connection before.
    pub(super) fresh: bool,
    /// Bytes of the request.
    pub(super) bytes: usize,
    /// How long its answer was waited for.
    pub(super) wait: Duration,
}

impl Way {
    /// What it is evidence about that the answer did not come.
    fn blame(self, silent: bool) -> Blame {
        match silent {
            _ if self.bytes > LARGE => Blame::Call,
            true => Blame::SlowToAnswer(self.wait),
            false if self.fresh => Blame::Server,
            // The server, or something between, had closed it before.
            false => Blame::Call,
        }
    }
}

/// Why a request has no usable answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no connection to send it on: it did not run.
    Unsent(Error),
    /// The connection broke, went silent or brought nonsense: the request may have run, and may run
    /// yet.
    Cut {
        error: Error,
        /// The server was silent for too long; asking again would wait as long again.
        silent: bool,
    },
    /// The server refused; it changed nothing.
    Refused(Error),
    /// The server refused, and a new connection may lead to another one, or have another password.
    Elsewhere {
        error: Error,
        /// How many commands of the request were answered before; they were done.
        done: usize,
    },
    /// The server does not know the script.
    NoScript,
}

impl Failure {
    /// Nonsense where an answer of a known form was due.
    pub(super) fn garbled(what: &str) -> Self {
        Self::Cut { error: Error::foreign(NAME, format!("unexpected answer to {what}")), silent: false }
    }

    pub(super) fn cut(cause: RedisError, way: Way) -> Self {
        let error = &cause;
        let silent = error.is_timeout();
        let trouble = match way.blame(silent) {
            Blame::Call if way.bytes > LARGE => Trouble::Amount,
            _ if silent => Trouble::Silence,
            _ => Trouble::Address,
        };
        let error = match error.kind() {
            redis::ErrorKind::Parse => Error::foreign(NAME, "the answer is not Redis's protocol"),
            redis::ErrorKind::UnexpectedReturnType => {
                Error::foreign(NAME, "the answer is larger than what was asked for can be")
            }
            _ if silent => {
                Error::unavailable(NAME, "no answer in time").about(trouble).blaming(way.blame(true))
            }
            // A server whose certificate is not trusted is told so, and ends the connection.
            _ if speaks_of_certificates(error) => untrusted(error),
            _ => Error::unavailable(NAME, error).about(trouble).blaming(way.blame(false)),
        };
        Self::Cut { error: error.because_of(cause), silent }
    }

    /// A key is of a type that Larder does not give it.
    pub(super) fn another_type(key: &[u8]) -> Self {
        let key = key.escape_ascii();
        Self::Refused(Error::foreign(
            NAME,
            format!("WRONGTYPE another program wrote the key \"{key}\"; delete it, or use another namespace"),
        ))
    }

    /// The server did not do it, again and again, within the time that the caller gives it.
    pub(super) fn in_vain(reason: &str, wait: Duration) -> Self {
        let error = Error::unavailable(NAME, reason).about(Trouble::State);
        Self::Refused(error.blaming(Blame::SlowToAnswer(wait)))
    }

    /// A request that no server would take.
    pub(super) fn too_large(reason: impl Display) -> Self {
        Self::Refused(Error::refused(NAME, reason).about(Trouble::Amount).blaming(Blame::Call))
    }
}

/// No connection could be made within `wait`.
pub(super) fn cannot_connect(error: &io::Error, wait: Duration) -> Error {
    /// What this process or machine is short of, or may not do.
    const OWN: [Errno; 7] = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::NOBUFS,
        Errno::ADDRNOTAVAIL,
        Errno::ACCESS,
        Errno::PERM,
    ];
    if speaks_of_certificates(error) {
        return untrusted(error);
    }
    let failed = Error::unavailable(NAME, format!("cannot connect: {error}"));
    if OWN.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) {
        return failed.about(Trouble::Process).blaming(Blame::Process);
    }
    let text = error.to_string();
    let name = text.contains("lookup") || text.contains("no address");
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            let trouble = if name { Trouble::Name } else { Trouble::Silence };
            failed.about(trouble).blaming(Blame::SlowToConnect(wait))
        }
        _ if name => failed.about(Trouble::Name),
        _ => failed.about(Trouble::Address),
    }
}

/// The certificate of the server, or what it is compared with, will not do. Other processes may
/// compare it with something else.
pub(super) fn untrusted(error: impl Display) -> Error {
    let failed = Error::unavailable(NAME, format!("cannot connect: {error}"));
    failed.about(Trouble::Certificate).blaming(Blame::Process)
}

/// A file with certificates or a key cannot be used.
pub(super) fn bad_file(reason: impl Display) -> Error {
    Error::refused(NAME, reason).about(Trouble::Certificate).blaming(Blame::Process)
}

/// The password cannot be read.
pub(super) fn no_password(reason: impl Display) -> Error {
    Error::refused(NAME, reason).about(Trouble::Credentials).blaming(Blame::Process)
}

/// No sentinel says where the primary is; `last` is what the last of them said.
pub(super) fn no_sentinel(last: Option<Error>) -> Error {
    let Some(last) = last else { return Error::unavailable(NAME, "there are no sentinels") };
    let error = match last.kind() {
        ErrorKind::Refused => Error::refused(NAME, format!("no sentinel tells the primary: {last}")),
        _ => Error::unavailable(NAME, format!("no sentinel tells the primary: {last}")),
    };
    error.about(last.trouble()).blaming(last.blame()).because_of(last)
}

/// A sentinel answered with an error.
pub(super) fn sentinel_refused(code: &str, words: &str) -> Error {
    match code {
        "NOAUTH" | "WRONGPASS" | "NOPERM" => {
            let words = format!("{words} (options sentinel_username and sentinel_password)");
            Error::refused(NAME, words).about(Trouble::Credentials).blaming(Blame::Process)
        }
        _ => Error::unavailable(NAME, words).about(Trouble::State),
    }
}

fn speaks_of_certificates(error: &impl Display) -> bool {
    let text = error.to_string();
    ["certificate", "UnknownCA", "CertificateRequired"].iter().any(|word| text.contains(word))
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unsent(error)
            | Failure::Cut { error, .. }
            | Failure::Refused(error)
            | Failure::Elsewhere { error, .. } => error,
            Failure::NoScript => Self::refused(NAME, "the server does not keep scripts"),
        }
    }
}

/// What an error answer of the server means.
pub(super) struct Refusal {
    pub(super) failure: Failure,
    pub(super) elsewhere: Elsewhere,
}

/// Which other server may be responsible by now: connect anew, so that it is looked up again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// None.
    No,
    /// Nobody knows.
    Perhaps,
    /// This one.
    Node(Host),
}

impl Elsewhere {
    fn of(code: &str, details: &str) -> Self {
        match code {
            "READONLY" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" => Self::Perhaps,
            "MOVED" => {
                let node = details.split_whitespace().nth(1).and_then(|node| node.rsplit_once(':'));
                let node = node.and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
                node.map_or(Self::Perhaps, Self::Node)
            }
            _ => Self::No,
        }
    }
}

pub(super) fn refusal(answer: &ServerError) -> Refusal {
    let details = answer.details().unwrap_or_default();
    let code = match answer.code() {
        // Before version 7 the error of a command inside a script is wrapped: `ERR Error running
        // script … -OOM …`.
        "ERR" => wrapped_code(details).unwrap_or("ERR"),
        code => code,
    };
    let words = format!("{} {details}", answer.code());
    if code == "NOSCRIPT" {
        return Refusal { failure: Failure::NoScript, elsewhere: Elsewhere::No };
    }
    let trouble = match code {
        "WRONGPASS" | "NOAUTH" => Trouble::Credentials,
        "ERR" if details.contains("AUTH") || details.contains("invalid password") => Trouble::Credentials,
        "NOPERM" => Trouble::Rights,
        "WRONGTYPE" | "ERR" if !details.contains("max number of clients") => Trouble::Unknown,
        _ => Trouble::State,
    };
    // Others may have other credentials, and other rights.
    let own = matches!(trouble, Trouble::Credentials | Trouble::Rights);
    let elsewhere = Elsewhere::of(code, details);
    let error = match code {
        "WRONGTYPE" => Error::foreign(NAME, words),
        "LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN" | "MOVED" => Error::unavailable(NAME, words),
        // Some of the keys are at the node that the slot is moved to. What is still here is served,
        // so what this changes must be noted like all that a server refuses.
        "TRYAGAIN" | "ASK" => Error::refused(NAME, format!("{words} (its slot is being moved)")),
        _ if details.contains("max number of clients") => Error::unavailable(NAME, words),
        _ => Error::refused(NAME, words),
    };
    let blame = if own { Blame::Process } else { Blame::Server };
    Refusal { failure: Failure::Refused(error.about(trouble).blaming(blame)), elsewhere }
}

fn wrapped_code(details: &str) -> Option<&str> {
    details
        .split_whitespace()
        .filter_map(|word| word.strip_prefix('-'))
        .find(|code| code.len() > 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn kind(answer: &str) -> (ErrorKind, bool) {
        let redis::Value::ServerError(answer) = redis::parse_redis_value(answer.as_bytes()).unwrap() else {
            panic!("not an error answer");
        };
        let refusal = refusal(&answer);
        (Error::from(refusal.failure).kind(), refusal.elsewhere != Elsewhere::No)
    }

    #[test]
    fn a_node_is_named_by_its_host_and_port() {
        let node = |host: &str| Elsewhere::Node((host.to_owned(), 6381));
        for (details, elsewhere) in [
            ("3999 127.0.0.1:6381", node("127.0.0.1")),
            ("3999 ::1:6381", node("::1")),
            ("3999 node.example:6381", node("node.example")),
            ("3999 :6381", node("")),
            ("3999 x", Elsewhere::Perhaps),
            ("", Elsewhere::Perhaps),
        ] {
            assert_eq!(Elsewhere::of("MOVED", details), elsewhere, "{details}");
        }
    }

    #[test]
    fn each_answer_has_the_kind_that_tells_what_to_do() {
        use ErrorKind::{Foreign, Refused, Unavailable};
        for (answer, expected) in [
            ("-NOAUTH Authentication required.\r\n", (Refused, false)),
            ("-WRONGPASS invalid username-password pair\r\n", (Refused, false)),
            ("-NOPERM no permissions\r\n", (Refused, false)),
            ("-OOM command not allowed\r\n", (Refused, false)),
            ("-MISCONF errors writing to disk\r\n", (Refused, false)),
            ("-READONLY You can't write against a read only replica.\r\n", (Refused, true)),
            ("-LOADING Redis is loading\r\n", (Unavailable, true)),
            ("-BUSY Redis is busy running a script\r\n", (Unavailable, false)),
            ("-MASTERDOWN Link with MASTER is down\r\n", (Unavailable, true)),
            ("-MOVED 1 127.0.0.1:1\r\n", (Unavailable, true)),
            ("-ASK 1 127.0.0.1:1\r\n", (Refused, false)),
            ("-TRYAGAIN Multiple keys request during rehashing of slot\r\n", (Refused, false)),
            ("-ERR max number of clients reached\r\n", (Unavailable, false)),
            ("-ERR unknown command\r\n", (Refused, false)),
            (
                "-ERR Error running script (call to f_0): @user_script:1: -OOM command not allowed\r\n",
                (Refused, false),
            ),
            (
                "-ERR Error running script (call to f_0): @user_script:1: -READONLY You can't\r\n",
                (Refused, true),
            ),
            ("-WRONGTYPE Operation against a key\r\n", (Foreign, false)),
        ] {
            assert_eq!(kind(answer), expected, "{answer}");
        }
    }
}
