//! How much a handle has asked its server.

use std::sync::atomic::{AtomicU64, Ordering};

/// Round trips, and the bytes that they moved. Those of fills that are not waited for count with
/// the next round trip.
#[derive(Debug, Default)]
pub(super) struct Trips {
    count: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Trips {
    /// One more round trip, which moved so many bytes there and back.
    pub(super) fn add(&self, (sent, received): (u64, u64)) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sent.fetch_add(sent, Ordering::Relaxed);
        self.received.fetch_add(received, Ordering::Relaxed);
    }

    pub(super) fn round_trips(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Sent and received.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }
}
