//! The stores of this process: one for each configuration, kept across requests. Of those that no
//! script holds, the ones that were opened last are kept. Those of one place share their memory.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;
use std::mem::ManuallyDrop;
use std::rc::Rc;

use larder::Config;
use larder::contract::{LockKind, parse_lock_name};
use larder::engine::{Decode, Engine, Forgotten, Memories};

use crate::near::{NearValue, graveyard};
use crate::zend::ffi::php_log_err_with_severity;
use crate::zend::limit;

/// Decodes payloads into values that PHP can be given without copying, until what the running
/// request was given and memory has dropped since grows to the budget of the near cache itself.
pub(crate) struct NearValues {
    limit: usize,
    /// The most bytes of a value that memory would keep.
    largest: usize,
}

impl Decode for NearValues {
    type Value = NearValue;

    fn decode(&self, payload: &[u8]) -> Option<(NearValue, usize)> {
        let value = if graveyard::is_full(self.limit) {
            NearValue::encoded(payload).ok()?
        } else {
            NearValue::from_payload(payload, self.largest).ok()?
        };
        let weight = value.weight();
        Some((value, weight))
    }

    /// Straight to the request's heap, when it is given.
    fn decode_once(&self, payload: &[u8]) -> Option<NearValue> {
        NearValue::encoded(payload).ok()
    }

    fn most(&self) -> usize {
        limit::bytes()
    }
}

/// An engine that lives as long as a script holds it, and longer where it is kept.
pub(crate) type Shared = Rc<Engine<NearValues>>;

/// The most engines that are kept. Those that a script holds come on top.
const MAX_KEPT: usize = 32;

#[derive(Default)]
struct Engines {
    /// Each with the number of its last opening.
    by_config: HashMap<Config, (Shared, u64)>,
    opened: u64,
}

impl Engines {
    fn get(&mut self, config: &Config) -> Option<Shared> {
        let (engine, opened) = self.by_config.get_mut(config)?;
        self.opened += 1;
        *opened = self.opened;
        Some(Rc::clone(engine))
    }

    /// Adds an engine, and takes out those that were not opened for longest, if there are too many
    /// and nothing holds them.
    fn insert(&mut self, config: &Config, engine: &Shared) -> Vec<Shared> {
        self.opened += 1;
        let surplus = (self.by_config.len() + 1).saturating_sub(MAX_KEPT);
        let mut removed = Vec::new();
        if surplus > 0 {
            let is_free = |engine: &Shared| Rc::strong_count(engine) == 1 && engine.named_locks().is_idle();
            let free = self.by_config.iter().filter(|(_, (engine, _))| is_free(engine));
            let mut free: Vec<(u64, Config)> =
                free.map(|(config, (_, opened))| (*opened, config.clone())).collect();
            free.sort_unstable_by_key(|(opened, _)| *opened);
            free.truncate(surplus);
            removed.extend(free.iter().filter_map(|(_, config)| self.by_config.remove(config)));
        }
        self.by_config.insert(config.clone(), (Rc::clone(engine), self.opened));
        removed.into_iter().map(|(engine, _)| engine).collect()
    }
}

thread_local! {
    // PHP's NTS builds run requests on one thread. Nothing is given up when the process ends: PHP
    // is gone by then.
    static ENGINES: RefCell<ManuallyDrop<Engines>> = RefCell::default();
    static MEMORIES: Memories<NearValue> = const { Memories::new() };
}

/// The engine for `config`.
pub(crate) fn open(config: &Config) -> larder::contract::Result<Shared> {
    if let Some(engine) = ENGINES.with_borrow_mut(|engines| engines.get(config)) {
        return Ok(engine);
    }
    let whole = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let values =
        NearValues { limit: whole(config.near_bytes()), largest: whole(config.largest_near_value()) };
    let engine = MEMORIES.with(|memories| Engine::open_in(memories, config, values))?;
    let engine = Rc::new(engine);
    engine.join_request();
    let removed = ENGINES.with_borrow_mut(|engines| engines.insert(config, &engine));
    // Its connections are closed, which may take a moment. What the request still sees of its
    // values lives on.
    drop(removed);
    Ok(engine)
}

/// A request begins: the first operation of each store will be a sync point.
pub(crate) fn begin_request() {
    each(|_, engine| engine.begin_request());
}

/// A request ends, however it does: locks that it still holds are given back and reported.
pub(crate) fn end_request() {
    give_back_locks();
    each(|_, engine| engine.end_request());
}

/// Gives back and reports the locks that the request holds. To be called a second time when nothing
/// of the request can run any more: session handlers are called after the end of this extension's
/// request, and what they lock would be renewed for as long as the process lives.
pub(crate) fn give_back_locks() {
    each(|_, engine| {
        for lock in engine.named_locks().release_all() {
            report(&lock);
        }
    });
}

fn report(lock: &Forgotten) {
    let (cache, key) = parse_lock_name(&lock.name).unwrap_or_default();
    let key = key.escape_ascii();
    let what = match LockKind::of(&lock.name) {
        LockKind::Cache => format!("lock on key \"{key}\" of cache \"{cache}\""),
        LockKind::Named => format!("lock \"{key}\""),
    };
    let owner = lock.owner.escape_ascii();
    let message = format!("larder: {what} was still held by \"{owner}\" when the request ended; released");
    if let Ok(message) = CString::new(message) {
        const WARNING: i32 = 4;
        // SAFETY: the message ends with a zero byte and lives until the call returns; PHP's log is
        // still there when extensions end a request.
        unsafe { php_log_err_with_severity(message.as_ptr(), WARNING) };
    }
}

/// Runs `visit` for each store.
pub(crate) fn each(mut visit: impl FnMut(&Config, &Shared)) {
    ENGINES.with_borrow(|engines| {
        for (config, (engine, _)) in &engines.by_config {
            visit(config, engine);
        }
    });
}
