//! A process that serves requests, and computes what it misses; each line of its standard input
//! says what to do, each line of its standard output what was done.
//!
//! Arguments: URL, namespace, number of keys, milliseconds that a value costs. Commands: `fill`;
//! `page N` reads all keys from the Nth on and tells which it computed; `barren N` the same, but
//! stores nothing; `get N` reads one key and stays in the request; `stats`.

use std::error::Error;
use std::io::{BufRead, Write};
use std::thread;
use std::time::Duration;

use larder::Config;
use larder::engine::{Decode, Engine, Handle, Item};

/// Values are their bytes.
struct Bytes;

impl Decode for Bytes {
    type Value = Vec<u8>;

    fn decode(&self, payload: &[u8]) -> Option<(Vec<u8>, usize)> {
        Some((payload.to_vec(), payload.len()))
    }
}

struct Worker {
    engine: Engine<Bytes>,
    cache: Handle,
    keys: usize,
    cost: Duration,
}

impl Worker {
    fn set(&self, key: usize) -> larder::contract::Result<()> {
        let (key, payload) = (key.to_string(), [0; 100]);
        self.engine
            .set_many(&self.cache, &[Item { key: key.as_bytes(), payload: &payload, ttl: None, lock: None }])
    }

    /// Whether a key is missing.
    fn lacks(&self, key: usize) -> larder::contract::Result<bool> {
        let found = self.engine.get_or_wait(&self.cache, key.to_string().as_bytes(), &mut || true)?;
        Ok(found.is_none())
    }

    /// The keys that were computed.
    fn page(&self, first: usize, store: bool) -> larder::contract::Result<Vec<usize>> {
        let mut computed = Vec::new();
        self.engine.begin_request();
        for key in (0..self.keys).map(|key| (key + first) % self.keys) {
            if self.lacks(key)? {
                thread::sleep(self.cost);
                computed.push(key);
                if store {
                    self.set(key)?;
                }
            }
        }
        self.engine.end_request();
        Ok(computed)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, namespace, keys, cost] = args.as_slice() else { return Err("four arguments".into()) };
    let config = Config::from_options([
        ("server", url.as_str()),
        ("namespace", namespace),
        ("read_timeout", "30"),
        ("connect_timeout", "30"),
    ])?;
    let engine = Engine::open(&config, Bytes)?;
    let cache = engine.cache("values", true, None)?;
    let worker = Worker { engine, cache, keys: keys.parse()?, cost: Duration::from_millis(cost.parse()?) };
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (command, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let number: usize = number.parse()?;
        let answer = match command {
            "fill" => (0..worker.keys)
                .map(|key| worker.set(key))
                .collect::<Result<Vec<()>, _>>()
                .map(|_| String::new())?,
            "page" | "barren" => {
                let computed: Vec<_> =
                    worker.page(number, command == "page")?.iter().map(usize::to_string).collect();
                computed.join(" ")
            }
            "get" => {
                worker.engine.begin_request();
                worker.lacks(number)?.to_string()
            }
            _ => {
                let stats = worker.engine.stats();
                format!("{} {} {}", stats.awaited, stats.shared_fills, stats.round_trips)
            }
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}
