//! A process that opens the store of its first argument, a URL, and does what the conformance suite asks.

use std::io;

use larder_testkit::conformance::processes;

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_default();
    let config = larder::Config::from_url(&url).map_err(io::Error::other)?;
    processes::peer(larder::open_backend(&config).map_err(io::Error::other)?, args)
}
