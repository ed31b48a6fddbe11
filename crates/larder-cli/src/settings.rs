//! Gathers the configuration: command line before environment before file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use larder::{Config, Server};
use serde_json::Value;

use crate::args::Connection;
use crate::failure::Failure;

/// Options that other users must not see in the list of processes.
const SECRETS: [&str; 2] = ["password", "seal_key"];
const PREFIX: &str = "LARDER_";
/// Variables of the project's own tests are not options.
const TEST_PREFIX: &str = "LARDER_TEST_";

type Options = BTreeMap<String, String>;

/// The configuration that the command line, the environment and the file give together.
pub(crate) fn gather(
    connection: &Connection,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Config, Failure> {
    let mut options = connection.config.as_deref().map_or_else(|| Ok(Options::new()), from_file)?;
    options.extend(from_environment(environment)?);
    options.extend(from_arguments(connection)?);
    if !options.contains_key("server") {
        return Err(Failure::Usage(
            "which server? Give --server URL, LARDER_SERVER or --config FILE (larder --help says more)"
                .into(),
        ));
    }
    Ok(Config::from_options(options.iter().map(|(name, value)| (name.as_str(), value.as_str())))?)
}

fn from_file(path: &Path) -> Result<Options, Failure> {
    let bad = |what: &str| Failure::Usage(format!("{}: {what}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| bad(&error.to_string()))?;
    // The parser's message tells a place, never the text there, which may be a secret.
    let Value::Object(object) = serde_json::from_slice(&bytes)
        .map_err(|error| bad(&format!("is not JSON (line {}, column {})", error.line(), error.column())))?
    else {
        return Err(bad("must hold one JSON object with the options' names"));
    };
    let mut options = Options::new();
    for (name, value) in object {
        let text = match value {
            Value::Null => String::new(),
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                return Err(bad(&format!("option '{}' must be a text or a number", name.escape_debug())));
            }
        };
        options.insert(name, text);
    }
    Ok(options)
}

fn from_environment(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Options, Failure> {
    let mut options = Options::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        if name.starts_with(TEST_PREFIX) {
            continue;
        }
        let option = name.trim_start_matches(PREFIX).to_lowercase();
        if !larder::CONFIG_NAMES.contains(&option.as_str()) {
            return Err(Failure::Usage(format!(
                "the environment has {name}, but there is no option '{option}'"
            )));
        }
        let value = value
            .into_string()
            .map_err(|_| Failure::Usage(format!("the environment's {name} is not UTF-8")))?;
        options.insert(option, value);
    }
    Ok(options)
}

fn from_arguments(connection: &Connection) -> Result<Options, Failure> {
    let named = [("server", &connection.server), ("namespace", &connection.namespace)];
    let mut given: Vec<(&str, &str)> =
        named.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
    for option in &connection.option {
        let pair = option.split_once('=').ok_or_else(|| {
            Failure::Usage(format!("--option '{}' must be NAME=VALUE", option.escape_debug()))
        })?;
        given.push(pair);
    }
    let mut options = Options::new();
    for (name, value) in given {
        if SECRETS.contains(&name) || (name == "server" && has_password(value)) {
            return Err(Failure::Usage(format!(
                "other users can see the command line: give the password or key in the environment ({PREFIX}{}) \
                 or in a file (--config)",
                name.to_uppercase()
            )));
        }
        if options.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Failure::Usage(format!("option '{}' is given twice", name.escape_debug())));
        }
    }
    Ok(options)
}

fn has_password(url: &str) -> bool {
    let config = Config::from_url(url);
    matches!(config.as_ref().map(Config::server), Ok(Server::Redis { password: Some(_), .. }))
}
