//! A process that can never use the fallback: one of another user than the directory's, or with strangers' files in it.
//!
//! It is to the server what a node with a fallback of its own is (R15). It says there that it is about, so that the others
//! do not go over to a fallback of which it knows nothing; what it cannot tell the server is answered false. So a fallback
//! that is of no use does not cost the server.
//!
//! That is for a `local:` fallback. One that nodes share may serve others while this one cannot use it, whatever the
//! error, and then the server must not serve this one (R13): it has to read who serves, as a visitor
//! ([`Dir::fallback`](crate::dir::Dir::fallback)).

use std::sync::atomic::{AtomicU64, Ordering};

use super::absorb::{self, Absorbed};
use super::{Failover, names};
use crate::clock::{boot_millis, millis};
use crate::contract::{Op, Position};
use crate::error::{Error, ErrorKind, Result};

/// When this process last said that it is about, in milliseconds since the boot; 0 = never.
#[derive(Default)]
pub(super) struct Barred(AtomicU64);

impl Failover {
    /// Whether an error of the fallback means that this process can never use it, and never did.
    pub(super) fn is_barred(&self, error: &Error) -> bool {
        !self.shared
            && matches!(error.kind(), ErrorKind::Refused | ErrorKind::Foreign)
            && self.control.last().is_none()
    }

    /// Asks the primary for a process that cannot use the fallback.
    pub(super) fn without_fallback<T>(&self, barred: &Error, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let (now, said) = (boot_millis(), self.barred.0.load(Ordering::Relaxed));
        if said == 0 || now.saturating_sub(said) >= millis(absorb::SAY) {
            self.at_primary(|| self.say_so())?;
            self.barred.0.store(now, Ordering::Relaxed);
            self.news.line(format!("the server serves without its fallback: {barred}"));
        }
        self.at_primary(call)
    }

    /// Notes in the primary that a process is about that knows nothing of the control log.
    fn say_so(&self) -> Result<()> {
        // None of the nodes that have a control log.
        let (cache, node) = (names::absorbed(), !self.node);
        let nowhere = Position { incarnation: 0, id: 0, nonce: 0 };
        let entry = Absorbed::encode(nowhere, self.primary.now(), node);
        let key = [node, 0].map(u64::to_be_bytes);
        let key = key.as_flattened();
        let set = Op::Set { cache: &cache, key, entry: &entry, expires: None, guard: None, lock: None };
        self.primary.apply(None, &[set]).map(drop)
    }
}
