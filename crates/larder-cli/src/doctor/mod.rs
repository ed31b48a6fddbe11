//! `doctor`: checks a store and says how to mend what is wrong.

mod checks;
mod directory;
mod fallback;
mod nodes;
mod probe;
mod redis;

use std::io::Write;
use std::process::ExitCode;

use larder::engine::Server;
use larder::{Config, Store};
use serde_json::json;

use crate::failure::Failure;
use crate::output;
use crate::text::count;
use checks::{Check, Level};

/// Runs all checks and prints what they found; exit code 1 if there is a problem.
pub(crate) fn run(config: &Config, as_json: bool, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let checks = examine(config)?;
    let problems = checks.iter().filter(|check| check.level == Level::Problem).count();
    if as_json {
        let checks: Vec<_> = checks
            .iter()
            .map(|check| {
                json!({"level": check.level.name(), "about": check.about, "found": check.found, "mend": check.mend})
            })
            .collect();
        output::json(out, &json!({"problems": problems, "checks": checks}))?;
    } else {
        for check in &checks {
            writeln!(out, "{:<8} {:<12} {}", check.level.name(), check.about, printable(&check.found))?;
            if let Some(mend) = &check.mend {
                writeln!(out, "{:<21} -> {mend}", "")?;
            }
        }
        let warnings = checks.iter().filter(|check| check.level == Level::Warning).count();
        let (problems, warnings) =
            (count(problems as u64, "problem", "problems"), count(warnings as u64, "warning", "warnings"));
        writeln!(out, "\n{problems}, {warnings}.")?;
    }
    Ok(ExitCode::from(u8::from(problems > 0)))
}

fn examine(config: &Config) -> Result<Vec<Check>, Failure> {
    let mut checks = vec![Check::ok("server", checks::server_name(config.server()))];
    let directory = match config.server() {
        Server::Local { path, max_bytes } => Some((path, *max_bytes, "local")),
        Server::Dir { path, max_bytes } => Some((path, *max_bytes, "dir")),
        _ => None,
    };
    if let Some((path, max_bytes, scheme)) = directory {
        checks.extend(directory::before(path, max_bytes, scheme));
    }
    checks.extend(fallback::before(config));
    checks.extend(
        config.node_tier().into_iter().flat_map(|(path, most)| directory::before(path, most, "local")),
    );
    if checks.iter().any(|check| check.level == Level::Problem) {
        // Whoever makes a directory owns it, and that should be the user that PHP runs as.
        return Ok(checks);
    }
    let store = Store::open(config)?;
    let tier = fallback::tier(config, &store);
    let elsewhere = tier.as_ref().is_some_and(|tier| tier.level != Level::Ok);
    checks.extend(tier);
    if elsewhere {
        // What else there is to say is about the server.
        checks.extend(store.reach().err().map(|error| checks::unreachable(&error)));
        return Ok(checks);
    }
    // Asked past what other processes have found.
    let facts = match store.reach().and_then(|()| store.backend().describe()) {
        Ok(facts) => facts,
        Err(error) => {
            checks.push(checks::unreachable(&error));
            return Ok(checks);
        }
    };
    checks.push(probe::round_trip(&store));
    match config.server() {
        Server::Redis { address, .. } => {
            checks.extend(redis::examine(address, &facts));
            checks.push(redis::clock(&store));
        }
        Server::Dir { .. } => checks.extend(directory::shared(&facts)),
        _ => checks.extend(directory::local()),
    }
    checks.extend(probe::refusing(&store));
    checks.push(probe::rights(&store));
    if let Server::Dir { path, .. } = config.server() {
        checks.push(directory::clock(&path.join(config.namespace())));
    }
    checks.extend(nodes::examine(&store));
    checks.push(namespace(config, &store));
    Ok(checks)
}

fn namespace(config: &Config, store: &Store) -> Check {
    let name = config.namespace();
    match store.usage() {
        Err(error) => checks::refused("namespace", &error),
        Ok(usage) if usage.is_empty() => Check::note(
            "namespace",
            format!("'{name}' holds no entries"),
            "if a site should be at work here, its namespace is another; for Moodle, its status report or php's \
             Larder\\Store knows the name",
        ),
        Ok(usage) => {
            let entries: u64 = usage.iter().map(|usage| usage.entries).sum();
            Check::ok(
                "namespace",
                format!(
                    "'{name}' holds {} in {}",
                    count(entries, "entry", "entries"),
                    count(usage.len() as u64, "cache", "caches")
                ),
            )
        }
    }
}

fn printable(text: &str) -> String {
    text.replace(|c| !crate::text::is_printable(c), " ")
}
