//! A directory mounted as a network filesystem would be: each request to the server takes a time.
//!
//! `slow-mount --delay-us MICROSECONDS EXPORTED MOUNTPOINT...` prints `mounted`, answers each line
//! of its standard input with the number of requests so far, and unmounts when that ends. Each
//! mount point is a node. Exit code 2 where there is no FUSE.

use std::io::{self, BufRead as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use larder_testkit::slowfs::{self, Behaviour, Node, SlowFs};

const NO_FUSE: u8 = 2;
/// How long the end of a mount is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [option, micros, exported, mountpoints @ ..] = arguments.as_slice() else { return usage() };
    let ("--delay-us", Ok(micros), false) = (option.as_str(), micros.parse(), mountpoints.is_empty()) else {
        return usage();
    };
    if !slowfs::available() {
        return ExitCode::from(NO_FUSE);
    }
    match serve(Path::new(exported), mountpoints, Duration::from_micros(micros)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slow-mount: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: slow-mount --delay-us MICROSECONDS EXPORTED MOUNTPOINT...");
    ExitCode::FAILURE
}

fn serve(exported: &Path, mountpoints: &[String], delay: Duration) -> io::Result<()> {
    let server = SlowFs::export(exported)?;
    let behaviour = Behaviour { delay, ..Behaviour::default() };
    let nodes: Vec<Node> =
        mountpoints.iter().map(|path| server.mount(Path::new(path), behaviour)).collect::<io::Result<_>>()?;
    println!("mounted");
    for line in io::stdin().lock().lines() {
        line?;
        println!("{}", nodes.iter().map(Node::requests).sum::<u64>());
    }
    let (done, ended) = mpsc::channel();
    for node in nodes {
        let done = done.clone();
        thread::spawn(move || done.send(node.unmount()));
    }
    drop(done);
    // A mount that another namespace has a copy of ends only with this process.
    while let Ok(result) = ended.recv_timeout(PATIENCE) {
        result?;
    }
    Ok(())
}
