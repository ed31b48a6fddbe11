//! `metrics`: what the fleet did, for Prometheus and all that reads `OpenMetrics`
//! (<https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>).
//! `docs/metrics.md` has the names.

use std::fmt::Write as _;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;

use larder::Store;
use larder::engine::observe::NodeStatistics;
use tiny_http::{Header, Method, Request, Response, Server};

use crate::failure::Failure;
use crate::nodes::seconds;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Prints the metrics once, or serves them until the process is ended.
pub(crate) fn run(store: &Store, listen: Option<&str>, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let Some(listen) = listen else {
        out.write_all(text(store)?.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    };
    let server = open(listen)?;
    match server.server_addr().to_ip() {
        Some(address) => writeln!(out, "http://{address}/metrics")?,
        None => writeln!(out, "{listen}")?,
    }
    out.flush()?;
    for request in server.incoming_requests() {
        // Who asked and went away is told nothing.
        let _ = answer(store, request);
    }
    Ok(ExitCode::SUCCESS)
}

/// Listens on a path, or on an address of this machine: what the fleet does is nobody else's
/// business.
fn open(listen: &str) -> Result<Server, Failure> {
    let bad = |what: String| Failure::Usage(format!("--listen {listen}: {what}"));
    if listen.starts_with('/') {
        return Server::http_unix(Path::new(listen)).map_err(|error| bad(error.to_string()));
    }
    let address: SocketAddr =
        listen.parse().map_err(|_| bad("must be an address and a port, or the path of a socket".into()))?;
    if !address.ip().is_loopback() {
        return Err(bad("must be an address of this machine alone, such as 127.0.0.1:9410".into()));
    }
    let listener = TcpListener::bind(address).map_err(|error| bad(error.to_string()))?;
    Server::from_listener(listener, None).map_err(|error| bad(error.to_string()))
}

fn answer(store: &Store, request: Request) -> std::io::Result<()> {
    if *request.method() != Method::Get || request.url() != "/metrics" {
        return request.respond(Response::from_string("GET /metrics\n").with_status_code(404));
    }
    match text(store) {
        Ok(text) => {
            let mut response = Response::from_string(text);
            if let Ok(header) = Header::from_bytes("Content-Type", CONTENT_TYPE) {
                response.add_header(header);
            }
            request.respond(response)
        }
        Err(error) => request.respond(Response::from_string(format!("{error}\n")).with_status_code(503)),
    }
}

/// A metric: its name, its kind, what it means, and its samples, each with its labels.
struct Metric<'a> {
    name: &'a str,
    kind: &'a str,
    help: &'a str,
}

/// All metrics as text. On Redis two round trips, and one for each hundred nodes.
fn text(store: &Store) -> larder::contract::Result<String> {
    Ok(format(&store.statistics()?))
}

fn format(nodes: &[NodeStatistics]) -> String {
    let mut text = String::new();
    let gauge = |name, help| Metric { name, kind: "gauge", help };
    let counter = |name, help| Metric { name, kind: "counter", help };
    Metric { name: "larder_node", kind: "info", help: "Version and configuration of a node." }.write(
        &mut text,
        nodes.iter().map(|node| {
            let fingerprint = node.fingerprint();
            let labels =
                [("node", &*node.node), ("version", &*node.version), ("configuration", &*fingerprint)];
            (labels.map(|(name, value)| label(name, value)).join(","), "1".to_owned())
        }),
    );
    let mut by_node = |metric: Metric<'_>, value: &dyn Fn(&NodeStatistics) -> String| {
        metric.write(&mut text, nodes.iter().map(|node| (label("node", &node.node), value(node))));
    };
    by_node(
        gauge("larder_node_last_seen_timestamp_seconds", "When a node told this, on the server's clock."),
        &|node| thousandth(node.seen_ms),
    );
    by_node(
        gauge("larder_node_clock_ahead_seconds", "By how much a node's clock is ahead of the server's."),
        &|node| seconds(node.clock_ahead_ms).to_string(),
    );
    by_node(
        gauge(
            "larder_node_served",
            "Whether the server serves a node: 1; 0 if its fallback does, or nobody.",
        ),
        &|node| u8::from(node.tier == "primary").to_string(),
    );
    by_node(gauge("larder_processes", "Processes that are alive and have used the store."), &|node| {
        node.processes.to_string()
    });
    by_node(gauge("larder_near_bytes", "Bytes of decoded values in memory."), &|node| {
        node.near_bytes.to_string()
    });
    by_node(gauge("larder_near_entries", "Decoded values in memory."), &|node| node.near_entries.to_string());
    by_node(counter("larder_requests", "Requests in which the store was used."), &|node| {
        node.total.store.requests.to_string()
    });
    by_node(counter("larder_round_trips", "Round trips to the server."), &|node| {
        node.total.store.round_trips.to_string()
    });
    by_node(counter("larder_sent_bytes", "Bytes sent to the server."), &|node| {
        node.total.store.bytes_sent.to_string()
    });
    by_node(counter("larder_received_bytes", "Bytes received from the server."), &|node| {
        node.total.store.bytes_received.to_string()
    });
    by_node(counter("larder_store_seconds", "Time spent waiting for the server, but for locks."), &|node| {
        millionth(node.total.store.store_us)
    });
    by_node(counter("larder_lock_seconds", "Time spent on getting locks."), &|node| {
        millionth(node.total.store.lock_us)
    });
    by_node(
        counter("larder_dropped_fills", "Values that were not stored because something newer was."),
        &|node| node.total.store.dropped_fills.to_string(),
    );
    by_node(counter("larder_broken_entries", "Entries that could not be read."), &|node| {
        node.total.store.broken.to_string()
    });
    by_node(
        counter("larder_resets", "How often memory was emptied because its history had a gap."),
        &|node| node.total.store.resets.to_string(),
    );
    by_node(counter("larder_errors", "Calls that failed because the server was away or refused."), &|node| {
        node.total.store.errors.to_string()
    });
    for (at, (name, help)) in [
        ("larder_memory_hits", "Reads answered from the memory of a process."),
        ("larder_server_hits", "Reads answered by the server."),
        ("larder_misses", "Reads of keys that had no value."),
        ("larder_sets", "Entries stored."),
        ("larder_deletes", "Keys deleted."),
        ("larder_purges", "How often a cache was purged."),
    ]
    .into_iter()
    .enumerate()
    {
        let samples = nodes.iter().flat_map(|node| {
            node.total.caches.iter().filter_map(move |(cache, counts)| {
                let (_, count) = *counts.named().get(at)?;
                Some((format!("{},{}", label("node", &node.node), label("cache", cache)), count.to_string()))
            })
        });
        counter(name, help).write(&mut text, samples);
    }
    text.push_str("# EOF\n");
    text
}

impl Metric<'_> {
    /// Writes nothing without samples. Writing to a string cannot fail.
    fn write(&self, text: &mut String, samples: impl Iterator<Item = (String, String)>) {
        let Self { name, kind, help } = self;
        let suffix = match *kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let mut samples = samples.peekable();
        if samples.peek().is_some() {
            let _ = writeln!(text, "# TYPE {name} {kind}\n# HELP {name} {help}");
        }
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{suffix}{{{labels}}} {value}");
        }
    }
}

fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

fn thousandth(number: u64) -> String {
    format!("{}.{:03}", number / 1000, number % 1000)
}

fn millionth(number: u64) -> String {
    format!("{}.{:06}", number / 1_000_000, number % 1_000_000)
}
