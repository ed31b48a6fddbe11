//! The core without PHP and without a network: `cargo bench -p larder-benches`.

#![expect(clippy::expect_used, reason = "a benchmark that cannot begin should say why and end")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use larder::{Config, Store, Value};
use larder_testkit::Memory;

fn store(directory: &std::path::Path, staleness: &str) -> Store {
    let server = format!("local:{}", directory.display());
    let config = Config::from_options([("server", server.as_str()), ("max_staleness", staleness)]);
    Store::open(&config.expect("a configuration")).expect("a store")
}

/// A hit in memory, a sync, and the writes of the embedded backend.
fn local(c: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let value: Vec<(String, u32)> = (0..50).map(|i| (format!("entry number {i}"), i)).collect();

    let near = store(directory.path(), "3600");
    let cache = near.cache("bench").expect("a cache");
    cache.set("k", &value).expect("stored");
    c.bench_function("hit in memory, encoded", |b| b.iter(|| cache.payload(black_box("k"))));
    c.bench_function("hit in memory, decoded by serde", |b| {
        b.iter(|| cache.get::<Vec<(String, u32)>>(black_box("k")));
    });
    c.bench_function("local: sync", |b| b.iter(|| near.sync()));
    c.bench_function("local: set", |b| b.iter(|| cache.set("k", black_box(&value))));
    c.bench_function("local: delete", |b| b.iter(|| cache.delete(black_box("gone"))));
}

/// What the engine adds to a backend that takes no time.
fn engine(c: &mut Criterion) {
    use larder::engine::{Decode, Engine, Item};
    struct Length;
    impl Decode for Length {
        type Value = usize;
        fn decode(&self, payload: &[u8]) -> Option<(usize, usize)> {
            Some((payload.len(), payload.len()))
        }
    }
    let config =
        Config::from_options([("server", "local:/unused"), ("max_staleness", "0")]).expect("a configuration");
    let engine = Engine::with_backend(std::sync::Arc::new(Memory::default()), &config, Length);
    let cache = engine.cache("bench", true, None).expect("a cache");
    engine
        .set_many(&cache, &[Item { key: b"k", payload: &[0; 1000], ttl: None, lock: None }])
        .expect("stored");
    c.bench_function("engine: sync and hit", |b| b.iter(|| engine.get(&cache, black_box(b"k"))));
}

fn payload(c: &mut Criterion) {
    let value: Vec<(String, u32)> = (0..50).map(|i| (format!("entry number {i}"), i)).collect();
    let payload = larder::engine::payload::to_payload(&value).expect("a payload");
    c.bench_function("payload: encode through serde", |b| {
        b.iter(|| larder::engine::payload::to_payload(black_box(&value)));
    });
    c.bench_function("payload: decode to Value", |b| b.iter(|| Value::decode(black_box(&payload))));
}

criterion_group!(benches, local, engine, payload);
criterion_main!(benches);
