//! Writes to the shared directory of its first argument and kills itself before the filesystem call
//! whose number is the second. Says on standard output which steps were acknowledged.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder::testing::dir::Dir;
use larder_tests::crash;
use rustix::process::{Signal, getpid, kill_process};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (path, last) = (args.next().ok_or("path missing")?, args.next().ok_or("number missing")?);
    let left = AtomicU64::new(last.parse()?);
    let observer = move |_: &'static str| {
        if left.fetch_sub(1, Ordering::Relaxed) == 1 {
            let _ = kill_process(getpid(), Signal::KILL);
        }
    };
    let backend = Dir::observed(&crash::settings(Path::new(&path)), Arc::new(observer));
    for step in 0..crash::COUNT {
        crash::apply(&backend, step)?;
        println!("{step}");
    }
    Ok(())
}
