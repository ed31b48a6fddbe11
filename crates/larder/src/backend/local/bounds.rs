//! The bounds that follow from the size of the file.

use super::tables::Counters;

/// The share of the map, in percent, above which entries are evicted. The rest is for the tables'
/// own pages, for pages that a reader still needs, and for those that a transaction frees, which
/// only the next but one may use.
const HIGH: u64 = 70;
/// The share that entries are evicted down to.
pub(super) const LOW: u64 = 68;
/// What one write may bring.
const ONE_WRITE: u64 = 25;
/// The log's share.
const LOG: u64 = 5;

/// The bounds.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    map: u64,
}

impl Bounds {
    pub(super) fn new(map: u64) -> Self {
        Self { map }
    }

    pub(crate) fn fits(self, need: u64) -> bool {
        need <= self.percent(ONE_WRITE)
    }

    pub(crate) fn has_room(self, counters: &Counters, need: u64) -> bool {
        counters.live + need <= self.percent(HIGH)
    }

    pub(crate) fn log(self) -> u64 {
        self.percent(LOG)
    }

    pub(super) fn percent(self, share: u64) -> u64 {
        self.map / 100 * share
    }
}
