//! How hosts are connected to, and until when.

use std::time::Duration;

use crate::backend::redis::dial::Dialer;
use crate::backend::redis::names::Host;
use crate::backend::redis::stream::Stream;
use crate::clock::{boot_nanos, nanos};
use crate::config::Access;
use crate::error::Result;

/// How hosts are connected to.
#[derive(Clone, Copy)]
pub(in crate::backend::redis) struct Way<'a> {
    pub(in crate::backend::redis) dialer: &'a Dialer,
    /// For TLS.
    pub(in crate::backend::redis) access: Option<&'a Access>,
    /// When it must be done, in nanoseconds on the boot clock.
    pub(in crate::backend::redis) until: u64,
}

impl Way<'_> {
    pub(in crate::backend::redis) fn connect(&self, host: &Host) -> Result<Stream> {
        self.dialer.tcp(host, self.access, self.until)
    }

    /// The same with a fair share of the time, if so many others may have to be asked after this
    /// one.
    pub(super) fn shared_with(self, others: usize) -> Self {
        let now = boot_nanos();
        let left = Duration::from_nanos(self.until.saturating_sub(now));
        let share = left / u32::try_from(others + 1).unwrap_or(u32::MAX);
        Self { until: now.saturating_add(nanos(share)), ..self }
    }
}
