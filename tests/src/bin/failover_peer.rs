//! A process of its own for tests: opens the store that the options `name=value` before `--` describe, then does
//! what the conformance suite's remaining arguments say.

use larder::Config;
use larder_testkit::conformance::peer;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let options: Vec<String> = args.by_ref().take_while(|arg| arg != "--").collect();
    let config = Config::from_options(options.iter().filter_map(|option| option.split_once('=')))?;
    peer(larder::open_backend(&config)?, args)?;
    Ok(())
}
