//! The conformance suite on a real Redis server, over its socket and over TCP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;
use std::sync::Arc;

use larder::Config;
use larder::contract::Backend;
use larder::testing::redis::{Redis, Settings};
use larder_testkit::RedisServer;
use larder_testkit::conformance::Fixture;

struct OnRedis {
    url: String,
    // Stopped when the fixture is dropped.
    _server: RedisServer,
}

impl OnRedis {
    fn unix() -> Self {
        let server = RedisServer::start();
        Self { url: server.unix_url(), _server: server }
    }

    fn tcp() -> Self {
        let server = RedisServer::start();
        Self { url: server.tcp_url(), _server: server }
    }
}

impl Fixture for OnRedis {
    fn open(&self) -> Arc<dyn Backend> {
        // A machine that runs many tests at once is slow, which is not what these are about.
        let options = [
            ("server", self.url.as_str()),
            ("namespace", "conformance"),
            ("read_timeout", "10"),
            ("lock_lease", "1"),
        ];
        Arc::new(Redis::new(Settings::of(&Config::from_options(options).unwrap()).unwrap()))
    }

    fn peer(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
        command.arg(format!("server={}", self.url));
        command.args(["namespace=conformance", "read_timeout=10", "lock_lease=1", "--"]);
        command
    }
}

mod unix {
    use super::OnRedis;
    larder_testkit::conformance_suite!(OnRedis::unix());
    larder_testkit::lock_conformance_suite!(OnRedis::unix());
}

mod tcp {
    use super::OnRedis;
    larder_testkit::conformance_suite!(OnRedis::tcp());
}
