//! The one error type of the crate.

use std::fmt;
use std::time::{Duration, Instant};

/// A result whose error is Larder's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is wrong; the message names the option.
    Config,
    /// A key, cache name or value cannot be stored; the message names it.
    Value,
    /// The backend cannot be reached or did not answer in time. Reads may be treated as misses. A
    /// write may or may not have taken effect, but will not take effect later.
    Unavailable,
    /// The backend answered and refused: no permission, read-only, out of memory, out of space.
    Refused,
    /// The backend holds something that Larder did not write or does not understand.
    Foreign,
    /// A lock was lost while its holder worked: another may have got it, so the write under it did
    /// not happen.
    LockLost,
    /// Locks may have been lost, so nobody new gets a named lock for one lease: its holder may not
    /// know yet. See
    /// [`Error::grace_until`].
    Grace,
}

/// An error of Larder. Messages never contain passwords, keys of seals or values.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    repr: Repr,
    /// What caused it, if that was another error.
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    trouble: Trouble,
    blame: Blame,
}

#[derive(Debug, thiserror::Error)]
enum Repr {
    #[error("{0}")]
    Config(String),
    #[error("{0}")]
    Value(String),
    #[error("the lock is held no longer; nothing was stored")]
    LockLost,
    #[error(
        "locks may have been lost: nobody new gets this one for another {:.1} s, since its holder may not know yet",
        .until.saturating_duration_since(Instant::now()).as_secs_f64()
    )]
    Grace { until: Instant },
    #[error("{backend} is unavailable: {reason}")]
    Unavailable { backend: &'static str, reason: String },
    #[error("{0} (found a moment ago)")]
    LeftAlone(String),
    #[error("{backend} refused: {reason}")]
    Refused { backend: &'static str, reason: String },
    #[error("{backend} holds something foreign: {reason}")]
    Foreign { backend: &'static str, reason: String },
}

/// Where to look for what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The message says all that is known.
    Unknown,
    /// The server's name has no address.
    Name,
    /// Nobody listens there, or nothing leads there.
    Address,
    /// The server answers too late, or never.
    Silence,
    /// The certificate of the server, or the authorities that it is compared with.
    Certificate,
    /// User name and password.
    Credentials,
    /// What the user may do.
    Rights,
    /// What the server can do at present.
    State,
    /// This process or its machine.
    Process,
    /// What was asked for at once.
    Amount,
}

/// What a failure is evidence about, and so who should leave the server alone for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The server, for everybody.
    Server,
    /// The server, for those who wait no longer for a connection.
    SlowToConnect(Duration),
    /// The server, for those who wait no longer for an answer.
    SlowToAnswer(Duration),
    /// This process with its settings; others may fare better.
    Process,
    /// This call; the next may fare better.
    Call,
}

/// Who waits less than this for a server says nothing about it to others.
const ORDINARY_WAIT: Duration = Duration::from_millis(100);

impl Blame {
    /// Whether the server is not to be used by anybody.
    pub(crate) fn is_server(self) -> bool {
        match self {
            Self::Server => true,
            Self::SlowToConnect(waited) | Self::SlowToAnswer(waited) => waited >= ORDINARY_WAIT,
            Self::Process | Self::Call => false,
        }
    }
}

impl Error {
    /// The kind of this error.
    pub fn kind(&self) -> ErrorKind {
        match self.inner.repr {
            Repr::Config(_) => ErrorKind::Config,
            Repr::Value(_) => ErrorKind::Value,
            Repr::LockLost => ErrorKind::LockLost,
            Repr::Grace { .. } => ErrorKind::Grace,
            Repr::Unavailable { .. } | Repr::LeftAlone(_) => ErrorKind::Unavailable,
            Repr::Refused { .. } => ErrorKind::Refused,
            Repr::Foreign { .. } => ErrorKind::Foreign,
        }
    }

    /// What a person can do about it; empty if the message says all.
    pub fn advice(&self) -> &'static str {
        match (self.inner.trouble, self.kind()) {
            (Trouble::Name, _) => {
                "check the host's name in the option server, and this machine's name servers"
            }
            (Trouble::Address, _) => {
                "check that the server runs and listens at this address and port, and that no firewall stands between"
            }
            (Trouble::Silence, _) => {
                "check that the server is not overloaded or stopped and that no firewall drops packets; raise \
                 connect_timeout and read_timeout if it is far away"
            }
            (Trouble::Certificate, _) => {
                "check the server's certificate (its host name, dates and authority) and the option ca_file; if the server asks for \
                 one of this client, check cert_file and key_file, too"
            }
            (Trouble::Credentials, _) => "check user name and password",
            (Trouble::Rights, _) => "give the user the rights that docs/redis.md names",
            (Trouble::State, _) => "see the server's own log and its INFO: it runs, but refuses this for now",
            (Trouble::Process, _) => "check this machine and the limits of this process, such as open files",
            (Trouble::Amount, _) => "ask for or store less at once, or raise read_timeout",
            (Trouble::Unknown, _) if self.is_of_directory() => {
                "check the directory: its path, owner and mode, and whether its filesystem is mounted, answers and has room"
            }
            (Trouble::Unknown, ErrorKind::Foreign) => "give Larder a directory or a database of its own",
            (Trouble::Unknown, ErrorKind::Unavailable) => {
                "check that the server runs and can be reached from here"
            }
            (Trouble::Unknown, ErrorKind::Refused) => {
                "check the user's rights, and what the server says about it"
            }
            (Trouble::Unknown, _) => "",
        }
    }

    /// When the grace ends, for [`ErrorKind::Grace`]: the lock is to be had then, unless its holder
    /// was alive.
    pub fn grace_until(&self) -> Option<Instant> {
        match self.inner.repr {
            Repr::Grace { until } => Some(until),
            _ => None,
        }
    }

    pub(crate) fn grace(left: Duration) -> Self {
        Self::from(Repr::Grace { until: Instant::now() + left }).blaming(Blame::Call)
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Repr::Config(message.into()).into()
    }

    pub(crate) fn value(message: impl Into<String>) -> Self {
        Repr::Value(message.into()).into()
    }

    /// A write was refused because its lock is gone. For implementers of
    /// [`Backend`](crate::contract::Backend).
    pub fn lock_lost() -> Self {
        Repr::LockLost.into()
    }

    /// `backend` cannot be reached or did not answer in time. For implementers of
    /// [`Backend`](crate::contract::Backend).
    pub fn unavailable(backend: &'static str, reason: impl fmt::Display) -> Self {
        Repr::Unavailable { backend, reason: reason.to_string() }.into()
    }

    /// The backend is not asked, because of what was found a moment ago: the message of that error.
    pub(crate) fn left_alone(found: String) -> Self {
        Repr::LeftAlone(found).into()
    }

    /// `backend` answered and refused. For implementers of [`Backend`](crate::contract::Backend).
    pub fn refused(backend: &'static str, reason: impl fmt::Display) -> Self {
        Repr::Refused { backend, reason: reason.to_string() }.into()
    }

    /// `backend` holds what Larder did not write. For implementers of
    /// [`Backend`](crate::contract::Backend).
    pub fn foreign(backend: &'static str, reason: impl fmt::Display) -> Self {
        Repr::Foreign { backend, reason: reason.to_string() }.into()
    }

    /// The same with the error that caused it. For implementers of
    /// [`Backend`](crate::contract::Backend).
    #[must_use]
    pub fn because_of(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.inner.source = Some(cause.into());
        self
    }

    /// The same with where to look for what is wrong.
    pub(crate) fn about(mut self, trouble: Trouble) -> Self {
        self.inner.trouble = trouble;
        self
    }

    /// The same with what it is evidence about.
    pub(crate) fn blaming(mut self, blame: Blame) -> Self {
        self.inner.blame = blame;
        self
    }

    pub(crate) fn blame(&self) -> Blame {
        self.inner.blame
    }

    pub(crate) fn trouble(&self) -> Trouble {
        self.inner.trouble
    }

    /// The same without a secret that the server repeated.
    pub(crate) fn without(mut self, secret: &str) -> Self {
        if let (Repr::Refused { reason, .. }, false) = (&mut self.inner.repr, secret.is_empty()) {
            *reason = reason.replace(secret, "***");
        }
        self
    }

    /// Whether it came from a backend that is a directory.
    fn is_of_directory(&self) -> bool {
        match &self.inner.repr {
            Repr::Unavailable { backend, .. } | Repr::Refused { backend, .. } => {
                backend.ends_with("directory")
            }
            _ => false,
        }
    }
}

impl From<Repr> for Error {
    fn from(repr: Repr) -> Self {
        Self {
            inner: Box::new(Inner { repr, source: None, trouble: Trouble::Unknown, blame: Blame::Server }),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner.repr, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner.repr, f)
    }
}

impl std::error::Error for Error {
    /// The error that caused this one, if there was one: of the operating system, the encoding or
    /// the connection.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&**self.inner.source.as_ref()?)
    }
}
