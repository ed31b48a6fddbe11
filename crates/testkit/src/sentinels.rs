//! A replicated server that sentinels look after.

use crate::RedisServer;
use crate::redis_server::wait_until;

/// A primary, two replicas, and three sentinels.
#[derive(Debug)]
pub struct Sentinels {
    servers: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
}

/// The name of the service.
const SERVICE: &str = "larder";
/// How long sentinels wait for a server, in milliseconds, and how long once it was killed.
const PATIENT: &str = "60000";
const QUICK: &str = "300";
/// How many servers and sentinels there are.
const SIZE: usize = 3;

impl Sentinels {
    /// Starts them.
    pub fn start() -> Self {
        let servers: Vec<RedisServer> = (0..SIZE).map(|_| RedisServer::start()).collect();
        let [primary, replicas @ ..] = servers.as_slice() else { unreachable!("just made") };
        for replica in replicas {
            replica.replicate(primary);
        }
        let sentinels: Vec<RedisServer> = (0..SIZE)
            .map(|_| {
                RedisServer::start_sentinel(&[
                    &format!("sentinel monitor {SERVICE} 127.0.0.1 {} 2", primary.port()),
                    // A busy machine keeps servers waiting.
                    &format!("sentinel down-after-milliseconds {SERVICE} {PATIENT}"),
                    &format!("sentinel failover-timeout {SERVICE} 5000"),
                    &format!("sentinel parallel-syncs {SERVICE} {SIZE}"),
                ])
            })
            .collect();
        for sentinel in &sentinels {
            // A promoted server is made a replica again by a sentinel that does not hear of it
            // within four publish periods. One that stalled itself would do nothing for half a
            // minute.
            for (option, value) in [
                ("info-period", "100"),
                ("ping-period", "100"),
                ("ask-period", "100"),
                ("publish-period", "1000"),
                ("tilt-trigger", PATIENT),
            ] {
                let _: String = sentinel.tell(&["SENTINEL", "DEBUG", option, value]);
            }
        }
        let set = Self { servers, sentinels };
        wait_until("the sentinels know each other and the replicas", || {
            set.sentinels.iter().all(|sentinel| {
                let facts: Vec<String> = sentinel.tell(&["SENTINEL", "MASTER", SERVICE]);
                let has = |name: &str, value: &str| facts.windows(2).any(|pair| pair == [name, value]);
                has("num-slaves", "2") && has("num-other-sentinels", "2")
            })
        });
        set
    }

    /// The URL of the service.
    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port())).collect();
        format!("redis-sentinel://{}/{SERVICE}", hosts.join(","))
    }

    /// The sentinels.
    pub fn sentinels(&mut self) -> &mut [RedisServer] {
        &mut self.sentinels
    }

    /// Which of the servers the sentinels that run take for the primary; `None` while they
    /// disagree.
    pub fn primary(&self) -> Option<usize> {
        let mut named = self.sentinels.iter().filter(|sentinel| sentinel.runs()).map(|sentinel| {
            let address: Vec<String> = sentinel.tell(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]);
            address.last().and_then(|port| port.parse::<u16>().ok())
        });
        let first = named.next()??;
        let port = named.all(|port| port == Some(first)).then_some(first)?;
        self.servers.iter().position(|server| server.port() == port)
    }

    /// One of the servers.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn server(&self, number: usize) -> &RedisServer {
        self.servers.get(number).unwrap_or_else(|| unreachable!("no server {number}"))
    }

    /// The present primary, once all agree which one that is.
    pub fn await_primary(&self) -> usize {
        let mut found = None;
        wait_until("the sentinels agree on a primary", || {
            found = self.primary().filter(|primary| is_primary(self.server(*primary)));
            found.is_some()
        });
        found.unwrap_or_default()
    }

    /// Has the sentinels make a replica the primary, while the old one runs. Calls `meanwhile` when
    /// they name the new one, and the old one most often does not know yet.
    pub fn fail_over(&self, meanwhile: impl FnOnce(&Self)) {
        let before = self.await_primary();
        wait_until("another server is the primary", || match self.primary() {
            Some(primary) if primary == before => {
                // One that is busy gives up now and then.
                if let Some(sentinel) = self.sentinels.iter().find(|sentinel| sentinel.runs()) {
                    let mut ask = redis::cmd("SENTINEL");
                    let _ = ask.arg("FAILOVER").arg(SERVICE).exec(&mut sentinel.connect());
                }
                false
            }
            primary => primary.is_some_and(|primary| is_primary(self.server(primary))),
        });
        meanwhile(self);
        wait_until("the old primary is a replica", || !is_primary(self.server(before)));
    }

    /// Kills the primary (`SIGKILL`) and waits until another server has taken over. Which one was
    /// killed.
    pub fn kill_primary(&mut self) -> usize {
        let before = self.await_primary();
        if let Some(server) = self.servers.get_mut(before) {
            server.kill();
        }
        self.wait_for_servers(QUICK);
        wait_until("another server is the primary", || {
            self.primary().is_some_and(|primary| primary != before && is_primary(self.server(primary)))
        });
        self.wait_for_servers(PATIENT);
        before
    }

    fn wait_for_servers(&self, millis: &str) {
        for sentinel in self.sentinels.iter().filter(|sentinel| sentinel.runs()) {
            let _: String = sentinel.tell(&["SENTINEL", "SET", SERVICE, "down-after-milliseconds", millis]);
        }
    }

    /// Starts a server that was killed, and waits until it is a replica of the primary.
    pub fn restart(&mut self, number: usize) {
        if let Some(server) = self.servers.get_mut(number) {
            server.restart_empty();
        }
        self.server(number).replicate(self.server(self.await_primary()));
    }
}

/// Whether it says so; sentinels close connections to a server whose role they change.
fn is_primary(server: &RedisServer) -> bool {
    let role = |mut connection| redis::cmd("INFO").arg("replication").query::<String>(&mut connection);
    server.try_connect().and_then(role).is_ok_and(|role| role.contains("role:master"))
}
