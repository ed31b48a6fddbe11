//! Who keeps the locks of an engine.

use std::sync::Arc;
use std::time::Duration;

use crate::contract::Backend;
use crate::lock::{Lender, NamedLocks};

/// What an engine needs for locks.
pub(super) struct Lenders {
    pub(super) lender: Arc<Lender>,
    pub(super) named: NamedLocks,
}

impl Lenders {
    pub(super) fn new(backend: Arc<dyn Backend>, lease: Duration) -> Self {
        let lender = Arc::new(Lender::new(backend, lease));
        Self { named: NamedLocks::new(Arc::clone(&lender)), lender }
    }
}
