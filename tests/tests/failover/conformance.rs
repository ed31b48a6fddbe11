//! While the server is well, a store with a fallback is a store like any other, at the same cost.

use std::process::Command;
use std::sync::Arc;

use larder::contract::Backend;
use larder_testkit::conformance::Fixture;

use crate::support::Site;

struct WithFallback {
    site: Site,
    /// Whether the server is gone before the first use.
    away: bool,
}

impl WithFallback {
    fn well() -> Self {
        Self { site: Site::new(), away: false }
    }

    fn away() -> Self {
        let mut site = Site::new();
        site.server.kill();
        Self { site, away: true }
    }

    fn options(&self) -> Vec<(&'static str, String)> {
        let server = if self.away { self.site.proxy.url() } else { self.site.server.unix_url() };
        let fallback = format!("{}?size=256M", self.site.fallback());
        vec![
            ("server", server),
            ("fallback", fallback),
            ("namespace", "t".into()),
            // A machine that runs many tests at once is slow, which is not what these are about.
            ("read_timeout", "10".into()),
            ("lock_lease", "1".into()),
        ]
    }
}

impl Fixture for WithFallback {
    fn open(&self) -> Arc<dyn Backend> {
        let options = self.options();
        let options: Vec<_> = options.iter().map(|(name, value)| (*name, &**value)).collect();
        let backend = larder::engine::open_backend(&self.site.config(&options)).unwrap();
        // The first call of a process asks how much the server has to be told.
        backend.fetch(None, &[]).unwrap();
        backend
    }

    fn peer(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
        command.args(self.options().iter().map(|(name, value)| format!("{name}={value}"))).arg("--");
        command
    }
}

mod well {
    use super::WithFallback;
    larder_testkit::conformance_suite!(WithFallback::well());
}

mod away {
    use super::WithFallback;
    larder_testkit::conformance_suite!(WithFallback::away());
}
