//! A directory mounted as a network filesystem would be: each request to the server takes a time.
//!
//! `slow-mount EXPORTED MOUNTPOINT --delay-us MICROSECONDS` prints `mounted`, answers each line of its standard input with
//! the number of requests so far, and unmounts when that ends. Exit code 2 where there is no FUSE.

use std::io::{self, BufRead as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use larder_testkit::slowfs::{self, Behaviour, SlowFs};

const NO_FUSE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [exported, mountpoint, option, micros] = arguments.as_slice() else { return usage() };
    let (Ok(micros), "--delay-us") = (micros.parse(), option.as_str()) else { return usage() };
    if !slowfs::available() {
        return ExitCode::from(NO_FUSE);
    }
    match serve(Path::new(exported), Path::new(mountpoint), Duration::from_micros(micros)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slow-mount: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: slow-mount EXPORTED MOUNTPOINT --delay-us MICROSECONDS");
    ExitCode::FAILURE
}

fn serve(exported: &Path, mountpoint: &Path, delay: Duration) -> io::Result<()> {
    let node = SlowFs::export(exported)?.mount(mountpoint, Behaviour { delay, ..Behaviour::default() })?;
    println!("mounted");
    for line in io::stdin().lock().lines() {
        line?;
        println!("{}", node.requests());
    }
    node.unmount()
}
