//! The control log: who serves, what the primary may have missed, and which nodes are there. It is
//! the fallback's own change log, and this room is the only one that reads and writes it as such.

mod beats;
mod log;
mod stage;

pub(super) use log::{ControlLog, View};
pub(super) use stage::Stage;
