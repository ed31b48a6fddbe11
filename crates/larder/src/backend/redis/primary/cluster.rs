//! The node of a cluster that serves a slot. Any node says which one that is, as an answer to a
//! command for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::way::Way;
use crate::backend::redis::failure::cannot_connect;
use crate::backend::redis::names::Host;
use crate::backend::redis::stream::Stream;
use crate::error::Result;

/// What is known of the node.
#[derive(Debug, Default)]
pub(in crate::backend::redis) struct Cluster {
    /// The node that serves the slot, as far as is known.
    node: Mutex<Option<Host>>,
    /// Which of the nodes in the configuration is asked first if it is not.
    first: AtomicUsize,
}

impl Cluster {
    /// Connects to the node that serves the slot, or to one that knows it.
    pub(in crate::backend::redis) fn connect(&self, nodes: &[Host], way: Way<'_>) -> Result<(Stream, Host)> {
        let known = self.node.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(node) = known {
            if let Ok(stream) = way.shared_with(nodes.len()).connect(&node) {
                return Ok((stream, node));
            }
            self.forget();
        }
        let mut failed = cannot_connect(&std::io::ErrorKind::NotFound.into(), std::time::Duration::ZERO);
        for others in (0..nodes.len()).rev() {
            let Some(node) = nodes.get(self.first.load(Ordering::Relaxed) % nodes.len()) else { break };
            match way.shared_with(others).connect(node) {
                Ok(stream) => return Ok((stream, node.clone())),
                Err(error) => failed = error,
            }
            self.first.fetch_add(1, Ordering::Relaxed);
        }
        Err(failed)
    }

    /// A node said that another one serves the slot.
    pub(in crate::backend::redis) fn moved(&self, to: Host) {
        *self.node.lock().unwrap_or_else(PoisonError::into_inner) = Some(to);
    }

    /// A node does not serve the slot, and does not know which one does.
    pub(in crate::backend::redis) fn forget(&self) {
        *self.node.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.first.fetch_add(1, Ordering::Relaxed);
    }
}
