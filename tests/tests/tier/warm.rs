//! A node that has its values from its own tier tells others what to fetch.

use larder::Config;
use larder::engine::{Engine, Item};
use larder_testkit::RedisServer;
use larder_tests::text::Text;
use tempfile::TempDir;

#[test]
fn a_new_node_is_warmed_by_what_others_took_from_their_tier() {
    let (server, nodes) = (RedisServer::start(), [TempDir::new().unwrap(), TempDir::new().unwrap()]);
    let worker = |node: &TempDir| {
        let (url, tier) = (server.unix_url(), format!("local:{}/tier", node.path().display()));
        let options = [("server", &*url), ("namespace", "warm"), ("node_tier", &*tier)];
        let engine = Engine::open(&Config::from_options(options).unwrap(), Text).unwrap();
        let cache = engine.cache("c", true, None).unwrap();
        engine.begin_request();
        (engine, cache)
    };
    let [old, new] = &nodes;
    let keys: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let (first, cache) = worker(old);
    for key in &keys {
        let item = Item { key: key.as_bytes(), payload: b"v", ttl: None, lock: None };
        first.set_many(&cache, &[item]).unwrap();
    }
    first.end_request();
    // All that this one reads is there already.
    let (second, cache) = worker(old);
    assert!(keys.iter().all(|key| second.get(&cache, key.as_bytes()).unwrap().is_some()));
    second.end_request();
    let (third, cache) = worker(new);
    assert_eq!(third.warm(|_, _| ()).unwrap(), 40);
    let trips = third.backend().round_trips();
    assert!(keys.iter().all(|key| third.get(&cache, key.as_bytes()).unwrap().is_some()));
    assert!(third.backend().round_trips() - trips <= 2);
}
