//! The table of options: their names, and how the parser reads each. Builder and documentation are
//! tested against it.

use super::draft::Draft;
use super::parse;
use super::secret::Secret;
use super::server::Server;
use crate::error::Result;

/// The longest `namespace`, `generation` and `code_epoch`, in bytes.
const MAX_NAME: usize = 100;
/// The shortest secret that is worth the name, in bytes.
const MIN_SEAL_KEY: usize = 16;

/// One option. Its meaning and default stand in the documentation of [`Config`](super::Config).
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Takes in a value; the second argument is the option's name.
    pub(super) read: fn(&mut Draft, &str, &str) -> Result<()>,
}

/// All options.
pub(super) const OPTIONS: [Row; 25] = [
    Row {
        name: "server",
        read: |draft, _, value| {
            draft.server = Some(value.to_owned());
            Ok(())
        },
    },
    Row {
        name: "username",
        read: |draft, _, value| {
            draft.username = Some(value.to_owned());
            Ok(())
        },
    },
    Row {
        name: "password",
        read: |draft, _, value| {
            draft.password = Some(value.to_owned());
            Ok(())
        },
    },
    Row {
        name: "password_file",
        read: |draft, name, value| parse::absolute(name, value).map(|read| draft.password_file = Some(read)),
    },
    Row {
        name: "password_command",
        read: |draft, _, value| {
            draft.password_command = Some(Secret::new(value));
            Ok(())
        },
    },
    Row {
        name: "ca_file",
        read: |draft, name, value| {
            parse::absolute(name, value).map(|read| draft.config.access.ca_file = Some(read))
        },
    },
    Row {
        name: "cert_file",
        read: |draft, name, value| parse::absolute(name, value).map(|read| draft.cert_file = Some(read)),
    },
    Row {
        name: "key_file",
        read: |draft, name, value| parse::absolute(name, value).map(|read| draft.key_file = Some(read)),
    },
    Row {
        name: "tls_server_name",
        read: |draft, name, value| {
            parse::host_name(name, value).map(|read| draft.config.access.tls_server_name = Some(read))
        },
    },
    Row {
        name: "sentinel_username",
        read: |draft, _, value| {
            draft.config.access.sentinel_username = Some(value.to_owned());
            Ok(())
        },
    },
    Row {
        name: "sentinel_password",
        read: |draft, _, value| {
            draft.config.access.sentinel_password = Some(Secret::new(value));
            Ok(())
        },
    },
    Row {
        name: "namespace",
        read: |draft, name, value| {
            parse::label(name, value, MAX_NAME).map(|read| draft.config.namespace = read)
        },
    },
    Row {
        name: "generation",
        read: |draft, name, value| {
            parse::label(name, value, MAX_NAME).map(|read| draft.config.generation = read)
        },
    },
    Row {
        name: "code_epoch",
        read: |draft, name, value| {
            parse::label(name, value, MAX_NAME).map(|read| draft.config.code_epoch = Some(read))
        },
    },
    Row {
        name: "near_bytes",
        read: |draft, name, value| parse::bytes(name, value).map(|read| draft.config.near_bytes = read),
    },
    Row {
        name: "max_staleness",
        read: |draft, name, value| {
            parse::seconds(name, value, 0.0, 3600.0).map(|read| draft.config.max_staleness = read)
        },
    },
    Row {
        name: "connect_timeout",
        read: |draft, name, value| {
            parse::seconds(name, value, 0.001, 60.0).map(|read| draft.config.connect_timeout = read)
        },
    },
    Row {
        name: "read_timeout",
        read: |draft, name, value| {
            parse::seconds(name, value, 0.001, 60.0).map(|read| draft.config.read_timeout = read)
        },
    },
    Row {
        name: "lock_lease",
        read: |draft, name, value| {
            parse::seconds(name, value, 1.0, 3600.0).map(|read| draft.config.lock_lease = read)
        },
    },
    Row {
        name: "lock_wait",
        read: |draft, name, value| {
            parse::seconds(name, value, 0.0, 3600.0).map(|read| draft.config.lock_wait = read)
        },
    },
    Row {
        name: "fallback",
        read: |draft, _, value| Server::parse_fallback(value).map(|read| draft.config.fallback = Some(read)),
    },
    Row {
        name: "compress_from",
        read: |draft, name, value| {
            let bytes = usize::try_from(parse::bytes(name, value)?).unwrap_or(usize::MAX);
            draft.config.compress_from = (bytes > 0).then_some(bytes);
            Ok(())
        },
    },
    Row {
        name: "seal_key",
        read: |draft, name, value| {
            parse::secret(name, value, MIN_SEAL_KEY).map(|read| draft.config.seal_key = Some(read))
        },
    },
    Row {
        name: "seal_key_previous",
        read: |draft, name, value| {
            parse::secret(name, value, MIN_SEAL_KEY).map(|read| draft.config.seal_key_previous = Some(read))
        },
    },
    Row {
        name: "node_tier",
        read: |draft, _, value| {
            Server::parse_node_tier(value).map(|read| draft.config.node_tier = Some(read))
        },
    },
];
