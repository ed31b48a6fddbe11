//! What a memory remembers of fill leases, and the wait for a fill (`docs/protocol.md`, R26).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::clock::boottime;
use crate::fills::rules::Ask;
use crate::fills::table::{Table, name};

/// The first look at a fill that is waited for comes after this time; later ones each after an
/// eighth of the time waited.
const SHORTEST_STEP: Duration = Duration::from_micros(500);
/// No look comes later after the one before than this.
const LONGEST_STEP: Duration = Duration::from_millis(10);

static MEMORIES: AtomicU32 = AtomicU32::new(0);

/// What a memory remembers of fill leases while some caches were emptied a short time ago.
pub(super) struct Fills {
    /// Which memory of the process this is.
    memory: u32,
    /// Open as long as there are keys to wait for.
    pub(super) table: Option<Arc<Table>>,
    /// The keys that this request has asked for; each is waited for once.
    pub(super) asked: HashSet<u64>,
    /// The leases of this request.
    pub(super) taken: HashSet<u64>,
    /// How long this request has waited.
    pub(super) waited: Duration,
}

impl Default for Fills {
    fn default() -> Self {
        Self {
            memory: MEMORIES.fetch_add(1, Ordering::Relaxed),
            table: None,
            asked: HashSet::new(),
            taken: HashSet::new(),
            waited: Duration::ZERO,
        }
    }
}

impl Fills {
    pub(super) fn table(&mut self) -> Option<Arc<Table>> {
        if self.table.is_none() {
            self.table = Table::open().map(Arc::new);
        }
        self.table.clone()
    }

    /// There is nothing to wait for any more.
    pub(super) fn forget(&mut self) {
        self.table = None;
        self.asked.clear();
        self.taken.clear();
    }

    /// What stands for this memory in the table.
    pub(super) fn me(&self) -> u64 {
        name(self.memory)
    }
}

/// A wait for fills.
pub(super) struct Wait<'a> {
    pub(super) table: &'a Table,
    pub(super) me: u64,
    pub(super) until: Duration,
    pub(super) pause: &'a mut dyn FnMut() -> bool,
}

impl Wait<'_> {
    /// Waits for the fill of a key. Whether the key is to be looked at again.
    pub(super) fn for_fill(&mut self, known: Duration, key: u64) -> bool {
        let begun = boottime();
        if begun >= self.until {
            return false;
        }
        let Some(place) = self.table.begin_wait(self.me, key, self.until) else { return false };
        let ended = self.sleep(begun, known, key);
        self.table.end_wait(self.me, place);
        ended
    }

    fn sleep(&mut self, begun: Duration, known: Duration, key: u64) -> bool {
        loop {
            match self.table.look(self.me, known, key) {
                Ask::Wait => {}
                Ask::Compute => return false,
                Ask::Look | Ask::Take => return true,
            }
            let now = boottime();
            let left = self.until.saturating_sub(now);
            if left.is_zero() || !(self.pause)() {
                return false;
            }
            let step = (now.saturating_sub(begun) / 8).clamp(SHORTEST_STEP, LONGEST_STEP);
            std::thread::sleep(step.min(left));
        }
    }
}
