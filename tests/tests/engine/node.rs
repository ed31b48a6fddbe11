//! A process with an engine on a backend in memory.

use std::sync::Arc;

use larder::Config;
use larder::contract::Backend as _;
use larder::engine::{Decode, Engine, Handle, Item};
use larder_testkit::Memory;

/// Values are their payloads; `!` is broken.
pub(crate) struct Text;

impl Decode for Text {
    type Value = String;

    fn decode(&self, payload: &[u8]) -> Option<(String, usize)> {
        let text = String::from_utf8(payload.to_vec()).ok().filter(|text| text != "!")?;
        let weight = text.len();
        Some((text, weight))
    }
}

pub(crate) struct Node {
    pub(crate) memory: Arc<Memory>,
    pub(crate) engine: Arc<Engine<Text>>,
    pub(crate) cache: Handle,
}

impl Node {
    pub(crate) fn new(memory: Memory, options: &[(&str, &str)]) -> Self {
        let server = [("server", "local:/unused")];
        let config = Config::from_options(server.iter().chain(options).copied()).unwrap();
        let memory = Arc::new(memory);
        let engine = Arc::new(Engine::with_backend(memory.clone(), &config, Text));
        let cache = engine.cache("c", true, None).unwrap();
        Self { memory, engine, cache }
    }

    /// Two processes on one backend; syncs happen only where a test asks for them.
    pub(crate) fn two() -> (Self, Self) {
        let options = &[("max_staleness", "3600")];
        let a = Self::new(Memory::default(), options);
        let b = Self::new(a.memory.peer(), options);
        (a, b)
    }

    /// The same process with a durable cache.
    pub(crate) fn durable(self) -> Self {
        let cache = self.engine.durable_cache("d", None).unwrap();
        Self { cache, ..self }
    }

    pub(crate) fn get(&self, key: &str) -> Option<String> {
        self.engine.get(&self.cache, key.as_bytes()).unwrap()
    }

    pub(crate) fn set(&self, key: &str, value: &str) {
        self.set_for(key, value, None);
    }

    pub(crate) fn set_for(&self, key: &str, value: &str, ttl: Option<i64>) {
        let item = Item { key: key.as_bytes(), payload: value.as_bytes(), ttl, lock: None };
        self.engine.set_many(&self.cache, &[item]).unwrap();
    }

    pub(crate) fn delete(&self, key: &str) -> bool {
        self.engine.delete_many(&self.cache, &[key.as_bytes()]).unwrap() == [true]
    }

    pub(crate) fn trips(&self, act: impl FnOnce()) -> u64 {
        let before = self.memory.round_trips();
        act();
        self.memory.round_trips() - before
    }
}

#[expect(clippy::unnecessary_wraps, reason = "reads like what it is compared with")]
pub(crate) fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}
