//! Stores of one process on one place share their memory, whatever their options are.

use std::cell::Cell;

use larder::engine::{Engine, Item, Memories};
use larder::{Cache, Config, Store};
use larder_testkit::RedisServer;
use tempfile::TempDir;

use super::node::{Text, some};

type Options<'a> = &'a [(&'a str, &'a str)];

/// Options that are a store's own.
const OWN: [Options<'_>; 6] = [
    &[("near_bytes", "1M")],
    &[("connect_timeout", "3"), ("read_timeout", "4")],
    &[("max_staleness", "100")],
    &[("compress_from", "0")],
    &[("lock_lease", "2"), ("lock_wait", "1")],
    &[],
];

fn cache(server: &str, options: Options<'_>) -> Cache {
    let own = [("server", server), ("max_staleness", "3600")];
    let own = own.into_iter().filter(|(name, _)| !options.iter().any(|(other, _)| other == name));
    Store::open(&Config::from_options(own.chain(options.iter().copied())).unwrap())
        .unwrap()
        .cache("c")
        .unwrap()
}

fn each_reads_what_the_other_writes(one: &Cache, other: &Cache, options: Options<'_>) {
    let get = |cache: &Cache| cache.get::<String>("k").unwrap();
    for (writer, reader) in [(one, other), (other, one)] {
        for value in ["1", "2"] {
            writer.set("k", value).unwrap();
            assert_eq!(get(reader), some(value), "{options:?}");
        }
        assert!(writer.delete("k").unwrap());
        assert_eq!(get(reader), None, "{options:?}");
        writer.set("k", "3").unwrap();
        assert_eq!(get(reader), some("3"), "{options:?}");
        writer.purge().unwrap();
        assert_eq!(get(reader), None, "{options:?}");
    }
}

#[test]
fn each_reads_what_the_other_writes_on_local() {
    let directory = TempDir::new().unwrap();
    let server = format!("local:{}", directory.path().join("store").display());
    let one = cache(&server, &[]);
    for options in OWN {
        each_reads_what_the_other_writes(&one, &cache(&server, options), options);
    }
}

#[test]
fn each_reads_what_the_other_writes_on_redis() {
    let server = RedisServer::start();
    let tier = TempDir::new().unwrap();
    let tier = format!("local:{}", tier.path().join("tier").display());
    let one = cache(&server.unix_url(), &[]);
    for options in OWN.into_iter().chain([&[("node_tier", &*tier)][..]]) {
        each_reads_what_the_other_writes(&one, &cache(&server.unix_url(), options), options);
    }
}

#[test]
fn each_reads_what_the_other_writes_with_a_fallback() {
    let server = RedisServer::start();
    let fallback = TempDir::new().unwrap();
    let fallback = |size: &str| format!("local:{}{size}", fallback.path().join("fallback").display());
    let one = cache(&server.tcp_url(), &[("fallback", &fallback(""))]);
    let options = [("fallback", &*fallback("?size=64M")), ("read_timeout", "2")];
    each_reads_what_the_other_writes(&one, &cache(&server.tcp_url(), &options), &options);
}

/// What was stored by one is in memory for the other.
#[test]
fn what_one_read_the_other_has() {
    let server = RedisServer::start();
    let (one, other) = (cache(&server.unix_url(), &[]), cache(&server.unix_url(), &[("near_bytes", "1M")]));
    one.set("k", "v").unwrap();
    let before = redis_commands(&server);
    assert_eq!(other.get::<String>("k").unwrap(), some("v"));
    assert_eq!(redis_commands(&server), before);
}

fn redis_commands(server: &RedisServer) -> String {
    let info: String = server.tell(&["INFO", "commandstats"]);
    info.lines().filter(|line| line.contains("cmdstat_xrevrange") || line.contains("hmget")).collect()
}

#[test]
fn the_largest_budget_counts() {
    let directory = TempDir::new().unwrap();
    let server = format!("local:{}", directory.path().join("store").display());
    let open = |near_bytes: &str| {
        Store::open(&Config::from_options([("server", &*server), ("near_bytes", near_bytes)]).unwrap())
            .unwrap()
    };
    let (small, large, smaller) = (open("1M"), open("4M"), open("512K"));
    for store in [&small, &large, &smaller] {
        assert_eq!(store.stats().near_limit, 4 << 20);
    }
    drop((small, large, smaller));
    assert_eq!(open("1M").stats().near_limit, 1 << 20, "a memory ends with the last of its stores");
}

/// What makes another place: its entries are others, or may not be seen.
#[test]
fn another_place_is_another_memory() {
    let memories = Memories::new();
    // Each asks for less than those before it, and would have their budget if it shared their
    // memory.
    let budget = Cell::new(64 << 20);
    let engine = |options: Options<'_>| {
        budget.set(budget.get() - 1);
        let (near_bytes, own) = (budget.get().to_string(), options.iter().copied());
        let config = Config::from_options(own.chain([("near_bytes", &*near_bytes)])).unwrap();
        Engine::open_in(&memories, &config, Text).unwrap()
    };
    let directory = TempDir::new().unwrap();
    let place = |name: &str| format!("local:{}", directory.path().join(name).display());
    let (server, elsewhere) = (place("store"), place("elsewhere"));
    let engines = vec![
        engine(&[("server", &server)]),
        engine(&[("server", &elsewhere)]),
        engine(&[("server", &server), ("namespace", "other")]),
        engine(&[("server", &server), ("generation", "2")]),
        engine(&[("server", &server), ("seal_key", "0123456789abcdef")]),
        engine(&[("server", "redis://h")]),
        engine(&[("server", "redis://h/1")]),
        engine(&[("server", "redis://h:6380")]),
        engine(&[("server", "redis://me:secret@h")]),
        engine(&[("server", "redis://me:other@h")]),
        engine(&[("server", "rediss://h")]),
        engine(&[("server", "rediss://h"), ("ca_file", "/x.pem")]),
        engine(&[("server", "redis://h"), ("fallback", &server)]),
        engine(&[("server", "redis://h"), ("code_epoch", "2")]),
    ];
    let budgets: Vec<u64> = engines.iter().map(|engine| engine.stats().near_limit).collect();
    assert!(budgets.is_sorted_by(|earlier, later| earlier > later), "two share a memory: {budgets:?}");
    let first = &engines[0];
    let item = Item { key: b"k", payload: b"v", ttl: None, lock: None };
    first.set_many(&first.cache("c", true, None).unwrap(), &[item]).unwrap();
    for (number, engine) in engines.iter().enumerate() {
        assert_eq!(engine.stats().near_entries, u64::from(number == 0), "{number}");
    }
    assert_eq!(
        engine(&[("server", &format!("{server}?size=64M"))]).stats().near_entries,
        1,
        "the same place"
    );
}

#[test]
fn threads_with_stores_of_their_own_read_their_writes() {
    let server = RedisServer::start();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let url = server.unix_url();
            scope.spawn(move || {
                let near_bytes = format!("{}M", thread + 1);
                let (one, other) = (cache(&url, &[("near_bytes", &near_bytes)]), cache(&url, &[]));
                let key = format!("k{thread}");
                for i in 0..200 {
                    one.set(&key, &i).unwrap();
                    assert_eq!(other.get(&key).unwrap(), Some(i));
                }
            });
        }
    });
}

/// A store that is opened in the midst of a request begins none: what was missing before stays so,
/// and its fill is guarded.
#[test]
fn a_second_store_joins_the_request() {
    let memories = Memories::new();
    let directory = TempDir::new().unwrap();
    let server = format!("local:{}", directory.path().join("store").display());
    let engine = |near_bytes: &str| {
        let config = Config::from_options([("server", &*server), ("near_bytes", near_bytes)]).unwrap();
        let engine = Engine::open_in(&memories, &config, Text).unwrap();
        engine.join_request();
        engine
    };
    let first = engine("1M");
    let cache = first.cache("c", true, None).unwrap();
    assert_eq!(first.get(&cache, b"k").unwrap(), None);
    let other = Engine::open(&Config::from_url(&server).unwrap(), Text).unwrap();
    other.delete_many(&other.cache("c", true, None).unwrap(), &[b"k"]).unwrap();
    let second = engine("2M");
    let item = Item { key: b"k", payload: b"computed from what is no longer true", ttl: None, lock: None };
    second.set_many(&second.cache("c", true, None).unwrap(), &[item]).unwrap();
    assert_eq!(second.stats().dropped_fills, 1);
    assert_eq!(first.get(&cache, b"k").unwrap(), None);
}

/// A worker that serves many sites holds no more than one that serves one.
#[test]
fn the_places_of_a_process_share_one_budget() {
    let memories = Memories::new();
    let directory = TempDir::new().unwrap();
    let server = format!("local:{}", directory.path().join("store").display());
    let engine = |namespace: String| {
        let options = [("server", &*server), ("namespace", &*namespace), ("near_bytes", "1M")];
        Engine::open_in(&memories, &Config::from_options(options).unwrap(), Text).unwrap()
    };
    let sites: Vec<_> = (0..8).map(|site| engine(format!("site{site}"))).collect();
    let caches: Vec<_> = sites.iter().map(|site| site.cache("c", true, None).unwrap()).collect();
    let payload = vec![b'v'; 10 << 10];
    let keys: Vec<String> = (0..60).map(|key| key.to_string()).collect();
    for (site, cache) in sites.iter().zip(&caches) {
        for key in &keys {
            let item = Item { key: key.as_bytes(), payload: &payload, ttl: None, lock: None };
            site.set_many(cache, &[item]).unwrap();
        }
        site.sync().unwrap();
    }
    let held: Vec<u64> = sites.iter().map(|site| site.stats().near_bytes).collect();
    assert!(held.iter().sum::<u64>() <= 1 << 20, "{held:?}");
    assert!(held[7] >= 600 << 10, "what was used last stays: {held:?}");
    for (site, cache) in sites.iter().zip(&caches).take(2) {
        let found = keys.iter().filter(|key| site.get(cache, key.as_bytes()).unwrap().is_some());
        assert_eq!(found.count(), keys.len());
    }
    drop(sites);
    let alone = engine("site0".into());
    assert_eq!((alone.stats().near_bytes, alone.stats().near_limit), (0, 1 << 20));
}
