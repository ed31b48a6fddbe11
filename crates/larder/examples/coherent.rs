//! Two processes see each other's writes: `cargo run --example coherent [URL]`, with
//! `redis://localhost` or the like, else a directory of its own.
//!
//! Both keep what they have read in memory. The other process is this program, started again: it
//! answers on its output.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use larder::{Config, Store};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let first = args.next();
    if let (Some("other"), Some(url)) = (first.as_deref(), args.next()) {
        return other(&url);
    }
    let own = tempfile::tempdir()?;
    let url = first.unwrap_or_else(|| format!("local:{}", own.path().display()));
    let store = open(&url)?;
    let prices = store.cache("prices")?;
    let mut other = Command::new(std::env::current_exe()?)
        .args(["other", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut to_other = other.stdin.take().ok_or("no pipe")?;
    let mut from_other = BufReader::new(other.stdout.take().ok_or("no pipe")?).lines();
    let mut ask = |line: &str| -> Result<String, Box<dyn std::error::Error>> {
        writeln!(to_other, "{line}")?;
        Ok(from_other.next().ok_or("the other process has ended")??)
    };

    prices.set("apple", "1.20")?;
    assert_eq!(ask("get apple")?, "1.20");
    // The other process holds it in memory now. It serves nothing else than what stands here at its
    // next request.
    prices.set("apple", "1.30")?;
    assert_eq!(ask("get apple")?, "1.30");
    // And the other way round: what this process holds in memory is not served after a sync point.
    assert_eq!(prices.get::<String>("apple")?.as_deref(), Some("1.30"));
    assert_eq!(ask("delete apple")?, "true");
    store.sync()?;
    assert_eq!(prices.get::<String>("apple")?, None);
    println!(
        "each saw what the other wrote; {} reads came from this process's memory",
        store.stats().near_hits
    );
    drop(to_other);
    other.wait()?;
    Ok(())
}

fn open(url: &str) -> Result<Store, larder::Error> {
    Store::open(&Config::builder(url).namespace("example").build()?)
}

/// `get KEY` or `delete KEY` on each line is a request, which begins with a sync point.
fn other(url: &str) -> Result<(), Box<dyn std::error::Error>> {
    let store = open(url)?;
    let prices = store.cache("prices")?;
    for line in std::io::stdin().lines() {
        let line = line?;
        store.sync()?;
        match line.split_once(' ') {
            Some(("get", key)) => println!("{}", prices.get::<String>(key)?.unwrap_or_default()),
            Some(("delete", key)) => println!("{}", prices.delete(key)?),
            _ => return Err(line.into()),
        }
    }
    Ok(())
}
