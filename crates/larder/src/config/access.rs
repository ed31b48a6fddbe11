//! How to log in to a Redis server, beyond what its URL says.

use super::secret::Secret;

/// Who we are to a Redis server and its sentinels, and whom we trust.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Access {
    /// With TLS: a file of PEM certificates to trust instead of the system's.
    pub(crate) ca_file: Option<String>,
    /// With TLS: PEM files of our own certificate, followed by those between it and the authority,
    /// and of its key.
    pub(crate) identity: Option<(String, String)>,
    /// With TLS: the name that the server's certificate must have, if not the host's.
    pub(crate) tls_server_name: Option<String>,
    /// Where the password comes from if it is not in the configuration.
    pub(crate) password_source: Option<PasswordSource>,
    /// User and password for sentinels.
    pub(crate) sentinel_username: Option<String>,
    pub(crate) sentinel_password: Option<Secret>,
}

/// Where a password that changes comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PasswordSource {
    /// The first line of a file.
    File(String),
    /// The first line that a command of the shell prints.
    Command(Secret),
}
