//! Mounts a directory as a slow network filesystem until its input ends: `slow-mount DIRECTORY MOUNT_POINT [MILLISECONDS]`.
//!
//! MILLISECONDS is what each request to the simulated server takes (0.6 by default); names and attributes are believed
//! for 3 seconds. Prints `mounted` once it is, and how many requests there were at the end.

use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use larder_testkit::slowfs::{Behaviour, SlowFs};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (directory, path, delay) = match arguments.as_slice() {
        [directory, path] => (directory, path, Some(0.6)),
        [directory, path, delay] => (directory, path, delay.parse().ok()),
        _ => return usage(),
    };
    let Some(Ok(delay)) = delay.map(|delay: f64| Duration::try_from_secs_f64(delay / 1000.0)) else {
        return usage();
    };
    match serve(Path::new(directory), Path::new(path), delay) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slow-mount: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: slow-mount DIRECTORY MOUNT_POINT [MILLISECONDS]");
    ExitCode::from(2)
}

fn serve(directory: &Path, path: &Path, delay: Duration) -> io::Result<()> {
    let behaviour = Behaviour { delay, attribute_cache: Duration::from_secs(3) };
    let node = SlowFs::export(directory)?.mount(path, behaviour)?;
    println!("mounted");
    io::stdin().read_to_end(&mut Vec::new())?;
    let requests = node.requests();
    node.unmount()?;
    println!("{requests} requests");
    Ok(())
}
