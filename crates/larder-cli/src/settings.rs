//! Gathers the configuration: command line before environment before file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use larder::Config;
use larder::engine::Server;
use serde_json::Value;

use crate::args::Connection;
use crate::failure::Failure;

/// Options that other users must not see in the list of processes.
const SECRETS: [&str; 5] =
    ["password", "password_command", "sentinel_password", "seal_key", "seal_key_previous"];
/// Bits of a file's mode.
const GROUP_AND_OTHERS_READ: u32 = 0o044;
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
    let (bytes, others_read) = read(path).map_err(|error| bad(&error.to_string()))?;
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
    if let Some((name, _)) = options.iter().find(|(name, value)| others_read && is_secret(name, value)) {
        return Err(bad(&format!(
            "holds a secret (option '{name}') that other users can read: chmod 600 {}",
            path.display()
        )));
    }
    Ok(options)
}

/// The bytes of a file, and whether its group or everybody may read it, which is asked of the very
/// file that is read.
fn read(path: &Path) -> std::io::Result<(Vec<u8>, bool)> {
    let mut file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((bytes, metadata.is_file() && metadata.mode() & GROUP_AND_OTHERS_READ != 0))
}

fn from_environment(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Options, Failure> {
    let mut options = Options::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        if name.starts_with(TEST_PREFIX) {
            continue;
        }
        let option = name.trim_start_matches(PREFIX).to_lowercase();
        if !Config::option_names().any(|name| name == option) {
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
        if is_secret(name, value) {
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

fn is_secret(name: &str, value: &str) -> bool {
    !value.is_empty() && (SECRETS.contains(&name) || (name == "server" && has_password(value)))
}

fn has_password(url: &str) -> bool {
    match Config::from_url(url).as_ref().map(Config::server) {
        Ok(server) => matches!(server, Server::Redis { password: Some(_), .. }),
        // Such as one whose password has a character that must not stand there.
        Err(_) => url.contains('@'),
    }
}
