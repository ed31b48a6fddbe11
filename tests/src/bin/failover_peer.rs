//! A process of its own for tests: opens the store that the options `name=value` before `--` describe, then does
//! what the conformance suite's remaining arguments say, or, with `obey`, what its standard input does.

use std::io::{self, BufRead, Write};

use larder::{Config, Store};
use larder_testkit::conformance::peer;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).peekable();
    let options: Vec<String> = args.by_ref().take_while(|arg| arg != "--").collect();
    let config = Config::from_options(options.iter().filter_map(|option| option.split_once('=')))?;
    if args.next_if(|arg| arg == "obey").is_some() {
        return obey(&config);
    }
    peer(larder::open_backend(&config)?, args)?;
    Ok(())
}

/// `get KEY`, `set KEY VALUE`, `delete KEY`, `tier`: each is a request, and is answered by a line.
fn obey(config: &Config) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open(config)?;
    let cache = store.cache("c")?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        // As a page does: a failure is a miss.
        let _ = store.sync();
        let answer = match *line.split(' ').collect::<Vec<_>>().as_slice() {
            ["get", key] => cache.get::<String>(key).unwrap_or(None).unwrap_or_else(|| "-".to_owned()),
            ["set", key, value] => cache.set(key, value).is_ok().to_string(),
            ["delete", key] => cache.delete(key).is_ok().to_string(),
            ["tier"] => store.health().tier.name().to_owned(),
            _ => return Err(line.into()),
        };
        writeln!(io::stdout(), "{answer}")?;
    }
    Ok(())
}
