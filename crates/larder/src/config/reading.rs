//! From named options to a configuration.

use super::builder::ConfigBuilder;
use super::draft::Draft;
use super::options::OPTIONS;
use super::settings::Config;
use crate::error::{Error, Result};

impl Config {
    /// The defaults for the server at `url`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the URL is not one of a [`Server`](crate::engine::Server).
    pub fn from_url(url: &str) -> Result<Self> {
        Self::from_options([("server", url)])
    }

    /// Reads named options; see the table above.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), naming the option, if one is unknown, given twice, or has
    /// a value that it cannot have, or does not suit the others; if `server` is missing, too.
    pub fn from_options<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut draft = Draft::default();
        let mut seen = Vec::new();
        for (name, value) in options {
            if seen.contains(&name) {
                return Err(Error::config(format!("option '{name}' is given twice")));
            }
            seen.push(name);
            let Some(option) = OPTIONS.iter().find(|option| option.name == name) else {
                return Err(Error::config(format!(
                    "there is no option '{}'; the options are {}",
                    name.escape_debug(),
                    OPTIONS.map(|option| option.name).join(", ")
                )));
            };
            if !value.is_empty() {
                (option.read)(&mut draft, name, value)?;
            }
        }
        draft.finish()
    }

    /// Sets options one by one, for the server at `url`.
    pub fn builder(url: &str) -> ConfigBuilder {
        ConfigBuilder::new(url)
    }

    /// The names of all options.
    pub fn option_names() -> impl Iterator<Item = &'static str> {
        OPTIONS.iter().map(|option| option.name)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The tables in the documentation of [`Config`] have each option.
    #[test]
    fn every_option_is_documented() {
        let documented = include_str!("settings.rs");
        for name in Config::option_names() {
            assert_eq!(documented.matches(&format!("/// | `{name}` | ")).count(), 1, "{name}");
        }
    }

    fn refusal(options: &[(&str, &str)]) -> String {
        Config::from_options(options.iter().copied()).unwrap_err().to_string()
    }

    #[test]
    fn unknown_and_bad_options_are_refused_by_name() {
        let server = ("server", "local:/x");
        for (option, named) in [
            (("nearbytes", "1"), "nearbytes"),
            (("near_bytes", "lots"), "near_bytes"),
            (("near_bytes", "-1"), "near_bytes"),
            (("near_bytes", "99999999999999999999G"), "near_bytes"),
            (("max_staleness", "NaN"), "max_staleness"),
            (("max_staleness", "inf"), "max_staleness"),
            (("read_timeout", "0"), "read_timeout"),
            (("connect_timeout", "1e9"), "connect_timeout"),
            (("namespace", "a\0b"), "namespace"),
            (("namespace", "a{b}"), "namespace"),
            (("generation", "a/b"), "generation"),
            (("code_epoch", "a/b"), "code_epoch"),
            (("seal_key", "short"), "seal_key"),
            (("seal_key_previous", "0123456789abcdef"), "seal_key_previous"),
            (("fallback", "dir:/x"), "fallback"),
            (("lock_lease", "0"), "lock_lease"),
            (("ca_file", "relative.pem"), "ca_file"),
            (("ca_file", "/ca.pem"), "ca_file"),
            (("cert_file", "/cert.pem"), "key_file"),
            (("key_file", "/key.pem"), "cert_file"),
            (("tls_server_name", "a/b"), "tls_server_name"),
            (("tls_server_name", "h"), "tls_server_name"),
            (("password_file", "relative"), "password_file"),
            (("password_file", "/p"), "password_file"),
            (("password_command", "p"), "password_command"),
            (("sentinel_username", "u"), "sentinel_username"),
            (("sentinel_password", "p"), "sentinel_password"),
            (("server", "local:/y"), "server"),
            (("node_tier", "local:/y"), "node_tier"),
        ] {
            assert!(refusal(&[server, option]).contains(named), "{option:?}");
        }
        for url in ["redis://h", "dir:relative", "local:/x?size=1"] {
            assert!(refusal(&[("server", "redis://h"), ("fallback", url)]).contains("'fallback'"), "{url}");
        }
        assert!(refusal(&[]).contains("server"));
        let passwords = [("password", "p"), ("password_file", "/p"), ("password_command", "p")];
        for pair in [[passwords[0], passwords[1]], [passwords[0], passwords[2]], [passwords[1], passwords[2]]]
        {
            let said = refusal(&[("server", "redis://h"), pair[0], pair[1]]);
            assert!(said.contains("'password_file', 'password_command' and 'password'"), "{said}");
        }
        assert!(refusal(&[("server", "redis://:p@h"), passwords[1]]).contains("password_file"));
    }

    #[test]
    fn a_node_tier_is_a_local_directory() {
        let server = ("server", "redis://h");
        let config = Config::from_options([server, ("node_tier", "local:/x?size=64M")]).unwrap();
        assert_eq!(config.node_tier(), Some((Path::new("/x"), 64 << 20)));
        for bad in ["dir:/x", "redis://h", "/x", "local:x", "local:/x?size=1", "local:/x?color=red"] {
            assert!(refusal(&[server, ("node_tier", bad)]).contains("option 'node_tier'"), "{bad}");
        }
    }

    #[test]
    fn an_empty_value_means_the_default() {
        let config =
            Config::from_options([("server", "local:/x"), ("near_bytes", ""), ("password", "")]).unwrap();
        assert_eq!(config, Config::from_url("local:/x").unwrap());
        assert!(refusal(&[("server", "local:/x"), ("typo", "")]).contains("typo"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = Config::from_options([
            ("server", "redis://bob:hunter2222@host"),
            ("seal_key", "0123456789abcdefSECRET"),
            ("seal_key_previous", "fedcba9876543210SECRET"),
        ])
        .unwrap();
        let sentinels = [("server", "redis-sentinel://h/s"), ("sentinel_password", "hunter2222")];
        let shown = format!("{config:?} {config:#?} {:?}", Config::from_options(sentinels).unwrap());
        assert!(!shown.contains("hunter2222") && !shown.contains("SECRET"), "{shown}");
        for url in ["redis://:hunter2222@/", "redis://u:hunter2222@h:99999", "redis://u:hunter2222@h/x?y=1"] {
            assert!(!Config::from_url(url).unwrap_err().to_string().contains("hunter2222"), "{url}");
        }
    }
}
