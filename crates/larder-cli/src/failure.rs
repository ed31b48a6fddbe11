//! Why a command ended early, and what it says then.

use std::io;
use std::process::ExitCode;

use larder::{Error, ErrorKind};

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line or the configuration is wrong.
    Usage(String),
    /// What was asked for is not there.
    NotFound(String),
    /// The store failed.
    Store(Error),
    /// The output could not be written.
    Output(io::Error),
}

impl Failure {
    /// Says it on standard error; the exit code. Who closed the pipe has read enough: that is no
    /// failure.
    pub(crate) fn report(self) -> ExitCode {
        let (message, code) = match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Self::Output(error) => (format!("the output cannot be written: {error}"), 1),
            Self::NotFound(message) => (message, 1),
            Self::Usage(message) => (message, 2),
            Self::Store(error) if error.kind() == ErrorKind::Config => (error.to_string(), 2),
            Self::Store(error) => (error.to_string(), 1),
        };
        // Nobody is left to be told when standard error is closed, too.
        let _ = io::Write::write_all(&mut io::stderr(), format!("larder: {message}\n").as_bytes());
        ExitCode::from(code)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Output(error.into())
    }
}
