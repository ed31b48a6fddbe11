//! The `larder` command as a process: what it prints, what it refuses, and its exit codes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use larder::engine::payload::Value;
use larder::engine::{Decode, Engine};
use larder::{CacheKind, Config, Store};
use larder_testkit::RedisServer;
use tempfile::TempDir;

fn larder() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    command.env_clear();
    command
}

struct Site {
    _directory: TempDir,
    url: String,
}

impl Site {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let url = format!("local:{}/store?size=16M", directory.path().display());
        Self { _directory: directory, url }
    }

    fn store(&self) -> Store {
        Store::open(&Config::from_url(&self.url).unwrap()).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        larder().args(["--server", &self.url]).args(arguments).output().unwrap()
    }
}

/// Standard output of a run that succeeded.
fn printed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Standard error of a run that ended with this code.
fn refused(output: &Output, code: i32) -> String {
    let message = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    message
}

#[test]
fn entries_are_listed_shown_and_purged() {
    let site = Site::new();
    let store = site.store();
    let cache = store.cache("courses").unwrap();
    cache.set("b", &("Rust", 6)).unwrap();
    cache.set("a", "grüße").unwrap();
    store.cache_with("sessions", CacheKind::Session, None).unwrap().set("s", &true).unwrap();

    assert_eq!(printed(&site.run(&["keys", "courses"])), "a\nb\n");
    assert_eq!(printed(&site.run(&["keys", "courses", "--prefix", "b"])), "b\n");
    assert_eq!(printed(&site.run(&["get", "courses", "a"])), "\"grüße\"\n");
    assert_eq!(printed(&site.run(&["get", "courses", "b"])), "[\n  \"Rust\",\n  6\n]\n");
    assert_eq!(printed(&site.run(&["get", "sessions", "s"])), "true\n");
    let stats = printed(&site.run(&["stats"]));
    assert!(stats.contains("courses") && stats.contains("unlogged"), "{stats}");

    assert!(printed(&site.run(&["purge", "courses"])).contains("2 entries"));
    store.sync().unwrap();
    assert_eq!(cache.get::<String>("a").unwrap(), None);
    assert!(refused(&site.run(&["get", "courses", "a"]), 1).contains("courses"));
    assert!(printed(&site.run(&["purge", "--all"])).contains("1 cache, 1 entry."));
    assert!(printed(&site.run(&["stats"])).contains("No cache"));
}

/// What a worker keeps in memory.
struct Bytes;

impl Decode for Bytes {
    type Value = Vec<u8>;

    fn decode(&self, payload: &[u8]) -> Option<(Vec<u8>, usize)> {
        Some((payload.to_vec(), payload.len()))
    }
}

#[test]
fn a_node_is_warmed() {
    let site = Site::new();
    let store = site.store();
    store.sync().unwrap();
    assert!(printed(&site.run(&["warm"])).contains("Nothing to fetch"));
    let cache = store.cache("c").unwrap();
    (0..40).for_each(|n| cache.set(n.to_string(), "v").unwrap());
    let worker = Engine::open(&Config::from_url(&site.url).unwrap(), Bytes).unwrap();
    let cache = worker.cache("c", true, None).unwrap();
    worker.begin_request();
    (0..40).for_each(|n| assert!(worker.get(&cache, n.to_string().as_bytes()).unwrap().is_some()));
    worker.end_request();
    assert_eq!(printed(&site.run(&["warm"])), "40 entries fetched.\n");
    assert_eq!(store.warm().unwrap(), 40);
}

/// What processes of this node share: where the command looks for it, too.
fn shared() -> impl Iterator<Item = (String, String)> {
    std::env::vars().filter(|(name, _)| matches!(name.as_str(), "XDG_RUNTIME_DIR" | "TMPDIR"))
}

#[test]
fn what_nodes_did_is_listed_and_served() {
    let site = Site::new();
    let run = |arguments: &[&str]| {
        printed(&larder().envs(shared()).args(["--server", &site.url]).args(arguments).output().unwrap())
    };
    site.store().sync().unwrap();
    assert!(run(&["nodes"]).starts_with("No node"));
    let worker = Engine::open(&Config::from_url(&site.url).unwrap(), Bytes).unwrap();
    let cache = worker.cache("a\"b\\c", true, None).unwrap();
    worker.begin_request();
    assert_eq!(worker.get(&cache, b"k").unwrap(), None);
    worker.end_request();
    let nodes = run(&["nodes"]);
    assert!(nodes.contains(env!("CARGO_PKG_VERSION")) && nodes.contains("primary"), "{nodes}");
    let json: serde_json::Value = serde_json::from_str(&run(&["nodes", "--json"])).unwrap();
    assert_eq!(
        (&json["nodes"][0]["processes"], &json["nodes"][0]["options"]["max_staleness"]),
        (&1.into(), &"1".into())
    );
    assert!(run(&["doctor"]).contains(json["nodes"][0]["node"].as_str().unwrap()));

    let metrics = run(&["metrics"]);
    let cache = r#"cache="a\"b\\c"} 1"#;
    assert!(
        metrics.lines().any(|line| line.starts_with("larder_misses_total{") && line.ends_with(cache)),
        "{metrics}"
    );
    assert!(metrics.ends_with("# EOF\n"));
    let mut child = larder()
        .envs(shared())
        .args(["--server", &site.url, "metrics", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let ask = |path: &str| {
        let mut connection = TcpStream::connect(address).unwrap();
        write!(connection, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    };
    let (answer, other) = (ask("/metrics"), ask("/"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        answer.contains("200 OK") && answer.contains("openmetrics") && answer.ends_with("# EOF\n"),
        "{answer}"
    );
    assert!(answer.contains("larder_requests_total{") && other.contains("404"), "{other}");
    refused(&site.run(&["metrics", "--listen", "0.0.0.0:0"]), 2);
}

#[test]
fn who_purged_is_listed() {
    let site = Site::new();
    site.store().sync().unwrap();
    assert!(printed(&site.run(&["log"])).contains("Nobody has recorded"));
    let who = [("script", "/admin/purgecaches.php"), ("user", "2")]
        .map(|(name, value)| (name.into(), value.into()));
    site.store().audit("purge", who.into()).unwrap();
    printed(&site.run(&["purge", "courses"]));
    printed(&site.run(&["purge", "--all"]));
    let log = printed(&site.run(&["log"]));
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 4, "{log}");
    assert!(lines[1].contains("script=/admin/purgecaches.php user=2"), "{log}");
    assert!(lines[2].contains("caches=courses") && lines[2].contains("script=larder"), "{log}");
    assert!(lines[3].contains("caches=all"), "{log}");
    let json: serde_json::Value = serde_json::from_str(&printed(&site.run(&["log", "--json"]))).unwrap();
    assert_eq!(json["records"][0]["details"]["user"], "2");
    assert!(printed(&site.run(&["stats"])).contains("No cache"), "the log is no cache of the site");
}

#[test]
fn the_audit_log_keeps_the_last_thousand() {
    let site = Site::new();
    let store = site.store();
    for number in 0..1100 {
        store.audit(&number.to_string(), [].into()).unwrap();
    }
    let before = store.stats().round_trips;
    store.audit("1100", [].into()).unwrap();
    assert_eq!(store.stats().round_trips - before, 3, "no record is looked at");
    let log = store.audit_log().unwrap();
    assert_eq!((log.len(), &*log[0].action), (1000, "101"));
    assert_eq!(log.last().unwrap().action, "1100");
    assert!(log.iter().zip(&log[1..]).all(|(one, next)| one.time_ms <= next.time_ms));
}

#[test]
fn keys_of_any_bytes_come_back() {
    let site = Site::new();
    let cache = site.store().cache("c").unwrap();
    let key = b"a\0b\n\\x\xff\x1b[31m";
    cache.set(key, &1).unwrap();
    let shown = printed(&site.run(&["keys", "c"]));
    assert_eq!(shown, "a\\x00b\\x0a\\\\x\\xff\\x1b[31m\n");
    assert_eq!(printed(&site.run(&["get", "c", shown.trim_end()])), "1\n");
    assert!(refused(&site.run(&["get", "c", "\\q"]), 2).contains("\\xNN"));
}

#[test]
fn values_of_php_are_shown_for_what_they_are() {
    let site = Site::new();
    let cache = site.store().cache("c").unwrap();
    cache.set("php", &Value::Php(b"O:1:\"X\":0:{}".as_slice().into())).unwrap();
    cache.set("bytes", &Value::Bytes(b"\xff".as_slice().into())).unwrap();
    cache.set("control", "\u{9b}31m\u{202e}").unwrap();
    assert!(printed(&site.run(&["get", "c", "php"])).contains(r#""$php": "O:1:\"X\":0:{}""#));
    assert!(printed(&site.run(&["get", "c", "bytes"])).contains(r#""$bytes": "/w==""#));
    assert_eq!(printed(&site.run(&["get", "c", "control"])), "\"\\u009b31m\\u202e\"\n");
}

#[test]
fn two_caches_of_one_name_are_told_apart() {
    let site = Site::new();
    let store = site.store();
    for near in [true, false] {
        store
            .cache_with("c", if near { CacheKind::Logged } else { CacheKind::Session }, None)
            .unwrap()
            .set("k", &near)
            .unwrap();
    }
    assert!(refused(&site.run(&["get", "c", "k"]), 2).contains("--unlogged"));
    assert_eq!(printed(&site.run(&["get", "c", "k", "--logged"])), "true\n");
    assert_eq!(printed(&site.run(&["get", "c", "k", "--unlogged"])), "false\n");
    printed(&site.run(&["purge", "c", "--unlogged"]));
    assert_eq!(printed(&site.run(&["get", "c", "k"])), "true\n");
}

#[test]
fn the_configuration_has_three_sources() {
    let site = Site::new();
    let options = [("server", site.url.as_str()), ("namespace", "n")];
    let store = Store::open(&Config::from_options(options).unwrap()).unwrap();
    store.cache("c").unwrap().set("k", &1).unwrap();

    let directory = TempDir::new().unwrap();
    let file = directory.path().join("larder.json");
    std::fs::write(
        &file,
        format!(r#"{{"server": "{}", "namespace": "wrong", "near_bytes": 1048576}}"#, site.url),
    )
    .unwrap();
    let get = || {
        let mut command = larder();
        command.args(["get", "c", "k", "--config"]).arg(&file);
        command
    };
    assert_eq!(get().output().unwrap().status.code(), Some(1));
    assert_eq!(printed(&get().env("LARDER_NAMESPACE", "n").output().unwrap()), "1\n");
    let output = get().env("LARDER_NAMESPACE", "wrong").args(["--namespace", "n"]).output().unwrap();
    assert_eq!(printed(&output), "1\n");
    let output = get().args(["--option", "namespace=n"]).output().unwrap();
    assert_eq!(printed(&output), "1\n");
}

#[test]
fn wrong_options_are_refused_by_name() {
    let site = Site::new();
    site.store().sync().unwrap();
    for (arguments, named) in [
        (&["stats", "--option", "nearbytes=1"][..], "nearbytes"),
        (&["stats", "--option", "near_bytes=lots"], "near_bytes"),
        (&["stats", "--option", "near_bytes"], "NAME=VALUE"),
        (&["stats", "--option", "generation=1", "--option", "generation=2"], "generation"),
        (&["stats", "--namespace", "a/b"], "namespace"),
        (&["stats", "--frobnicate"], "frobnicate"),
        (&["purge"], "--all"),
        (&["purge", "c", "--all"], "--all"),
        (&["get", "", "k"], "name"),
    ] {
        let output = site.run(arguments);
        let code = output.status.code();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(code, Some(1 | 2)) && message.contains(named), "{arguments:?}: {message}");
    }
    let typo = larder().args(["stats"]).env("LARDER_PASWORD", "hunter2222").output().unwrap();
    let message = refused(&typo, 2);
    assert!(message.contains("LARDER_PASWORD") && !message.contains("hunter2222"), "{message}");
    assert!(refused(&larder().arg("stats").output().unwrap(), 2).contains("--server"));

    let directory = TempDir::new().unwrap();
    for (text, named) in
        [("{\"server\": [1]}", "server"), ("[]", "object"), ("{hunter2222", "JSON"), ("{\"x\": 1}", "'x'")]
    {
        let file = directory.path().join("larder.json");
        std::fs::write(&file, text).unwrap();
        let output = site.run(&["stats", "--config", file.to_str().unwrap()]);
        let message = refused(&output, 2);
        assert!(message.contains(named) && !message.contains("hunter2222"), "{message}");
    }
}

#[test]
fn secrets_are_not_taken_from_the_command_line() {
    let password = ["--option", "password=hunter2222"];
    let url = ["--server", "redis://u:hunter2222@127.0.0.1:1"];
    for arguments in [&password[..], &url, &["--option", "seal_key=hunter2222hunter2222"]] {
        let message = refused(&larder().arg("stats").args(arguments).output().unwrap(), 2);
        assert!(message.contains("LARDER_") && !message.contains("hunter2222"), "{message}");
    }
    let help = larder().arg("--help").env("LARDER_PASSWORD", "hunter2222").output().unwrap();
    assert!(!printed(&help).contains("hunter2222"));
}

#[test]
fn a_misspelt_path_is_not_created() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("typo");
    for (scheme, command) in [("local", "stats"), ("local", "doctor"), ("dir", "stats"), ("dir", "doctor")] {
        let url = format!("{scheme}:{}", path.display());
        assert_eq!(larder().args([command, "--server", &url]).output().unwrap().status.code(), Some(1));
    }
    assert!(!path.exists());
}

#[test]
fn a_closed_pipe_is_no_error() {
    let site = Site::new();
    let cache = site.store().cache("c").unwrap();
    for part in 0..4 {
        let items: Vec<(String, u32)> = (0..1000).map(|i| (format!("{part}{i:0200}"), i)).collect();
        cache.set_many(&items).unwrap();
    }
    let mut process = larder()
        .args(["--server", &site.url, "keys", "c"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    process.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn doctor_approves_of_a_good_directory() {
    let site = Site::new();
    site.store().cache("c").unwrap().set("k", &1).unwrap();
    let report = printed(&site.run(&["doctor"]));
    assert!(report.contains("0 problems") && report.contains("1 entry in 1 cache"), "{report}");
    let json: serde_json::Value = serde_json::from_str(&printed(&site.run(&["doctor", "--json"]))).unwrap();
    assert_eq!(json["problems"], 0);
    assert_eq!(printed(&site.run(&["keys", "c"])), "k\n");
}

#[test]
fn doctor_knows_shared_directories() {
    let directory = TempDir::new().unwrap();
    let url = format!("dir:{}/store?size=64M", directory.path().display());
    Store::open(&Config::from_url(&url).unwrap()).unwrap().cache("c").unwrap().set("k", &1).unwrap();
    let report = printed(&larder().args(["doctor", "--server", &url]).output().unwrap());
    assert!(report.contains("0 problems") && report.contains("ok       mount"), "{report}");
    for about in ["directory", "disk", "clock"] {
        assert!(report.contains(&format!("ok       {about}")), "{about}: {report}");
    }
    assert_eq!(printed(&larder().args(["get", "c", "k", "--server", &url]).output().unwrap()), "1\n");
}

#[test]
fn doctor_finds_what_is_wrong_with_a_server() {
    let server = RedisServer::start_with(&[
        "maxmemory",
        "64mb",
        "maxmemory-policy",
        "allkeys-lru",
        "requirepass",
        "hunter2222",
    ]);
    let url = server.unix_url();
    let run = |password: &str| {
        larder().args(["doctor", "--server", &url]).env("LARDER_PASSWORD", password).output().unwrap()
    };
    let report = run("hunter2222");
    let text = String::from_utf8(report.stdout).unwrap();
    assert_eq!(report.status.code(), Some(1), "{text}");
    assert!(text.contains("PROBLEM  eviction") && text.contains("volatile-lru"), "{text}");
    assert!(text.contains("1 problem, 0 warnings.") && !text.contains("hunter2222"), "{text}");
    let report = String::from_utf8(run("wrong").stdout).unwrap();
    assert!(report.contains("PROBLEM  connection") && report.contains("password"), "{report}");
}

#[test]
fn doctor_approves_of_a_good_server_and_names_one_that_is_away() {
    let server = RedisServer::start_with(&["maxmemory", "64mb", "maxmemory-policy", "volatile-lru"]);
    let url = server.tcp_url();
    let report = larder().args(["doctor", "--server", &url]).output().unwrap();
    let text = printed(&report);
    for about in ["version", "role", "memory", "eviction", "clients", "clock", "rights"] {
        assert!(text.contains(&format!("ok       {about}")), "{about}: {text}");
    }
    assert!(text.contains("note     persistence  off"), "{text}");
    drop(server);
    let report = larder().args(["doctor", "--server", &url]).output().unwrap();
    assert_eq!(report.status.code(), Some(1));
    assert!(String::from_utf8(report.stdout).unwrap().contains("firewall"));
}

#[test]
fn secrets_in_a_file_that_others_can_read_are_refused() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("larder.json");
    let server = "\"server\": \"redis://127.0.0.1:1\"";
    let run = |text: &str, mode: u32| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let output = larder().args(["stats", "--config"]).arg(&file).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (secret, option) in [
        (format!("{{{server}, \"password\": \"hunter2222\"}}"), "password"),
        (format!("{{{server}, \"seal_key\": \"hunter2222hunter2222\"}}"), "seal_key"),
        ("{\"server\": \"redis://u:hunter2222@127.0.0.1:1\"}".to_owned(), "server"),
    ] {
        for mode in [0o640, 0o604, 0o644, 0o666] {
            let (code, message) = run(&secret, mode);
            assert_eq!(code, Some(2), "{option}, {mode:o}: {message}");
            assert!(message.contains(option) && message.contains("chmod 600"), "{message}");
            assert!(!message.contains("hunter2222"), "{message}");
        }
        for mode in [0o600, 0o400] {
            let (code, message) = run(&secret, mode);
            assert!(code == Some(1) && !message.contains("chmod"), "{option}, {mode:o}: {message}");
        }
    }
    let (code, message) = run(&format!("{{{server}, \"password\": \"\"}}"), 0o644);
    assert!(code == Some(1) && !message.contains("chmod"), "nothing secret in it: {message}");
    // What is no file has no readers but the command: `larder --config <(pass show larder)`.
    let piped = Command::new("bash")
        .args(["-c", "\"$0\" stats --config <(printf '%s' \"$1\")"])
        .args([env!("CARGO_BIN_EXE_larder"), &format!("{{{server}, \"password\": \"hunter2222\"}}")])
        .output()
        .unwrap();
    assert_eq!(piped.status.code(), Some(1), "{}", String::from_utf8_lossy(&piped.stderr));
}

/// What doctor says of the connection.
fn connection(command: &mut Command) -> String {
    let report = command.arg("doctor").output().unwrap();
    let text = String::from_utf8(report.stdout).unwrap();
    assert_eq!(report.status.code(), Some(1), "{text}");
    let lines: Vec<&str> =
        text.lines().skip_while(|line| !line.starts_with("PROBLEM  connection")).take(2).collect();
    assert_eq!(lines.len(), 2, "{text}");
    lines.join("\n")
}

/// Other processes of the node have found the same a moment ago, so that the server is left alone.
/// Doctor asks it.
#[test]
fn doctor_says_what_is_wrong_with_a_connection_and_what_to_do() {
    let server = RedisServer::start_with(&["requirepass", "hunter2222"]);
    let away = format!("redis://127.0.0.1:{}", larder_testkit::free_port());
    let tls = format!("rediss://127.0.0.1:{}", server.port());
    let directory = TempDir::new().unwrap();
    let no_file = directory.path().join("none.pem").display().to_string();
    let stalled = larder_testkit::Proxy::new(server.port());
    stalled.stall_requests(true);
    for (url, options, found, mend, not) in [
        (&*away, &[][..], "Connection refused", "port", "password"),
        ("redis://no-such-host.invalid", &[], "lookup", "name servers", "firewall"),
        (&server.tcp_url(), &[("PASSWORD", "simsalabim")], "WRONGPASS", "password", "firewall"),
        (&tls, &[("CA_FILE", &no_file)], "none.pem", "ca_file", "firewall"),
        (&stalled.url(), &[("READ_TIMEOUT", "0.3")], "no answer in time", "read_timeout", "password"),
    ] {
        let ask = || {
            let mut command = larder();
            command.args(["--server", url]);
            for (name, value) in options {
                command.env(format!("LARDER_{name}"), value);
            }
            command
        };
        for _ in 0..2 {
            let said = connection(&mut ask());
            assert!(said.contains(found) && said.contains(mend) && !said.contains(not), "{url}: {said}");
            assert!(!said.contains("moment ago") && !said.contains("simsalabim"), "{said}");
        }
    }
}

#[test]
fn doctor_asks_a_server_that_is_back_though_it_is_left_alone() {
    let mut server = RedisServer::start();
    let url = server.tcp_url();
    let store = Store::open(&Config::from_url(&url).unwrap()).unwrap();
    store.sync().unwrap();
    server.kill();
    assert!(store.sync().is_err());
    server.restart();
    let report = larder().args(["doctor", "--server", &url]).output().unwrap();
    let text = String::from_utf8(report.stdout).unwrap();
    assert!(text.contains("ok       connection"), "{text}");
    store.sync().unwrap();
}

#[test]
fn doctor_names_a_directory_that_cannot_be_used() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, "no directory").unwrap();
    for scheme in ["local", "dir"] {
        let url = format!("{scheme}:{}", path.display());
        let report = larder().args(["--server", &url, "doctor"]).output().unwrap();
        let said = String::from_utf8(report.stdout).unwrap();
        assert_eq!(report.status.code(), Some(1), "{said}");
        assert!(
            said.contains("PROBLEM  directory    is not a directory") && !said.contains("chmod"),
            "{said}"
        );
    }
}

#[test]
fn doctor_lets_a_group_share_a_directory_of_nodes_and_no_other() {
    let directory = TempDir::new().unwrap();
    for (scheme, mode, fine) in
        [("dir", 0o2770, true), ("dir", 0o2775, false), ("local", 0o770, false), ("local", 0o700, true)]
    {
        let path = directory.path().join(format!("{scheme} {mode:o}"));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let url = format!("{scheme}:{}", path.display());
        let report = larder().args(["--server", &url, "doctor"]).output().unwrap();
        let said = String::from_utf8(report.stdout).unwrap();
        assert_eq!(!said.contains("other users may read"), fine, "{said}");
    }
}

#[test]
fn doctor_knows_of_a_server_that_refuses_changes() {
    let server = RedisServer::start();
    let url = server.tcp_url();
    let store = Store::open(&Config::from_url(&url).unwrap()).unwrap();
    let cache = store.cache("c").unwrap();
    cache.set("k", &1).unwrap();
    let _: String = server.tell(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert!(cache.delete("k").is_err());
    let report = larder().args(["doctor", "--server", &url]).output().unwrap();
    let text = String::from_utf8(report.stdout).unwrap();
    assert!(text.contains("PROBLEM  changes") && text.contains("NOREPLICAS"), "{text}");
}

#[test]
fn the_manual_and_completions_name_every_command() {
    let directory = TempDir::new().unwrap();
    printed(&larder().arg("manual").arg(directory.path()).output().unwrap());
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    for command in ["doctor", "stats", "keys", "get", "locks", "log", "warm", "purge", "manual"] {
        assert!(read(&format!("larder-{command}.1")).contains(command));
        for completion in ["larder.bash", "_larder", "larder.fish"] {
            assert!(read(completion).contains(command), "{completion} lacks {command}");
        }
    }
    assert!(read("larder.1").contains("seal_key"), "what --help says at its end");
}
