//! `larder manual`: its manual pages and completions for shells, as the command line defines them.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::{Shell, generate_to};

use crate::args::Args;
use crate::failure::Failure;

/// Writes one page for each command, and one file for each shell.
pub(crate) fn write(directory: &Path) -> Result<ExitCode, Failure> {
    fs::create_dir_all(directory)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut Args::command(), "larder", directory)?;
    }
    clap_mangen::generate_to(Args::command(), directory)?;
    Ok(ExitCode::SUCCESS)
}
