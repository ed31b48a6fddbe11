//! One connection: sending a batch of commands and waiting for its answers.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, Value};

use super::NAME;
use super::failure::{Failure, refusal};
use super::identity::Identity;
use super::pool::Slot;
use super::settings::Settings;
use crate::clock::boottime;
use crate::config::RedisAddress;
use crate::error::{Error, Result};

/// A connection and what is known of the server behind it.
pub(super) struct Link {
    connection: redis::Connection,
    /// `None` until the server said who it is.
    pub(super) identity: Option<Identity>,
    /// When it was last used.
    used: Duration,
}

/// See [`Slot::long_unused`].
const LONG: Duration = Duration::from_secs(10);

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Commands to send together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    commands: usize,
}

impl Batch {
    pub(super) fn add(&mut self, command: &Cmd) -> &mut Self {
        command.write_packed_command(&mut self.bytes);
        self.commands += 1;
        self
    }
}

impl Slot {
    /// Connects, if there is no connection, and adds to `batch` what a new connection must send first.
    ///
    /// Returns the number of answers to that.
    pub(super) fn open(&mut self, settings: &Settings, batch: &mut Batch) -> Result<usize, Failure> {
        if self.link.is_some() {
            return Ok(0);
        }
        let connection = connect(settings).map_err(Failure::Unsent)?;
        self.link = Some(Link { connection, identity: None, used: boottime() });
        let before = batch.commands;
        if let Some(password) = &settings.password {
            let mut auth = redis::cmd("AUTH");
            if let Some(username) = &settings.username {
                auth.arg(username);
            }
            batch.add(auth.arg(password.reveal()));
        }
        if settings.database != 0 {
            batch.add(redis::cmd("SELECT").arg(settings.database));
        }
        Ok(batch.commands - before)
    }

    /// Sends `batch` and waits for its answers: one round trip. Error answers are among them.
    ///
    /// A connection that fails is gone afterwards.
    pub(super) fn exchange_all(&mut self, batch: &Batch, trips: &AtomicU64) -> Result<Vec<Value>, Failure> {
        let Some(link) = self.link.as_mut() else {
            return Err(Failure::Unsent(Error::unavailable(NAME, "not connected")));
        };
        trips.fetch_add(1, Ordering::Relaxed);
        link.used = boottime();
        let answers = link.connection.send_packed_command(&batch.bytes).and_then(|()| {
            (0..batch.commands)
                .map(|_| link.connection.recv_response())
                .collect::<redis::RedisResult<Vec<_>>>()
        });
        self.drop_if_cut(answers.map_err(|error| Failure::cut(&error)))
    }

    /// Like [`exchange_all`](Self::exchange_all), but an error answer is a failure of the whole.
    pub(super) fn exchange(&mut self, batch: &Batch, trips: &AtomicU64) -> Result<Vec<Value>, Failure> {
        let answers = self.exchange_all(batch, trips)?;
        for answer in &answers {
            if let Value::ServerError(error) = answer {
                let refusal = refusal(error);
                match self.identity_mut() {
                    Some(identity) if !refusal.elsewhere => identity.checked = None,
                    _ => self.link = None,
                }
                return Err(refusal.failure);
            }
        }
        Ok(answers)
    }

    /// Whether a kept connection was not used for so long that the server or something between may have closed it.
    pub(super) fn long_unused(&self) -> bool {
        self.link.as_ref().is_some_and(|link| boottime().saturating_sub(link.used) > LONG)
    }

    /// Throws the connection away if an answer on it was cut short or made no sense.
    pub(super) fn drop_if_cut<T>(&mut self, result: Result<T, Failure>) -> Result<T, Failure> {
        if matches!(result, Err(Failure::Cut { .. })) {
            self.link = None;
        }
        result
    }

    pub(super) fn identity_mut(&mut self) -> Option<&mut Identity> {
        self.link.as_mut()?.identity.as_mut()
    }
}

fn connect(settings: &Settings) -> Result<redis::Connection> {
    let (address, tls) = match &settings.address {
        RedisAddress::Unix(path) => (ConnectionAddr::Unix(path.clone()), false),
        RedisAddress::Tcp { host, port, tls: false } => (ConnectionAddr::Tcp(host.clone(), *port), false),
        RedisAddress::Tcp { host, port, tls: true } => {
            let (host, port) = (host.clone(), *port);
            (ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }, true)
        }
    };
    let info = address
        .into_connection_info()
        .map_err(unreachable)?
        .set_tcp_settings(TcpSettings::default().set_nodelay(true))
        .set_redis_settings(RedisConnectionInfo::default().set_skip_set_lib_name());
    let connection = client(info, tls, settings.ca_file.as_deref())?
        .get_connection_with_timeout(at_least_a_little(settings.connect_timeout))
        .map_err(unreachable)?;
    let timeout = Some(at_least_a_little(settings.read_timeout));
    connection.set_read_timeout(timeout).map_err(unreachable)?;
    connection.set_write_timeout(timeout).map_err(unreachable)?;
    Ok(connection)
}

fn client(info: ConnectionInfo, tls: bool, ca_file: Option<&Path>) -> Result<Client> {
    if !tls {
        return Client::open(info).map_err(unreachable);
    }
    let root_cert = match ca_file {
        None => None,
        Some(path) => Some(
            std::fs::read(path)
                .map_err(|error| Error::refused(NAME, format!("ca_file {}: {error}", path.display())))?,
        ),
    };
    Client::build_with_tls(info, redis::TlsCertificates { client_tls: None, root_cert })
        .map_err(|error| Error::refused(NAME, error))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unreachable(error: redis::RedisError) -> Error {
    Error::unavailable(NAME, format!("cannot connect: {error}"))
}

/// The operating system takes a time-out of zero for none.
fn at_least_a_little(timeout: Duration) -> Duration {
    timeout.max(Duration::from_millis(1))
}
