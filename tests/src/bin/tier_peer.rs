//! A process that opens the server of its first argument behind the node tier of its second, and does what the
//! conformance suite's remaining arguments say.

use std::io;

use larder_testkit::conformance;

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (server, tier) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    let options = [("server", server.as_str()), ("node_tier", &tier), ("read_timeout", "30")];
    let config = larder::Config::from_options(options);
    let backend = config.and_then(|config| larder::open_backend(&config)).map_err(io::Error::other)?;
    conformance::peer(backend, args)
}
