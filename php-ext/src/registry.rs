//! The stores of this process: one for each configuration, kept across requests.

use std::cell::RefCell;
use std::collections::HashMap;

use larder::{Config, Decode, Engine};

use crate::near::{NearValue, graveyard};

/// Decodes payloads into values that PHP can be given without copying, until what the running request was given and
/// memory has dropped since grows to the budget of the near cache itself.
pub(crate) struct NearValues {
    limit: usize,
}

impl Decode for NearValues {
    type Value = NearValue;

    fn decode(&self, payload: &[u8]) -> Option<(NearValue, usize)> {
        let value = if graveyard::is_full(self.limit) {
            NearValue::encoded(payload)
        } else {
            NearValue::from_payload(payload).ok()?
        };
        let weight = value.weight();
        Some((value, weight))
    }
}

/// An engine that lives as long as the process.
pub(crate) type Shared = &'static Engine<NearValues>;

thread_local! {
    // PHP's NTS builds run requests on one thread.
    static ENGINES: RefCell<HashMap<Config, Shared>> = RefCell::new(HashMap::new());
}

/// The engine for `config`.
pub(crate) fn open(config: &Config) -> larder::Result<Shared> {
    if let Some(engine) = ENGINES.with_borrow(|engines| engines.get(config).copied()) {
        return Ok(engine);
    }
    let limit = usize::try_from(config.near_bytes()).unwrap_or(usize::MAX);
    let engine: Shared = Box::leak(Box::new(Engine::open(config, NearValues { limit })?));
    engine.begin_request();
    ENGINES.with_borrow_mut(|engines| engines.insert(config.clone(), engine));
    Ok(engine)
}

/// A request begins: the first operation of each store will be a sync point.
pub(crate) fn begin_request() {
    ENGINES.with_borrow(|engines| engines.values().for_each(|engine| engine.begin_request()));
}

/// A request ends.
pub(crate) fn end_request() {
    ENGINES.with_borrow(|engines| engines.values().for_each(|engine| engine.end_request()));
}

/// Runs `visit` for each store.
pub(crate) fn each(mut visit: impl FnMut(&Config, Shared)) {
    ENGINES.with_borrow(|engines| engines.iter().for_each(|(config, engine)| visit(config, engine)));
}
