//! The `larder` command: looks into a store, and says what is wrong with it and how to mend that.
//!
//! Exit codes: 0 = done, 1 = a problem was found, nothing was found, or the store failed, 2 = the
//! command line or the configuration is wrong.

mod args;
mod audit;
mod doctor;
mod failure;
mod inspect;
mod json;
mod locks;
mod manual;
mod metrics;
mod nodes;
mod output;
mod purge;
mod settings;
mod text;
mod warm;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use failure::Failure;

fn main() -> ExitCode {
    let args = Args::parse();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let result = run(&args, &mut out).and_then(|code| {
        out.flush()?;
        Ok(code)
    });
    result.unwrap_or_else(Failure::report)
}

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let config = || settings::gather(&args.connection, std::env::vars_os());
    match &args.command {
        Command::Doctor { json } => doctor::run(&config()?, *json, out),
        Command::Stats { json } => inspect::stats(&inspect::open(&config()?)?, *json, out),
        Command::Keys { cache, prefix } => {
            inspect::keys(&inspect::open(&config()?)?, cache, &text::unescape(prefix)?, out)
        }
        Command::Get { cache, key } => {
            inspect::get(&inspect::open(&config()?)?, cache, &text::unescape(key)?, out)
        }
        Command::Locks { r#break: Some(words), .. } => {
            locks::break_one(&inspect::open(&config()?)?, words, out)
        }
        Command::Locks { json, .. } => locks::list(&inspect::open(&config()?)?, *json, out),
        Command::Log { json } => audit::list(&inspect::open(&config()?)?, *json, out),
        Command::Nodes { json } => nodes::list(&inspect::open(&config()?)?, *json, out),
        Command::Metrics { listen } => metrics::run(&inspect::open(&config()?)?, listen.as_deref(), out),
        Command::Warm => warm::run(&inspect::open(&config()?)?, out),
        Command::Purge { all: true, .. } => purge::all(&inspect::open(&config()?)?, out),
        Command::Purge { cache, .. } => purge::one(&inspect::open(&config()?)?, cache, out),
        Command::Manual { directory } => manual::write(directory),
    }
}
