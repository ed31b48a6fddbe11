//! A process that opens the shared directory at the URL of its first argument and does what the conformance suite
//! asks.

use std::io;

use larder_testkit::conformance;

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_default();
    // A machine that runs many tests at once is slow, which is not what these are about.
    let config = larder::Config::from_options([("server", url.as_str()), ("read_timeout", "30")]);
    let backend = config.and_then(|config| larder::open_backend(&config)).map_err(io::Error::other)?;
    conformance::peer(backend, args)
}
