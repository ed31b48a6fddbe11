//! One process of a run of the coherence checker: `coherence_worker DIRECTORY PROCESS MILLISECONDS
//! NAME=VALUE…` with the options of the store. With `FLOODS=N` in the environment each request
//! begins with up to N floods.

use std::io;
use std::path::Path;
use std::time::Duration;

use larder::Config;
use larder_tests::coherence::{Worker, run};

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [directory, process, time, options @ ..] = args.as_slice() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let config = Config::from_options(options.iter().filter_map(|option| option.split_once('=')));
    let number = |text: &str| text.parse::<u64>().map_err(io::Error::other);
    run(&Worker {
        config: &config.map_err(io::Error::other)?,
        directory: Path::new(directory),
        process: number(process)?,
        time: Duration::from_millis(number(time)?),
        floods: std::env::var("FLOODS").map_or(Ok(0), |floods| number(&floods))?,
    })
}
