//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

/// Looks into a Larder store, and says what is wrong with it and how to mend that.
///
/// Exit codes: 0 done; 1 a problem was found, nothing was found, or the store failed; 2 the command
/// line or the configuration is wrong.
#[derive(Debug, Parser)]
#[command(name = "larder", version, max_term_width = 100, after_long_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Configuration: the options of PHP, Rust and Moodle's form, under the same names. The command line comes before the
environment (LARDER_SERVER, LARDER_NAMESPACE, LARDER_PASSWORD, ...), and that before the file. Secrets (password,
seal_key, seal_key_previous) are taken from the environment or the file only: other users can see a command line.

Keys: bytes that are no printable text are shown and taken as \\xNN, a backslash as \\\\.

Values: get prints JSON. What JSON cannot say is an object with one name that begins with '$':
  {\"$bytes\": \"base64\"}             a string that is not UTF-8
  {\"$float\": \"NAN\"}                NAN, INF or -INF
  {\"$class\": \"stdClass\", ...}      an object and its properties
  {\"$php\": \"O:4:...\"}              a value in the format of PHP's serialize(), as text or {\"$bytes\": ...}
A key of an array or a property that begins with '$' itself has another '$' before it; one that is not UTF-8
is written \"$bytes:base64\".";

/// Which store.
#[derive(Debug, ClapArgs)]
pub(crate) struct Connection {
    /// The server, such as `redis://host:6379`, `redis+unix:///path/to/socket` or `local:/path`.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// What separates this site's entries from others'.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Any other option of the configuration; may be given more than once.
    #[arg(long, global = true, value_name = "NAME=VALUE")]
    pub(crate) option: Vec<String>,
    /// A file with the configuration: one JSON object with the options' names.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// One of the two sorts of caches.
#[derive(Debug, ClapArgs)]
pub(crate) struct CacheName {
    /// The cache's name, as `larder stats` shows it.
    #[arg(value_name = "CACHE")]
    pub(crate) name: String,
    /// The cache whose changes are logged, if there are two of this name.
    #[arg(long, conflicts_with = "unlogged")]
    pub(crate) logged: bool,
    /// The cache whose changes are not logged (opened with near = false).
    #[arg(long)]
    pub(crate) unlogged: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Checks server, rights and settings, and says how to mend what is wrong.
    Doctor {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists the caches that hold entries, and facts about the server.
    Stats {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists the keys of a cache, one a line, in order.
    Keys {
        #[command(flatten)]
        cache: CacheName,
        /// Only keys that begin so.
        #[arg(long, default_value = "", hide_default_value = true)]
        prefix: String,
    },
    /// Prints an entry as JSON (see the end of `larder --help`).
    Get {
        #[command(flatten)]
        cache: CacheName,
        /// The key.
        key: String,
    },
    /// Lists the locks that are held, the longest held first, or takes one from its holder.
    Locks {
        /// Take this lock from its holder, and give it to who waits for it next. CACHE is `-` for a
        /// named lock.
        #[arg(long, num_args = 2, value_names = ["CACHE", "KEY"], conflicts_with = "json")]
        r#break: Option<Vec<String>>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists who emptied what: the last 1,000 records, oldest first.
    Log {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists the nodes that use the store: versions, configurations, clocks, memory; and which of
    /// them differ.
    Nodes {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints what the nodes did, for Prometheus: text in the format of `OpenMetrics`.
    Metrics {
        /// Serve it under `/metrics` until the command is ended: an address of this machine such as
        /// 127.0.0.1:9410, or the path of a socket.
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<String>,
    },
    /// Fetches what the site's PHP processes hold in memory into this node's own cache: the
    /// `node_tier`, or the kernel's page cache for `dir:`. For a new node before it is asked (exit
    /// code 1 while the store is away).
    Warm,
    /// Removes all entries of a cache, for every node.
    Purge {
        #[command(flatten)]
        cache: OptionalCacheName,
        /// Every cache of the namespace.
        #[arg(long, conflicts_with_all = ["name", "logged", "unlogged"], required_unless_present = "name")]
        all: bool,
    },
    /// Writes manual pages and completions for bash, zsh and fish into a directory.
    Manual {
        /// The directory; it is made if it is not there.
        directory: PathBuf,
    },
}

/// A cache to purge, unless all are.
#[derive(Debug, ClapArgs)]
pub(crate) struct OptionalCacheName {
    /// The cache's name, as `larder stats` shows it.
    #[arg(value_name = "CACHE")]
    pub(crate) name: Option<String>,
    /// Only the cache whose changes are logged.
    #[arg(long, conflicts_with = "unlogged")]
    pub(crate) logged: bool,
    /// Only the cache whose changes are not logged.
    #[arg(long)]
    pub(crate) unlogged: bool,
}
