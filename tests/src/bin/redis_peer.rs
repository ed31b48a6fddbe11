//! A process of its own for tests: opens the server at the URL and namespace given, then does what the conformance
//! suite's remaining arguments say.

use std::sync::Arc;

use larder::Config;
use larder::redis::{Redis, Settings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (url, namespace) = (args.next().ok_or("URL missing")?, args.next().ok_or("namespace missing")?);
    let config = Config::from_options([
        ("server", url.as_str()),
        ("namespace", &namespace),
        ("read_timeout", "10"),
        ("lock_lease", "1"),
    ])?;
    let settings = Settings::of(&config).ok_or("not a Redis URL")?;
    larder_testkit::conformance::peer(Arc::new(Redis::new(settings)), args)?;
    Ok(())
}
