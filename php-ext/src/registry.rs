//! The stores of this process: one for each configuration, kept across requests.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;

use larder::{Config, Decode, Engine, Forgotten, parse_lock_name};

use crate::near::{NearValue, graveyard};
use crate::zend::ffi::php_log_err_with_severity;

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

/// A request ends, however it does: locks that it still holds are given back and reported.
pub(crate) fn end_request() {
    give_back_locks();
    each(|_, engine| engine.end_request());
}

/// Gives back and reports the locks that the request holds. To be called a second time when nothing of the request can run any
/// more: session handlers are called after the end of this extension's request, and what they lock would be renewed for as long
/// as the process lives.
pub(crate) fn give_back_locks() {
    each(|_, engine| {
        for lock in engine.named_locks().release_all() {
            report(&lock);
        }
    });
}

fn report(lock: &Forgotten) {
    let (cache, key) = parse_lock_name(&lock.name).unwrap_or_default();
    let message = format!(
        "larder: lock on key \"{}\" of cache \"{cache}\" was still held by \"{}\" when the request ended; released",
        key.escape_ascii(),
        lock.owner.escape_ascii()
    );
    if let Ok(message) = CString::new(message) {
        const WARNING: i32 = 4;
        // SAFETY: the message ends with a zero byte and lives until the call returns; PHP's log is still there when
        // extensions end a request.
        unsafe { php_log_err_with_severity(message.as_ptr(), WARNING) };
    }
}

/// Runs `visit` for each store.
pub(crate) fn each(mut visit: impl FnMut(&Config, Shared)) {
    ENGINES.with_borrow(|engines| engines.iter().for_each(|(config, engine)| visit(config, engine)));
}
