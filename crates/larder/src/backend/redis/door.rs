//! The way to the server, whatever its address is: who it is now, and who we are to it.

use super::dial::Dialer;
use super::failure::Elsewhere;
use super::login::Login;
use super::names::Host;
use super::primary::{Cluster, Sentinels, Watch, Way};
use super::settings::Settings;
use super::stream::Stream;
use crate::clock::{boot_nanos, nanos};
use crate::config::{RedisAddress, Secret};
use crate::error::Result;

/// What is known of the way to one server.
#[derive(Debug)]
pub(super) struct Door {
    settings: Settings,
    dialer: Dialer,
    login: Login,
    sentinels: Sentinels,
    cluster: Cluster,
}

/// A new connection.
pub(super) struct Connected {
    pub(super) stream: Stream,
    /// The server's host; `None` behind a socket of this node.
    pub(super) host: Option<Host>,
    /// Whether it is the primary still.
    pub(super) watch: Watch,
    /// What to log in with.
    pub(super) password: Option<Secret>,
}

impl Door {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            dialer: Dialer::default(),
            login: Login::default(),
            sentinels: Sentinels::default(),
            cluster: Cluster::default(),
        }
    }

    /// Connects, until `until` at the longest.
    pub(super) fn connect(&self, until: u64) -> Result<Connected> {
        let until = until.min(boot_nanos().saturating_add(nanos(self.settings.connect_timeout)));
        let password = self.login.password(&self.settings, until)?;
        let access = &self.settings.access;
        let way = |tls: bool| Way { dialer: &self.dialer, access: tls.then_some(access), until };
        let mut watch = Watch::default();
        let (stream, host) = match &self.settings.address {
            RedisAddress::Unix(path) => (Dialer::unix(path, until)?, None),
            RedisAddress::Tcp { host, port, tls } => {
                let host = (host.clone(), *port);
                (way(*tls).connect(&host)?, Some(host))
            }
            RedisAddress::Sentinel { sentinels, service, tls } => {
                let (primary, news) = self.sentinels.find(sentinels, service, access, way(*tls))?;
                watch = news;
                (way(*tls).connect(&primary)?, Some(primary))
            }
            RedisAddress::Cluster { nodes, tls } => {
                let (stream, node) = self.cluster.connect(nodes, way(*tls))?;
                (stream, Some(node))
            }
        };
        Ok(Connected { stream, host, watch, password })
    }

    /// The server at `host` refused because another one is responsible. Whether a new connection
    /// may lead there.
    pub(super) fn look_elsewhere(&self, elsewhere: Elsewhere, host: Option<&Host>) -> bool {
        match (&self.settings.address, elsewhere) {
            (_, Elsewhere::No) | (RedisAddress::Tcp { .. } | RedisAddress::Unix(_), _) => return false,
            (RedisAddress::Sentinel { .. }, _) => {}
            (RedisAddress::Cluster { .. }, Elsewhere::Perhaps) => self.cluster.forget(),
            (RedisAddress::Cluster { .. }, Elsewhere::Node((name, port))) => {
                // A node that does not know the other one's name knows that it is its own.
                let own = || host.map_or_else(String::new, |(own, _)| own.clone());
                self.cluster.moved((if matches!(name.as_str(), "" | "?") { own() } else { name }, port));
            }
        }
        true
    }

    /// The server did not take the password. Whether another one may be had.
    pub(super) fn look_for_password(&self) -> bool {
        self.login.refused()
    }

    /// The password, as far as it is known.
    pub(super) fn password(&self) -> Option<Secret> {
        self.login.known().or_else(|| self.settings.password.clone())
    }
}
