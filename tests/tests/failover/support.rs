//! A server behind a proxy, a fallback beside it, and processes that use both.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use larder::contract::{Backend, Tier};
use larder::engine::{Server, open_backend};
use larder::testing::failover::Settings;
use larder::{Cache, Config, Health, Store};
use larder_testkit::{Proxy, RedisServer};
use tempfile::TempDir;

/// How long anything may take to come right again.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Site {
    pub(crate) server: RedisServer,
    pub(crate) proxy: Proxy,
    pub(crate) directory: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// A server with more options.
    pub(crate) fn with(options: &[&str]) -> Self {
        let server = RedisServer::start_with(options);
        let proxy = Proxy::new(server.port());
        Self { server, proxy, directory: TempDir::new().unwrap() }
    }

    pub(crate) fn fallback(&self) -> String {
        format!("local:{}", self.directory.path().join("fallback").display())
    }

    pub(crate) fn config(&self, more: &[(&str, &str)]) -> Config {
        let (server, fallback) = (self.proxy.url(), self.fallback());
        let own = [("server", &*server), ("fallback", &*fallback), ("namespace", "t")];
        let own = own.into_iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
        Config::from_options(own.chain(more.iter().copied())).unwrap()
    }

    /// A store of another node that uses the same server, with a fallback of its own.
    pub(crate) fn backend(&self, node: &str, directory: &Path) -> larder::testing::failover::Failover {
        failover(&self.server.tcp_url(), &format!("local:{}", directory.join("own").display()), node)
    }

    /// Another process of this node.
    pub(crate) fn process(&self) -> Process {
        self.process_with(&[])
    }

    pub(crate) fn process_with(&self, more: &[(&str, &str)]) -> Process {
        let config = self.config(more);
        let store = Store::with_backend(open_backend(&config).unwrap(), &config);
        let cache = store.cache("c").unwrap();
        Process { store, cache }
    }
}

/// A process whose handle on the server is given, too.
pub(crate) fn process_and_server(site: &Site) -> (Process, Arc<dyn Backend>) {
    let open =
        |url: &str| open_backend(&Config::from_options([("server", url), ("namespace", "t")]).unwrap());
    let handles = [&*site.proxy.url(), &*site.fallback()].map(|url| open(url).unwrap());
    let (server, config) = (Arc::clone(&handles[0]), site.config(&[]));
    let settings = Settings {
        shared: false,
        place: format!("{:?}", config.fallback()),
        open: Arc::new(move || Ok(handles.clone())),
        node: "counted".to_owned(),
        waits: [config.connect_timeout(), config.read_timeout()],
    };
    let store =
        Store::with_backend(Arc::new(larder::testing::failover::Failover::new(settings).unwrap()), &config);
    let cache = store.cache("c").unwrap();
    (Process { store, cache }, server)
}

/// A store of the node `name`.
pub(crate) fn failover(server: &str, fallback: &str, name: &str) -> larder::testing::failover::Failover {
    patient_failover(server, fallback, name, "0.5")
}

/// The same with another read timeout, in seconds.
pub(crate) fn patient_failover(
    server: &str,
    fallback: &str,
    name: &str,
    timeout: &str,
) -> larder::testing::failover::Failover {
    let options = |url: &str| {
        let namespace = if url == server { "t" } else { "t+fallback" };
        let options = [("server", url), ("namespace", namespace), ("read_timeout", timeout)];
        Config::from_options(options).unwrap()
    };
    let (server, fallback) = (options(server), options(fallback));
    let server_waits = server.clone();
    let settings = Settings {
        shared: matches!(fallback.server(), Server::Dir { .. }),
        // Processes of a node may have proxies of their own.
        place: format!("{:?}", fallback.server()),
        open: Arc::new(move || Ok([open_backend(&server)?, open_backend(&fallback)?])),
        node: name.to_owned(),
        waits: [server_waits.connect_timeout(), server_waits.read_timeout()],
    };
    larder::testing::failover::Failover::new(settings).unwrap()
}

pub(crate) struct Process {
    pub(crate) store: Store,
    pub(crate) cache: Cache,
}

impl Process {
    /// As a page reads: a failure is a miss.
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        let _ = self.store.sync();
        self.cache.get(key).unwrap_or(None)
    }

    pub(crate) fn set(&self, key: &str, value: &str) -> bool {
        self.cache.set(key, value).is_ok()
    }

    pub(crate) fn delete(&self, key: &str) -> bool {
        self.cache.delete(key).is_ok()
    }

    pub(crate) fn tier(&self) -> Tier {
        self.store.health().tier
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.store.events()
    }

    /// Uses the store until it is served by `tier`.
    pub(crate) fn await_tier(&self, tier: Tier) -> Health {
        let mut health = self.store.health();
        await_that(tier.name(), || {
            health = self.store.health();
            health.tier == tier
        });
        health
    }
}

/// Waits for something that may take a lease or two.
pub(crate) fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
