//! A connection, and what is known of the server behind it.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;

use super::door::Door;
use super::names::Host;
use super::posts::Posts;
use super::primary::Watch;
use super::wire::Wire;
use crate::clock::boottime;
use crate::contract::Position;

/// How long the identity of a connected server is taken for granted.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A connection and what is known of the server behind it.
pub(super) struct Link {
    pub(super) wire: Wire,
    /// The way that it was made.
    pub(super) door: Arc<Door>,
    /// The server's host; `None` behind a socket of this node.
    pub(super) host: Option<Host>,
    /// Whether the server is the primary still.
    pub(super) watch: Watch,
    /// `None` until the server said who it is.
    pub(super) identity: Option<Identity>,
    /// When it was last used.
    pub(super) used: Duration,
    /// Whether it was answered once.
    pub(super) answered: bool,
    /// How long an answer is waited for.
    pub(super) wait: Duration,
    pub(super) quiet: Option<Quiet>,
    pub(super) posts: Posts,
    /// Whether the server takes writes on this connection, as far as is known.
    pub(super) writes: bool,
    /// Whether the server has the script for fills, as far as is known.
    pub(super) has_fill_script: bool,
}

/// A sync that showed no change: from which position, and the bytes of the answer. The same answer
/// for the same position means the same, so it need not be taken apart.
pub(super) struct Quiet {
    pub(super) since: Position,
    pub(super) answers: Vec<u8>,
}

impl Link {
    /// The server said who it is. In another history it knows none of the caches.
    pub(super) fn identify(&mut self, identity: Identity) {
        self.identity = Some(identity);
        self.posts.forget_caches();
    }

    /// A write was done.
    pub(super) fn wrote(&mut self) {
        self.writes = true;
    }

    /// Takes in answers to what was posted.
    pub(super) fn answer_posts(&mut self, answers: Vec<Value>) {
        if !self.posts.answer(answers) {
            // The next write is waited for, and finds out.
            (self.writes, self.has_fill_script) = (false, false);
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// What a server does for this account: not each version does all, nor each service or account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Abilities {
    /// It removes expired fields of hashes itself (`HPEXPIREAT`).
    pub(super) expires_fields: bool,
    /// It says whether it is a primary when it is asked for nothing else (`ROLE`).
    pub(super) tells_role: bool,
    /// It lets scripts ask for time and identity (`TIME`, `INFO`).
    pub(super) answers_scripts: bool,
}

/// What a connection knows of its server.
#[derive(Debug)]
pub(super) struct Identity {
    /// The history that the server's logged caches belong to.
    pub(super) incarnation: u128,
    /// Run and replication history of the server, as in its `cert`.
    pub(super) cert: Vec<u8>,
    pub(super) abilities: Abilities,
    /// When the request for the last check was sent; `None`: check with the next request.
    pub(super) checked: Option<Duration>,
}

impl Identity {
    pub(super) fn due(&self) -> bool {
        self.checked.is_none_or(|checked| boottime().saturating_sub(checked) >= CHECK_INTERVAL)
    }
}
