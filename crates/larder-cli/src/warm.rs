//! `warm`.

use std::io::Write;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use larder::Store;

use crate::failure::Failure;

/// Fetches the hot set. A progress bar goes to standard error where that is a terminal.
pub(crate) fn run(store: &Store, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} entries");
    let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let warmed = store.warm_with(|asked, all| {
        bar.set_length(all as u64);
        bar.set_position(asked as u64);
    });
    bar.finish_and_clear();
    match warmed? {
        0 => writeln!(out, "Nothing to fetch: no process has listed what it holds yet.")?,
        1 => writeln!(out, "1 entry fetched.")?,
        entries => writeln!(out, "{entries} entries fetched.")?,
    }
    Ok(ExitCode::SUCCESS)
}
